/**
 * The public server: sockets, limits against slow and broken clients, and drain.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import { FAILURES, type FailureCode } from '../rules/failures/failure.ts'
import { readAddress } from '../rules/patterns/address.ts'
import { sendAll } from '../wire/turn.ts'
import { endGently, problemText } from './client/answer.ts'
import type { Descriptors } from './descriptors.ts'
import type { Engine } from './engine.ts'
import { nextRequestId } from './exchange.ts'
import { type ListenPlace, listenAt } from './listen-at.ts'
import type { Observer } from './observe.ts'

/** Settings of the public server. Times in milliseconds. */
export interface ListenSettings extends ListenPlace {
  /** Bytes of a request line with all its header fields. */
  readonly maxHeaderBytes: number
  /** From the first byte of a request, or from the connection, to the end of its head. */
  readonly headersTimeoutMs: number
  /** A kept-alive connection without a request is closed after this. */
  readonly keepAliveMs: number
}

/** How often expired heads are looked for. */
const CHECK_INTERVAL_MS = 1000

/** How often a drain closes the connections that have become idle. */
const DRAIN_TICK_MS = 50

/** How a drain ends. */
export interface DrainTerms {
  /** After this what is left is cut, milliseconds. */
  readonly timeoutMs: number
  /**
   * A connection without a request is waited for until its next one, which is answered with `Connection: close`: to close it
   * could meet a request that is under way. Default false.
   */
  readonly patient?: boolean
}

const REFUSED = Symbol('refused')
const CURRENT = Symbol('current')

/** What node:http adds to its parse errors. */
interface ParseError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer
  readonly reason?: string
}

interface ClientSocket extends Socket {
  [REFUSED]?: true
  [CURRENT]?: ServerResponse
}

/** Banyan's own front: node:http's server, with what it is lenient or silent about closed. */
export class Listener {
  readonly #server: Server
  readonly #settings: ListenSettings
  readonly #engine: Engine
  readonly #observer: Observer
  readonly #sockets = new Set<Socket>()
  /** Told of each connection that has ended. */
  onClosed: () => void = () => {}
  /** Asked for each new connection whether it may stay; and told of those that can't be accepted. */
  descriptors: Pick<Descriptors, 'mayKeep' | 'lost'> | null = null
  #hurry: () => void = () => {}

