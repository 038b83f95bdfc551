/**
 * The proxy inside other people's programs: `strangle()`, a Koa middleware, and the operator's own middleware around it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import Koa, { type Middleware } from 'koa'
import type { ControlLog } from './control/control-log.ts'
import { type CoreSettings, faultLog, newInstanceId, openCore, planeOf } from './core.ts'
import type { Engine, Handler } from './proxy/engine.ts'
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
  /** Called once per exchange with the fields of an access-log line. What it throws is told to `log`. */
  readonly accessLog?: AccessLog
  /**
   * The application that the middleware is part of, or the handler of its server: `upgrade` takes upgrade requests through it.
   * Without it they are refused.
   */
  readonly application?: StrangleApplication
}

/** A Koa application, or what its server does with a request: an Express application, a handler for node:http. */
export type StrangleApplication =
  | { callback(): (req: IncomingMessage, res: ServerResponse) => unknown }
  | ((req: IncomingMessage, res: ServerResponse) => unknown)

/** What it needs of Koa's context. Spelled out, so that the package's types need none of Koa's. */
export interface StrangleContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  respond?: boolean
}

/** The proxy as the last middleware of a Koa application. */
export interface StrangleMiddleware {
  (ctx: StrangleContext): Promise<void>
  /**
   * For `server.on('upgrade', ...)` of the server that runs the application: WebSockets and the like. The request passes the whole
   * application, with a response on that socket, before the connection is upgraded; what answers it on the way ends the
   * upgrade with its answer. Where no `application` was given it is refused with 403.
   */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Stops watching the table and closes idle connections to upstreams. */
  close(): Promise<void>
}

const SILENT: ControlLog = { info: () => {}, warn: () => {}, error: () => {} }

/** A log of somebody else's: what it throws is a warning of the process, and ends nothing. */
function harmless(log: ControlLog): ControlLog {
  const call =
    (level: keyof ControlLog) =>
    (fields: Record<string, unknown>, message: string): void => {
      try {
        log[level](fields, message)
      } catch (error) {
        process.emitWarning(error as Error)
      }
    }
  return { info: call('info'), warn: call('warn'), error: call('error') }
}

function redisAt(url: string): RedisAddress {
  const address = parseRedisUrl(url)
  // The text may hold a password: it is not repeated.
  if (address === null) throw new StartError(`redis is none of ${REDIS_URL_FORMS}`)
  return address
}

/**
 * The proxy as a Koa middleware: `app.use(strangle({ table: 'routes.yaml' }))`. It answers every request that reaches it,
 * so nothing behind it runs. What middleware before it has set with `ctx.set` is sent with the answer, unless the answer has
 * the field (Set-Cookie and Vary are added to), or the field is about a body or its framing.
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
  const log = options.log ? harmless(options.log) : SILENT
  const onFault = faultLog(log)
  const { live, operations, fleet } = openCore(settings, log)
  const plane = planeOf(settings, live, log, {
    // Options may come from JavaScript, where null is as good as nothing.
    accessLog: options.accessLog ? sinkOf(options.accessLog, onFault) : null,
    instance: newInstanceId(),
  })
  operations.watch()
  fleet.start((known) => plane.upstreams.setFleet(known))
  const upgradeHandler = upgradeHandlerOf(options.application ?? null, plane.engine, log, onFault)
  return Object.assign(mount(plane.engine, onFault), {
    upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer): void =>
      plane.engine.upgrade(req, socket, head, upgradeHandler),
    close: async (): Promise<void> => {
      await operations.close()
      fleet.close()
      plane.upstreams.close()
      await plane.cache.close()
    },
  })
}

/** A response of an HTTP/2 session: it does not say itself that it is closed. */
type Streamed = ServerResponse & { readonly stream?: { readonly destroyed: boolean } }

/** The engine as a Koa middleware: from here on it owns the response, errors too. It resolves when the response is closed. */
function mount(engine: Engine, onFault: (error: unknown) => void): (ctx: StrangleContext) => Promise<void> {
  return async (ctx) => {
    const { req, res } = ctx
    ctx.respond = false
    // While middleware awaited something the client has left, or has got its answer.
    if (res.closed || res.destroyed || (res as Streamed).stream?.destroyed === true) return
    if (res.headersSent) {
      onFault(new Error(`middleware has answered ${req.method} ${req.url} already, and then passed it on to the proxy`))
      if (!res.writableEnded) res.destroy()
      return
    }
    // Koa presets 404; what the engine does not say itself must not come from here.
    res.statusCode = 200
    await new Promise<void>((done) => {
      res.once('close', () => done())
      // Others may end a response that is being written.
      res.on('error', onFault)
      engine.handle(req, res)
    })
  }
}

/** What an upgrade request is taken through. */
function upgradeHandlerOf(
  application: StrangleApplication | null,
  engine: Engine,
  log: ControlLog,
  onFault: (error: unknown) => void,
): Handler {
  if (application === null) {
    let told = false
    return (req, res) => {
      if (!told) log.warn({ event: 'upgrade' }, NO_APPLICATION)
      told = true
      engine.refuseUpgrade(req, res)
    }
  }
  // A Koa application is made before its `callback` is of use: asked for when the first request comes.
  let handler: Handler | null = null
  return (req, res) => {
    handler ??= harmlessHandler('callback' in application ? application.callback() : application, engine, onFault)
    handler(req, res)
  }
}

const NO_APPLICATION =
  'upgrades are refused with 403: strangle() has no `application` to take them through (strangle({ application: app }))'

/** A handler of somebody else's: what it throws, at once or by a promise, ends the one exchange. */
function harmlessHandler(
  handler: (req: IncomingMessage, res: ServerResponse) => unknown,
  engine: Engine,
  onFault: (error: unknown) => void,
): Handler {
  return (req, res) => {
    const failed = (error: unknown): void => {
      onFault(error)
      if (res.headersSent) res.destroy()
      else engine.fail(req, res)
    }
    try {
      const handled = handler(req, res)
      if (handled instanceof Promise) handled.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}

/**
 * The handler of the public server: the engine itself, or a Koa application around it where the operator has middleware.
 * @param file a module whose default export is a Koa middleware or a list of them, or null
 * @param log told of what the middleware throws
 * @throws {StartError} the module can't be loaded or exports something else
 */
export async function handlerOf(file: string | null, engine: Engine, log: ControlLog): Promise<Handler> {
  if (file === null) return engine.handle
  const app = new Koa()
  app.on('error', (error: Error) => log.error({ event: 'middleware', error: error.stack }, error.message))
  for (const middleware of await loadMiddleware(file)) app.use(middleware)
  const onFault = faultLog(log)
  app.use(mount(engine, onFault))
  return harmlessHandler(app.callback(), engine, onFault)
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
