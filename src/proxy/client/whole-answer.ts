/**
 * Sends a complete response as one string and one write, bypassing the parts of node:http that check, store and copy each header:
 * the headers were checked when they were read.
 */
import type { ServerResponse } from 'node:http'

/**
 * node:http's internal state of a response between `writeHead` and `end`. If a future version lacks these properties,
 * `wholeAnswer` returns null and every response takes the normal path.
 */
interface Internals {
  /** Null until headers are stored; sent by `end`. */
  _header?: string | null
  /** This response closes the connection. */
  _last?: boolean
  /** Keep-alive timeout, milliseconds. */
  _keepAliveTimeout?: number
}

/**
 * The bytes of a complete response, as a Latin-1 string, as node:http would send them: the given headers, then Date and the
 * connection headers.
 * @param fields name, value, name, value; from a parsed message, or banyan's own
 * @param body all of it, a Latin-1 string, or null for none
 * @returns null for a response that needs node:http's framing
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
    // Only headers that matter to node:http are checked, and few names have these lengths.
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
 * The status line and headers of a response that is sent repeatedly, as one text.
 * @returns null if node:http has to handle them: no Date, no length, or connection headers
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
  // Flattened: otherwise each use would concatenate it again.
  return framed && dated ? Buffer.from(text, 'latin1').toString('latin1') : null
}

/**
 * The bytes of a complete response, as from `wholeAnswer`.
 * @param head of `headText`
 * @param more additional headers
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

/** Ends a response with the result of `wholeAnswer`. */
export function endWhole(res: ServerResponse, text: string): void {
  const internals = res as ServerResponse & Internals
  internals._header = text
  internals._last = !res.shouldKeepAlive
  res.end()
}

/** Headers that affect the connection or the framing. */
const SPECIAL: ReadonlySet<string> = new Set(['trailer', 'connection', 'keep-alive', 'transfer-encoding'])

const kept = { timeoutMs: -1, text: '' }

/** The keep-alive headers with the empty line; cached, since the timeout is nearly always the same. */
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
