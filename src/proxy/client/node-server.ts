/**
 * The public server behind middleware: node:http's, with limits against slow and broken clients, and drain.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net'
import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import { endGently } from '../../wire/gentle-end.ts'
import { sendAll } from '../../wire/turn.ts'
import { problemText } from './answer.ts'
import type { Descriptors } from './descriptors.ts'
import { acceptWaiting, type Bound, type ListenPlace, listenAt } from './listen-at.ts'
import {
  DEFAULT_SEND_TIMEOUT_MS,
  DRAIN_TICK_MS,
  type DrainTerms,
  endSpread,
  type ListenSettings,
  type PublicServer,
} from './listener.ts'
import type { Handler, NodeHttp } from './node-http.ts'
import { onePerConnection } from './node-pipeline.ts'
import type { RequestHandler } from './request.ts'
import { SendTimeout } from './send-timeout.ts'
import { addressOf, endOther } from './sockets.ts'
import { Handshakes } from './tls/handshakes.ts'

/** How often the headers timeout is checked. */
const CHECK_INTERVAL_MS = 1000

/** What is offered by ALPN (RFC 7301). */
const PROTOCOLS = ['http/1.1']

const REFUSED = Symbol('refused')
const UPGRADED = Symbol('upgraded')
const CURRENT = Symbol('current')

/** Properties of node:http's parse errors. */
interface ParseError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer
  readonly reason?: string
}

interface ClientSocket extends Socket {
  [REFUSED]?: true
  [UPGRADED]?: true
  [CURRENT]?: ServerResponse
}

/** A node:http server that is stricter and answers what node:http drops silently. */
export class NodeServer implements PublicServer {
  readonly #server: Server
  #accepted = 0
  readonly #listening: NetServer[] = []
  readonly #handshakes: Handshakes | null
  readonly #settings: ListenSettings
  readonly #engine: RequestHandler & { draining: boolean }
  readonly #node: NodeHttp
  readonly #sockets = new Set<Socket>()
  readonly #sendTimeout: SendTimeout
  onClosed: () => void = () => {}
  descriptors: Pick<Descriptors, 'mayKeep' | 'lost'> | null = null
  #hurry: () => void = () => {}
  #oneClosed: () => void = () => {}

