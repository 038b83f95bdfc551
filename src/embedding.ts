/**
 * The types of `strangle()`, complete in themselves: declarations that refer to nothing inside hold for any TypeScript since 5.0.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** A logger such as pino. */
export interface StrangleLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Receives the fields of one access log line. */
export type AccessLog = (fields: Record<string, unknown>) => void

/** A Koa application, or a request handler: an Express application, a handler for node:http. */
export type StrangleApplication =
  | { callback(): (req: IncomingMessage, res: ServerResponse) => unknown }
  | ((req: IncomingMessage, res: ServerResponse) => unknown)

/** Settings of `strangle()`. What is undefined has its default. */
export interface StrangleOptions {
  /** Path of routes.yaml; changes are applied while the application runs. */
  readonly table: string
  /**
   * The application that contains the middleware, or the request handler of its server: `upgrade` passes upgrade requests
   * through it. Without it they are refused.
   */
  readonly application?: StrangleApplication | undefined
  /** Receives log messages about revisions and refused tables. Default: none. */
  readonly log?: StrangleLog | undefined
  /** Called once per request with the fields of an access log line. Exceptions go to `log`. Default: none. */
  readonly accessLog?: AccessLog | null | undefined
  /** URL of the shared Redis, as in `--redis`; by default the cache is in memory only. */
  readonly redis?: string | undefined
  /** Prefix of all keys in Redis. Default `banyan:`. */
  readonly redisPrefix?: string | undefined
  /** Timeout of Redis lookups in milliseconds. Default 20. */
  readonly redisDeadlineMs?: number | undefined
  /** Memory for cached responses in bytes. Default 64 MiB. */
  readonly memoryCacheBytes?: number | undefined
  /** Addresses and networks whose X-Forwarded-* headers are trusted. Default: none. */
  readonly trustedProxies?: readonly string[] | undefined
  /** The scheme of client requests without X-Forwarded-Proto. Default: that of the connection. */
  readonly clientScheme?: 'http' | 'https' | null | undefined
  /** X-Request-Id is sent to upstreams and clients; that of trusted proxies is kept. Default false. */
  readonly requestIds?: boolean | undefined
  /** Maximum number of request headers. Default 256. */
  readonly maxHeaderFields?: number | undefined
  /** Maximum length of a request target. Default 16384. */
  readonly maxTargetLength?: number | undefined
  /**
   * A connection whose client accepts no byte of a stored, collapsed or own response for this long is closed, in milliseconds.
   * Default 60,000.
   */
  readonly sendTimeoutMs?: number | undefined
  /** Name servers for upstream host names, `ADDRESS` or `ADDRESS:PORT`. Default: the system's. */
  readonly dnsServers?: readonly string[] | undefined
  /** Adds Cache-Status (RFC 9211) to responses. Default false. */
  readonly exposeCacheStatus?: boolean | undefined
  /** Includes the cache key in Cache-Status. Default false. */
  readonly exposeCacheKey?: boolean | undefined
  /** The secret for force tokens. Default: none are valid. */
  readonly forceSecret?: string | null | undefined
  /** Answers links with force tokens, and takes their cookies. Default false. */
  readonly forceByLink?: boolean | undefined
  /**
   * The secret of banyan's own cookies, or several: the first one is used, and all are accepted. Default: a key that is made and kept
   * with the revisions (`keepRevisions`).
   */
  readonly cookieSecret?: string | readonly string[] | undefined
  /** Number of table revisions kept in a folder beside the table. Default 0: in memory only. */
  readonly keepRevisions?: number | undefined
  /**
   * Folder for what outlives the application: what comparisons have found (`shadow`), and revisions if `keepRevisions` is set.
   * Default: nothing is stored, except revisions in `.banyan` beside the table.
   */
  readonly state?: string | null | undefined
  /** Starts with the latest valid revision if the table is invalid. Default false. */
  readonly allowLastGood?: boolean | undefined
}

/** The part of Koa's context that it needs, declared here so that the package's types do not depend on Koa's. */
export interface StrangleContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  respond?: boolean
}

/** The proxy as the last middleware of a Koa application. */
export interface StrangleMiddleware {
  (ctx: StrangleContext): Promise<void>
  /**
   * For `server.on('upgrade', ...)` of the server that runs the application: WebSockets and the like. The request passes through the
   * whole application, with a response on that socket, before the connection is upgraded; middleware that responds ends the
   * upgrade with its response. Without an `application` it is refused with 403.
   */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /**
   * What comparing the two sides of a route has found, as `GET /routes/:id/comparisons` of the admin API answers it; null for an
   * unknown route, and without `state`.
   */
  comparisons(route: string): Promise<object | null>
  /** Stops watching the table and closes idle connections to upstreams. */
  close(): Promise<void>
}

/**
 * The proxy as a Koa middleware: `app.use(strangle({ table: 'routes.yaml' }))`. It responds to every request that reaches it,
 * so middleware after it does not run. Headers set before with `ctx.set` are added to the response, unless the response has
 * the header (Set-Cookie and Vary are combined), or the header describes a body or its framing.
 *
 * Throws a `StartError` if the table can't be read, is invalid, or needs something unavailable.
 */
export type Strangle = (options: StrangleOptions) => StrangleMiddleware
