/**
 * The evidence of all data planes: what comparisons have found of each route, in memory and in the state store.
 */
import { randomUUID } from 'node:crypto'
import { ignoring } from '../../rules/evidence/ignoring.ts'
import { judgePath, type PathVerdict, type Repeats, repeatKind } from '../../rules/evidence/noise.ts'
import type { Route } from '../../rules/table/table.ts'
import { goneIds, replaced } from '../../rules/values/replaced.ts'
import { allOf, type Steps } from '../../rules/values/steps.ts'
import {
  type EvidenceDelta,
  type PathCount,
  type RouteEvidence,
  type Sample,
  Tally,
  type TallyBounds,
} from '../../state/evidence/tally.ts'
import { HOUR_MS, hourOf, type StateStore, type Sum } from '../../state/store/store.ts'
import { type Basis, basisOf, showsTooMuch, stillHolds } from './basis.ts'
import { COUNTS, readEvidence, recordOfSample, recordsOf, SAMPLES, sumsOf } from './kept-evidence.ts'
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
  /** Id of the newest sample that shows it; null where none is kept. */
  readonly sample: string | null
}

const ORDER: Readonly<Record<PathVerdict, number>> = { mismatch: 0, 'not-enough': 1, noise: 2 }

/** A route as it is in the table. */
interface Followed {
  readonly route: Route
  /** What its evidence is of; null where it has none. */
  readonly basis: Basis | null
  /** Whether a path is ignored. */
  readonly ignores: (path: string) => boolean
}

const NOTHING_IGNORED = { ignore: [] }

/** So many hours are kept apart that are not stored; what is older is counted as the oldest of them. */
const MAX_UNSAVED_HOURS = 24

const DAY_HOURS = 24

/** Bounds of one of them. */
const OF_AN_HOUR: TallyBounds = { samples: 0, paths: 2000 }

/**
 * Sums over planes. What was found of a route is forgotten when it is no evidence of the route any more. With a store, what is counted is added to it,
 * and what it has is known from the start; without one, and while it fails, evidence is in memory.
 */
