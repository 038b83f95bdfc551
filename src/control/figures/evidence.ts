/**
 * The evidence of all data planes: what comparisons have found of each route, in memory and in the state store.
 */
import { judgePath, type PathVerdict, type Repeats, repeatKind } from '../../rules/evidence/noise.ts'
import type { Route } from '../../rules/table/table.ts'
import {
  type EvidenceDelta,
  type PathCount,
  type RouteEvidence,
  type Sample,
  Tally,
  type TallyBounds,
} from '../../state/evidence/tally.ts'
import { hourOf, type StateStore } from '../../state/store/store.ts'
import { COUNTS, readEvidence, recordsOf, SAMPLES, sampleRecords, sumsOf } from './kept-evidence.ts'

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

/** Where evidence is kept: `folder` over restarts, `memory` for as long as the process runs. */
export type EvidenceStorage = 'folder' | 'memory'

/** So many hours are kept apart that are not stored; what is older is counted as the oldest of them. */
const MAX_UNSAVED_HOURS = 24

/** Bounds of one of them. */
const OF_AN_HOUR: TallyBounds = { samples: 0, paths: 2000 }

/** Whoever asks waits so long for what is stored: a disk may never answer. */
const LOAD_PATIENCE_MS = 2_000

/**
 * Sums over planes. What was found of a route is forgotten when its sides change. With a store, what is counted is added to it,
 * and what it has is known from the start; without one, and while it fails, evidence is in memory.
 */
export class Evidence {
  /** What is stored, and what was counted here. */
  #known = new Tally()
  /** What was counted since the start of the process. */
  readonly #counted = new Tally()
  /** By hour, the oldest first: what was counted and is not stored. */
  #unsaved = new Map<number, Tally>()
  #unsavedSamples: Sample[] = []
  readonly #sides = new Map<string, string>()
  /** Routes whose evidence is to be removed from the store. */
  readonly #forgotten = new Set<string>()
  readonly #now: () => number
  #store: StateStore | null = null
  #onProblem: (problem: string | null) => void = () => {}
  /** The hour in which the store was read; null where it was not, or has to be read again. */
  #loadedHour: number | null = null
  #saving: Promise<void> | null = null
  #problem: string | null = null

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /**
   * Keeps evidence in a store from now on.
   * @param onProblem called when it can't be stored, with the reason, and with null when it can again
   */
  keepIn(store: StateStore, onProblem: (problem: string | null) => void = () => {}): void {
    this.#store = store
    this.#onProblem = onProblem
  }

  get storage(): EvidenceStorage {
    return this.#store === null || this.#problem !== null ? 'memory' : 'folder'
  }

  /** Why it is in memory only though there is a store, or null. */
  get problem(): string | null {
    return this.#problem
  }

  /** These routes are in the table in force. */
  follow(routes: readonly Route[]): void {
    const before = new Map(this.#sides)
    this.#sides.clear()
    for (const { id, from, targets } of routes) {
      this.#sides.set(id, [from, ...targets.map(({ upstream }) => upstream)].join('\n'))
    }
    for (const [id, sides] of before) if (this.#sides.get(id) !== sides) this.#forget(id)
  }

  /** Adds what a plane has counted, of routes that the table still has. */
  add({ routes, samples }: EvidenceDelta): void {
    const known = ({ route }: { readonly route: string }): boolean => this.#sides.has(route)
    const delta = { routes: routes.filter(known), samples: samples.filter(known) }
    if (delta.routes.length === 0 && delta.samples.length === 0) return
    this.#known.add(delta)
    this.#counted.add(delta)
    this.#addUnsaved(hourOf(this.#now()), delta.routes)
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
    if (this.#store !== null && this.#problem === null) {
      const [sums, records] = await Promise.all([
        this.#store.sums(COUNTS.space, hour, route),
        this.#store.list(COUNTS.space),
      ]).catch((error: Error) => {
        this.#failed(error)
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

  /** Resolves when what is stored is known, or after a while. Never rejects. */
  async ready(): Promise<void> {
    if (this.#loadedHour !== null || this.#store === null) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((done) => {
      timer = setTimeout(done, LOAD_PATIENCE_MS)
    })
    await Promise.race([this.save(), patience])
    clearTimeout(timer)
  }

  /** Stores what is not stored yet, if there is anything. Never rejects: `problem` says why it was not stored. */
  tick(): Promise<void> {
    const isSaved = this.#unsaved.size === 0 && this.#unsavedSamples.length === 0 && this.#forgotten.size === 0
    return isSaved ? Promise.resolve() : this.save()
  }

  /** As `tick`, and reads what is stored where that has not been done. */
  save(): Promise<void> {
    const store = this.#store
    if (store === null) return Promise.resolve()
    this.#saving ??= this.#save(store)
      .then(() => this.#tell(null))
      .catch((error: Error) => this.#failed(error))
      .finally(() => {
        this.#saving = null
      })
    return this.#saving
  }

  /** The store has lost what it had, or has become this instance's own: it is read again. */
  reload(): void {
    this.#loadedHour = null
  }

  async #save(store: StateStore): Promise<void> {
    const hour = hourOf(this.#now())
    // Each hour one goes that is too old.
    if (this.#loadedHour !== hour) await this.#load(store, hour)
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

  async #load(store: StateStore, hour: number): Promise<void> {
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
    this.#loadedHour = hour
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
    if (this.#store !== null) this.#forgotten.add(route)
  }

  #failed({ message }: Error): void {
    this.#tell(`evidence is kept in memory only: ${message}`)
  }

  #tell(problem: string | null): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#onProblem(problem)
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
