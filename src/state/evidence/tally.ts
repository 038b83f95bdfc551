/**
 * What comparisons have found, by route and by path: counts, and a few examples. In memory, within bounds.
 */
import type { Comparison, DifferenceKind } from '../../rules/evidence/compare.ts'
import type { SkipReason } from '../../rules/evidence/copying.ts'
import { repeatKind } from '../../rules/evidence/noise.ts'
import { ownText } from '../own-texts.ts'
import { type PathCount, type Sample, Samples } from './samples.ts'

export type { PathCount, Sample }

/** Paths that are counted for a route; what differs beyond them is counted as `morePaths`. */
const MAX_PATHS = 500

/** What a tally keeps in all. */
export interface TallyBounds {
  readonly samples: number
  /** Of all routes together; what differs beyond them is counted as `morePaths`. */
  readonly paths: number
}

/** Where sums are kept. */
const LASTING: TallyBounds = { samples: 1000, paths: Number.POSITIVE_INFINITY }

/** Where it is told every second, in one message: a few hundred KiB at most. */
export const PASSING: TallyBounds = { samples: 50, paths: 1000 }

/** What is known of a route. */
export interface RouteEvidence {
  readonly route: string
  /** Since when is counted, epoch milliseconds. */
  sinceMs: number
  /** Those that found a difference, and `matches`. */
  comparisons: number
  /** Comparisons without a difference, bodies and all. */
  matches: number
  /** Without a difference, and without the bodies: one was too large or could not be decoded, or there was none to compare. No evidence, and no comparison. */
  partial: number
  /** Those of the comparisons that tell nothing of the fields of a body: something differs, and the bodies were not compared, or differ as a whole. */
  blind: number
  /** Comparisons of `from` with itself, for requests picked at random. */
  noiseComparisons: number
  /** Times that `from` was asked again and compared with itself: those picked at random, and those after a difference. */
  repeats: number
  /** Comparisons after which `from` was not asked again, since its response had set a cookie that the client had not sent. */
  cookieSet: number
  /** Copies that got no response, by failure. */
  readonly errors: Record<string, number>
  /** Requests drawn for a copy that got none, by reason. */
  readonly skipped: Partial<Record<SkipReason, number>>
  paths: PathCount[]
  /** Differences at paths beyond those that are counted, and comparisons with more differences than are told. */
  morePaths: number
}

/** What was counted since it was last told. */
export interface EvidenceDelta {
  readonly routes: readonly RouteEvidence[]
  /** Of each route the oldest first. */
  readonly samples: readonly Sample[]
}

/** Counts of routes, and samples. */
export class Tally {
  readonly #routes = new Map<string, RouteEvidence>()
  readonly #bounds: TallyBounds
  #samples: Samples
  #paths = 0

  constructor(bounds: TallyBounds = LASTING) {
    this.#bounds = bounds
    this.#samples = new Samples(bounds.samples)
  }

  /** Two sides were compared. @param nowMs epoch milliseconds */
  compared(route: string, comparison: Comparison, nowMs: number): void {
    const known = this.#of(route, nowMs)
    if (isPartial(comparison)) {
      known.partial++
      return
    }
    const { differences } = comparison
    known.comparisons++
    if (differences.length === 0) known.matches++
    else if (!comparison.bodyCompared) known.blind++
    if (comparison.isCut) known.morePaths++
    for (const { path, kind, from, to } of differences) {
      const found = this.#path(known, path, kind, nowMs)
      if (found === null) continue
      found.count++
      found.lastMs = nowMs
      found.from = from
      found.to = to
    }
  }

  /**
   * `from` was asked again and compared with itself.
   * @param random the request was picked at random, not for its differences
   * @param before how the two sides had differed for this request, or null where `from` was not asked first
   */
  askedAgain(route: string, again: Comparison, random: boolean, before: Comparison | null, nowMs: number): void {
    const known = this.#of(route, nowMs)
    const { differences } = again
    known.repeats++
    if (random && !isPartial(again)) {
      known.noiseComparisons++
      for (const { path, kind } of differences) {
        const found = this.#path(known, path, kind, nowMs)
        if (found !== null) found.noise++
      }
    }
    for (const { path, kind } of before?.differences ?? []) {
      const found = this.#path(known, path, kind, nowMs)
      if (found === null) continue
      found.asked++
      if (differences.some((one) => one.path === path && repeatKind(one.kind) === repeatKind(kind))) found.differed++
    }
  }

  /** `from` would have been asked again, and was not, since its response had set a cookie that the client had not sent. */
  notAskedAgain(route: string, nowMs: number): void {
    this.#of(route, nowMs).cookieSet++
  }

