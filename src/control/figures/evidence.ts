/**
 * The evidence of all data planes: what comparisons have found of each route, in memory and in the state store.
 */

import { judgePath, type PathVerdict, type Repeats, repeatKind } from '../../rules/evidence/noise.ts'
import type { Route } from '../../rules/table/table.ts'
import { goneIds, replaced } from '../../rules/values/replaced.ts'
import {
  type EvidenceDelta,
  type PathCount,
  type RouteEvidence,
  type Sample,
  Tally,
  type TallyBounds,
} from '../../state/evidence/tally.ts'
import { HOUR_MS, hourOf, type StateStore } from '../../state/store/store.ts'
import { COUNTS, readEvidence, recordsOf, SAMPLES, sampleRecords, sumsOf } from './kept-evidence.ts'
import { Stored } from './stored.ts'

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

/** So many hours are kept apart that are not stored; what is older is counted as the oldest of them. */
const MAX_UNSAVED_HOURS = 24

/** Bounds of one of them. */
const OF_AN_HOUR: TallyBounds = { samples: 0, paths: 2000 }

/**
 * Sums over planes. What was found of a route is forgotten when its sides change. With a store, what is counted is added to it,
 * and what it has is known from the start; without one, and while it fails, evidence is in memory.
 */
export class Evidence extends Stored {
  /** What is stored, and what was counted here. */
  #known = new Tally()
  /** What was counted since the start of the process. */
  readonly #counted = new Tally()
  /** By hour, the oldest first: what was counted and is not stored. */
  #unsaved = new Map<number, Tally>()
  #unsavedSamples: Sample[] = []
  #routes: readonly Route[] = []
  readonly #sides = new Map<string, string>()
  /** Routes whose evidence is to be removed from the store. */
  readonly #forgotten = new Set<string>()

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    super('evidence is', now, HOUR_MS)
  }

  /** These routes are in the table in force. */
  follow(routes: readonly Route[]): void {
    const changed = replaced(this.#routes, routes)
    this.#routes = routes
    for (const { id, from, targets } of changed.come) {
      const before = this.#sides.get(id)
      const sides = [from, ...targets.map(({ upstream }) => upstream)].join('\n')
      this.#sides.set(id, sides)
      if (before !== undefined && before !== sides) this.#forget(id)
    }
    for (const id of goneIds(changed)) {
      this.#sides.delete(id)
      this.#forget(id)
    }
  }

  /** Adds what a plane has counted, of routes that the table still has. */
  add({ routes, samples }: EvidenceDelta): void {
    const known = ({ route }: { readonly route: string }): boolean => this.#sides.has(route)
    const delta = { routes: routes.filter(known), samples: samples.filter(known) }
    if (delta.routes.length === 0 && delta.samples.length === 0) return
    this.#known.add(delta)
    this.#counted.add(delta)
    this.#addUnsaved(hourOf(this.now()), delta.routes)
    this.#unsavedSamples = [...this.#unsavedSamples, ...delta.samples].slice(-SAMPLES.bounds.records)
  }

  of(route: string): RouteEvidence | null {
    return this.#known.get(route)
  }

  /** What was counted of a route since a time; whole hours count. @param sinceMs epoch milliseconds */
  async since(route: string, sinceMs: number): Promise<RouteEvidence | null> {
    const hour = hourOf(sinceMs)
    const tally = new Tally()
    await this.ready()
    const store = this.stored
    if (store !== null) {
      const [sums, records] = await Promise.all([
        store.sums(COUNTS.space, hour, route),
        store.list(COUNTS.space),
      ]).catch((error: Error) => {
        this.failed(error)
        return [[], []]
      })
      tally.add(readEvidence(sums, records, []).delta)
    }
    for (const [at, counted] of this.#unsaved) if (at >= hour) tally.add({ routes: [...counted.all()], samples: [] })
    return tally.get(route)
  }

  /** What was counted of each route since the start of the process. */
  counted(): readonly RouteEvidence[] {
    return [...this.#counted.all()]
  }

  /** The newest first. */
  samplesOf(route: string): readonly Sample[] {
    return this.#known.samplesOf(route)
  }

  sample(id: string): Sample | null {
    return this.#known.sample(id)
  }

  /** Stores what is not stored yet, if there is anything. */
  override tick(): Promise<void> {
    const isSaved = this.#unsaved.size === 0 && this.#unsavedSamples.length === 0 && this.#forgotten.size === 0
    return isSaved ? Promise.resolve() : this.save()
  }

  protected async write(store: StateStore): Promise<void> {
    for (const route of this.#forgotten) {
      this.#forgotten.delete(route)
      try {
        await store.forget(COUNTS.space, route)
        await store.forget(SAMPLES.space, route)
      } catch (error) {
        this.#forgotten.add(route)
        throw error
      }
    }
    for (const [at, tally] of [...this.#unsaved]) {
      this.#unsaved.delete(at)
      const routes = [...tally.all()]
      try {
        const records = recordsOf(routes, this.#known, this.#sides)
        await store.add(COUNTS.space, sumsOf(routes, at), records, COUNTS.bounds)
      } catch (error) {
        this.#addUnsaved(
          at,
          routes.filter(({ route }) => !this.#forgotten.has(route)),
        )
        throw error
      }
    }
    const samples = this.#unsavedSamples
    if (samples.length === 0) return
    await store.add(SAMPLES.space, [], sampleRecords(samples), SAMPLES.bounds)
    this.#unsavedSamples = this.#unsavedSamples.filter((sample) => !samples.includes(sample))
  }

  protected async load(store: StateStore): Promise<void> {
    const hour = hourOf(this.now())
    const [sums, records, samples] = await Promise.all([
      store.sums(COUNTS.space, hour - COUNTS.bounds.hours),
      store.list(COUNTS.space),
      store.list(SAMPLES.space),
    ])
    const stored = readEvidence(sums, records, samples)
    const isCurrent = (route: string): boolean =>
      stored.sides.get(route) === this.#sides.get(route) && !this.#forgotten.has(route)
    const groups = new Set([...sums, ...records, ...samples].map(({ group }) => group))
    for (const route of groups) if (!isCurrent(route)) this.#forgotten.add(route)
    const known = new Tally()
    known.add({
      routes: stored.delta.routes.filter(({ route }) => isCurrent(route)),
      samples: stored.delta.samples.filter(({ route }) => isCurrent(route)),
    })
    for (const tally of this.#unsaved.values()) known.add({ routes: [...tally.all()], samples: [] })
    known.add({ routes: [], samples: this.#unsavedSamples })
    this.#known = known
  }

  #addUnsaved(hour: number, routes: readonly RouteEvidence[]): void {
    const tally = this.#unsaved.get(hour) ?? new Tally(OF_AN_HOUR)
    tally.add({ routes, samples: [] })
    this.#unsaved.set(hour, tally)
    const [oldest, next] = [...this.#unsaved.keys()].toSorted((a, b) => a - b)
    if (this.#unsaved.size <= MAX_UNSAVED_HOURS || oldest === undefined || next === undefined) return
    const gone = this.#unsaved.get(oldest)
    this.#unsaved.delete(oldest)
    this.#addUnsaved(next, [...(gone?.all() ?? [])])
  }

  #forget(route: string): void {
    this.#known.forget(route)
    this.#counted.forget(route)
    for (const tally of this.#unsaved.values()) tally.forget(route)
    this.#unsavedSamples = this.#unsavedSamples.filter((sample) => sample.route !== route)
    if (this.hasStore) this.#forgotten.add(route)
  }
}

/** The paths of a route that differed between its sides: mismatches first, the most frequent first, and then by path. */
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
    .sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict] || b.count - a.count || (nameOf(a) < nameOf(b) ? -1 : 1))
}

/** How often `from` was asked again for a difference at a path, and differed from itself there. */
function repeatsOf(paths: readonly PathCount[], path: string, kind: PathCount['kind']): Repeats {
  const alike = paths.filter((one) => one.path === path && repeatKind(one.kind) === repeatKind(kind))
  return {
    asked: alike.reduce((sum, { asked }) => sum + asked, 0),
    differed: alike.reduce((sum, { differed }) => sum + differed, 0),
  }
}

function nameOf({ path, kind }: Pick<PathEvidence, 'path' | 'kind'>): string {
  return `${path} ${kind}`
}