  /**
   * @param node the engine behind node:http
   * @param handler that of `node`, or the operator's middleware around it
   */
  constructor(
    settings: ListenSettings,
    engine: RequestHandler & { draining: boolean },
    node: NodeHttp,
    handler: Handler,
  ) {
    this.#settings = settings
    this.#engine = engine
    this.#node = node
    const options = {
      maxHeaderSize: settings.maxHeaderBytes,
      headersTimeout: settings.headersTimeoutMs,
      // An upload may take any time while data flows; the forwarder has an idle timeout.
      requestTimeout: 0,
      keepAliveTimeout: settings.keepAliveMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      // The engine refuses a missing Host, with its own response.
      requireHostHeader: false,
      shouldUpgradeCallback: node.shouldUpgrade,
    }
    this.#server = createServer(options)
    // node:http drops headers beyond its limit silently, so the limit is checked in the engine.
    this.#server.maxHeadersCount = 0
    const through = (handle: Handler) => (req: IncomingMessage, res: ServerResponse) => {
      ;(req.socket as ClientSocket)[CURRENT] = res
      // After an upgrade that is not accepted, node:http reads no further: middleware must not promise a persistent connection.
      if (req.headers.upgrade !== undefined) res.shouldKeepAlive = false
      handle(req, res)
    }
    const request = through(onePerConnection(handler))
    const upgraded = through(handler)
    this.#server.on('request', request)
    // The upstream responds to Expect (RFC 9110 section 10.1.1).
    this.#server.on('checkContinue', request)
    this.#server.on('checkExpectation', request)
    this.#server.on('upgrade', (req, socket, head) => {
      ;(socket as ClientSocket)[UPGRADED] = true
      node.upgrade(req, socket, head, upgraded)
    })
    this.#server.on('connect', node.connect)
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.#onClientError(error, socket as Socket),
    )
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        this.#lost()
      })
    })
    this.#handshakes = settings.tls === null ? null : new Handshakes(settings.tls, PROTOCOLS)
    const { sendTimeoutMs = DEFAULT_SEND_TIMEOUT_MS } = settings
    this.#sendTimeout = new SendTimeout(sendTimeoutMs, this.#sockets, (socket) => this.#isPassing(socket))
  }

  /** Upgraded connections, and responses that are being passed on, have the idle timeout of their upstream. */
  #isPassing(socket: ClientSocket): boolean {
    const current = socket[CURRENT]
    if (socket[UPGRADED] === true) return true
    return current !== undefined && !current.writableEnded && this.#node.limitsTime(current)
  }

  async listen(): Promise<Bound[]> {
    const bound: Bound[] = []
    for (const place of this.#settings.places) {
      const server = createNetServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        this.#accepted++
        this.take(socket, place)
      })
      bound.push(await listenAt(server, place, ({ message }) => this.descriptors?.lost(1, message)))
      this.#listening.push(server)
    }
    this.open()
    return bound
  }

  open(): void {
    // On 'listening' the server starts to check the headers timeout.
    this.#server.emit('listening')
  }

  take(socket: Socket, { tls = false }: Pick<ListenPlace, 'tls'>): void {
    if (socket.destroyed || this.descriptors?.mayKeep(socket) === false) {
      socket.destroy()
      this.#lost()
    } else if (tls) this.#secure(socket)
    else this.#serve(socket)
  }

  #secure(socket: Socket): void {
    const serve = (secured: Socket, subject: string | null): void => {
      if (subject !== null) this.#node.setSubject(secured, subject)
      this.#serve(secured)
    }
    this.#handshakes!.begin(socket, addressOf(socket), serve, () => this.#lost())
  }

  #serve(socket: Socket): void {
    // A client may half-close after its request.
    socket.allowHalfOpen = true
    this.#server.emit('connection', socket)
    socket.resume()
  }

  get connections(): number {
    return this.#sockets.size + (this.#handshakes?.count ?? 0)
  }

  async drain({ timeoutMs, patient = false }: DrainTerms): Promise<void> {
    this.#engine.draining = true
    let tick: NodeJS.Timeout | undefined
    const closed = acceptWaiting(() => this.#accepted).then(() => {
      for (const server of this.#listening) server.close()
      // What has come with the last ones has been read.
      if (!patient) tick = setInterval(() => this.#closeIdle(), DRAIN_TICK_MS)
    })
    const cut = (): void => {
      this.#handshakes?.cut()
      for (const socket of this.#sockets) socket.destroy()
    }
    this.#hurry = cut
    const deadline = setTimeout(cut, timeoutMs)
    const upgraded = [...(this.#sockets as Set<ClientSocket>)].filter((socket) => socket[UPGRADED] === true)
    const stopEnding = endSpread(
      upgraded.map((socket) => () => endOther(socket)),
      timeoutMs,
    )
    await closed
    while (this.connections > 0) {
      await new Promise<void>((resolve) => {
        this.#oneClosed = resolve
      })
    }
    clearInterval(tick)
    stopEnding()
    clearTimeout(deadline)
    // The rest of http.Server's close: its timer.
    this.#server.close()
    this.#sendTimeout.close()
  }

  hurry(): void {
    this.#hurry()
  }

  /**
   * Node considers a connection idle when its response has ended, even if the client has not received it yet. While there is
   * such a connection none is closed: idle ones close with their next response.
   */
  #closeIdle(): void {
    this.#handshakes?.closeIdle()
    for (const socket of this.#sockets as Set<ClientSocket>) {
      const current = socket[CURRENT]
      if (current?.writableEnded === true && !current.writableFinished && !current.destroyed) return
    }
    this.#server.closeIdleConnections()
  }

  /** A connection is closed. */
  #lost(): void {
    this.onClosed()
    this.#oneClosed()
  }

  #onClientError(error: NodeJS.ErrnoException, socket: ClientSocket): void {
    // The connection is closing anyway.
    if (socket[REFUSED] === true || socket.writableEnded) return
    socket[REFUSED] = true
    const current = socket[CURRENT]
    const failure = refusalOf(error, this.#settings.maxHeaderBytes)
    if (current !== undefined && !(current.writableFinished && current.req.complete)) {
      this.#onBrokenExchange(current, socket, failure)
      return
    }
    if (failure === null || !socket.writable || socket.bytesRead === 0) {
      socket.destroy()
      return
    }
    const id = this.#engine.refused(this.#node.peerOf(socket), null, failure)
    socket.write(refusalText(failure, id))
    endGently(socket)
  }

  /** A parse error during an exchange: in its request, or in the bytes after it. */
  #onBrokenExchange(current: ServerResponse, socket: Socket, failure: FailureCode | null): void {
    sendAll()
    if (current.req.complete && failure !== null) {
      this.#engine.refused(this.#node.peerOf(socket), null, failure, false)
    }
    if (current.writableFinished) endGently(socket)
    else if (current.req.complete || current.writableEnded) {
      // Its response is completed, and closes the connection.
      current.shouldKeepAlive = false
      current.once('finish', () => endGently(socket))
    } else this.#node.requestBroken(current, failure === null)
  }
}

/** The failure code for a parse error of node:http, or null if there is no one to respond to. */
function refusalOf(error: ParseError, maxHeaderBytes: number): FailureCode | null {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW': {
      // With a request line in several packets it is unknown whether the line or the headers are too long: 431 covers both.
      const packet = error.rawPacket?.toString('latin1') ?? ''
      const lineEnd = packet.indexOf('\r')
      const inLine = /^[!-~]+ /.test(packet) && (lineEnd === -1 || lineEnd > maxHeaderBytes)
      return inLine ? 'request-line-too-long' : 'head-too-large'
    }
    case 'HPE_INVALID_VERSION':
      // The same code also means a valid version followed by a bare LF.
      return error.reason === 'Invalid HTTP version' ? 'http-version' : 'bad-request'
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request-timeout'
    case 'ECONNRESET':
    case 'EPIPE':
    case 'HPE_INVALID_EOF_STATE':
      return null
    default:
      return 'bad-request'
  }
}

function refusalText(failure: FailureCode, id: string): string {
  const { status } = FAILURES[failure]
  const body = problemText(failure, id)
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    `Date: ${new Date().toUTCString()}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
