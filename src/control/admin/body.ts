/**
 * The JSON body of an admin request: its media type, its size, its text, its value.
 */
import type { IncomingMessage } from 'node:http'
import { JsonFault, parseJson } from '../http/json-text.ts'
import { isJsonObject } from '../http/merge-patch.ts'
import { AdminProblem, invalidBody } from '../http/problem.ts'

/** JSON bodies above this many bytes get 413. */
export const MAX_BODY_BYTES = 1024 * 1024
/** So do tables above this: ten thousand routes have about two million. */
export const MAX_TEXT_BYTES = 8 * 1024 * 1024

/**
 * So much of a body that is too large is read to its end. A connection that is closed while the client still writes is
 * reset, and the client may never read the answer that says why.
 */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024

/**
 * Reads a JSON body. `mediaTypes` are those that are taken, in lower case; a charset other than UTF-8 is not.
 * A media type is demanded because a form of another site's page can send none of these (CSRF).
 * @throws {AdminProblem} media-type, too-large, malformed-body, malformed-json
 */
export async function readJson(req: IncomingMessage, mediaTypes: readonly string[]): Promise<unknown> {
  checkMediaType(req, mediaTypes)
  const text = decode(await readBytes(req, MAX_BODY_BYTES))
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error
    const { line, column, message } = error
    throw new AdminProblem('malformed-json', `line ${line}, column ${column}: ${message}`, {
      members: { line, column },
    })
  }
}

/**
 * Reads a body that is text of one of these media types. A byte order mark is left in.
 * @throws {AdminProblem} media-type, too-large, malformed-body
 */
export async function readText(req: IncomingMessage, mediaTypes: readonly string[]): Promise<string> {
  checkMediaType(req, mediaTypes)
  return decode(await readBytes(req, MAX_TEXT_BYTES))
}

/**
 * Reads the body of a request that needs none: nothing, or an empty JSON object.
 * @throws {AdminProblem} as `readJson`; invalid where there is something in it
 */
export async function readNothing(req: IncomingMessage): Promise<void> {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers
  if (length === '0' && coding === undefined) return
  const body = await readJson(req, ['application/json'])
  if (isJsonObject(body) && Object.keys(body).length === 0) return
  throw invalidBody([{ pointer: '', detail: 'expected no body or an empty object' }])
}

function checkMediaType(req: IncomingMessage, mediaTypes: readonly string[]): void {
  const [type, ...parameters] = (req.headers['content-type'] ?? '').toLowerCase().split(';')
  const plain = parameters.every((text) => !/^\s*charset\s*=/.test(text) || /=\s*"?utf-8"?\s*$/.test(text))
  const encoding = req.headers['content-encoding']
  if (mediaTypes.includes((type as string).trim()) && plain && (encoding ?? 'identity') === 'identity') return
  const fields = { [req.method === 'PATCH' ? 'Accept-Patch' : 'Accept']: mediaTypes.join(', ') }
  throw new AdminProblem('media-type', `Expected ${mediaTypes.join(' or ')} in UTF-8, without Content-Encoding.`, {
    fields,
  })
}

async function readBytes(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const declared = Number(req.headers['content-length'] ?? 0)
  if (declared > MAX_DISCARDED_BYTES) throw tooLarge(maxBytes)
  const pieces: Buffer[] = []
  let size = 0
  try {
    // Left early, the loop must not destroy the socket that the answer is to go out on.
    for await (const piece of req.iterator({ destroyOnReturn: false })) {
      size += piece.length
      if (size > MAX_DISCARDED_BYTES) break
      if (size <= maxBytes) pieces.push(piece as Buffer)
    }
  } catch (error) {
    throw new AdminProblem('malformed-body', `The body is incomplete: ${(error as Error).message}.`)
  }
  if (size > maxBytes) throw tooLarge(maxBytes)
  return Buffer.concat(pieces)
}

function tooLarge(maxBytes: number): AdminProblem {
  return new AdminProblem('too-large', `The body must not exceed ${maxBytes} bytes.`, {
    fields: { Connection: 'close' },
  })
}

function decode(bytes: Buffer): string {
  try {
    // A byte order mark is left in, and is no JSON (RFC 8259 section 8.1).
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new AdminProblem('malformed-body', 'The body is not valid UTF-8.')
  }
}
