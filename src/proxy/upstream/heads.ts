/**
 * Request headers as sent to the server, and response headers as sent to the client.
 */
import { normalizedValues, passedFields } from '../../rules/caching/sent.ts'
import { withoutClientField } from '../../rules/http/client-field.ts'
import { fieldValue, fieldValues, type RequestView, type Side } from '../../rules/http/exchange.ts'
import { type DoneEdits, dashedName } from '../../rules/http/field-edits.ts'
import { kindOf } from '../../rules/http/field-kinds.ts'
import {
  firstOf,
  forwardsLeft,
  interimFields,
  type RequestRewrite,
  requestHead,
  responseFields,
  sentValues,
  upgradeFields,
  withoutLength,
} from '../../rules/http/headers.ts'
import { type MapBack, mappedFields } from '../../rules/rewriting/map-back.ts'
import { answeringSide } from '../../rules/routing/decide.ts'
import { rewrites, rewrittenPath, rewrittenTarget, sentEdits, sentTrailers } from '../../rules/sending/sent.ts'
import { withoutContext } from '../../rules/tracing/context.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Exchange } from '../exchange.ts'

/** A request to be sent: that of an exchange, or the cache's. */
export interface Asked extends Pick<RequestView, 'method' | 'target' | 'rawHeaders'> {
  /** Of its route; undefined for the side that the exchange goes to now. */
  readonly side?: Side | null
  /** Of a chunked body that is sent with Content-Length; undefined where it is sent as it comes. */
  readonly bodyLength?: number
}

/**
 * The request line and headers for a server, a Latin-1 string with the empty line.
 * @param asked with the target as it came, and header lines as name, value, name, value
 * @param upgrade the protocol of a requested upgrade, or null
 * @param vary headers known to select cached responses, lower case
 * @throws {Error} for a path that can't be rewritten: whoever sends it has not asked `isUnsafe`
 */
export function requestHeadOf(
  exchange: Exchange,
  { method, target, rawHeaders, side = sideNow(exchange), bodyLength }: Asked,
  upgrade: string | null,
  ...[upstream, server, vary = NONE]: [UpstreamState, ServerState, (readonly string[])?]
): string {
  const { said, matched, trace } = exchange
  const { route } = matched
  const cache = route?.cache ?? null
  const passed = cache === null ? rawHeaders : passedFields(rawHeaders, cache, vary)
  const sent = rewrites(route, side) ? rewrittenTarget(route.rewrite, target, exchange) : null
  if (sent === null && rewrites(route, side)) throw new Error(`the path of ${target} can't be rewritten`)
  const edits = editsOf(exchange, upstream, side, sent === null ? null : sent.prefix)
  // The word of the table counts more.
  const traces = trace !== null && edits?.drops.has('traceparent') !== true
  const fields = traces ? withoutContext(passed, trace.hasParent) : passed
  const as = rewriteOf(exchange, upstream, server.authority, upgrade, edits)
  const rewrite = bodyLength === undefined ? as : { ...as, bodyLength }
  const head = requestHead(`${method} ${sent?.target ?? target} HTTP/1.1\r\n`, fields, said, rewrite)
  return traces ? `${head.slice(0, -2)}traceparent: ${trace.header}\r\n\r\n` : head
}

/** The trailer fields of a request that its server gets. @param fields that may be trailers */
export function trailersFor(exchange: Exchange, fields: readonly string[], upstream: UpstreamState): readonly string[] {
  const words = { prefix: null, tellsId: exchange.tellsId }
  const { clientField } = exchange
  const said = clientField === null ? fields : withoutClientField(fields, clientField.dashed)
  return sentTrailers(said, upstream.settings, exchange, sideNow(exchange), words)
}

/** The side that an exchange asks now; null where nothing depends on it. */
function sideNow({ decision, matched }: Exchange): Side | null {
  return answeringSide(decision, matched.route)
}

/** Whether the path of a request has a value that its new side could read as another path. */
export function isUnsafe(exchange: Exchange, side: Side | null): boolean {
  const { matched, view } = exchange
  const { route } = matched
  // What has one reading is safe.
  return matched.ambiguous && rewrites(route, side) && rewrittenTarget(route.rewrite, view.target, exchange) === null
}

const NONE: readonly string[] = []

/**
 * The values of one header as `requestHeadOf` sends them: the cache compares these.
 * @param fields of the request, without those named in Connection
 * @param name in lower case
 */
export function sentValuesOf(
  exchange: Exchange,
  fields: readonly string[],
  { upstream, side }: { readonly upstream: UpstreamState | undefined; readonly side: Side | null },
  name: string,
): readonly string[] {
  const kind = kindOf(name)
  // The server is not selected yet: if each gets its own Host, the upstream's name represents them all.
  const edits = upstream === undefined ? null : editsFor(exchange, upstream, side, name)
  const isEdited = edits !== null && edits.drops.has(dashedName(name))
  // Most headers are forwarded unchanged to any upstream.
  if (!isEdited && kind === 'end-to-end' && name !== 'via') {
    const values = fieldValues(fields, name)
    const normalize: readonly string[] = exchange.matched.route?.cache?.normalize ?? NONE
    return normalize.includes(name) ? normalizedValues(values) : values
  }
  // The server is not selected yet: if each gets its own Host, the upstream's name represents them all.
  if (upstream === undefined) return fieldValues(fields, name)
  return sentValues(name, fields, exchange.said, rewriteOf(exchange, upstream, upstream.name, null, edits))
}

