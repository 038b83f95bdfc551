/**
 * Request headers as sent to the server, and response headers as sent to the client.
 */
import { type OriginMap, requestHead, responseFields, upgradeFields, withoutLength } from '../../rules/http/headers.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import type { UpgradeClient } from '../client/tunnel.ts'
import type { Exchange } from '../exchange.ts'

/**
 * The head of an exchange's request as a server gets it, a Latin-1 string with its empty line.
 * @param rawHeaders name, value, name, value: those of the request, or what the cache asks with in their place
 * @param upgrade the client's side of the upgrade that is asked for, or null
 */
export function requestHeadOf(
  exchange: Exchange,
  method: string,
  rawHeaders: readonly string[],
  upgrade: UpgradeClient | null,
  upstream: UpstreamState,
  server: ServerState,
): string {
  const { view, said, peer, req } = exchange
  const { host } = upstream.settings
  const own = host === 'preserve' ? null : host === 'upstream' ? server.authority : host.literal
  return requestHead(`${method} ${view.target} HTTP/1.1\r\n`, rawHeaders, said, {
    host: own ?? (said.hostCount === 0 ? said.host || server.authority : null),
    peerAddress: peer.address,
    peerTrusted: peer.trusted,
    proto: peer.tls ? 'https' : 'http',
    minor: req.httpVersionMinor,
    via: upstream.settings.via,
    instance: upstream.instance,
    upgrade: upgrade === null ? null : upgrade.protocol,
  })
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
