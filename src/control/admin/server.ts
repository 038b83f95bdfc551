/**
 * The HTTP server of the admin API: one request at a time per connection, one begun per turn of the event loop, and limits so
 * that no client blocks others.
 */

import {
  createServer,
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
import type { ControlLog } from '../control-log.ts'
import { AdminProblem, nextRequestId } from '../http/problem.ts'
import { onePerTurn } from '../turns.ts'

/** Bounds of the admin server, in milliseconds and numbers. */
export interface AdminBounds {
  /** From the first byte of a request, or from the connection, to the end of its head. */
  readonly headMs: number
  /** To the end of its body. */
  readonly requestMs: number
  /** An answer of which nothing is taken for so long is cut. */
  readonly sendMs: number
  readonly connections: number
  /** Requests that were sent before an earlier one was answered, over all connections. */
  readonly waiting: number
}

/** What an operator never reaches, and a runaway client must not pass. */
export const ADMIN_BOUNDS: AdminBounds = Object.freeze({
  headMs: 5_000,
  requestMs: 30_000,
  sendMs: 60_000,
  connections: 256,
  waiting: 10_000,
})

/** How often heads and bodies that are late are looked for. */
const CHECK_MS = 1_000
/** So often at most the log is told that there are too many connections. */
export const TELL_MS = 60_000

type Handler = (req: IncomingMessage, res: ServerResponse) => void

/** What is under way on a connection. */
interface Line {
  busy: boolean
  /** The request under way; null before the first. */
  request: IncomingMessage | null
  response: ServerResponse | null
  /** The last one of which the head has come, and how many have. */
  newest: IncomingMessage | null
  heads: number
  readonly waiting: (() => void)[]
  /** What has come was refused: nothing after it is answered. */
  isRefused: boolean
}

const newLine = (): Line => ({
  ...{ busy: false, request: null, response: null, newest: null, heads: 0, waiting: [], isRefused: false },
})

/** Calls back unless the request has come after all: where this process stood still for a while, it may lie in the socket by now. */
function ifLate(line: Line, back: () => void): void {
  const { newest, heads } = line
  const awaitsBody = newest?.complete === false
  setImmediate(() => {
    const hasCome = line.heads > heads || (awaitsBody && newest.complete)
    if (!hasCome && !line.isRefused) back()
  })
}

function malformed({ code, message }: NodeJS.ErrnoException): AdminProblem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new AdminProblem('headers-too-large', `The headers must not exceed ${maxHeaderSize} bytes.`)
  return new AdminProblem('malformed-request', `${message}.`)
}

function tooLate(): AdminProblem {
  return new AdminProblem('request-timeout', 'Send it again, on another connection.')
}

/** A response as bytes, for where there is no request to answer. */
export function responseOf(problem: AdminProblem): string {
  const id = nextRequestId()
  const body = `${JSON.stringify(problem.document(id), null, 2)}\n`
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Date: ${new Date().toUTCString()}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Banyan-Request-Id: ${id}`,
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}

/** Builds the server. The caller listens. */
export function adminServer(handler: Handler, log: ControlLog, bounds: AdminBounds = ADMIN_BOUNDS): Server {
  /** The connections, the oldest first. */
  const lines = new Map<Socket, Line>()
  // Pipelined requests, too.
  const inTurn = onePerTurn()
  let waiting = 0
  let toldMs = Number.NEGATIVE_INFINITY

  const server = createServer({
    headersTimeout: bounds.headMs,
    requestTimeout: bounds.requestMs,
    connectionsCheckingInterval: CHECK_MS,
    // Their answers have no body: the API refuses by itself what has no Host, and an expectation may be ignored (RFC 9110 section 10.1.1).
    requireHostHeader: false,
  })
  server.on('checkExpectation', (req, res) => void server.emit('request', req, res))
  server.timeout = bounds.sendMs
  server.on('timeout', (socket) => {
    // Silent is also who waits for an answer that takes long to make.
    if (socket.writableLength > 0 || lines.get(socket)?.busy !== true) socket.destroy()
  })

  server.on('connection', (socket) => {
    lines.set(socket, newLine())
    socket.once('close', () => {
      waiting -= lines.get(socket)?.waiting.length ?? 0
      lines.delete(socket)
    })
    if (lines.size > bounds.connections) makeRoom(socket)
  })

  /** The oldest connection without a whole request gives way; where all have one, the new connection. */
  function makeRoom(newest: Socket): void {
    const all = [...lines].slice(0, -1)
    const [idle] = all.find(([, { busy }]) => !busy) ?? all.find(([, { request }]) => !request?.complete) ?? [newest]
    idle.destroy()
    // It is gone from now on, whenever it says so.
    lines.delete(idle)
    const nowMs = performance.now()
    if (nowMs - toldMs < TELL_MS) return
    toldMs = nowMs
    const which = idle === newest ? 'all are busy, refused a new one' : 'closed the oldest idle one'
    const told = `the admin API has more than ${bounds.connections} connections: ${which}`
    log.warn({ event: 'admin-connections', client: idle.remoteAddress }, told)
  }

  server.on('request', (req, res) => {
    const { socket } = req
    const line = lines.get(socket)
    // It has given way, or is being closed.
    if (line === undefined || line.isRefused) return
    line.newest = req
    line.heads++
    const begin = (): void => {
      line.busy = true
      line.request = req
      line.response = res
      // Written, and taken by the client as far as that is known; or the connection is gone.
      res.once('close', () => next(socket, line))
      inTurn(() => handler(req, res))
    }
    if (!line.busy) {
      begin()
      return
    }
    line.waiting.push(begin)
    socket.pause()
    if (++waiting > bounds.waiting) socket.destroy()
  })

  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket
    const line = lines.get(socket)
    const code = error.code ?? ''
    if (line?.isRefused === true) return
    if (line === undefined) socket.destroy()
    else if (code === 'ERR_HTTP_REQUEST_TIMEOUT') ifLate(line, () => refuse(socket, line, tooLate()))
    else if (code.startsWith('HPE_')) refuse(socket, line, malformed(error))
    else socket.destroy()
  })

  server.on('connect', (_req, stream) => {
    const socket = stream as Socket
    const line = lines.get(socket)
    if (line === undefined) socket.destroy()
    else refuse(socket, line, new AdminProblem('not-implemented', 'This is no proxy.'))
  })

  /** Answers what is no request after the requests before it, and closes the connection. */
  function refuse(socket: Socket, line: Line, problem: AdminProblem): void {
    line.isRefused = true
    if (!line.busy || line.request?.complete === false) {
      if (line.busy && line.response?.headersSent === true) socket.destroy()
      else end(socket, problem)
      return
    }
    waiting++
    line.waiting.push(() => end(socket, problem))
  }

  /** Closed with bytes unread the connection would be reset, and the client might never read the answer: the client closes it. */
  function end(socket: Socket, problem: AdminProblem): void {
    socket.end(responseOf(problem))
    socket.resume()
    const timer = setTimeout(() => socket.destroy(), bounds.headMs).unref()
    socket.once('close', () => clearTimeout(timer))
  }

  function next(socket: Socket, line: Line): void {
    line.busy = false
    if (!lines.has(socket) || socket.destroyed) return
    const begin = line.waiting.shift()
    if (begin === undefined) {
      socket.resume()
      return
    }
    waiting--
    begin()
  }

  return server
}
