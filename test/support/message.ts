/**
 * Heads and bodies of HTTP/1.1 messages in tests, read strictly (RFC 9112) from a wire and kept byte for byte.
 */
import type { Wire } from './wire.ts'

/** Field lines as received, in order. */
export type Fields = readonly (readonly [name: string, value: string])[]

/** A body and how it was framed. */
export interface Body {
  /** The content, Latin-1: chunk sizes and extensions taken off. */
  readonly text: string
  /** The bytes as they came over the wire, Latin-1. */
  readonly raw: string
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
  readonly trailers: Fields
}

/** A response as it came over the wire. */
export interface RawResponse {
  /** Status line and fields up to and with the empty line. */
  readonly head: string
  readonly version: string
  readonly status: number
  readonly reason: string
  readonly fields: Fields
  /** Interim responses that came before, heads as received. */
  readonly interim: readonly string[]
  readonly body: Body
}

const NO_BODY: Body = { text: '', raw: '', framing: 'none', trailers: [] }

/** The value of a field (any case of its name), with ', ' between several lines; undefined where there is none. */
export function field(fields: Fields, name: string): string | undefined {
  const lower = name.toLowerCase()
  const values = fields.filter(([one]) => one.toLowerCase() === lower).map(([, value]) => value)
  return values.length === 0 ? undefined : values.join(', ')
}

/** @throws where a line is no proper field line */
export function parseFields(head: string): Fields {
  return head
    .split('\r\n')
    .slice(1)
    .filter((line) => line !== '')
    .map(parseField)
}

function parseField(line: string): readonly [string, string] {
  const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*?)[ \t]*$/.exec(line)
  if (parts === null) throw new Error(`no field line: ${JSON.stringify(line)}`)
  return [parts[1] as string, parts[2] as string]
}

/**
 * Reads the next response, interim ones first.
 * @param method of the request: HEAD's answer has no body
 * @throws {BrokenOff} where the peer ends before the response is complete
 */
export async function readResponse(wire: Wire, method: string): Promise<RawResponse> {
  const interim: string[] = []
  for (;;) {
    const head = await wire.readUntil('\r\n\r\n')
    const line = /^(HTTP\/1\.[01]) (\d{3}) ([^\0-\x08\x0a-\x1f\x7f]*)\r\n/.exec(head)
    if (line === null) throw new Error(`no status line: ${JSON.stringify(head)}`)
    const status = Number(line[2])
    if (status < 200 && status !== 101) {
      interim.push(head)
      continue
    }
    const fields = parseFields(head)
    const bodiless = method === 'HEAD' || status === 101 || status === 204 || status === 304
    const body = bodiless ? NO_BODY : await readBody(wire, fields, true)
    return { head, version: line[1] as string, status, reason: line[3] as string, fields, interim, body }
  }
}

/**
 * Reads the body that the fields of a head announce.
 * @param untilClose a body without a length ends with the connection (responses), not at once (requests)
 */
export async function readBody(wire: Wire, fields: Fields, untilClose: boolean): Promise<Body> {
  const coding = field(fields, 'transfer-encoding')
  const length = field(fields, 'content-length')
  if (coding !== undefined) {
    if (coding !== 'chunked' || length !== undefined) throw new Error(`odd framing: ${coding}, ${length}`)
    return await readChunks(wire)
  }
  if (length !== undefined) {
    if (!/^[0-9]+$/.test(length)) throw new Error(`odd Content-Length: ${length}`)
    const text = (await wire.readBytes(Number(length))).toString('latin1')
    return { text, raw: text, framing: 'length', trailers: [] }
  }
  if (!untilClose) return NO_BODY
  const { text, ending } = await wire.readToEnd()
  if (ending === 'reset') throw new Error(`reset in a body that ends with the connection, behind ${text.length} bytes`)
  return { text, raw: text, framing: 'close', trailers: [] }
}

async function readChunks(wire: Wire): Promise<Body> {
  let text = ''
  let raw = ''
  for (;;) {
    const line = await wire.readUntil('\r\n')
    if (!/^[0-9a-fA-F]+\r\n$/.test(line)) throw new Error(`odd chunk size: ${JSON.stringify(line)}`)
    const size = Number.parseInt(line, 16)
    raw += line
    if (size === 0) break
    const chunk = (await wire.readBytes(size + 2)).toString('latin1')
    if (!chunk.endsWith('\r\n')) throw new Error(`chunk longer than its size: ${JSON.stringify(chunk.slice(-20))}`)
    text += chunk.slice(0, -2)
    raw += chunk
  }
  const trailers: (readonly [string, string])[] = []
  for (;;) {
    const line = await wire.readUntil('\r\n')
    raw += line
    if (line === '\r\n') return { text, raw, framing: 'chunked', trailers }
    trailers.push(parseField(line.slice(0, -2)))
  }
}
