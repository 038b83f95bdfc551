/**
 * Sends a complete response as one string and one write, bypassing the parts of node:http that check, store and copy each header:
 * the headers were checked when they were read.
 */
import type { ServerResponse } from 'node:http'

/**
 * What node:http keeps of a response between `writeHead` and `end`. These names are older than its documentation; where they
 * should be gone one day, `wholeAnswer` gives null, and every answer goes the long way.
 */
interface Internals {
  /** Null until a head has been stored; sent by `end`, with what it holds. */
  _header?: string | null
  /** The connection ends with this answer. */
  _last?: boolean
  /** Milliseconds that an idle client connection is kept. */
  _keepAliveTimeout?: number
}

/**
 * The bytes of a complete answer, a Latin-1 string, as node:http would send them: Date and what concerns the connection
 * behind the given fields.
 * @param fields name, value, name, value; from a message that has been read, or banyan's own
 * @param body all of it, a Latin-1 string, or null for none
 * @returns null where the answer is none of the plain kind, which node:http must frame
 */
export function wholeAnswer(
  res: ServerResponse,
  status: number,
  reason: string,
  fields: readonly string[],
  body: string | null,
): string | null {
  const { _header, _keepAliveTimeout = 0 } = res as ServerResponse & Internals
  const { req } = res
  const bodiless = status === 204 || status === 304 || req.method === 'HEAD'
  if (_header !== null || req.httpVersionMinor !== 1 || (bodiless && body !== null)) return null
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  let framed = bodiless
  let dated = false
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    text += `${name}: ${fields[i + 1]}\r\n`
    // Only fields that node:http has a view of are looked at, and few names have these lengths.
    switch (name.length) {
      case 4:
        dated ||= name.toLowerCase() === 'date'
        break
      case 14:
        framed ||= name.toLowerCase() === 'content-length'
        break
      case 7:
      case 10:
      case 17:
        if (SPECIAL.has(name.toLowerCase())) return null
    }
  }
  if (!framed) return null
  if (!dated) text += dateField(Date.now())
  text += res.shouldKeepAlive ? keepAliveFields(_keepAliveTimeout) : 'Connection: close\r\n\r\n'
  return body === null ? text : text + body
}

/**
 * The status line and the fields of an answer that will be given many times, as one text.
 * @returns null where node:http must have a look at them: no Date, no length, or something of the connection
 */
export function headText(status: number, reason: string, fields: readonly string[]): string | null {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  let framed = status === 204
  let dated = false
  for (let i = 0; i < fields.length; i += 2) {
    const lower = (fields[i] as string).toLowerCase()
    if (SPECIAL.has(lower)) return null
    dated ||= lower === 'date'
    framed ||= lower === 'content-length'
    text += `${fields[i]}: ${fields[i + 1]}\r\n`
  }
  // Made of one piece, or each use would put it together anew.
  return framed && dated ? Buffer.from(text, 'latin1').toString('latin1') : null
}

/**
 * The bytes of a complete answer, as `wholeAnswer` would give them.
 * @param head of `headText`
 * @param more fields behind those of the head
 * @param body all of it, a Latin-1 string, or null for none
 */
export function wholeOf(
  res: ServerResponse,
  head: string,
  more: readonly string[],
  body: string | null,
): string | null {
  const { _header, _keepAliveTimeout = 0 } = res as ServerResponse & Internals
  if (_header !== null || res.req.httpVersionMinor !== 1) return null
  let text = head
  for (let i = 0; i < more.length; i += 2) text += `${more[i]}: ${more[i + 1]}\r\n`
  text += res.shouldKeepAlive ? keepAliveFields(_keepAliveTimeout) : 'Connection: close\r\n\r\n'
  return body === null ? text : text + body
}

/** Ends a response with what `wholeAnswer` gave. */
export function endWhole(res: ServerResponse, text: string): void {
  const internals = res as ServerResponse & Internals
  internals._header = text
  internals._last = !res.shouldKeepAlive
  res.end()
}

/** Fields by which the connection or the framing is another than usual. */
const SPECIAL: ReadonlySet<string> = new Set(['trailer', 'connection', 'keep-alive', 'transfer-encoding'])

const kept = { timeoutMs: -1, text: '' }

/** What says that the connection is kept, with the empty line: one setting of the server, so nearly always the same. */
function keepAliveFields(timeoutMs: number): string {
  if (kept.timeoutMs !== timeoutMs) {
    const hint = timeoutMs > 0 ? `Keep-Alive: timeout=${Math.floor(timeoutMs / 1000)}\r\n` : ''
    kept.timeoutMs = timeoutMs
    kept.text = `Connection: keep-alive\r\n${hint}\r\n`
  }
  return kept.text
}

const dates = { second: -1, text: '' }

function dateField(nowMs: number): string {
  const second = Math.floor(nowMs / 1000)
  if (dates.second !== second) {
    dates.second = second
    dates.text = `Date: ${new Date(nowMs).toUTCString()}\r\n`
  }
  return dates.text
}
