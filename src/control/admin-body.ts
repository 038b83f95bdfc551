/**
 * The JSON body of an admin request: its media type, its size, its text, its value.
 */
import type { IncomingMessage } from 'node:http'
import { AdminProblem } from './admin-problem.ts'
import { JsonFault, parseJson } from './json-text.ts'

/** Bodies above this many bytes get 413. */
export const MAX_BODY_BYTES = 1024 * 1024

/**
 * So much of a body is read to its end although it is too large. A connection that is closed while the client still writes
 * is reset, and the client may never read the answer that says why.
 */
const MAX_DISCARDED_BYTES = 8 * MAX_BODY_BYTES

/**
 * Reads a JSON body. `mediaTypes` are those that are taken, in lower case; a charset other than UTF-8 is not.
 * A media type is demanded because a form of another site's page can send none of these (CSRF).
 * @throws {AdminProblem} media-type, too-large, malformed-body, malformed-json
 */
export async function readJson(req: IncomingMessage, mediaTypes: readonly string[]): Promise<unknown> {
  checkMediaType(req, mediaTypes)
  const text = decode(await readBytes(req))
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

function checkMediaType(req: IncomingMessage, mediaTypes: readonly string[]): void {
  const [type, ...parameters] = (req.headers['content-type'] ?? '').toLowerCase().split(';')
  const plain = parameters.every((text) => !/^\s*charset\s*=/.test(text) || /=\s*"?utf-8"?\s*$/.test(text))
  const encoding = req.headers['content-encoding']
  if (mediaTypes.includes((type as string).trim()) && plain && (encoding ?? 'identity') === 'identity') return
  const fields = { [req.method === 'PATCH' ? 'Accept-Patch' : 'Accept']: mediaTypes.join(', ') }
  throw new AdminProblem('media-type', `Send ${mediaTypes.join(' or ')} in UTF-8, without a content coding.`, {
    fields,
  })
}

async function readBytes(req: IncomingMessage): Promise<Buffer> {
  const declared = Number(req.headers['content-length'] ?? 0)
  if (declared > MAX_DISCARDED_BYTES) throw tooLarge()
  const pieces: Buffer[] = []
  let size = 0
  try {
    // Left early, the loop must not destroy the socket that the answer is to go out on.
    for await (const piece of req.iterator({ destroyOnReturn: false })) {
      size += piece.length
      if (size > MAX_DISCARDED_BYTES) break
      if (size <= MAX_BODY_BYTES) pieces.push(piece as Buffer)
    }
  } catch (error) {
    throw new AdminProblem('malformed-body', `The body broke off: ${(error as Error).message}.`)
  }
  if (size > MAX_BODY_BYTES) throw tooLarge()
  return Buffer.concat(pieces)
}

function tooLarge(): AdminProblem {
  return new AdminProblem('too-large', `A body has at most ${MAX_BODY_BYTES} bytes.`, {
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
