/**
 * A described request as each side of its route would get it.
 */
import { sentTarget } from './caching/key.ts'
import { passedFields } from './caching/sent.ts'
import { fieldValue, type RequestView, type Side } from './http/exchange.ts'
import { dashedName } from './http/field-edits.ts'
import { forwardsLeft, type RequestRewrite, readRequestFields, requestHead } from './http/headers.ts'
import type { Match } from './routing/match.ts'
import { targetOf } from './routing/targets.ts'
import { rewrites, rewrittenTarget, sentEdits } from './sending/sent.ts'
import type { Table, Upstream } from './table/table.ts'

/** The request that a side would get. */
export interface ExplainedSide {
  /** Null where no route claims the request. */
  readonly side: Side | null
  readonly upstream: string
  readonly method: string
  /** Null where the path has a part that the side could read as another path: such a request is refused. */
  readonly target: string | null
  /** Names and values, in the order in which they are sent. */
  readonly headers: readonly (readonly [string, string])[]
}

/** Stands for what is known only once a request is sent. */
const ID = 'REQUEST-ID'

/**
 * As of a client whose X-Forwarded-* fields are not believed, on an instance with the id `banyan`.
 * @param lookedUp the cache is asked, which may send less of the query
 */
export function explainSent(table: Table, request: RequestView, matched: Match, lookedUp: boolean): ExplainedSide[] {
  const { route } = matched
  const sides: [Side | null, string][] =
    route === null
      ? [[null, table.default]]
      : [
          ['from', route.from],
          ['to', targetOf(route, matched.params, request)],
        ]
  return sides.flatMap(([side, name]) => {
    const upstream = table.upstreams.get(name)
    return upstream === undefined ? [] : [explainSide(request, matched, { side, upstream, lookedUp })]
  })
}

interface Asked {
  readonly side: Side | null
  readonly upstream: Upstream
  readonly lookedUp: boolean
}

function explainSide(request: RequestView, matched: Match, { side, upstream, lookedUp }: Asked): ExplainedSide {
  const { route } = matched
  const { method } = request
  const cache = route?.cache ?? null
  const plain = cache !== null && lookedUp ? sentTarget(request.target, cache.key) : request.target
  const sending = { view: request, matched, id: ID }
  const sent = rewrites(route, side) ? rewrittenTarget(route.rewrite, plain, sending) : { target: plain, prefix: null }
  if (sent === null) return { side, upstream: upstream.name, method, target: null, headers: [] }
  const rawHeaders = withHost(request)
  const fields = cache === null ? rawHeaders : passedFields(rawHeaders, cache, [])
  const edits = sentEdits(upstream, sending, side, { prefix: sent.prefix, tellsId: false })
  const rewrite = { ...describedRewrite(request, upstream, authorityOf(upstream)), edits }
  const head = requestHead('', fields, readRequestFields(rawHeaders), rewrite)
  return { side, upstream: upstream.name, method, target: sent.target, headers: fieldsOf(head) }
}

/** How the head of a described request differs, but for what the table says of its fields. */
export function describedRewrite(
  request: RequestView,
  { host, via }: Pick<Upstream, 'host' | 'via'>,
  authority: string,
): Omit<RequestRewrite, 'edits'> {
  const said = readRequestFields(request.rawHeaders)
  const forwards = forwardsLeft(request.method, said)
  return {
    host: host === 'preserve' ? null : host === 'upstream' ? authority : host.literal,
    peerAddress: request.clientAddress,
    peerTrusted: false,
    proto: request.scheme ?? 'http',
    minor: 1,
    via,
    instance: 'banyan',
    upgrade: said.upgrade,
    maxForwards: forwards === null ? null : String(forwards - 1),
    bodyLength: null,
  }
}

/** The first server of the table stands for all. */
function authorityOf({ name, servers }: Upstream): string {
  return servers[0]?.url.replace(/^https?:\/\//, '') ?? name
}

/** A URL says the host as well as a field does. */
function withHost({ host, rawHeaders }: RequestView): readonly string[] {
  return host === '' || fieldValue(rawHeaders, 'host') !== undefined ? rawHeaders : ['Host', host, ...rawHeaders]
}

function fieldsOf(head: string): [string, string][] {
  return head
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line): [string, string] => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)]
    })
}

/** With the id of the request, where that is sent. */
export function withRequestId(side: ExplainedSide): ExplainedSide {
  const others = side.headers.filter(([name]) => dashedName(name) !== 'x-request-id')
  return { ...side, headers: [...others, ['X-Request-Id', ID]] }
}
