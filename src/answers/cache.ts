/**
 * The shape of answers about the cache.
 */

/** `GET /cache`. */
export interface CacheAnswer {
  readonly memory: { readonly entries: number; readonly bytes: number; readonly maxBytes: number }
  readonly remote: { readonly state: string; readonly why: string | null } | null
  readonly counters: Readonly<Record<string, number | Readonly<Record<string, number>>>>
  readonly degraded: string | null
}

/** `POST /cache/purge`. */
export interface PurgeAnswer {
  /** Null where purges come too fast to be counted. */
  readonly entries: number | null
  readonly shared: boolean
  readonly why?: string | undefined
  readonly note?: string | undefined
}
