/**
 * One running GTIN service: its listening socket, its limits, and how it ends without losing an exchange.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Lookup } from './lookup.ts'
import type { GtinSource } from './source.ts'
import { demoSource } from './source-demo.ts'

/** How to run a service; everything has a default. */
export interface GtinServiceOptions {
  /** Address to listen on; 127.0.0.1 by default. */
  readonly host?: string
  /** 0, the default, takes any free port. */
  readonly port?: number
  /** The instance's name in answers; the machine's host name by default. */
  readonly name?: string
  /** Where products come from; the demo source by default. */
  readonly source?: GtinSource
  /** How long `close` goes on listening, with health at 503, so that those in front notice; 0 by default. */
  readonly drainDelayMs?: number
  /** How long running exchanges may then go on before they are cut; 10,000 by default. */
  readonly drainTimeoutMs?: number
  /** Told of failed lookups; writes a line to stderr by default. */
  readonly report?: (error: unknown) => void
}

/** A service that listens. */
export interface GtinService {
  /** Its origin without a slash at the end: `http://127.0.0.1:4002`. */
  readonly url: string
  readonly port: number
  readonly name: string
  /** Drains and ends; resolves when the last connection is gone. The second call gives the first one's promise. */
  close(): Promise<void>
  /** Ends a running `close` now: cuts whatever still runs. */
  cut(): void
}

/** Above the idle limit of any proxy in front, so that the proxy and not this side closes an idle connection. */
const KEEP_ALIVE_MS = 65_000
const REQUEST_TIMEOUT_MS = 60_000

/**
 * Starts a service and resolves once it listens. Rejects with node's system error where it can't (`EADDRINUSE`, ...),
 * and closes the source then too.
 */
export async function startGtinService(options: GtinServiceOptions = {}): Promise<GtinService> {
  const host = options.host ?? '127.0.0.1'
  const name = options.name ?? hostname()
  const source = options.source ?? demoSource()
  const lookup = new Lookup({ name, source, report: options.report ?? reportToStderr })
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      optimizeEmptyRequests: true,
      // The lookup checks Host itself: node's own refusal has no text.
      requireHostHeader: false,
    },
    (request, response) => lookup.handle(request, response),
  )
  server.on('clientError', (error, socket) => refuse(error, socket as Socket, lookup))
  const port = await listening(server, host, options.port ?? 0).catch(async (error: unknown) => {
    await source.close()
    throw error
  })
  const drain = new Drain(server, lookup, options.drainDelayMs ?? 0, options.drainTimeoutMs ?? 10_000)
  let ending: Promise<void> | undefined
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    name,
    close() {
      ending ??= drain.run().then(() => source.close())
      return ending
    },
    cut: () => drain.cut(),
  }
}

function reportToStderr(error: unknown): void {
  process.stderr.write(`gtin-service: lookup failed: ${error instanceof Error ? error.message : String(error)}\n`)
}

function listening(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** From the first word of the end to the last closed connection. */
class Drain {
  readonly #server: Server
  readonly #lookup: Lookup
  readonly #delayMs: number
  readonly #timeoutMs: number
  readonly #cut = new AbortController()

  constructor(server: Server, lookup: Lookup, delayMs: number, timeoutMs: number) {
    this.#server = server
    this.#lookup = lookup
    this.#delayMs = delayMs
    this.#timeoutMs = timeoutMs
  }

  async run(): Promise<void> {
    this.#lookup.drain()
    // It rejects only when `cut` ends it early.
    if (this.#delayMs > 0) await sleep(this.#delayMs, undefined, { signal: this.#cut.signal }).catch(() => {})
    // This also ends the idle connections. They had the delay to ask once more; whoever did was told that it closes.
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const cut = () => this.#server.closeAllConnections()
    if (this.#cut.signal.aborted) cut()
    else this.#cut.signal.addEventListener('abort', cut)
    const deadline = setTimeout(cut, this.#timeoutMs)
    await closed
    clearTimeout(deadline)
  }

  cut(): void {
    this.#cut.abort()
  }
}

const REFUSALS: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Content Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** Answers bytes that are no HTTP request, and closes: where they end, and the next request begins, nobody can tell. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, lookup: Lookup): void {
  if (error.code === 'ECONNRESET' || !socket.writable || lookup.isAnswering(socket)) {
    socket.destroy()
    return
  }
  const line = REFUSALS[error.code ?? ''] ?? '400 Bad Request'
  socket.write(
    `HTTP/1.1 ${line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${line.length}\r\n` +
      `Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${line}`,
  )
  socket.destroySoon()
}
