/**
 * The answer of a found product as one text and one write, past the parts of node:http that check and copy a head field by
 * field: all of this one is the service's own.
 */
import type { ServerResponse } from 'node:http'

/**
 * What node:http keeps of a response between `writeHead` and `end`. These names are older than its documentation; where they
 * should be gone one day, every answer goes the long way.
 */
interface Internals {
  /** Null until a head has been stored; sent by `end`, with what it holds. */
  _header?: string | null
  /** Milliseconds that an idle connection is kept. */
  _keepAliveTimeout?: number
}

/**
 * Ends the response with status 200, the fields given, those that node:http adds, and the body. Does nothing, and returns
 * false, where the answer is none of the plain kind: to HEAD or HTTP/1.0, or the last one of its connection.
 * @param fields lines with their ends, Content-Length among them
 * @param body a character for each byte
 */
export function endWhole(response: ServerResponse, fields: string, body: string): boolean {
  const internals = response as ServerResponse & Internals
  const { req } = response
  const isPlain = req.method === 'GET' && req.httpVersionMinor === 1 && response.shouldKeepAlive
  if (!isPlain || internals._header !== null) return false
  internals._header = `HTTP/1.1 200 OK\r\n${fields}${lastFields(internals._keepAliveTimeout ?? 0, Date.now())}${body}`
  response.end()
  return true
}

const last = { second: -1, timeoutMs: -1, text: '' }

/** Date and what says that the connection is kept, with the empty line: the same for a second. */
function lastFields(timeoutMs: number, nowMs: number): string {
  const second = Math.floor(nowMs / 1_000)
  if (last.second !== second || last.timeoutMs !== timeoutMs) {
    const hint = timeoutMs > 0 ? `Keep-Alive: timeout=${Math.floor(timeoutMs / 1_000)}\r\n` : ''
    last.second = second
    last.timeoutMs = timeoutMs
    last.text = `Date: ${new Date(nowMs).toUTCString()}\r\nConnection: keep-alive\r\n${hint}\r\n`
  }
  return last.text
}
