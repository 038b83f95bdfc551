/**
 * The shape of answers about routes: what is live of them.
 */

/** The figures of a window. */
export interface WindowAnswer {
  readonly seconds: number
  readonly exchanges: number
  readonly perSecond: number
  readonly errorRatio: number | null
  readonly fallbacks: number
  readonly cacheHitRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
}

/** One side of a route in a window: what clients got, and what its servers did. */
export interface SideAnswer {
  readonly exchanges: number
  readonly errorRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly attempts: number
  readonly failedRatio: number | null
  readonly attemptP50Ms: number | null
  readonly attemptP95Ms: number | null
}

/** A window of a route. */
export interface RouteWindowAnswer extends WindowAnswer {
  /** Null for requests without a route. */
  readonly share: { readonly actualPercent: number | null; readonly noKeyPercent: number | null } | null
  /** By upstream. */
  readonly sides: Readonly<Record<string, SideAnswer>>
}

/** A route in `GET /routes`, without what routes.yaml says of it. */
export interface RouteAnswer {
  readonly id: string
  readonly percent: number
  readonly live: {
    readonly exchanges: number
    readonly lastMinute: RouteWindowAnswer
  }
}

/** `GET /routes/:id/history`. */
export interface RouteHistoryAnswer {
  readonly stepSeconds: number
  readonly steps: readonly {
    readonly at: string
    readonly sides: Readonly<Record<string, Pick<SideAnswer, 'exchanges' | 'errorRatio' | 'p95Ms'>>>
  }[]
}
