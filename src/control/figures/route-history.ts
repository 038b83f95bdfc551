/**
 * Errors and latency of both sides of each route over the last day, in steps of five minutes. In memory, within bounds.
 */
import type { Route, Table } from '../../rules/table/table.ts'
import { fineBound, fineBucketOf } from '../../rules/values/duration-buckets.ts'
import type { Steps } from '../../rules/values/steps.ts'
import type { Measurements } from '../../state/figures/measurements.ts'
import { WINDOW_STEPS } from '../../state/figures/windows.ts'
import { inTurns } from '../turns.ts'
import { type SideOutcome, sideOutcomes } from './live.ts'

/** Length of a step: as long as windows reach back. */
export const HISTORY_STEP_MS = 300_000
/** Steps that are kept: a day of them. */
export const HISTORY_STEPS = 288
/** Sides that have a history, 2.3 KB each. What has its first request when there are so many has none. */
const MAX_SIDES = 10_000
/** Sides of one route, so that edits of its upstreams can't use up the room of all others; the oldest go. */
const MAX_OF_ROUTE = 8

/** A step of a route. */
export interface HistoryStep {
  /** Begin, epoch milliseconds. */
  readonly atMs: number
  /** By upstream; those without requests are left out. */
  readonly sides: Readonly<Record<string, SideOutcome>>
}

/** The histories of all routes. */
export class RouteHistory {
  readonly #measurements: Measurements
  readonly #maxSides: number
  readonly #routes = new Map<string, Map<string, Track>>()
  #sides = 0
  /** The current step; null before the first tick. */
  #step: number | null = null
  /** Ticks of the windows since it began. */
  #ticks = 0
  #isRecording = false

  constructor(measurements: Measurements, maxSides = MAX_SIDES) {
    this.#measurements = measurements
    this.#maxSides = maxSides
  }

  /** Call it right after each tick of the windows. Never rejects. @param nowMs epoch milliseconds */
  async tick(table: Table, nowMs: number): Promise<void> {
    const now = stepOf(nowMs)
    const ended = this.#step ?? now
    this.#ticks++
    this.#step = now
    if (ended === now) return
    const ticks = Math.min(this.#ticks, WINDOW_STEPS - 1)
    this.#ticks = 0
    // Whatever takes five minutes is given up: the step after it is complete again.
    if (this.#isRecording) return
    this.#isRecording = true
    await inTurns(this.#record(table, ended, ticks))
    this.#isRecording = false
  }

  /** The steps of a route, the oldest first; the last one is still going on. @param nowMs epoch milliseconds */
  of(route: Route, nowMs: number): HistoryStep[] {
    const steps = new Map<number, Record<string, SideOutcome>>()
    const put = (step: number, name: string, outcome: SideOutcome): void => {
      const sides = steps.get(step) ?? {}
      sides[name] = outcome
      steps.set(step, sides)
    }
    const current = this.#step ?? stepOf(nowMs)
    for (const [name, track] of this.#routes.get(route.id) ?? []) {
      for (let step = current - HISTORY_STEPS + 1; step < current; step++) {
        const outcome = track.at(step)
        if (outcome !== null) put(step, name, outcome)
      }
    }
    const ticks = Math.min(this.#ticks + 1, WINDOW_STEPS)
    for (const [name, outcome] of sideOutcomes(this.#measurements, route, (cell) => cell.since(ticks)))
      put(current, name, outcome)
    return [...steps].sort(([a], [b]) => a - b).map(([step, sides]) => ({ atMs: step * HISTORY_STEP_MS, sides }))
  }

  *#record({ routes, places }: Table, step: number, ticks: number): Steps<void> {
    for (const id of this.#measurements.routeIds()) {
      yield
      const route = id === null ? undefined : routes[places.get(id) ?? -1]
      if (route === undefined) continue
      for (const [name, outcome] of sideOutcomes(this.#measurements, route, (cell) => cell.complete(ticks)))
        this.#trackOf(route.id, name, step)?.put(step, outcome)
    }
    for (const [id, tracks] of this.#routes) {
      yield
      for (const [name, track] of tracks)
        if (!places.has(id) || track.last <= step - HISTORY_STEPS) this.#drop(id, tracks, name)
    }
  }

  #trackOf(id: string, name: string, step: number): Track | null {
    const tracks = this.#routes.get(id) ?? new Map<string, Track>()
    const known = tracks.get(name)
    if (known !== undefined) return known
    const oldest = tracks.size < MAX_OF_ROUTE ? undefined : [...tracks].sort(([, a], [, b]) => a.last - b.last)[0]
    if (oldest !== undefined) this.#drop(id, tracks, oldest[0])
    if (this.#sides >= this.#maxSides) return null
    const track = new Track(step)
    tracks.set(name, track)
    this.#routes.set(id, tracks)
    this.#sides++
    return track
  }

  #drop(id: string, tracks: Map<string, Track>, name: string): void {
    tracks.delete(name)
    this.#sides--
    if (tracks.size === 0) this.#routes.delete(id)
  }
}

const SHARE_BITS = 16
const MOST_SHARE = 2 ** SHARE_BITS - 1

/** One side of a route: a ring of steps, two numbers each, since there are many of them. */
class Track {
  /** Requests of a step; then the share of errors in the upper half, and in the lower one a fine bucket of durations + 1, 0 for none. */
  readonly #words = new Uint32Array(2 * HISTORY_STEPS)
  /** The last step that something was put in. */
  last: number

  constructor(first: number) {
    this.last = first
  }

  put(step: number, { exchanges, errorRatio, p95Ms }: SideOutcome): void {
    for (let old = Math.max(this.last, step - HISTORY_STEPS) + 1; old < step; old++) this.#words[placeOf(old)] = 0
    this.last = Math.max(this.last, step)
    const share = Math.round((errorRatio ?? 0) * MOST_SHARE)
    const bucket = p95Ms === null ? 0 : fineBucketOf(p95Ms) + 1
    this.#words[placeOf(step)] = exchanges
    this.#words[placeOf(step) + 1] = share * 2 ** SHARE_BITS + bucket
  }

  at(step: number): SideOutcome | null {
    if (step > this.last || step <= this.last - HISTORY_STEPS) return null
    const [exchanges, word] = [this.#words[placeOf(step)] as number, this.#words[placeOf(step) + 1] as number]
    if (exchanges === 0) return null
    const bucket = word % 2 ** SHARE_BITS
    return {
      exchanges,
      errorRatio: Number(((word >>> SHARE_BITS) / MOST_SHARE).toFixed(4)),
      p95Ms: bucket === 0 ? null : Number(((fineBound(bucket - 1) + fineBound(bucket)) / 2).toPrecision(3)),
    }
  }
}

function placeOf(step: number): number {
  return 2 * (step % HISTORY_STEPS)
}

function stepOf(ms: number): number {
  return Math.floor(ms / HISTORY_STEP_MS)
}
