/**
 * What is counted of a ramped route's two sides, by key. In memory, within a bound.
 */
import {
  METRICS,
  type Metric,
  type OfSides,
  type RampEvidence,
  type RecentKeys,
  type StepEvidence,
} from '../../rules/ramp/guard.ts'
import { TAIL } from '../../rules/ramp/latency-bounds.ts'
import type { Hits } from '../../rules/ramp/rate-bounds.ts'
import { FINE_BUCKETS, type FineCounts, fineBound, fineBucketOf } from '../../rules/values/duration-buckets.ts'

/** One attempt at the side that was decided by the draw. */
export interface Judged {
  /** Hash of the key, or of its client where it has none; null where every exchange is a key of its own. */
  readonly key: number | null
  readonly hasKey: boolean
  readonly side: 'to' | 'rest'
  /** What it failed by, or null. */
  readonly failure: Metric | null
  /** From the last byte of the request to the response headers, milliseconds; null if none is counted. */
  readonly latencyMs: number | null
  /** By the client: nothing else of it counts than the latency, which is how long it has waited where no headers came. */
  readonly isBrokenOff: boolean
  /** Of a clock that is never set. */
  readonly nowMs: number
}

/** Newest keys of the new side that are looked at, at most. */
const MAX_RECENT = 10_000

/** A key is worth at most one latency for so long. */
const SAMPLE_EVERY_MS = 60_000

/** What is remembered of a key. */
interface Known {
  /** The step at which it was last seen. */
  step: number
  /** Bits of the metrics that it has failed by in this ramp. */
  failed: number
  sampledMs: number
  /** The side of `sampledMs`: a key that has moved is sampled there at once. */
  sampledSide: 'to' | 'rest' | null
}

/** Clients without a key that are told apart within `SAMPLE_EVERY_MS`. */
const MAX_KEYLESS = 100_000

/** Counts of one side at one step. */
class SideCounts {
  keys = 0
  readonly failed: Record<Metric, number> = { error: 0, 'client-error': 0, redirect: 0 }
  /** Requests without a key. */
  keyless = 0
  readonly keylessFailed: Record<Metric, number> = { error: 0, 'client-error': 0, redirect: 0 }
  readonly #fine = new Uint32Array(FINE_BUCKETS)
  #samples = 0
  #lowest = FINE_BUCKETS
  #highest = -1
  #latency: FineCounts | null = null

  sample(ms: number): void {
    this.add(fineBucketOf(ms), 1)
  }

