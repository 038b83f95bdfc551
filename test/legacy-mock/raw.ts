/**
 * Test helpers: exact bytes to a loopback socket and back, one HTTP/1.1 answer taken apart, and an application that ends with the test.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { Endpoint } from '../../legacy-mock/endpoints.ts'
import { type LegacyOptions, type RunningLegacy, startLegacy } from '../../legacy-mock/legacy.ts'

/** Noon of a day in 2026, for a clock that stands still. */
export const NOON_MS = Date.UTC(2026, 10, 23, 12)

/** A frozen application without latency, closed when the test ends; what a test left open is cut off then. */
export async function serve(options: LegacyOptions = {}): Promise<RunningLegacy> {
  const legacy = await startLegacy({ latencyMedianMs: 0, freezeMs: NOON_MS, drainMs: 0, ...options })
  onTestFinished(() => legacy.close())
  return legacy
}

/** The bytes of the request that shows an endpoint; the connection is asked to close unless the endpoint upgrades it. */
export function requestOf(endpoint: Endpoint): string {
  const lines = [`${endpoint.method} ${endpoint.path} HTTP/1.1`, 'Host: shop.test']
  for (const [name, value] of endpoint.headers) lines.push(`${name}: ${value}`)
  if (endpoint.kind !== 'upgrade') lines.push('Connection: close')
  if (endpoint.body !== null) lines.push(`Content-Length: ${endpoint.body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n${endpoint.body ?? ''}`
}

/** A GET of `target` with more header lines. */
export function get(target: string, ...lines: string[]): string {
  return `${[`GET ${target} HTTP/1.1`, 'Host: shop.test', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`
}

/** A connection of which everything that comes is kept. */
export interface Wire {
  readonly socket: Socket
  /** What has come so far; characters stand for bytes. */
  text(): string
  /** Waits until what has come fits `pattern`. */
  until(pattern: RegExp): Promise<string>
  /** Waits until the connection is closed, and gives all that came. A reset counts as an end. */
  end(): Promise<string>
  /** Whether the peer reset the connection. */
  wasReset(): boolean
}

/** Opens a connection and sends `bytes` on it. */
export function wire(port: number, bytes: string): Wire {
  const socket = connect(port, '127.0.0.1')
  const closed = once(socket, 'close').catch(() => {})
  let text = ''
  let reset = false
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => (text += piece))
  socket.on('error', (error: NodeJS.ErrnoException) => (reset ||= error.code === 'ECONNRESET'))
  socket.write(bytes, 'latin1')
  onTestFinished(() => void socket.destroy())
  const until = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) {
      if (socket.closed) throw new Error(`closed before ${pattern}: ${text}`)
      await Promise.race([once(socket, 'data'), closed])
    }
    return text
  }
  const end = async (): Promise<string> => {
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
    return text
  }
  return { socket, text: () => text, until, end, wasReset: () => reset }
}

/** Sends a request and gives all bytes of the answer. */
export function exchange(port: number, bytes: string): Promise<string> {
  return wire(port, bytes).end()
}

/** An answer as it came over the wire. */
export interface Answer {
  /** Status lines and fields of the answers in front of the final one. */
  readonly interim: readonly string[]
  readonly statusLine: string
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Chunks joined; characters stand for bytes. */
  readonly body: string
  readonly trailers: readonly (readonly [name: string, value: string])[]
  /** Whether the framing says that all of it came. */
  readonly complete: boolean
}

/** Takes apart the bytes of one exchange. */
export function answerOf(bytes: string): Answer {
  const interim: string[] = []
  let rest = bytes
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`no head in ${JSON.stringify(bytes)}`)
    const head = rest.slice(0, end)
    rest = rest.slice(end + 4)
    if (/^HTTP\/1\.1 1\d\d/.test(head)) {
      interim.push(head)
      continue
    }
    const [statusLine = '', ...lines] = head.split('\r\n')
    const fields = fieldsOf(lines)
    return { interim, statusLine, status: Number(statusLine.split(' ')[1]), fields, ...bodyOf(rest, fields) }
  }
}

/** The value of the first field of a name, whatever its case. */
export function field(answer: Answer, name: string): string | undefined {
  return answer.fields.find(([other]) => other.toLowerCase() === name.toLowerCase())?.[1]
}

function fieldsOf(lines: readonly string[]): [string, string][] {
  return lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()])
}

function bodyOf(text: string, fields: readonly (readonly [string, string])[]) {
  const find = (name: string) => fields.find(([other]) => other.toLowerCase() === name)?.[1]
  if (find('transfer-encoding') === undefined) {
    const length = find('content-length')
    return { body: text, trailers: [], complete: length === undefined || text.length === Number(length) }
  }
  let body = ''
  for (let rest = text; ; ) {
    const line = /^([0-9a-f]+)\r\n/i.exec(rest)
    if (line === null) return { body, trailers: [], complete: false }
    const size = Number.parseInt(line[1] ?? '', 16)
    rest = rest.slice(line[0].length)
    if (size === 0) {
      const lines = rest.split('\r\n').filter((entry) => entry !== '')
      return { body, trailers: fieldsOf(lines), complete: rest.endsWith('\r\n') }
    }
    body += rest.slice(0, size)
    rest = rest.slice(size + 2)
  }
}

/** Sends a request and takes its answer apart. */
export async function ask(port: number, bytes: string): Promise<Answer> {
  return answerOf(await exchange(port, bytes))
}
