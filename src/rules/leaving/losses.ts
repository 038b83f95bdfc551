/**
 * The settings of a table that another engine does not have, or that are not written for it.
 */
import type { RouteDocument, TableDocument, UpstreamDocument } from '../table/schema.ts'
import type { Route, Table, Upstream } from '../table/table.ts'
import type { Notes } from './notes.ts'
import { isDrawn, keylessOf } from './shares.ts'

/** By key of a route: what is lost with it. */
const ROUTE_LOSSES = {
  cache: 'no response is cached',
  shadow: 'no request is copied and compared',
  ramp: 'the percent stays what it is: nothing raises it, and nothing takes it back',
  fallback: 'a failure of `to` is passed on to the client; `from` does not answer for it',
  breaker: '`to` is asked while it fails',
  pinAfterWrite: 'a read after a write may see the other side',
  tellSide: 'clients are not told which side has responded',
  ambiguousPaths: 'a path with dot segments, // or encoded slashes is read as this engine reads it',
  caseInsensitivePaths: 'paths are compared with their case',
  pathParameters: 'path parameters are part of the path',
  trailingSlash: 'a final slash is part of the path',
  'rewrite.path': 'the path stays as it came',
  'rewrite.query': 'the query stays as it came',
  'rewrite.headers': 'the request headers stay as they came',
  answer: 'the response headers stay as they came',
} as const

/** By key of an upstream. */
const UPSTREAM_LOSSES = {
  health: 'servers are not probed',
  ejection: 'failing servers are not left out in this way',
  slowStart: 'a new server has its full share at once',
  maxConcurrent: 'requests in flight are not limited',
  queue: 'requests are not queued',
  affinity: 'clients do not stay with one server',
  bufferRequests: 'chunked requests are sent as they come',
  via: 'Via is not sent',
  lenient: 'responses are accepted as this engine accepts them',
  publicOrigin: "the upstream's own origins in responses are not mapped",
  cookies: 'attributes of cookies stay as they came',
  headers: 'the request headers stay as they came',
  tls: 'the settings of TLS to servers are not written',
  maxIdleConnections: 'idle connections are kept as this engine keeps them',
  keepAlive: 'idle connections are kept as this engine keeps them',
  maxHeaderSize: 'response headers have the limit of this engine',
  maxHeaderFields: 'response headers have the limit of this engine',
  'timeouts.connect': 'it has no time-out of its own for connections',
  'timeouts.idle': 'it has no time-out of its own for idle exchanges',
  'timeouts.upgraded': 'it has no time-out of its own for upgraded connections',
  'timeouts.total': 'there is no limit for all attempts together',
} as const

export type RouteKey = keyof typeof ROUTE_LOSSES
export type UpstreamKey = keyof typeof UPSTREAM_LOSSES

/** What a writer writes itself, or has its own notes about. */
export interface Says {
  readonly route: readonly RouteKey[]
  readonly upstream: readonly UpstreamKey[]
}

/** Notes every setting of the table that is lost, where it stands. */
export function noteLosses(table: Table, says: Says, notes: Notes): void {
  for (const [at, { document }] of table.routes.entries()) {
    for (const [key, loss] of entriesOf(ROUTE_LOSSES)) {
      if (!says.route.includes(key) && isSaid(document, key)) notes.add(['routes', at, ...key.split('.')], loss)
    }
    const { timeouts } = document
    if (timeouts?.upgraded !== undefined && !says.upstream.includes('timeouts.upgraded'))
      notes.add(['routes', at, 'timeouts', 'upgraded'], UPSTREAM_LOSSES['timeouts.upgraded'])
  }
  for (const [name, { document }] of table.upstreams) {
    for (const [key, loss] of entriesOf(UPSTREAM_LOSSES)) {
      if (!says.upstream.includes(key) && isSaid(document, key)) notes.add(['upstreams', name, ...key.split('.')], loss)
    }
  }
}

function entriesOf<Key extends string>(losses: Readonly<Record<Key, string>>): [Key, string][] {
  return Object.entries(losses) as [Key, string][]
}

/** Whether a document has a key that means something. */
function isSaid(document: RouteDocument | UpstreamDocument | TableDocument, key: string): boolean {
  let value: unknown = document
  for (const part of key.split('.')) value = (value as Record<string, unknown> | undefined)?.[part]
  return value !== undefined && value !== false && value !== 'exact' && value !== 'default'
}

/** Notes that clients are drawn anew, and what of the key is lost. @param keyless what becomes of a visitor without a key */
export function noteDraw(route: Route, at: number, notes: Notes, how: string): void {
  if (!isDrawn(route)) return
  const key = route.document.percent === undefined ? 'to' : 'percent'
  notes.add(['routes', at, key], `clients are drawn anew: ${how}`)
  for (const { kind } of route.sticky) {
    if (kind === 'jwt') notes.add(['routes', at, 'sticky'], 'claims of bearer tokens are not read: jwt is no key')
    if (kind === 'visitor') notes.add(['routes', at, 'sticky'], 'visitors get no cookie: their address is the key')
  }
}

/** Whether the address of the client is the key of requests without another one. */
export function endsWithAddress(route: Route): boolean {
  return route.keysVisitors && keylessOf(route) !== 'random'
}

/** The time-outs of a route at an upstream, in milliseconds. */
export function timeoutsOf(
  upstream: Upstream,
  route: Route | null,
): { headers: number; idle: number; upgraded: number } {
  const idle = route?.timeouts?.idleMs ?? upstream.idleTimeoutMs
  return {
    headers: route?.timeouts?.headersMs ?? upstream.headersTimeoutMs,
    idle,
    upgraded: route?.timeouts?.upgradedMs ?? upstream.upgradedTimeoutMs ?? idle,
  }
}
