/**
 * The shape of `GET /live`: a line of JSON a second.
 */

/** A route, as far as an overview shows it. */
export interface LiveRow {
  readonly id: string
  readonly from: string
  readonly to: readonly string[]
  readonly percent: number
  readonly noKey: string
  readonly paths: readonly string[]
  readonly methods?: readonly string[]
  readonly hosts?: readonly string[]
  readonly group?: string
  readonly ramps: boolean
  readonly shadows: boolean
  readonly caches: boolean
}

/** A side of a route in the last minute. */
export interface LiveSide {
  readonly exchanges: number
  readonly errorRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
}

/** Figures of the last minute. */
export interface LiveFigures {
  readonly exchanges: number
  readonly perSecond: number
  readonly errorRatio: number | null
  readonly fallbacks: number
  readonly cacheHitRatio: number | null
  readonly actualPercent: number | null
  readonly noKeyPercent: number | null
  /** By upstream. */
  readonly sides: Readonly<Record<string, LiveSide>>
  readonly ramp?: LiveRamp
}

/** Where a ramp stands. */
export interface LiveRamp {
  readonly status: string
  readonly step: number | 'all' | null
  readonly steps: readonly (number | 'all')[]
  readonly why: string | null
}

/** Rows in the place of some others. */
export interface LiveSplice {
  /** The place of the first of them. */
  readonly at: number
  /** How many there were. */
  readonly gone: number
  readonly come: readonly LiveRow[]
}

/** One line. */
export interface LiveLine {
  readonly at: string
  readonly revision: number
  readonly default: string
  /** The routes, at first and where many have changed. */
  readonly table?: readonly LiveRow[]
  /** Which of them have become others since the line before, the last one first; figures of those that have come are in the line. */
  readonly changed?: readonly LiveSplice[]
  readonly unclaimed: LiveFigures
  /** What has changed since the line before. */
  readonly routes: Readonly<Record<string, LiveFigures>>
}
