/**
 * The evidence of all data planes: what comparisons have found of each route. Kept in memory, from the start of the process.
 */
import { judgePath, type PathVerdict, type Repeats, repeatKind } from '../../rules/evidence/noise.ts'
import type { Route } from '../../rules/table/table.ts'
import {
  type EvidenceDelta,
  type PathCount,
  type RouteEvidence,
  type Sample,
  Tally,
} from '../../state/evidence/tally.ts'

/** What is found at one path. */
export interface PathEvidence {
  readonly path: string
  readonly kind: PathCount['kind']
  /** `mismatch`: it differs clearly more often than `from` differs from itself. */
  readonly verdict: PathVerdict
  readonly count: number
  /** Of all comparisons, 0 to 1. */
  readonly rate: number
  /** Of the comparisons of `from` with itself, 0 to 1; null where there is none. */
  readonly noiseRate: number | null
  readonly firstMs: number
  readonly lastMs: number
  /** The last difference, its values hidden. */
  readonly example: { readonly from: string | null; readonly to: string | null }
  /** Id of the sample of it, which may be gone. */
  readonly sample: string | null
}

const ORDER: Readonly<Record<PathVerdict, number>> = { mismatch: 0, 'not-enough': 1, noise: 2 }

/** Sums over planes. What was found of a route is forgotten when its sides change. */
export class Evidence {
  readonly #tally = new Tally()
  readonly #sides = new Map<string, string>()

  /** These routes are in the table in force. */
  follow(routes: readonly Route[]): void {
    this.#tally.keepOnly(routes.map(({ id }) => id))
    const before = new Map(this.#sides)
    this.#sides.clear()
    for (const { id, from, to } of routes) {
      const sides = `${from}\n${to}`
      if (before.has(id) && before.get(id) !== sides) this.#tally.forget(id)
      this.#sides.set(id, sides)
    }
  }

  /** Adds what a plane has counted, of routes that the table still has. */
  add({ routes, samples }: EvidenceDelta): void {
    const known = ({ route }: { readonly route: string }): boolean => this.#sides.has(route)
    this.#tally.add({ routes: routes.filter(known), samples: samples.filter(known) })
  }

  of(route: string): RouteEvidence | null {
    return this.#tally.get(route)
  }

  all(): readonly RouteEvidence[] {
    return [...this.#tally.all()]
  }

  /** The newest first. */
  samplesOf(route: string): readonly Sample[] {
    return this.#tally.samplesOf(route)
  }

  sample(id: string): Sample | null {
    return this.#tally.sample(id)
  }
}

/** The paths of a route that differed between its sides: mismatches first, the most frequent first. */
export function pathsOf({ paths, comparisons, noiseComparisons }: RouteEvidence): PathEvidence[] {
  return paths
    .filter(({ count }) => count > 0)
    .map(({ path, kind, count, noise, firstMs, lastMs, from, to, sample }) => ({
      ...{ path, kind, count, firstMs, lastMs, sample },
      verdict: judgePath({ raw: count, comparisons, noise, noiseComparisons, again: repeatsOf(paths, path, kind) }),
      rate: count / comparisons,
      noiseRate: noiseComparisons === 0 ? null : noise / noiseComparisons,
      example: { from, to },
    }))
    .sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict] || b.count - a.count)
}

/** How often `from` was asked again for a difference at a path, and differed from itself there. */
function repeatsOf(paths: readonly PathCount[], path: string, kind: PathCount['kind']): Repeats {
  const alike = paths.filter((one) => one.path === path && repeatKind(one.kind) === repeatKind(kind))
  return {
    asked: alike.reduce((sum, { asked }) => sum + asked, 0),
    differed: alike.reduce((sum, { differed }) => sum + differed, 0),
  }
}