  /** @param handler the engine, or what the operator has put around it */
  constructor(
    settings: ListenSettings,
    engine: Engine,
    observer: Observer,
    handler: (req: IncomingMessage, res: ServerResponse) => void,
  ) {
    this.#settings = settings
    this.#engine = engine
    this.#observer = observer
    const options = {
      maxHeaderSize: settings.maxHeaderBytes,
      headersTimeout: settings.headersTimeoutMs,
      // An upload may take as long as it moves: silence is what the forwarder watches for.
      requestTimeout: 0,
      keepAliveTimeout: settings.keepAliveMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      // A missing Host is refused by the engine, in our own words.
      requireHostHeader: false,
      shouldUpgradeCallback: engine.shouldUpgrade,
      // The engine asks nothing of the stream of a body that is not there; middleware may wait for its end.
      optimizeEmptyRequests: engine.exclusive,
    }
    this.#server = createServer(options)
    // node:http drops fields beyond its own count without a word: no count there, one of ours in the engine.
    this.#server.maxHeadersCount = 0
    const request = (req: IncomingMessage, res: ServerResponse): void => {
      ;(req.socket as ClientSocket)[CURRENT] = res
      // Behind an offer that is not taken up node:http reads no further: an answer of middleware must not promise that.
      if (!engine.exclusive && req.headers.upgrade !== undefined) res.shouldKeepAlive = false
      handler(req, res)
    }
    this.#server.on('request', request)
    // Expect is the upstream's to answer (RFC 9110 section 10.1.1).
    this.#server.on('checkContinue', request)
    this.#server.on('checkExpectation', request)
    this.#server.on('upgrade', (req, socket, head) => engine.upgrade(req, socket, head, request))
    this.#server.on('connect', engine.connect)
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.#onClientError(error, socket as Socket),
    )
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        this.onClosed()
      })
      if (this.descriptors?.mayKeep(socket) === false) socket.destroy()
    })
  }

  /**
   * Begins to accept connections.
   * @returns the address in use, with the port that was taken for port 0
   * @throws what node:net says, EADDRINUSE and the like
   */
  async listen(): Promise<AddressInfo> {
    return await listenAt(this.#server, this.#settings, ({ message }) => this.descriptors?.lost(1, message))
  }

  /** Begins to take connections that others accept; no port is listened on. */
  open(): void {
    // What the server begins with its port: to look for expired heads.
    this.#server.emit('listening')
  }

  /** Serves a connection that another process has accepted. */
  take(socket: Socket): void {
    // As on a connection that the server accepts itself: a client may close its side behind its request.
    socket.allowHalfOpen = true
    this.#server.emit('connection', socket)
  }

  /** Connections that stand. */
  get connections(): number {
    return this.#sockets.size
  }

  /** Accepts nothing new, lets what runs finish, and resolves when the last connection is closed. */
  async drain({ timeoutMs, patient = false }: DrainTerms): Promise<void> {
    this.#engine.draining = true
    // Not http.Server's own close: that cuts idle connections at once, on which a request may be under way.
    if (this.#server.listening) NetServer.prototype.close.call(this.#server)
    const tick = patient ? undefined : setInterval(() => this.#closeIdle(), DRAIN_TICK_MS)
    const cut = (): void => {
      for (const socket of this.#sockets) socket.destroy()
    }
    this.#hurry = cut
    const deadline = setTimeout(cut, timeoutMs)
    while (this.#sockets.size > 0) await this.#oneClosed()
    clearInterval(tick)
    clearTimeout(deadline)
    // What is left of http.Server's own: its timer.
    this.#server.close()
  }

  /** Ends a drain now: what is left is cut. */
  hurry(): void {
    this.#hurry()
  }

  /**
   * Node takes a connection for idle whose answer is ended, though its client has yet to take it. While there is such a one,
   * none is closed: those that are idle end with their next answer.
   */
  #closeIdle(): void {
    for (const socket of this.#sockets as Set<ClientSocket>) {
      const current = socket[CURRENT]
      if (current?.writableEnded === true && !current.writableFinished && !current.destroyed) return
    }
    this.#server.closeIdleConnections()
  }

  #oneClosed(): Promise<void> {
    const [socket] = this.#sockets
    return new Promise((resolve) => socket!.once('close', () => resolve()))
  }

  #onClientError(error: NodeJS.ErrnoException, socket: ClientSocket): void {
    // Garbage on a connection that is ending anyway changes nothing.
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
    const id = nextRequestId()
    this.#observer.refused({ id, client: readAddress(socket.remoteAddress ?? '') ?? '', request: null, failure })
    socket.write(refusalText(failure, id))
    endGently(socket)
  }

  /** What can't be read came while an exchange was under way: in its request, or behind it. */
  #onBrokenExchange(current: ServerResponse, socket: Socket, failure: FailureCode | null): void {
    sendAll()
    if (current.req.complete && failure !== null) {
      const client = socket.remoteAddress ?? ''
      this.#observer.refused({ id: nextRequestId(), client, request: null, failure, answered: false })
    }
    if (current.writableFinished) endGently(socket)
    else if (current.req.complete || current.writableEnded) {
      // Its answer goes out whole, and the connection ends with it.
      current.shouldKeepAlive = false
      current.once('finish', () => endGently(socket))
    } else this.#engine.requestBroken(current, failure === null)
  }
}

/** Which refusal a parse error of node:http is, or null where nobody is there to be told. */
function refusalOf(error: ParseError, maxHeaderBytes: number): FailureCode | null {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW': {
      // A line that comes in several packets can't be told from fields: 431 is true of it as well.
      const packet = error.rawPacket?.toString('latin1') ?? ''
      const lineEnd = packet.indexOf('\r')
      const inLine = /^[!-~]+ /.test(packet) && (lineEnd === -1 || lineEnd > maxHeaderBytes)
      return inLine ? 'request-line-too-long' : 'head-too-large'
    }
    case 'HPE_INVALID_VERSION':
      // The same code stands for a version in order with a bare LF behind it.
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
