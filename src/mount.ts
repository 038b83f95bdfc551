/**
 * Embedding: `strangle()`, the proxy as a Koa middleware, and the operator's own middleware (`--middleware`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import Koa, { type Middleware } from 'koa'
import { comparisonsOf } from './control/admin/comparisons.ts'
import type { ControlLog } from './control/control-log.ts'
import { Planes } from './control/figures/planes.ts'
import { awaitOwnership, type CoreSettings, faultLog, newInstanceId, openCore, planeOf } from './core.ts'
import type { StrangleApplication, StrangleContext, StrangleMiddleware, StrangleOptions } from './embedding.ts'
import type { ListenSettings, PublicServer } from './proxy/client/listener.ts'
import { MountedSends } from './proxy/client/mounted-sends.ts'
import { type Handler, NodeHttp } from './proxy/client/node-http.ts'
import { NodeServer } from './proxy/client/node-server.ts'
import { ProxiedConnections } from './proxy/client/proxied.ts'
import { SocketServer } from './proxy/client/server/socket-server.ts'
import type { Engine } from './proxy/engine.ts'
import { sinkOf } from './proxy/observe.ts'
import type { Plane } from './proxy/plane.ts'
import type { Route } from './rules/table/table.ts'
import { StartError } from './start-error.ts'
import { flawOfCookieSecret } from './state/cookie-keys.ts'
import { WINDOW_TICK_MS } from './state/figures/windows.ts'
import type { LiveTable } from './state/live-table.ts'
import { linkTo } from './state/local-plane.ts'
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from './state/redis/url.ts'
import type { StateFolder } from './state/store/state-folder.ts'

const SILENT: ControlLog = { info: () => {}, warn: () => {}, error: () => {} }

/** Wraps a foreign log: its exceptions become process warnings. */
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

/** What is undefined is not given. */
function given(options: StrangleOptions): Partial<Omit<CoreSettings, 'redis'>> & Pick<CoreSettings, 'table'> {
  const said = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(said) as ReturnType<typeof given>
}

function redisAt(url: string): RedisAddress {
  const address = parseRedisUrl(url)
  // The text may contain a password, so the message omits it.
  if (address === null) throw new StartError(`invalid redis URL: expected ${REDIS_URL_FORMS}`)
  return address
}

function secretsOf(given: string | readonly string[]): readonly string[] {
  const secrets = [given].flat()
  for (const secret of secrets) {
    const flaw = flawOfCookieSecret(secret)
    if (flaw !== null) throw new StartError(`cookieSecret: ${flaw}`)
  }
  return secrets
}

/**
 * See `Strangle`.
 * @throws {StartError} if the table can't be read, is invalid, or needs something unavailable
 */
export function strangle(options: StrangleOptions): StrangleMiddleware {
  const settings: CoreSettings = {
    trustedProxies: [],
    clientScheme: null,
    requestIds: false,
    maxHeaderFields: 256,
    maxTargetLength: 16_384,
    memoryCacheBytes: 64 * 1024 * 1024,
    redisPrefix: 'banyan:',
    redisDeadlineMs: 20,
    dnsServers: [],
    exposeCacheStatus: false,
    exposeCacheKey: false,
    // An embedded proxy has no admin API to show revisions, and does not write to the application's folders.
    forceSecret: null,
    forceByLink: false,
    keepRevisions: 0,
    state: null,
    allowLastGood: false,
    ...given(options),
    redis: options.redis === undefined ? null : redisAt(options.redis),
    cookieSecrets: secretsOf(options.cookieSecret ?? []),
  }
  if (settings.forceByLink && settings.forceSecret === null) throw new StartError('forceByLink needs a forceSecret')
  const log = options.log ? harmless(options.log) : SILENT
  const onFault = faultLog(log)
  const { live, operations, fleet, cookieKeys, state } = openCore(settings, log)
  const plane = planeOf(settings, live, log, {
    // JavaScript callers may pass null.
    accessLog: options.accessLog ? sinkOf(options.accessLog, onFault) : null,
    instance: newInstanceId(),
    cookieKeys,
  })
  const evidence = state === null || settings.state === null ? null : keptEvidence(state, plane, live, log)
  operations.watch()
  plane.upstreams.onSuspect = (hostname) => fleet.suspect(hostname)
  fleet.start((known) => plane.upstreams.setFleet(known))
  awaitOwnership({ state, operations, fleet }, log)
  const node = new NodeHttp(plane.engine)
  const sends = new MountedSends(node, options.sendTimeoutMs)
  const upgradeHandler = upgradeHandlerOf(options.application ?? null, node, log, onFault)
  return Object.assign(mount(node, onFault, sends), {
    upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer): void =>
      node.upgrade(req, socket, head, upgradeHandler),
    close: async (): Promise<void> => {
      sends.close()
      await operations.close()
      fleet.close()
      plane.upstreams.close()
      await plane.cache.close()
      await plane.shadows.close()
      await evidence?.close()
      await state?.close()
    },
    comparisons: async (id: string): Promise<object | null> => {
      const route = live.current.table.routes.find((one) => one.id === id)
      return route === undefined || evidence === null ? null : await evidence.comparisons(route)
    },
  })
}