  failed(route: string, failure: string, nowMs: number): void {
    const { errors } = this.#of(route, nowMs)
    errors[failure] = (errors[failure] ?? 0) + 1
  }

  skipped(route: string, reason: SkipReason, nowMs: number): void {
    const { skipped } = this.#of(route, nowMs)
    skipped[reason] = (skipped[reason] ?? 0) + 1
  }

  /** Keeps a sample of what was counted. @returns what is dropped for it, maybe itself */
  keep(sample: Sample): Sample[] {
    const { paths = [] } = this.#routes.get(sample.route) ?? {}
    const shown = new Set(sample.differences.map(({ path, kind }) => `${kind} ${path}`))
    return this.#samples.keep(
      sample,
      paths.filter(({ path, kind }) => shown.has(`${kind} ${path}`)),
    )
  }

  get(route: string): RouteEvidence | null {
    return this.#routes.get(route) ?? null
  }

  all(): IterableIterator<RouteEvidence> {
    return this.#routes.values()
  }

  /** The newest first. */
  samplesOf(route: string): Sample[] {
    return this.#samples.of(route)
  }

  sample(id: string): Sample | null {
    return this.#samples.get(id)
  }

  samples(): Sample[] {
    return this.#samples.all()
  }

  /** Forgets what it knows of all other routes. */
  keepOnly(routes: Iterable<string>): void {
    const kept = new Set(routes)
    for (const route of this.#routes.keys()) if (!kept.has(route)) this.forget(route)
  }

  /** Begins anew with a route. */
  forget(route: string): void {
    this.#paths -= this.#routes.get(route)?.paths.length ?? 0
    this.#routes.delete(route)
    this.forgetSamples(route)
  }

  forgetSamples(route: string): void {
    this.#samples.forget(route)
  }

  /** What was counted since this was last called; it is forgotten here. */
  take(): EvidenceDelta {
    const taken = { routes: [...this.#routes.values()], samples: this.#samples.all() }
    this.#routes.clear()
    this.#paths = 0
    this.#samples = new Samples(this.#bounds.samples)
    return taken
  }

  /** Adds what another tally has counted. @returns the samples that are dropped for its own */
  add({ routes, samples }: EvidenceDelta): Sample[] {
    for (const more of routes) {
      const known = this.#of(more.route, more.sinceMs)
      known.comparisons += more.comparisons
      known.matches += more.matches
      known.partial += more.partial
      known.blind += more.blind
      known.noiseComparisons += more.noiseComparisons
      known.repeats += more.repeats
      known.cookieSet += more.cookieSet
      known.morePaths += more.morePaths
      addTo(known.errors, more.errors)
      addTo(known.skipped, more.skipped)
      for (const one of more.paths) this.#addPath(known, one)
    }
    return samples.flatMap((sample) => this.keep(sample))
  }

  #addPath(known: RouteEvidence, more: PathCount): void {
    const found = this.#path(known, more.path, more.kind, more.firstMs)
    if (found === null) return
    found.count += more.count
    found.noise += more.noise
    found.asked += more.asked
    found.differed += more.differed
    found.firstMs = Math.min(found.firstMs, more.firstMs)
    if (more.count === 0) return
    found.lastMs = Math.max(found.lastMs, more.lastMs)
    found.from = more.from
    found.to = more.to
  }

  #of(route: string, nowMs: number): RouteEvidence {
    const known = this.#routes.get(route)
    if (known !== undefined) return known
    const fresh: RouteEvidence = {
      ...{ route, sinceMs: nowMs, comparisons: 0, matches: 0, partial: 0, blind: 0, noiseComparisons: 0, repeats: 0 },
      ...{ cookieSet: 0, errors: {}, skipped: {}, paths: [], morePaths: 0 },
    }
    this.#routes.set(route, fresh)
    return fresh
  }

  #path(known: RouteEvidence, path: string, kind: DifferenceKind, nowMs: number): PathCount | null {
    const found = known.paths.find((one) => one.path === path && one.kind === kind)
    if (found !== undefined) return found
    if (known.paths.length >= MAX_PATHS || this.#paths >= this.#bounds.paths) {
      known.morePaths++
      return null
    }
    const fresh: PathCount = {
      ...{ path: ownText(path), kind, count: 0, noise: 0, asked: 0, differed: 0 },
      ...{ firstMs: nowMs, lastMs: nowMs, from: null, to: null, sample: null },
    }
    known.paths.push(fresh)
    this.#paths++
    return fresh
  }
}

/** Whether nothing can be said: what was compared is equal, and the bodies were not. */
function isPartial({ differences, bodyCompared }: Comparison): boolean {
  return differences.length === 0 && !bodyCompared
}

function addTo(sums: Record<string, number>, more: Readonly<Record<string, number | undefined>>): void {
  for (const [name, count = 0] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count
}
