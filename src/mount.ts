/**
 * The proxy inside other people's programs: `strangle()`, a Koa middleware, and the operator's own middleware around it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import Koa, { type Middleware } from 'koa'
import type { ControlLog } from './control/control-log.ts'
import { FleetKeeper } from './control/fleet-keeper.ts'
import type { History } from './control/history.ts'
import { folderOf } from './control/history-folder.ts'
import { type OpenedTable, openTable, type TableOptions } from './control/open-table.ts'
import { Operations } from './control/operations.ts'
import type { Engine } from './proxy/engine.ts'
import type { AccessLog } from './proxy/observe.ts'
import { createPlane, type Plane } from './proxy/plane.ts'
import { StartError } from './start-error.ts'
import type { LiveTable } from './state/live-table.ts'
import { RedisStore } from './state/redis-store.ts'
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from './state/redis-url.ts'

/** What a proxy is built from. */
export interface CoreSettings extends TableOptions {
  /** Addresses and networks whose X-Forwarded-* is believed. */
  readonly trustedProxies: readonly string[]
  /** Header fields that a request may have. */
  readonly maxHeaderFields: number
  /** Characters that a request target may have. */
  readonly maxTargetLength: number
  readonly memoryCacheBytes: number
  /** The Redis that processes share, or null. */
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  /** Clients are told in Cache-Status what the cache did. */
  readonly exposeCacheStatus: boolean
  /** And under which key. */
  readonly exposeCacheKey: boolean
  /** What force tokens are made with; null takes none. */
  readonly forceSecret: string | null
}

/** A table file, the writer that owns it, and the data plane that follows it. */
export interface Core {
  readonly live: LiveTable
  readonly operations: Operations
  readonly history: History
  readonly plane: Plane
  readonly fleet: FleetKeeper
}

/**
 * Reads the table and builds what serves it. Nothing listens yet.
 * @throws {StartError} the table can't be read, is invalid, or needs what can't be had
 */
export function createCore(settings: CoreSettings, log: ControlLog, accessLog: AccessLog | null): Core {
  const { live, source, history } = open(settings, log)
  const remote = openRedis(settings, log)
  let plane: Plane
  try {
    plane = createPlane({
      live,
      limits: { maxFields: settings.maxHeaderFields, maxTargetLength: settings.maxTargetLength },
      trustedProxies: settings.trustedProxies,
      memoryCacheBytes: settings.memoryCacheBytes,
      forceSecret: settings.forceSecret,
      remoteCache: remote,
      exposeCacheStatus: settings.exposeCacheStatus,
      exposeCacheKey: settings.exposeCacheKey,
      accessLog,
    })
  } catch (error) {
    void remote?.close()
    throw new StartError((error as Error).message)
  }
  const operations = new Operations({ live, file: source, history, log, now: Date.now })
  const fleet = new FleetKeeper({
    live,
    log,
    // An application that keeps no revisions has given no folder to write to.
    folder: settings.table === '-' || settings.keepRevisions === 0 ? null : folderOf(settings.table),
    now: Date.now,
    chance: Math.random,
  })
  return { live, operations, history, plane, fleet }
}

function openRedis(settings: CoreSettings, log: ControlLog): RedisStore | null {
  const { redis, redisPrefix, redisDeadlineMs } = settings
  if (redis === null) return null
  return new RedisStore({
    address: redis,
    prefix: redisPrefix,
    deadlineMs: redisDeadlineMs,
    chance: Math.random,
    now: () => performance.now(),
    onState: (up, why) => {
      if (up) log.info({ event: 'redis', state: 'up' }, 'redis is reached')
      else log.warn({ event: 'redis', state: 'down', why }, 'redis is lost: memory alone caches')
    },
  })
}

function open(settings: CoreSettings, log: ControlLog): OpenedTable {
  try {
    return openTable(settings, log, Date.now())
  } catch (error) {
    throw new StartError((error as Error).message)
  }
}

/** Settings of `strangle()`. */
export interface StrangleOptions extends Partial<Omit<CoreSettings, 'table' | 'redis'>> {
  /** Path of routes.yaml; edits of it apply while the application runs. */
  readonly table: string
  /** URL of the Redis that processes share, in the forms of `--redis`; memory alone caches without it. */
  readonly redis?: string
  /** Told of revisions and refused tables; nobody by default. */
  readonly log?: ControlLog
  /** Called once per exchange with the fields of an access-log line. */
  readonly accessLog?: AccessLog
}

