/**
 * The proxy inside other people's programs: `strangle()`, a Koa middleware, and the operator's own middleware around it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import Koa, { type Middleware } from 'koa'
import type { ControlLog } from './control/control-log.ts'
import { type CoreSettings, openCore, planeOf } from './core.ts'
import type { Engine } from './proxy/engine.ts'
import { type AccessLog, sinkOf } from './proxy/observe.ts'
import { StartError } from './start-error.ts'
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from './state/redis/url.ts'

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
    clientScheme: null,
    maxHeaderFields: 256,
    maxTargetLength: 16_384,
    memoryCacheBytes: 64 * 1024 * 1024,
    redisPrefix: 'banyan:',
    redisDeadlineMs: 20,
    dnsServers: [],
    exposeCacheStatus: false,
    exposeCacheKey: false,
    // An application that mounts the proxy has no admin API to look back with, and its folders are its own.
    forceSecret: null,
    keepRevisions: 0,
    allowLastGood: false,
    ...options,
    redis: options.redis === undefined ? null : redisAt(options.redis),
  }
  const log = options.log ?? SILENT
  const { live, operations, fleet } = openCore(settings, log)
  const plane = planeOf(settings, live, log, {
    // Options may come from JavaScript, where null is as good as nothing.
    accessLog: options.accessLog ? sinkOf(options.accessLog) : null,
  })
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
