/**
 * Request headers as sent to the server, and response headers as sent to the client.
 */
import { normalizedValues, passedFields } from '../../rules/caching/sent.ts'
import { fieldValues, type RequestView } from '../../rules/http/exchange.ts'
import { kindOf } from '../../rules/http/field-kinds.ts'
import {
  forwardsLeft,
  type OriginMap,
  type RequestRewrite,
  requestHead,
  responseFields,
  sentValues,
  upgradeFields,
  withoutLength,
} from '../../rules/http/headers.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import type { Exchange } from '../exchange.ts'

/**
 * The request line and headers for a server, a Latin-1 string with the empty line.
 * @param rawHeaders name, value, name, value: those of the request, or those of the cache's request
 * @param upgrade the protocol of a requested upgrade, or null
 * @param vary headers known to select cached responses, lower case
 */
export function requestHeadOf(
  exchange: Exchange,
  { method, target, rawHeaders }: Pick<RequestView, 'method' | 'target' | 'rawHeaders'>,
  upgrade: string | null,
  ...[upstream, server, vary = NONE]: [UpstreamState, ServerState, (readonly string[])?]
): string {
  const { said, matched } = exchange
  const cache = matched.route?.cache ?? null
  const fields = cache === null ? rawHeaders : passedFields(rawHeaders, cache, vary)
  const rewrite = rewriteOf(exchange, upstream, server.authority, upgrade)
  return requestHead(`${method} ${target} HTTP/1.1\r\n`, fields, said, rewrite)
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
  upstream: UpstreamState | undefined,
  name: string,
): readonly string[] {
  const kind = kindOf(name)
  // Most headers are forwarded unchanged to any upstream.
  if (kind === 'end-to-end' && name !== 'via') {
    const values = fieldValues(fields, name)
    const normalize: readonly string[] = exchange.matched.route?.cache?.normalize ?? NONE
    return normalize.includes(name) ? normalizedValues(values) : values
  }
  // The server is not selected yet: if each gets its own Host, the upstream's name represents them all.
  const rewrite = upstream === undefined ? null : rewriteOf(exchange, upstream, upstream.name, null)
  return rewrite === null ? fieldValues(fields, name) : sentValues(name, fields, exchange.said, rewrite)
}

function rewriteOf(
  { said, peer, request, view }: Exchange,
  { settings, instance }: UpstreamState,
  authority: string,
  upgrade: string | null,
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
  }
}

/** The headers of an upstream's response as sent to the client. */
export function clientFields(exchange: Exchange, head: ResponseHead, origins: OriginMap | null): string[] {
  const bodiless = head.framing === 'none' || exchange.view.method === 'HEAD'
  const chunked = head.framing === 'chunked' && !bodiless && exchange.request.minor === 1
  let fields = responseFields(head.rawHeaders, chunked, head.minor, origins)
  // Some clients would wait for a body, which a 204 never has.
  if (head.status === 204 && head.contentLength > 0) fields = withoutLength(fields)
  if (head.status === 426) fields.push(...upgradeFields(head.rawHeaders, !exchange.answer.persistent))
  return fields
}
