/**
 * Request headers as sent to the server, and response headers as sent to the client.
 */
import { normalizedValues, passedFields } from '../../rules/caching/sent.ts'
import { fieldValues, type RequestView } from '../../rules/http/exchange.ts'
import { kindOf } from '../../rules/http/field-kinds.ts'
import {
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
import type { UpgradeClient } from '../client/tunnel.ts'
import type { Exchange } from '../exchange.ts'

/**
 * The head of an exchange's request as a server gets it, a Latin-1 string with its empty line.
 * @param rawHeaders name, value, name, value: those of the request, or what the cache asks with in their place
 * @param upgrade the client's side of the upgrade that is asked for, or null
 * @param vary fields that are known to select answers of the cache, lower case
 */
export function requestHeadOf(
  exchange: Exchange,
  { method, target, rawHeaders }: Pick<RequestView, 'method' | 'target' | 'rawHeaders'>,
  upgrade: UpgradeClient | null,
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
 * The values of one field as a server gets them from `requestHeadOf`: what the cache compares.
 * @param fields of the request, less those that Connection names
 * @param name in lower case
 */
export function sentValuesOf(
  exchange: Exchange,
  fields: readonly string[],
  upstream: UpstreamState | undefined,
  name: string,
): readonly string[] {
  const kind = kindOf(name)
  // Most fields go on as they came, whatever the upstream is.
  if (kind === 'end-to-end' && name !== 'via') {
    const values = fieldValues(fields, name)
    const normalize: readonly string[] = exchange.matched.route?.cache?.normalize ?? NONE
    return normalize.includes(name) ? normalizedValues(values) : values
  }
  // Which server of an upstream is asked is not known yet: with its own Host, each is as good as the other.
  const rewrite = upstream === undefined ? null : rewriteOf(exchange, upstream, upstream.name, null)
  return rewrite === null ? fieldValues(fields, name) : sentValues(name, fields, exchange.said, rewrite)
}

function rewriteOf(
  { said, peer, req }: Exchange,
  { settings, instance }: UpstreamState,
  authority: string,
  upgrade: UpgradeClient | null,
): RequestRewrite {
  const { host, via } = settings
  const own = host === 'preserve' ? null : host === 'upstream' ? authority : host.literal
  return {
    host: own ?? (said.hostCount === 0 ? said.host || authority : null),
    peerAddress: peer.address,
    peerTrusted: peer.trusted,
    proto: peer.tls ? 'https' : 'http',
    minor: req.httpVersionMinor,
    via,
    instance,
    upgrade: upgrade === null ? null : upgrade.protocol,
  }
}

/** The fields of an upstream's answer as the client of an exchange gets them. */
export function clientFields(exchange: Exchange, head: ResponseHead, origins: OriginMap | null): string[] {
  const bodiless = head.framing === 'none' || exchange.view.method === 'HEAD'
  const chunked = head.framing === 'chunked' && !bodiless && exchange.req.httpVersionMinor === 1
  let fields = responseFields(head.rawHeaders, chunked, head.minor, origins)
  // Clients that read it would wait for a body that a 204 never has.
  if (head.status === 204 && head.contentLength > 0) fields = withoutLength(fields)
  if (head.status === 426) fields.push(...upgradeFields(head.rawHeaders, !exchange.res.shouldKeepAlive))
  return fields
}