/** What it needs of Koa's context. Spelled out, so that the package's types need none of Koa's. */
export interface StrangleContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  respond?: boolean
}

/** The proxy as the last middleware of a Koa application. */
export interface StrangleMiddleware {
  (ctx: StrangleContext): Promise<void>
  /** For `server.on('upgrade', ...)` of the server that runs the application: WebSockets and the like. */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Stops watching the table and closes idle connections to upstreams. */
  close(): Promise<void>
}

const SILENT: ControlLog = { info: () => {}, warn: () => {}, error: () => {} }

function redisAt(url: string): RedisAddress {
  const address = parseRedisUrl(url)
  // The text may hold a password: it is not repeated.
  if (address === null) throw new StartError(`redis is none of ${REDIS_URL_FORMS}`)
  return address
}

/**
 * The proxy as a Koa middleware: `app.use(strangle({ table: 'routes.yaml' }))`. It answers every request that reaches it,
 * so nothing behind it runs; what middleware before it has set with `ctx.set` is sent with the answer.
 * @throws {StartError} the table can't be read, is invalid, or needs what can't be had
 */
export function strangle(options: StrangleOptions): StrangleMiddleware {
  const settings: CoreSettings = {
    trustedProxies: [],
    maxHeaderFields: 256,
    maxTargetLength: 16_384,
    memoryCacheBytes: 64 * 1024 * 1024,
    redisPrefix: 'banyan:',
    redisDeadlineMs: 20,
    exposeCacheStatus: false,
    exposeCacheKey: false,
    // An application that mounts the proxy has no admin API to look back with, and its folders are its own.
    forceSecret: null,
    keepRevisions: 0,
    allowLastGood: false,
    ...options,
    redis: options.redis === undefined ? null : redisAt(options.redis),
  }
  const { operations, plane, fleet } = createCore(settings, options.log ?? SILENT, options.accessLog ?? null)
  operations.watch()
  fleet.start((known) => plane.upstreams.setFleet(known))
  return Object.assign(mount(plane.engine), {
    upgrade: plane.engine.upgrade,
    close: async (): Promise<void> => {
      await operations.close()
      fleet.close()
      plane.upstreams.close()
      await plane.cache.close()
    },
  })
}

/** The engine as a Koa middleware: from here on it owns the response, errors too. */
function mount(engine: Engine): (ctx: StrangleContext) => Promise<void> {
  return (ctx) => {
    ctx.respond = false
    // Koa presets 404; what the engine does not say itself must not come from here.
    ctx.res.statusCode = 200
    return new Promise<void>((done) => {
      ctx.res.once('close', () => done())
      engine.handle(ctx.req, ctx.res)
    })
  }
}

/**
 * The handler of the public server: the engine itself, or a Koa application around it where the operator has middleware.
 * @param file a module whose default export is a Koa middleware or a list of them, or null
 * @param log told of what the middleware throws
 * @throws {StartError} the module can't be loaded or exports something else
 */
export async function handlerOf(
  file: string | null,
  engine: Engine,
  log: ControlLog,
): Promise<(req: IncomingMessage, res: ServerResponse) => void> {
  if (file === null) return engine.handle
  const app = new Koa()
  app.on('error', (error: Error) => log.error({ event: 'middleware', error: error.stack }, error.message))
  for (const middleware of await loadMiddleware(file)) app.use(middleware)
  app.use(mount(engine))
  const callback = app.callback()
  return (req, res) => void callback(req, res)
}

async function loadMiddleware(file: string): Promise<Middleware[]> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(resolve(file)).href)
  } catch (error) {
    throw new StartError(`--middleware ${file}: ${(error as Error).message}`)
  }
  const given = module.default === undefined ? [] : [module.default].flat()
  if (given.length === 0 || !given.every((one) => typeof one === 'function')) {
    throw new StartError(`--middleware ${file}: its default export must be a Koa middleware, or a list of them`)
  }
  return given as Middleware[]
}
