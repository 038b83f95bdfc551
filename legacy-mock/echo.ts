/**
 * What came in, told back: uploads by size and digest, whole requests as the parser saw them, request targets as text.
 */
import { createHash } from 'node:crypto'
import { type Exchange, Refusal } from './exchange.ts'
import type { Route } from './router.ts'
import { parseCount } from './units.ts'

/** The routes of this family. */
export const echoRoutes: readonly Route[] = [
  { path: '/echo', methods: { '*': echo } },
  { path: '/echo/*', methods: { '*': echo } },
  { path: '/uploads', methods: { POST: upload } },
  { path: '/uploads/:name', methods: { PUT: upload } },
  { path: '/files/*', methods: { '*': target } },
  // Paths that begin with two slashes: their first segment is empty.
  { path: '//*', methods: { '*': target } },
]

/** The request as received: what a proxy changed on the way shows here. Text that is not ASCII stands for single bytes. */
async function echo(x: Exchange): Promise<void> {
  const body = await digest(x, Number.POSITIVE_INFINITY)
  x.json(200, {
    method: x.req.method,
    target: x.target,
    httpVersion: x.req.httpVersion,
    rawHeaders: pairs(x.req.rawHeaders),
    bodyBytes: body.bytes,
    bodySha256: body.sha256,
    rawTrailers: pairs(x.req.rawTrailers),
  })
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return list
}

/** Takes a body of any size, or up to `maxBytes` of the query: beyond it the answer, 413, comes while the upload still runs. */
async function upload(x: Exchange): Promise<void> {
  const limit = x.query.get('maxBytes')
  const maxBytes = limit === null ? Number.POSITIVE_INFINITY : parseCount(limit)
  if (maxBytes === null) throw new Refusal(400, 'BAD UPLOAD PARAMETERS')
  const { bytes, sha256 } = await digest(x, maxBytes)
  const name = x.params.name ?? `upload-${sha256.slice(0, 8)}`
  x.json(201, { name, bytes, sha256 }, [['Location', `${x.origin}/uploads/${encodeURIComponent(name)}`]])
}

async function digest(x: Exchange, maxBytes: number): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of x.pieces(maxBytes)) {
    bytes += piece.length
    hash.update(piece)
  }
  return { bytes, sha256: hash.digest('hex') }
}

function target(x: Exchange): void {
  x.send(200, 'text/plain; charset=ISO-8859-1', `${x.target}\n`)
}