export class Evidence extends Stored {
  /** What is stored, and what was counted here. */
  #known = new Tally()
  /** What was counted since the start of the process. */
  readonly #counted = new Tally()
  /** By hour, the oldest first: what was counted and is not stored. */
  #unsaved = new Map<number, Tally>()
  /** What is stored of days to which nobody adds any more, in the order in which they were read. */
  readonly #days = new Map<number, readonly Sum[]>()
  /** What is being added to the store, or was when that failed. */
  #underWay: { readonly id: string; readonly at: number; readonly routes: readonly RouteEvidence[] } | null = null
  /** Ids of samples that are not stored. */
  #unsavedSamples = new Set<string>()
  /** Those that are stored, and were dropped here. */
  #droppedSamples: Sample[] = []
  #routes: readonly Route[] = []
  readonly #followed = new Map<string, Followed>()
  /** By route: when it began anew, epoch milliseconds. */
  readonly #begunAnew = new Map<string, number>()
  /** Routes whose evidence is to be removed from the store. */
  readonly #forgotten = new Set<string>()
  /** Routes whose samples are to be removed from the store. */
  readonly #forgottenSamples = new Set<string>()

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    super('evidence is', now, HOUR_MS)
  }

  /** These routes are in the table in force. */
  follow(routes: readonly Route[]): void {
    allOf(this.followSteps(routes))
  }

  /** As `follow`, a route at a time. */
  *followSteps(routes: readonly Route[]): Steps<void> {
    const changed = replaced(this.#routes, routes)
    this.#routes = routes
    for (const route of changed.come) {
      const { id, shadow } = route
      const before = this.#followed.get(id)?.basis ?? null
      // Most routes of a large table have no evidence.
      const basis = before === null && shadow === null ? null : basisOf(route, before)
      this.#followed.set(id, { route, basis, ignores: ignoring(shadow?.compare ?? NOTHING_IGNORED) })
      if (before !== null && basis !== null) this.#judge(id, before, basis)
      yield
    }
    for (const id of goneIds(changed)) {
      this.#followed.delete(id)
      this.#begunAnew.delete(id)
      this.#forget(id)
      yield
    }
  }

  /** Adds what a plane has counted, of routes that the table still has. */
  add({ routes, samples }: EvidenceDelta): void {
    const delta = {
      routes: routes.filter(({ route, sinceMs }) => this.#isCurrent(route, sinceMs)),
      samples: samples.filter(({ route, atMs }) => this.#isCurrent(route, atMs)),
    }
    if (delta.routes.length === 0 && delta.samples.length === 0) return
    for (const { id } of delta.samples) this.#unsavedSamples.add(id)
    this.#dropped(this.#known.add(delta))
    this.#counted.add({ routes: delta.routes, samples: [] })
    this.#addUnsaved(hourOf(this.now()), delta.routes)
  }

  /** Without the paths that are ignored by now. */
  of(route: string): RouteEvidence | null {
    return this.#shown(this.#known.get(route))
  }

  /** What was counted of a route since a time; whole hours count. @param sinceMs epoch milliseconds */
  async since(route: string, sinceMs: number): Promise<RouteEvidence | null> {
    const hour = hourOf(sinceMs)
    const tally = new Tally()
    await this.ready()
    const store = this.stored
    if (store !== null) {
      const [sums, records, samples] = await Promise.all([
        store.totals(COUNTS.space, { sinceHour: hour, group: route }),
        store.list(COUNTS.space),
        store.list(SAMPLES.space),
      ]).catch((error: Error) => {
        this.failed(error)
        return [[], [], []]
      })
      const ofRoute = samples.filter(({ group }) => group === route)
      tally.add(readEvidence(sums, records, ofRoute).delta)
    } else if (this.#underWay !== null && this.#underWay.at >= hour) tally.add({ ...this.#underWay, samples: [] })
    for (const [at, counted] of this.#unsaved) if (at >= hour) tally.add({ routes: [...counted.all()], samples: [] })
    tally.add({ routes: [], samples: this.#known.samplesOf(route).reverse() })
    return this.#shown(tally.get(route))
  }

  /** What was counted of each route since the start of the process. */
  counted(): readonly RouteEvidence[] {
    return [...this.#counted.all()]
  }

  /** The newest first. */
  samplesOf(route: string): readonly Sample[] {
    return this.#known.samplesOf(route)
  }

  /** Also one that another instance has stored since this one read the store. */
  async sample(id: string): Promise<Sample | null> {
    const known = this.#known.sample(id)
    if (known !== null || this.stored === null) return known
    const records = await this.stored.list(SAMPLES.space).catch((error: Error) => {
      this.failed(error)
      return []
    })
    const found = records.filter(({ key }) => key === id)
    return readEvidence([], [], found).delta.samples.find(({ route }) => this.#followed.has(route)) ?? null
  }

  /** Stores what is not stored yet, if there is anything. */
  override tick(): Promise<void> {
    const forgotten = this.#forgotten.size + this.#forgottenSamples.size
    const samples = this.#unsavedSamples.size + this.#droppedSamples.length
    const isSaved = this.#unsaved.size === 0 && this.#underWay === null && samples === 0 && forgotten === 0
    return isSaved ? Promise.resolve() : this.save()
  }

  protected async write(store: StateStore): Promise<void> {
    await this.#addUnderWay(store)
    await forgetIn(store, COUNTS.space, this.#forgotten)
    await forgetIn(store, SAMPLES.space, this.#forgottenSamples)
    for (const [at, tally] of [...this.#unsaved]) {
      this.#unsaved.delete(at)
      this.#underWay = { id: randomUUID(), at, routes: [...tally.all()] }
      await this.#addUnderWay(store)
    }
    await this.#writeSamples(store)
  }

  /** What is stored of samples becomes what is known of them. */
  async #writeSamples(store: StateStore): Promise<void> {
    const [unsaved, dropped] = [this.#unsavedSamples, this.#droppedSamples]
    const samples = this.#known.samples().filter(({ id }) => unsaved.has(id))
    if (samples.length + dropped.length === 0) return
    this.#unsavedSamples = new Set()
    this.#droppedSamples = []
    const changed = [
      ...dropped.map((sample) => ({ ...recordOfSample(sample), value: null })),
      ...samples.map(recordOfSample),
    ]
    try {
      await store.add(SAMPLES.space, [], changed, SAMPLES.bounds)
    } catch (error) {
      for (const { id } of samples) if (this.#known.sample(id) !== null) this.#unsavedSamples.add(id)
      this.#droppedSamples.push(...dropped)
      throw error
    }
  }

  #dropped(samples: readonly Sample[]): void {
    for (const sample of samples) {
      if (!this.#unsavedSamples.delete(sample.id) && this.hasStore) this.#droppedSamples.push(sample)
    }
  }

  /**
   * What is stored. Days to which nobody adds any more are kept here: in a cluster all others are read twice a minute. One that
   * was not read for longest is, too, since what is stored may be lost.
   */
  async #sumsIn(store: StateStore): Promise<readonly Sum[]> {
    const hour = hourOf(this.now())
    const sinceHour = hour - COUNTS.bounds.hours
    const [first, end] = [sinceHour, hour - MAX_UNSAVED_HOURS].map((at) => Math.floor(at / DAY_HOURS)) as [
      number,
      number,
    ]
    for (const day of this.#days.keys()) if (day < first || day >= end) this.#days.delete(day)
    if (this.#days.size === end - first) this.#days.delete(this.#days.keys().next().value ?? first)
    for (let day = first; day < end; day++) {
      if (this.#days.has(day)) continue
      const terms = { sinceHour: Math.max(day * DAY_HOURS, sinceHour), untilHour: (day + 1) * DAY_HOURS }
      const sums = await store.totals(COUNTS.space, terms)
      this.#days.set(
        day,
        sums.filter(({ group }) => !this.#forgotten.has(group)),
      )
    }
    const newest = await store.totals(COUNTS.space, { sinceHour: end * DAY_HOURS })
    const days = [...this.#days].sort(([one], [other]) => one - other)
    return [...days.flatMap(([, sums]) => sums), ...newest]
  }

  /** Adds what was being added once more: the store may have it, and counts it once. */
  async #addUnderWay(store: StateStore): Promise<void> {
    if (this.#underWay === null) return
    const { id, at, routes } = this.#underWay
    const records = recordsOf(routes, this.#known, (route) => this.#followed.get(route)?.basis ?? null)
    await store.add(COUNTS.space, sumsOf(routes, at), records, COUNTS.bounds, id)
    this.#underWay = null
  }

  protected async load(store: StateStore): Promise<void> {
    await this.#addUnderWay(store)
    const [sums, records, samples] = await Promise.all([
      this.#sumsIn(store),
      store.list(COUNTS.space),
      store.list(SAMPLES.space),
    ])
    const stored = readEvidence(sums, records, samples)
    const groups = new Set([...sums, ...records, ...samples].map(({ group }) => group))
    for (const route of groups) this.#judgeStored(route, stored.bases.get(route) ?? null)
    const known = new Tally()
    known.add({ routes: stored.delta.routes.filter(({ route }) => !this.#forgotten.has(route)), samples: [] })
    for (const tally of this.#unsaved.values()) known.add({ routes: [...tally.all()], samples: [] })
    const kept = stored.delta.samples.filter(({ route }) => !this.#forgottenSamples.has(route))
    const unsaved = this.#known.samples().filter(({ id }) => this.#unsavedSamples.has(id))
    const dropped = known.add({ routes: [], samples: [...kept, ...unsaved] })
    this.#known = known
    this.#dropped(dropped)
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

  /** Whether what a plane has counted since a time is of the route as it is now: it tells once a second. */
  #isCurrent(route: string, sinceMs: number): boolean {
    const begunMs = this.#begunAnew.get(route)
    // A clock that was set back is waited for by nobody.
    return this.#followed.has(route) && (begunMs === undefined || sinceMs >= begunMs || begunMs > this.now())
  }

  #shown(known: RouteEvidence | null): RouteEvidence | null {
    const ignores = known === null ? undefined : this.#followed.get(known.route)?.ignores
    if (known === null || ignores === undefined) return known
    const paths = known.paths.filter(({ path }) => !ignores(path))
    if (paths.length === known.paths.length) return known
    // Each comparison that is different is counted at a field that is left, or was blind: those beyond them differed at ignored fields alone.
    const different = known.comparisons - known.matches
    const left = paths.reduce((sum, { count }) => sum + count, known.morePaths)
    const still = Math.min(different, Math.max(left, known.blind))
    return { ...known, paths, matches: known.comparisons - still }
  }

  /** Compares what is stored of a route with the table. */
  #judgeStored(id: string, stored: Basis | null): void {
    const followed = this.#followed.get(id)
    if (stored === null || followed === undefined) {
      this.#forgetCounts(id)
      this.#forgottenSamples.add(id)
      return
    }
    const { route, ignores } = followed
    const basis = basisOf(route, followed.basis ?? stored)
    this.#followed.set(id, { route, basis, ignores })
    if (!stillHolds(stored, basis)) this.#forgetCounts(id)
    if (!stillHolds(stored, basis) || showsTooMuch(stored, basis)) this.#forgottenSamples.add(id)
  }

  #judge(id: string, before: Basis, now: Basis): void {
    if (!stillHolds(before, now)) {
      this.#begunAnew.set(id, this.now())
      this.#forget(id)
    } else if (showsTooMuch(before, now)) this.#forgetSamples(id)
  }

  #forget(route: string): void {
    this.#forgetSamples(route)
    this.#known.forget(route)
    this.#counted.forget(route)
    for (const tally of this.#unsaved.values()) tally.forget(route)
    if (this.hasStore) this.#forgetCounts(route)
  }

  /** Of the store. */
  #forgetCounts(route: string): void {
    this.#forgotten.add(route)
    for (const [day, sums] of this.#days) {
      this.#days.set(
        day,
        sums.filter(({ group }) => group !== route),
      )
    }
  }

  #forgetSamples(route: string): void {
    for (const { id } of this.#known.samplesOf(route)) this.#unsavedSamples.delete(id)
    this.#known.forgetSamples(route)
    if (this.hasStore) this.#forgottenSamples.add(route)
  }
}

/** Removes what a space has of some routes. */
async function forgetIn(store: StateStore, space: string, routes: Set<string>): Promise<void> {
  for (const route of routes) {
    routes.delete(route)
    try {
      await store.forget(space, route)
    } catch (error) {
      routes.add(route)
      throw error
    }
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
