/**
 * The application as a server: starts it, shuts it down, and keeps what its exchanges share.
 */
import { setMaxListeners } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { assetRoutes } from './assets.ts'
import { BASE_DAY } from './catalog.ts'
import { frozenClock, runningClock } from './clock.ts'
import { echoRoutes } from './echo.ts'
import { eventRoutes } from './events.ts'
import type { Legacy } from './exchange.ts'
import { faultRoutes } from './faults.ts'
import { feedRoutes } from './feed.ts'
import { formRoutes } from './forms.ts'
import { Kept } from './kept.ts'
import { logNormal } from './latency.ts'
import { lookupRoutes } from './lookup.ts'
import { oddRoutes } from './odd.ts'
import { pageRoutes } from './pages.ts'
import { reportRoutes } from './reports.ts'
import { createRouter, type Route } from './router.ts'
import { soapRoutes } from './soap.ts'
import { DAY_MS } from './units.ts'
import { webdavRoutes } from './webdav.ts'
import { serveStock, stockRoutes, wantsStock } from './websocket.ts'

/** How the application is to run. */
export interface LegacyOptions {
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string
  /** Port to listen on; 0, the default, takes a free one. */
  readonly port?: number
  /** The machine's name, as answers show it. Default `catalog01`. */
  readonly name?: string
  /** Median thinking time in milliseconds; 0 for none at all, in streams neither. Default 40. */
  readonly latencyMedianMs?: number
  /** Decides the sequence of latencies, and the tokens of a frozen clock. Default 1. */
  readonly seed?: number
  /** Milliseconds since 1970 to stop the clock at; then the same request always gets the same bytes. Default: the clock runs. */
  readonly freezeMs?: number | null
  /** The day (from 1970-01-01) that the catalog shows, or `today` to follow the clock. Default 2026-01-01. */
  readonly asOf?: number | 'today'
  /** What absolute URLs begin with. Default: `http://` and the Host of the request. */
  readonly origin?: string | null
  /** How long an idle connection is kept, in milliseconds. Default 5000. */
  readonly keepAliveMs?: number
  /** How long a shutdown waits for running exchanges, in milliseconds. Default 10000. */
  readonly drainMs?: number
}

/** An application that runs. */
export interface RunningLegacy {
  /** Where it answers, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Stops accepting, ends what is endless, lets the other exchanges finish (or cuts them off after `drainMs`), then resolves. */
  close(): Promise<void>
}

const ROUTES: readonly Route[] = [
  ...lookupRoutes,
  ...pageRoutes,
  ...formRoutes,
  ...assetRoutes,
  ...reportRoutes,
  ...echoRoutes,
  ...eventRoutes,
  ...soapRoutes,
  ...webdavRoutes,
  ...oddRoutes,
  ...faultRoutes,
  ...feedRoutes,
  ...stockRoutes,
  { path: '/status', methods: { GET: (x) => x.send(200, 'text/plain', 'UP\n') } },
]

const MAX_HEADER_BYTES = 65_536

/**
 * Starts the application.
 * @throws {Error} with the `code` of the system, where the address can't be listened on
 */
export async function startLegacy(options: LegacyOptions = {}): Promise<RunningLegacy> {
  const closing = new AbortController()
  // Each exchange that waits listens to it: many of them are no leak.
  setMaxListeners(0, closing.signal)
  const legacy = createLegacy(options, closing.signal)
  const route = createRouter(ROUTES, legacy)
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: options.keepAliveMs ?? 5_000,
    // Uploads of any size take any time.
    requestTimeout: 0,
    shouldUpgradeCallback: wantsStock,
  })
  // The echo has to show each field that came, however many there are.
  server.maxHeadersCount = 0
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const handle = (req: IncomingMessage, res: ServerResponse): void => {
    // A connection whose answer began before a shutdown is idle once it is out, and nobody else would close it.
    res.once('close', () => closing.signal.aborted && setImmediate(() => server.closeIdleConnections()))
    route(req, res)
  }
  server.on('request', handle)
  server.on('checkContinue', handle)
  server.on('upgrade', (req, socket, early) => serveStock(req, socket, early, legacy))
  await listen(server, options.host ?? '127.0.0.1', options.port ?? 0)
  const { address, port, family } = server.address() as AddressInfo
  let closed: Promise<void> | null = null
  const close = (): Promise<void> => (closed ??= drain(server, sockets, closing, options.drainMs ?? 10_000))
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`, port, close }
}

function createLegacy(options: LegacyOptions, closing: AbortSignal): Legacy {
  const { seed = 1, latencyMedianMs = 40, freezeMs = null, asOf = BASE_DAY } = options
  const clock = freezeMs === null ? runningClock() : frozenClock(freezeMs, seed)
  return {
    name: options.name ?? 'catalog01',
    clock,
    kept: new Kept(),
    frozen: freezeMs !== null,
    latency: logNormal(latencyMedianMs, seed),
    paced: latencyMedianMs > 0,
    origin: options.origin ?? null,
    today: asOf === 'today' ? () => Math.floor(clock.nowMs() / DAY_MS) : () => asOf,
    closing,
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function drain(server: Server, sockets: ReadonlySet<Socket>, closing: AbortController, drainMs: number): Promise<void> {
  return new Promise((resolve) => {
    const deadline = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, drainMs)
    server.close(() => {
      clearTimeout(deadline)
      resolve()
    })
    closing.abort()
  })
}