  add(bucket: number, count: number): void {
    this.#latency = null
    this.#fine[bucket]! += count
    this.#samples += count
    if (bucket < this.#lowest) this.#lowest = bucket
    if (bucket > this.#highest) this.#highest = bucket
  }

  /** That of `p95Of`, without the list. */
  get p95(): number {
    let above = 0
    let bucket = this.#highest + 1
    for (const rank = Math.floor(this.#samples * TAIL) + 1; above < rank && bucket > 0; )
      above += this.#fine[--bucket] as number
    return fineBound(Math.max(bucket, 0))
  }

  /** The same list until there is another sample. */
  get latency(): FineCounts {
    if (this.#latency !== null) return this.#latency
    const fine: number[] = []
    for (let bucket = this.#lowest; bucket <= this.#highest; bucket++) {
      const count = this.#fine[bucket] as number
      if (count > 0) fine.push(bucket, count)
    }
    this.#latency = fine
    return fine
  }
}

interface Step {
  readonly share: number
  readonly to: SideCounts
  readonly rest: SideCounts
  /** Of a step that is over. */
  evidence: StepEvidence | null
}

/** Hashes of keys, each with bits of the metrics that it has failed by. */
export type FailedKeys = readonly (readonly [key: number, bits: number])[]

/** Counts what a guard judges. */
export class RampCounts {
  readonly #maxKeys: number
  readonly #recentKeys: number
  readonly #known = new Map<number, Known>()
  readonly #steps: Step[] = []
  readonly #recent: { readonly to: RecentOutcomes; readonly rest: RecentOutcomes }
  /** Clients without a key, by side, that have been counted since. */
  readonly #keyless = { to: new Set<number>(), rest: new Set<number>() }
  #keylessSinceMs = Number.NEGATIVE_INFINITY
  /** A key could not be remembered: nothing is counted any more. */
  isFull = false

  /**
   * @param maxKeys how many keys are remembered
   * @param recentKeys how many of each side's newest keys are looked at for a hard stop
   */
  constructor(maxKeys: number, recentKeys: number) {
    this.#maxKeys = maxKeys
    this.#recentKeys = recentKeys
    this.#recent = { to: new RecentOutcomes(recentKeys), rest: new RecentOutcomes(recentKeys) }
  }

  /** Keys that have failed, each with a number that tells by what: the last ones, up to so many. For `restore`. */
  failedKeys(most: number): FailedKeys {
    const failed: [number, number][] = []
    for (const [key, known] of this.#known) if (known.failed > 0) failed.push([key, known.failed])
    return most === 0 ? [] : failed.slice(-most)
  }

  /** Goes on with what was counted before. Keys that are not among the failed ones may count once more. */
  restore(steps: readonly StepEvidence[], failed: FailedKeys): void {
    for (const [key, bits] of failed) {
      const known = this.#keyOf(key)
      if (known !== null) known.failed = bits
    }
    for (const before of steps) {
      this.step(before.share)
      const step = this.#steps.at(-1) as Step
      for (const side of ['to', 'rest'] as const) restoreSide(step[side], before, side)
    }
  }

  /** @param share part of the keys on the new side from now on, 0 to 1 */
  step(share: number): void {
    const before = this.#steps.at(-1)
    if (before !== undefined) before.evidence = evidenceOf(before)
    this.#steps.push({ share, to: new SideCounts(), rest: new SideCounts(), evidence: null })
    // Where most keys are on the new side, those of the rest took longer to come: the same time is looked at.
    const longer = share > 0.5 && share < 1 ? share / (1 - share) : 1
    this.#recent.to.resize(Math.min(Math.max(this.#recentKeys, MAX_RECENT), Math.ceil(this.#recentKeys * longer)))
  }

  count(judged: Judged): void {
    const step = this.#steps.at(-1)
    if (step === undefined || this.isFull) return
    const { key, side, failure, latencyMs, isBrokenOff, nowMs } = judged
    const counts = step[side]
    if (!judged.hasKey) {
      if (isBrokenOff || this.#isCounted(judged)) return
      counts.keyless++
      if (failure !== null) counts.keylessFailed[failure]++
      return
    }
    const known = key === null ? null : this.#keyOf(key)
    if (this.isFull) return
    if (!isBrokenOff) {
      const at = this.#steps.length
      if (known?.step !== at) counts.keys++
      if (known !== null) known.step = at
      this.#recent[side].add(key, failure === 'error', this.#recent.rest.rate)
      if (failure !== null && isFirst(known, failure)) counts.failed[failure]++
    }
    if (latencyMs === null) return
    if (known !== null) {
      if (known.sampledSide === side && nowMs - known.sampledMs < SAMPLE_EVERY_MS) return
      known.sampledMs = nowMs
      known.sampledSide = side
    }
    counts.sample(latencyMs)
  }

  /** Different keys of both sides at the current step. @throws if no step has begun */
  get keysAtStep(): { readonly to: number; readonly rest: number } {
    const { to, rest } = this.#steps.at(-1) as Step
    return { to: to.keys, rest: rest.keys }
  }

  /** What was counted by keys. */
  evidence(): Omit<RampEvidence, 'mismatches'> {
    return { steps: this.#steps.map((step) => step.evidence ?? evidenceOf(step)), recent: this.recent }
  }

  /** The newest keys of both sides. */
  get recent(): RecentKeys {
    return { to: this.#recent.to.hits, rest: this.#recent.rest.hits, meanwhile: this.#recent.to.usual }
  }

  /** The 95th percentiles of the latencies at the current step, milliseconds; 0 without any. @throws if no step has begun */
  get p95(): OfSides {
    const { to, rest } = this.#steps.at(-1) as Step
    return { to: to.p95, rest: rest.p95 }
  }

  /** Whether the client of a request without a key has been counted already in this while. */
  #isCounted({ key, side, nowMs }: Judged): boolean {
    if (nowMs - this.#keylessSinceMs >= SAMPLE_EVERY_MS) {
      this.#keylessSinceMs = nowMs
      this.#keyless.to.clear()
      this.#keyless.rest.clear()
    }
    const clients = this.#keyless[side]
    if (key === null || clients.has(key) || clients.size >= MAX_KEYLESS) return true
    clients.add(key)
    return false
  }

  #keyOf(key: number): Known | null {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (this.#known.size >= this.#maxKeys) {
      this.isFull = true
      return null
    }
    const first: Known = { step: 0, failed: 0, sampledMs: 0, sampledSide: null }
    this.#known.set(key, first)
    return first
  }
}

function isFirst(known: Known | null, failure: Metric): boolean {
  if (known === null) return true
  const bit = 1 << METRICS.indexOf(failure)
  if ((known.failed & bit) !== 0) return false
  known.failed |= bit
  return true
}

function restoreSide(counts: SideCounts, before: StepEvidence, side: 'to' | 'rest'): void {
  counts.keys = before.keys[side]
  counts.keyless = before.withoutKey.seen[side]
  for (const metric of METRICS) {
    counts.failed[metric] = before.failed[metric][side]
    counts.keylessFailed[metric] = before.withoutKey.failed[metric][side]
  }
  const fine = before.latency[side]
  for (let at = 0; at + 1 < fine.length; at += 2) {
    const bucket = fine[at] as number
    if (bucket >= 0 && bucket < FINE_BUCKETS) counts.add(bucket, fine[at + 1] as number)
  }
}

function evidenceOf({ share, to, rest }: Step): StepEvidence {
  const by = (what: 'failed' | 'keylessFailed', metric: Metric): { to: number; rest: number } => ({
    to: to[what][metric],
    rest: rest[what][metric],
  })
  const failed = (what: 'failed' | 'keylessFailed'): StepEvidence['failed'] => ({
    error: by(what, 'error'),
    'client-error': by(what, 'client-error'),
    redirect: by(what, 'redirect'),
  })
  return {
    share,
    keys: { to: to.keys, rest: rest.keys },
    failed: failed('failed'),
    withoutKey: { seen: { to: to.keyless, rest: rest.keyless }, failed: failed('keylessFailed') },
    latency: { to: to.latency, rest: rest.latency },
  }
}

/** The newest outcomes of the newest different keys. */
class RecentOutcomes {
  #size: number
  readonly #outcomes = new Map<number, { readonly isFailed: boolean; readonly usual: number }>()
  #next = -1
  #failed = 0
  #usual = 0

  constructor(size: number) {
    this.#size = size
  }

  get hits(): Hits {
    return { of: this.#outcomes.size, hits: this.#failed }
  }

  /** The part of them that failed; 0 of none. */
  get rate(): number {
    return this.#outcomes.size === 0 ? 0 : this.#failed / this.#outcomes.size
  }

  /** The mean of what was usual when each came; 0 of none. */
  get usual(): number {
    return this.#outcomes.size === 0 ? 0 : Math.max(0, this.#usual / this.#outcomes.size)
  }

  resize(size: number): void {
    this.#size = size
    while (this.#outcomes.size > size) this.#dropOldest()
  }

  /**
   * @param key null for one that never comes again
   * @param usual part of the other side's newest keys that fail
   */
  add(key: number | null, isFailed: boolean, usual: number): void {
    // Hashes are not negative.
    const id = key ?? this.#next--
    this.#drop(id)
    this.#outcomes.set(id, { isFailed, usual })
    if (isFailed) this.#failed++
    this.#usual += usual
    if (this.#outcomes.size > this.#size) this.#dropOldest()
  }

  #dropOldest(): void {
    this.#drop(this.#outcomes.keys().next().value as number)
  }

  #drop(id: number): void {
    const before = this.#outcomes.get(id)
    if (before === undefined) return
    this.#outcomes.delete(id)
    if (before.isFailed) this.#failed--
    this.#usual -= before.usual
  }
}
