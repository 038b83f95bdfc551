/**
 * Cache-Status (RFC 9211): how the cache handled a request, as one member of the list.
 */
import { writeItem } from '../http/structured-fields.ts'

/** Why a request went on to the upstream (RFC 9211 section 2.2). */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial'

/** How a request was handled. */
export type Handling =
  | { readonly kind: 'hit' }
  | {
      readonly kind: 'forward'
      readonly reason: ForwardReason
      /** The upstream's status, where it is not the one that the client gets. */
      readonly forwardStatus?: number
      /** The answer was stored. */
      readonly stored?: boolean
      /** The request waited for another one's answer. */
      readonly collapsed?: boolean
    }

/** What may be told besides. */
export interface StatusDetails {
  /** Whole seconds of freshness left, negative for a stale answer. */
  readonly ttl?: number
  readonly key?: string
  /** One of the closed words of a verdict. */
  readonly detail?: string
}

/** The value of banyan's Cache-Status line. It is added below those of caches nearer to the origin (RFC 9211 section 2). */
export function cacheStatus(handling: Handling, details: StatusDetails = {}): string {
  const hit = handling.kind === 'hit'
  return writeItem('banyan', {
    hit,
    fwd: hit ? undefined : { token: handling.reason },
    'fwd-status': hit ? undefined : handling.forwardStatus,
    ttl: details.ttl,
    stored: hit ? undefined : handling.stored,
    collapsed: hit ? undefined : handling.collapsed,
    key: details.key,
    detail: details.detail === undefined ? undefined : { token: details.detail },
  })
}
