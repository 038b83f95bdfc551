/**
 * The shape of answers about upstreams and servers.
 */
import type { WindowAnswer } from './routes.ts'

/** One address of a server, as it is now. */
export interface LiveServerAnswer {
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly leased: boolean
  readonly state: 'up' | 'slow-start' | 'ejected' | 'unhealthy' | 'drained'
  readonly health: {
    readonly healthy: boolean
    readonly probes: { readonly good: number; readonly failed: number }
    readonly last: { readonly good: boolean; readonly detail: string } | null
  } | null
  readonly connections: { readonly open: number; readonly active: number; readonly idle: number }
  readonly exchanges: number
  readonly failures: number
  readonly clientErrors: number
  readonly redirects: number
  readonly ejections: number
}

/** An upstream in `GET /upstreams`, without what routes.yaml says of it. */
export interface UpstreamAnswer {
  readonly name: string
  readonly live: {
    readonly lastMinute: WindowAnswer
    readonly queued: number
    readonly breakers: readonly { readonly route: string; readonly state: string }[]
    readonly servers: readonly LiveServerAnswer[]
  }
}

/** A server in `GET /upstreams/:name/servers`. */
export interface ServerAnswer {
  readonly upstream: string
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly drained: boolean
  readonly lease: { readonly ttl: string; readonly endsAt: string } | null
  readonly active: number
  readonly live: readonly (LiveServerAnswer & {
    /** Responses by milliseconds up to their headers. Of a proxy of an earlier version there are none. */
    readonly responseMs?: Readonly<Record<string, number>> | undefined
  })[]
}
