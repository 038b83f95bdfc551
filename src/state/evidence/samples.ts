/**
 * Which comparisons are kept as samples: the newest for each path and kind that differs, and a few of the newest besides.
 */
import type { DifferenceKind } from '../../rules/evidence/compare.ts'

/** How one path of the responses differed. */
export interface PathCount {
  readonly path: string
  readonly kind: DifferenceKind
  /** Comparisons of the two sides in which it differed. */
  count: number
  /** Random comparisons of `from` with itself in which it differed. */
  noise: number
  /** Of `count`: how often `from` was asked again then, and how often its second response differed from its first here. */
  asked: number
  differed: number
  /** First and last time, epoch milliseconds. */
  firstMs: number
  lastMs: number
  /** The values of the last difference between the sides, hidden; null where there is none. */
  from: string | null
  to: string | null
  /** Id of the newest sample that shows it; null where none is kept. */
  sample: string | null
}

/** One comparison that found a difference. */
export interface Sample {
  readonly id: string
  readonly route: string
  readonly atMs: number
  readonly method: string
  /** The request target; values of its query are hidden. */
  readonly target: string
  readonly revision: number
  readonly differences: readonly Pick<PathCount, 'path' | 'kind' | 'from' | 'to'>[]
  readonly note: string | null
}

/** Samples of a route that are kept besides the newest of each path. */
const MAX_BESIDES = 20

interface Kept {
  readonly sample: Sample
  /** Those for which it is the newest. */
  readonly newestOf: Set<PathCount>
}

/** Samples within a bound, which routes share fairly. Each path names its own: `sample` is set here. */
export class Samples {
  readonly #most: number
  /** By route, and by id: the oldest first. */
  readonly #routes = new Map<string, Map<string, Kept>>()
  #count = 0

  /** @param most in all */
  constructor(most: number) {
    this.#most = most
  }

  /** @param paths that the sample shows @returns what is dropped for it, maybe itself */
  keep(sample: Sample, paths: readonly PathCount[]): Sample[] {
    const { route, id } = sample
    const ofRoute = this.#routes.get(route) ?? new Map<string, Kept>()
    this.#routes.set(route, ofRoute)
    const before = ofRoute.get(id)
    if (before !== undefined) this.#drop(before)
    const kept: Kept = { sample, newestOf: new Set() }
    ofRoute.set(id, kept)
    this.#count++
    for (const path of paths) {
      const last = path.sample === null ? undefined : ofRoute.get(path.sample)
      // Several processes tell of theirs, each in its turn.
      if (last !== undefined && last.sample.atMs > sample.atMs) continue
      last?.newestOf.delete(path)
      path.sample = id
      kept.newestOf.add(path)
    }
    return this.#dropBeyond(ofRoute)
  }

  /** The newest first. */
  of(route: string): Sample[] {
    return [...(this.#routes.get(route)?.values() ?? [])].map(({ sample }) => sample).reverse()
  }

  get(id: string): Sample | null {
    for (const ofRoute of this.#routes.values()) {
      const kept = ofRoute.get(id)
      if (kept !== undefined) return kept.sample
    }
    return null
  }

  /** All of them; of each route the oldest first. */
  all(): Sample[] {
    return [...this.#routes.values()].flatMap((ofRoute) => [...ofRoute.values()].map(({ sample }) => sample))
  }

  forget(route: string): void {
    for (const kept of [...(this.#routes.get(route)?.values() ?? [])]) this.#drop(kept)
    this.#routes.delete(route)
  }

  #dropBeyond(ofRoute: ReadonlyMap<string, Kept>): Sample[] {
    const besides = [...ofRoute.values()].filter(({ newestOf }) => newestOf.size === 0)
    const dropped = besides.slice(0, Math.max(0, besides.length - MAX_BESIDES))
    for (const kept of dropped) this.#drop(kept)
    while (this.#count > this.#most) {
      const largest = [...this.#routes.values()].reduce((most, one) => (one.size > most.size ? one : most))
      const least = leastOf([...largest.values()])
      dropped.push(least)
      this.#drop(least)
    }
    return dropped.map(({ sample }) => sample)
  }

  #drop({ sample: { route, id }, newestOf }: Kept): void {
    for (const path of newestOf) path.sample = null
    newestOf.clear()
    if (this.#routes.get(route)?.delete(id)) this.#count--
  }
}

/** The oldest that is the newest of no path, or else of nothing but noise, or else of all. */
function leastOf(samples: readonly Kept[]): Kept {
  const least =
    samples.find(({ newestOf }) => newestOf.size === 0) ?? samples.find(({ newestOf }) => [...newestOf].every(isNoisy))
  return least ?? (samples[0] as Kept)
}

/** Whether `from` differs from itself there as well. */
function isNoisy({ noise, differed }: PathCount): boolean {
  return noise > 0 || differed > 0
}