function prefixOf(exchange: Exchange, side: Side | null): string | null {
  const { route } = exchange.matched
  return rewrites(route, side) ? (rewrittenTarget(route.rewrite, exchange.view.target, exchange)?.prefix ?? null) : null
}

/** Null where the field is not among those that are edited. */
function editsFor(exchange: Exchange, upstream: UpstreamState, side: Side | null, name: string): DoneEdits | null {
  const { route } = exchange.matched
  const isOfTable = upstream.settings.headers !== null || rewrites(route, side)
  if (!isOfTable && !(exchange.tellsId && dashedName(name) === 'x-request-id')) return null
  return editsOf(exchange, upstream, side, prefixOf(exchange, side))
}

/** @param prefix the beginning of the path that was left out, or null */
function editsOf(
  exchange: Exchange,
  { settings }: UpstreamState,
  side: Side | null,
  prefix: string | null,
): DoneEdits | null {
  const { tellsId, matched } = exchange
  if (settings.headers === null && prefix === null && !tellsId && !rewrites(matched.route, side)) return null
  const said = prefix === null ? null : forwardedPrefix(exchange, prefix)
  return sentEdits(settings, exchange, side, { prefix: said, tellsId })
}

function rewriteOf(
  { said, peer, request, view }: Exchange,
  { settings, instance }: UpstreamState,
  authority: string,
  upgrade: string | null,
  edits: DoneEdits | null,
): RequestRewrite {
  const { host, via } = settings
  const forwards = forwardsLeft(view.method, said)
  const own = host === 'preserve' ? null : host === 'upstream' ? authority : host.literal
  return {
    host: own ?? (said.hostCount === 0 ? said.host || authority : null),
    peerAddress: peer.address,
    peerTrusted: peer.trusted,
    proto: peer.tls ? 'https' : 'http',
    minor: request.minor,
    via,
    instance,
    upgrade,
    maxForwards: forwards === null ? null : String(forwards - 1),
    edits,
    bodyLength: null,
  }
}

/** Behind what a proxy that is believed has left out before. */
function forwardedPrefix({ peer, view }: Exchange, prefix: string): string {
  const before = peer.trusted ? (fieldValue(view.rawHeaders, 'x-forwarded-prefix') ?? '') : ''
  return before.replace(/\/$/, '') + prefix
}

/** The headers of an upstream's response as sent to the client. @param side of the route that has answered */
export function clientFields(
  exchange: Exchange,
  head: ResponseHead,
  upstream: UpstreamState,
  side: Side | null = sideNow(exchange),
): string[] {
  const bodiless = head.framing === 'none' || exchange.view.method === 'HEAD'
  const chunked = head.framing === 'chunked' && !bodiless && exchange.request.minor === 1
  let fields = responseFields(head.rawHeaders, chunked, head.minor)
  const map = mapBackOf(exchange, upstream, side)
  if (map !== null) fields = mappedFields(fields, map)
  // Some clients would wait for a body, which a 204 never has.
  if (head.status === 204 && head.contentLength > 0) fields = withoutLength(fields)
  if (head.status === 426) fields.push(...upgradeFields(head.rawHeaders, !exchange.answer.persistent))
  return fields
}

/** The headers of an interim response as sent to the client. */
export function clientInterimFields(
  exchange: Exchange,
  head: ResponseHead,
  upstream: UpstreamState,
  side: Side | null = sideNow(exchange),
): string[] {
  const fields = interimFields(head.rawHeaders)
  const map = mapBackOf(exchange, upstream, side)
  return map === null ? fields : mappedFields(fields, map)
}

function clientHosts({ said, peer, view }: Exchange): readonly string[] {
  const { forwardedHost } = said
  return peer.trusted && forwardedHost !== null ? [view.host, firstOf(forwardedHost).toLowerCase()] : [view.host]
}

/** The head of an upgrade, mapped for the client. */
export function mappedHead(exchange: Exchange, head: ResponseHead, upstream: UpstreamState): ResponseHead {
  const map = mapBackOf(exchange, upstream, sideNow(exchange))
  return map === null ? head : { ...head, rawHeaders: mappedFields(head.rawHeaders, map) }
}

/** Null where nothing is to be mapped. */
function mapBackOf(exchange: Exchange, { origins, settings }: UpstreamState, side: Side | null): MapBack | null {
  const { matched } = exchange
  const { cookies } = settings
  const rewritten = rewrites(matched.route, side) && matched.route.rewrite.paths !== null ? matched.route : null
  if (origins === null && cookies === null && rewritten === null) return null
  const path = rewritten === null ? null : rewrittenPath(rewritten.rewrite, exchange, clientHosts(exchange))
  return { origins, cookies, path }
}