/** The evidence of an embedded data plane, kept in a state folder. */
function keptEvidence(
  state: StateFolder,
  plane: Plane,
  live: LiveTable,
  log: ControlLog,
): { comparisons(route: Route): Promise<object>; close(): Promise<void> } {
  const planes = new Planes()
  const { evidence } = planes
  evidence.keepIn(state.store, (problem) => {
    if (problem !== null) log.warn({ event: 'evidence' }, problem)
  })
  planes.follow(live.current.table, Date.now())
  live.onApply(({ table }) => planes.follow(table, Date.now()))
  planes.add(0, linkTo(plane.port))
  const ticks = setInterval(() => void planes.tick(Date.now()), WINDOW_TICK_MS)
  ticks.unref()
  return {
    comparisons: async (route) => {
      await planes.figures()
      await evidence.ready()
      return comparisonsOf(route, evidence.of(route.id), evidence)
    },
    close: async () => {
      clearInterval(ticks)
      await planes.figures()
      await evidence.tick()
    },
  }
}

/** A response of an HTTP/2 session, which does not itself report that it is closed. */
type Streamed = ServerResponse & { readonly stream?: { readonly destroyed: boolean } }

/** The engine as a Koa middleware: it owns the response and its errors, and resolves when the response is closed. */
function mount(
  node: NodeHttp,
  onFault: (error: unknown) => void,
  sends: MountedSends | null = null,
): (ctx: StrangleContext) => Promise<void> {
  return async (ctx) => {
    const { req, res } = ctx
    ctx.respond = false
    // The client disconnected, or got its response, while middleware was waiting.
    if (res.closed || res.destroyed || (res as Streamed).stream?.destroyed === true) return
    if (res.headersSent) {
      onFault(
        new Error(
          `middleware had already responded to ${req.method} ${req.url} when it passed the request to the proxy`,
        ),
      )
      if (!res.writableEnded) res.destroy()
      return
    }
    // Koa presets 404; the engine sets the status itself.
    res.statusCode = 200
    await new Promise<void>((done) => {
      res.once('close', () => done())
      // Other code may end a response that is being written.
      res.on('error', onFault)
      sends?.watch(res)
      node.handle(req, res)
    })
  }
}

/** The handler for upgrade requests. */
function upgradeHandlerOf(
  application: StrangleApplication | null,
  node: NodeHttp,
  log: ControlLog,
  onFault: (error: unknown) => void,
): Handler {
  if (application === null) {
    let told = false
    return (req, res) => {
      if (!told) log.warn({ event: 'upgrade' }, NO_APPLICATION)
      told = true
      node.refuseUpgrade(req, res)
    }
  }
  // Middleware may be added later: `callback` is called on the first request.
  let handler: Handler | null = null
  return (req, res) => {
    handler ??= harmlessHandler('callback' in application ? application.callback() : application, node, onFault)
    handler(req, res)
  }
}

const NO_APPLICATION =
  'upgrade requests are refused with 403: strangle() needs an `application` to handle them (strangle({ application: app }))'

/** Wraps a foreign handler: an exception or rejection fails only that request. */
function harmlessHandler(
  handler: (req: IncomingMessage, res: ServerResponse) => unknown,
  node: NodeHttp,
  onFault: (error: unknown) => void,
): Handler {
  return (req, res) => {
    const failed = (error: unknown): void => {
      onFault(error)
      if (res.headersSent) res.destroy()
      else node.fail(req, res)
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
 * The public server: banyan's own, or node:http's where middleware is to see its requests and responses.
 * @param log for exceptions of the middleware
 * @throws {StartError} if the module of the middleware can't be loaded or exports something else
 */
export async function publicServerOf(
  settings: ListenSettings & { readonly middleware: string | null; readonly proxyProtocol: readonly string[] },
  engine: Engine,
  log: ControlLog,
): Promise<PublicServer> {
  if (settings.middleware === null) {
    const { proxyProtocol } = settings
    return new SocketServer(
      settings,
      engine,
      proxyProtocol.length === 0 ? null : new ProxiedConnections(proxyProtocol, log),
    )
  }
  const node = new NodeHttp(engine)
  const app = new Koa()
  app.on('error', (error: Error) => log.error({ event: 'middleware', error: error.stack }, error.message))
  for (const middleware of await loadMiddleware(settings.middleware)) app.use(middleware)
  const onFault = faultLog(log)
  app.use(mount(node, onFault))
  const handler = harmlessHandler(app.callback(), node, onFault)
  return new NodeServer(settings, engine, node, (req, res) => {
    if (engine.isForAuthority(req.method ?? '', req.url ?? '')) node.handle(req, res)
    else handler(req, res)
  })
}

/** @param file a module whose default export is a Koa middleware or a list of them */
async function loadMiddleware(file: string): Promise<Middleware[]> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(resolve(file)).href)
  } catch (error) {
    throw new StartError(`--middleware ${file}: ${(error as Error).message}`)
  }
  const given = module.default === undefined ? [] : [module.default].flat()
  if (given.length === 0 || !given.every((one) => typeof one === 'function')) {
    throw new StartError(`--middleware ${file}: the default export must be a Koa middleware or a list of them`)
  }
  return given as Middleware[]
}
