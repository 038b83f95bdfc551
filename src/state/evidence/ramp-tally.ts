/**
 * What a data plane counts of routes with a ramp, until it is told.
 */
import { METRICS, type Metric } from '../../rules/ramp/guard.ts'
import type { Judged } from './ramp-counts.ts'

/** Exchanges of one route that are told at once; those beyond are left out, whichever side they had. */
const MAX_TOLD = 10_000

/** Numbers of an exchange. */
const WIDTH = 3

/** What was counted of one route since it was last told. Plain data. */
export interface RampDelta {
  readonly route: string
  /** Percent at which these were decided. */
  readonly percent: number
  /** By exchange: hash of the key or -1; side, failure, whether it has a key and whether it was broken off as one number; latency in milliseconds or -1. */
  readonly judged: readonly number[]
  /** Exchanges that came too fast to be told. */
  readonly left: number
}

interface Counted {
  readonly route: string
  readonly percent: number
  judged: number[]
  left: number
}

/** In the number of an exchange: it has no key. */
const KEYLESS = 8

/** The client broke it off. */
const BROKEN_OFF = 16

/** The exchanges of one data plane. */
export class RampTally {
  #counted: Counted[] = []
  /** Routes that are judged without a plan in the table. */
  judged: ReadonlySet<string> = new Set()

  /** @param percent of the route when the exchange was decided */
  count(route: string, percent: number, judged: Omit<Judged, 'nowMs'>): void {
    const { key, side, failure, latencyMs, hasKey, isBrokenOff } = judged
    const counted = this.#of(route, percent)
    if (counted.judged.length >= MAX_TOLD * WIDTH) {
      counted.left++
      return
    }
    const word = (side === 'to' ? 0 : 1) + 2 * (failure === null ? 0 : METRICS.indexOf(failure) + 1)
    counted.judged.push(key ?? -1, word + (hasKey ? 0 : KEYLESS) + (isBrokenOff ? BROKEN_OFF : 0), latencyMs ?? -1)
  }

  /** What was counted since the last call. */
  take(): readonly RampDelta[] {
    const taken = this.#counted
    if (taken.length > 0) this.#counted = []
    return taken
  }

  #of(route: string, percent: number): Counted {
    let counted = this.#counted.find((one) => one.route === route && one.percent === percent)
    if (counted === undefined) {
      counted = { route, percent, judged: [], left: 0 }
      this.#counted.push(counted)
    }
    return counted
  }
}

/** The exchanges of a delta. @param nowMs milliseconds of a clock that is never set */
export function* judgedOf({ judged }: RampDelta, nowMs: number): Generator<Judged> {
  for (let at = 0; at + WIDTH <= judged.length; at += WIDTH) {
    const [key, word, latencyMs] = judged.slice(at, at + WIDTH) as [number, number, number]
    const failure: Metric | undefined = METRICS[((word & (KEYLESS - 1)) >> 1) - 1]
    yield {
      key: key < 0 ? null : key,
      side: (word & 1) === 0 ? 'to' : 'rest',
      failure: failure ?? null,
      latencyMs: latencyMs < 0 ? null : latencyMs,
      hasKey: (word & KEYLESS) === 0,
      isBrokenOff: (word & BROKEN_OFF) !== 0,
      nowMs,
    }
  }
}
