/**
 * Finds the handler of a request by method and path, and answers for those that have none.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Exchange, escapeHtml, type Field, Gone, type Legacy, Refusal } from './exchange.ts'

/** Answers one exchange. What it throws becomes the application's error page, while no answer has begun. */
export type Handler = (exchange: Exchange) => void | Promise<void>

/** A path of the application and who answers there. */
export interface Route {
  /** Literal segments, `:name` for one segment, a final `*` for the rest. */
  readonly path: string
  /** Methods served; GET serves HEAD too. `*` serves all. */
  readonly methods: Readonly<Record<string, Handler>>
  /** Whether answers take the application's thinking time. */
  readonly slow?: boolean
}

type Pattern = { readonly route: Route; readonly segments: readonly string[]; readonly open: boolean }
type Found = { readonly route: Route; readonly params: Record<string, string> }

/** Sends each request to the first route that fits. */
export function createRouter(routes: readonly Route[], legacy: Legacy) {
  const patterns = routes.map(patternOf)
  return (req: IncomingMessage, res: ServerResponse): void => {
    const found = find(patterns, req.url ?? '/')
    const exchange = new Exchange(req, res, legacy, found?.params ?? {})
    run(exchange, found?.route ?? null).catch((error: unknown) => fail(exchange, error))
  }
}

async function run(exchange: Exchange, route: Route | null): Promise<void> {
  if (route === null) {
    if (exchange.req.method === 'OPTIONS' && exchange.target === '*') return answerOptions(exchange, ALL_METHODS)
    throw new Refusal(404, 'THE REQUESTED PAGE IS NOT AVAILABLE')
  }
  const method = exchange.req.method ?? 'GET'
  const handler = route.methods[method] ?? route.methods[method === 'HEAD' ? 'GET' : '*'] ?? route.methods['*']
  if (handler === undefined) {
    const allow = allowed(route)
    if (method === 'OPTIONS') return answerOptions(exchange, allow)
    throw new Refusal(405, `METHOD ${method} NOT SUPPORTED`, [['Allow', allow]])
  }
  if (route.slow) await exchange.pause(exchange.legacy.latency())
  await handler(exchange)
}

/** Ends an exchange whose handler gave up. */
function fail(exchange: Exchange, error: unknown): void {
  const { req, res } = exchange
  if (error instanceof Gone || res.destroyed || exchange.gone.aborted || req.errored != null) {
    res.destroy()
  } else if (res.headersSent) {
    console.error(`legacy-mock: ${req.method} ${req.url} broke off:`, error)
    res.destroy()
  } else if (error instanceof Refusal) {
    sendError(exchange, error.status, error.message, error.fields)
  } else {
    console.error(`legacy-mock: ${req.method} ${req.url} failed:`, error)
    sendError(exchange, 500, 'INTERNAL APPLICATION ERROR')
  }
}

function sendError(exchange: Exchange, status: number, message: string, fields: readonly Field[] = []): void {
  const code = `CE-${status}0`
  const html = `<html><head><title>${code}</title></head>\n<body bgcolor="#FFFFFF"><h1>${code}</h1>\n<p>${escapeHtml(message)}</p>\n<hr><i>CatalogEnterprise 7.2 &copy; 1998-2009</i></body></html>\n`
  exchange.send(status, 'text/html; charset=ISO-8859-1', html, [...fields, ['X-CE-Error', code]])
}

const ALL_METHODS = 'GET, HEAD, POST, PUT, OPTIONS, PROPFIND, PURGE'

function answerOptions(exchange: Exchange, allow: string): void {
  exchange.head(200, [
    ['Allow', allow],
    ['DAV', '1'],
    ['MS-Author-Via', 'DAV'],
    ['Content-Length', '0'],
  ])
  exchange.res.end()
}

function allowed(route: Route): string {
  const methods = Object.keys(route.methods)
  return [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ')
}

function patternOf(route: Route): Pattern {
  const segments = route.path.slice(1).split('/')
  const open = segments.at(-1) === '*'
  return { route, segments: open ? segments.slice(0, -1) : segments, open }
}

function find(patterns: readonly Pattern[], target: string): Found | null {
  const segments = pathOf(target).slice(1).split('/')
  for (const pattern of patterns) {
    const params = matchSegments(pattern, segments)
    if (params !== null) return { route: pattern.route, params }
  }
  return null
}

/** The path of a request target, as it came; of an absolute one too (RFC 9112 section 3.2.2). */
function pathOf(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, '')
  const mark = path.indexOf('?')
  return mark < 0 ? path : path.slice(0, mark)
}

function matchSegments(
  { segments: wanted, open }: Pattern,
  segments: readonly string[],
): Record<string, string> | null {
  if (open ? segments.length <= wanted.length : segments.length !== wanted.length) return null
  const params: Record<string, string> = {}
  for (const [index, want] of wanted.entries()) {
    const segment = segments[index] ?? ''
    if (!want.startsWith(':')) {
      if (segment !== want) return null
      continue
    }
    const value = decode(segment)
    if (value === null || value === '') return null
    const dot = want.indexOf('.')
    const ending = dot < 0 ? '' : want.slice(dot)
    if (!value.endsWith(ending)) return null
    params[want.slice(1, dot < 0 ? undefined : dot)] = value.slice(0, value.length - ending.length)
  }
  return params
}

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
