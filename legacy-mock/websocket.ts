/**
 * Stock changes over WebSocket at /ws/stock: the handshake, and one session per connection.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { CATALOG_SIZE, gtinOf, numberOfGtin, productOf } from './catalog.ts'
import { httpDate } from './clock.ts'
import type { Legacy } from './exchange.ts'
import { closeFrameOf, FrameError, FrameReader, frameOf, type Message } from './frames.ts'
import { mix } from './mix.ts'
import type { Route } from './router.ts'
import { parseDurationMs } from './units.ts'

/** The path of the WebSocket. */
export const STOCK_PATH = '/ws/stock'

/** The one subprotocol that is understood; chosen where the client offers it. */
const SUBPROTOCOL = 'stock.v1'
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const DEFAULT_EVERY_MS = 1_000
/** How long the client may take to answer a close frame, in milliseconds. */
const CLOSE_WAIT_MS = 2_000

/** What the path answers to those who ask for no upgrade. */
export const stockRoutes: readonly Route[] = [
  {
    path: STOCK_PATH,
    methods: {
      GET: (x) =>
        x.send(426, 'text/plain', '426 Upgrade Required\n', [
          ['Connection', 'Upgrade, close'],
          ['Upgrade', 'websocket'],
        ]),
    },
  },
]

/** Whether a request is for the WebSocket: an Upgrade to anything else is ignored, as RFC 9110 section 7.8 allows. */
export function wantsStock(req: IncomingMessage): boolean {
  return isStockPath(req.url ?? '') && /\bwebsocket\b/i.test(req.headers.upgrade ?? '')
}

function isStockPath(target: string): boolean {
  return target === STOCK_PATH || target.startsWith(`${STOCK_PATH}?`)
}

/** Answers the upgrade request, and serves the session where it is a good one. `early` is what came right behind the head. */
export function serveStock(req: IncomingMessage, socket: Duplex, early: Buffer, legacy: Legacy): void {
  socket.on('error', () => socket.destroy())
  const date = `Date: ${httpDate(legacy.clock.nowMs())}`
  const key = req.headers['sec-websocket-key']
  const every = new URLSearchParams((req.url ?? '').slice(STOCK_PATH.length)).get('every')
  const everyMs = every === null ? DEFAULT_EVERY_MS : parseDurationMs(every)
  if (req.method !== 'GET' || !/^[A-Za-z0-9+/]{22}==$/.test(key ?? '') || everyMs === null || everyMs < 1) {
    refuse(socket, '400 Bad Request', [date])
    return
  }
  if (req.headers['sec-websocket-version'] !== '13') {
    refuse(socket, '426 Upgrade Required', [date, 'Sec-WebSocket-Version: 13', 'Upgrade: websocket'])
    return
  }
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
  const offered = (req.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  const chosen = offered.includes(SUBPROTOCOL) ? [`Sec-WebSocket-Protocol: ${SUBPROTOCOL}`] : []
  const lines = ['Upgrade: websocket', 'Connection: Upgrade', date, `Sec-WebSocket-Accept: ${accept}`, ...chosen]
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nServer: CatalogEnterprise/7.2\r\n${lines.join('\r\n')}\r\n\r\n`,
    'latin1',
  )
  new StockSession(socket, legacy, everyMs).begin(early)
}

function refuse(socket: Duplex, status: string, lines: readonly string[]): void {
  const body = `${status}\n`
  socket.end(
    `HTTP/1.1 ${status}\r\nServer: CatalogEnterprise/7.2\r\n${lines.join('\r\n')}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    'latin1',
  )
}

/** Pushes a change now and then; answers `stock GTIN` with the stock, and gives anything else back as it came. */
class StockSession {
  readonly #socket: Duplex
  readonly #legacy: Legacy
  readonly #reader = new FrameReader()
  readonly #ticker: NodeJS.Timeout
  readonly #shutDown = (): void => this.#close(1001, 'shutting down')
  #sent = 0
  #closing = false

  constructor(socket: Duplex, legacy: Legacy, everyMs: number) {
    this.#socket = socket
    this.#legacy = legacy
    this.#ticker = setInterval(() => this.#pushChange(), everyMs)
  }

  begin(early: Buffer): void {
    const signal = this.#legacy.closing
    signal.addEventListener('abort', this.#shutDown)
    this.#socket.on('close', () => {
      clearInterval(this.#ticker)
      signal.removeEventListener('abort', this.#shutDown)
    })
    this.#socket.on('end', () => this.#socket.end())
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('drain', () => this.#socket.resume())
    if (early.length > 0) this.#take(early)
    if (signal.aborted) this.#shutDown()
  }

  #take(chunk: Buffer): void {
    try {
      for (const message of this.#reader.read(chunk)) this.#answer(message)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#socket.pause()
      this.#socket.end(closeFrameOf(error.code, error.message))
      this.#end()
    }
  }

  #answer(message: Message): void {
    if (message.kind === 'close') {
      // The first close frame is answered with its own code; the server ends the connection first (RFC 6455 section 7.1.1).
      if (this.#closing) this.#socket.end()
      else this.#socket.end(closeFrameOf(message.code))
      this.#end()
    } else if (message.kind === 'ping') this.#send(frameOf('pong', message.data))
    else if (message.kind === 'binary') this.#send(frameOf('binary', message.data))
    else if (message.kind === 'text') this.#send(frameOf('text', this.#reply(message.data.toString())))
  }

  #reply(text: string): string {
    const gtin = /^stock (\d{12})$/.exec(text)?.[1]
    if (gtin === undefined) return text
    const number = numberOfGtin(gtin)
    return JSON.stringify({ type: 'stock', gtin, onHand: number === null ? null : mix(number, 50) % 200 })
  }

  #pushChange(): void {
    // A client that doesn't read loses changes; the application does not keep them for it.
    if (this.#closing || this.#socket.writableNeedDrain) return
    const id = ++this.#sent
    const number = mix(id, 41) % CATALOG_SIZE
    const [at] = productOf(number, this.#legacy.today()).stores
    const change = { type: 'change', id, gtin: gtinOf(number), store: String(at?.store), onHand: mix(id, 42) % 200 }
    this.#send(frameOf('text', JSON.stringify(change)))
  }

  #send(frame: Buffer): void {
    if (this.#closing || !this.#socket.writable) return
    if (!this.#socket.write(frame)) this.#socket.pause()
  }

  #close(code: number, reason: string): void {
    if (this.#closing || !this.#socket.writable) return
    this.#socket.write(closeFrameOf(code, reason))
    this.#end()
  }

  /** No more frames; a client that doesn't end its side either is cut off. */
  #end(): void {
    this.#closing = true
    clearInterval(this.#ticker)
    const deadline = setTimeout(() => this.#socket.destroy(), CLOSE_WAIT_MS)
    this.#socket.once('close', () => clearTimeout(deadline))
  }
}
