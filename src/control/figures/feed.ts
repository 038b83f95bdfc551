/**
 * What moves, once a second and at each revision, for whoever watches: the routes at the first line, and then those that have changed,
 * and their figures as they change. All watchers share one look at the figures.
 */

import { Readable } from 'node:stream'
import type { LiveFigures, LiveRamp, LiveRow } from '../../answers/live.ts'
import { type Route, routeWith } from '../../rules/table/table.ts'
import type { Steps } from '../../rules/values/steps.ts'
import { Measurements } from '../../state/figures/measurements.ts'
import type { LiveTable, Revision } from '../../state/live-table.ts'
import { inTurns } from '../turns.ts'
import { lastMinute, type RouteWindow } from './live.ts'
import type { Planes } from './planes.ts'

/** What the feed reads. */
export interface FeedParts {
  readonly live: LiveTable
  readonly planes: Planes
  /** The state of each ramp, by route. */
  ramps(): ReadonlyMap<string, LiveRamp>
  /** Epoch milliseconds. */
  now(): number
}

/** The figures of a route without requests. */
const IDLE = JSON.stringify(shortOf(lastMinute(new Measurements(0), null, 0)))

/** How often there is a line. */
const EVERY_MS = 1_000
/** Each of them costs memory for what it has not taken yet. */
export const MAX_WATCHERS = 32

/** A reader of the feed. */
class Watcher extends Readable {
  /** The routes that it has; null before the first line. */
  routes: readonly Route[] | null = null
  /** Whether it may still read. */
  readonly mayRead: () => boolean
  /** It has taken all that was pushed. */
  #isReady = true
  /** What it has of each route that has figures, as JSON. */
  has: ReadonlyMap<string, string> = new Map()

  constructor(mayRead: () => boolean) {
    super()
    this.mayRead = mayRead
  }

  get isReady(): boolean {
    return this.#isReady && !this.destroyed
  }

  override _read(): void {
    this.#isReady = true
  }

  tell(line: string): void {
    this.#isReady = this.push(line)
  }
}

/** Watchers, and the look that they share. */
export class Feed {
  readonly #parts: FeedParts
  readonly #watchers = new Set<Watcher>()
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  /** The table has changed during a look. */
  #isStale = false

  constructor(parts: FeedParts) {
    this.#parts = parts
    // A rollback is seen as it happens.
    parts.live.onApply(() => {
      if (this.#isLooking) this.#isStale = true
      else if (this.#watchers.size > 0) void this.#look()
    })
  }

  /**
   * A stream of JSON objects, one per line (application/x-ndjson), until it is destroyed. A reader that is slower than the lines gets
   * fewer of them, and misses nothing: each line has all that has changed since its last one.
   * @param mayRead asked before each line; the stream ends once it says no
   * @returns null if there are too many already
   */
  watch(mayRead: () => boolean = () => true): Readable | null {
    if (this.#watchers.size >= MAX_WATCHERS) return null
    const watcher = new Watcher(mayRead)
    this.#watchers.add(watcher)
    watcher.once('close', () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    })
    this.#timer ??= setInterval(() => void this.#look(), EVERY_MS).unref()
    void this.#look()
    return watcher
  }

  /** Never rejects: a bug ends the streams, and is logged with them. */
  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    this.#isStale = false
    try {
      const { measurements } = await this.#parts.planes.figures()
      const revision = this.#parts.live.current
      const all = await inTurns(this.#figures(measurements, revision))
      for (const watcher of this.#watchers) {
        if (!watcher.mayRead()) this.#end(watcher)
        else if (watcher.isReady) watcher.tell(await inTurns(this.#lineFor(watcher, revision, all)))
      }
    } catch (error) {
      for (const watcher of this.#watchers) watcher.destroy(error as Error)
    } finally {
      this.#isLooking = false
      if (this.#isStale && this.#watchers.size > 0) void this.#look()
    }
  }

  #end(watcher: Watcher): void {
    this.#watchers.delete(watcher)
    watcher.push(null)
  }

  *#figures(measurements: Measurements, { table }: Revision): Steps<Look> {
    const nowMs = this.#parts.now()
    const unclaimed = JSON.stringify(shortOf(lastMinute(measurements, null, nowMs)))
    // Most routes of a large table have had no request, and look the same.
    const ramps = this.#parts.ramps()
    const routes = new Map<string, string>()
    for (const id of new Set([...ramps.keys(), ...measurements.routeIds()])) {
      yield
      const route = id === null ? null : routeWith(table, id)
      if (route === null) continue
      const short = shortOf(lastMinute(measurements, route, nowMs))
      const ramp = ramps.get(route.id)
      routes.set(route.id, JSON.stringify(ramp === undefined ? short : { ...short, ramp }))
    }
    return { unclaimed, routes }
  }

  *#lineFor(watcher: Watcher, revision: Revision, { unclaimed, routes: all }: Look): Steps<string> {
    const { number, table } = revision
    const { has, routes: had } = watcher
    const changed = had === null ? null : yield* changedSteps(had, table.routes)
    watcher.routes = table.routes
    const routes = new Map<string, string>()
    const tell = (id: string, text: string): void => void routes.set(id, `${JSON.stringify(id)}:${text}`)
    const come = changed === null ? table.routes : changed.flatMap((one) => one.come)
    for (const { id } of come) {
      tell(id, all.get(id) ?? IDLE)
      yield
    }
    if (changed !== null) {
      for (const [id, text] of all) {
        if (has.get(id) !== text) tell(id, text)
        yield
      }
      for (const id of has.keys()) if (!all.has(id) && table.places.has(id)) tell(id, IDLE)
    }
    watcher.has = all
    const at = JSON.stringify(new Date(this.#parts.now()).toISOString())
    const rows = changed === null ? `"table":[${yield* rowsSteps(table.routes)}],` : yield* spliceSteps(changed)
    const known = `"at":${at},"revision":${number},"default":${JSON.stringify(table.default)}`
    return `{${known},${rows}"unclaimed":${unclaimed},"routes":{${[...routes.values()].join(',')}}}\n`
  }
}

/** Routes in the place of some others. */
interface Change {
  readonly at: number
  readonly gone: number
  readonly come: readonly Route[]
}

/** A table of which more than this has changed is sent as a whole. */
const MAX_CHANGED = 1 / 4

/** What has changed between two lists of routes, the last one first; null for much. */
function* changedSteps(before: readonly Route[], after: readonly Route[]): Steps<readonly Change[] | null> {
  const changes: Change[] = []
  if (before.length === after.length) {
    for (let at = after.length - 1; at >= 0; at--) {
      const route = after[at] as Route
      if (before[at] !== route) changes.push({ at, gone: 1, come: [route] })
      if (at % 500 === 0) yield
    }
  } else {
    const shorter = Math.min(before.length, after.length)
    let head = 0
    while (head < shorter && before[head] === after[head]) head++
    let tail = 0
    while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
    changes.push({ at: head, gone: before.length - head - tail, come: after.slice(head, after.length - tail) })
  }
  const come = changes.reduce((sum, one) => sum + one.come.length, 0)
  return come > after.length * MAX_CHANGED ? null : changes
}

function* rowsSteps(routes: readonly Route[]): Steps<string> {
  const rows: string[] = []
  for (const route of routes) {
    rows.push(JSON.stringify(rowOf(route)))
    yield
  }
  return rows.join(',')
}

function* spliceSteps(changes: readonly Change[]): Steps<string> {
  const splices: string[] = []
  for (const { at, gone, come } of changes)
    splices.push(`{"at":${at},"gone":${gone},"come":[${yield* rowsSteps(come)}]}`)
  return splices.length === 0 ? '' : `"changed":[${splices.join(',')}],`
}

/** A look at the figures, which all watchers share. */
interface Look {
  readonly unclaimed: string
  /** Of the routes that have had requests or have a ramp; the others are `IDLE`. */
  readonly routes: ReadonlyMap<string, string>
}

/** What a page needs of a route to draw it. */
function rowOf({ id, from, targets, percent, noKey, ramp, shadow, cache, document }: Route): LiveRow {
  const { path, paths, methods, hosts } = document.match
  return {
    id,
    from,
    to: targets.map(({ upstream }) => upstream),
    percent,
    noKey,
    paths: paths ?? [path ?? '/*'],
    ...(methods === undefined ? {} : { methods }),
    ...(hosts === undefined ? {} : { hosts }),
    ...(document.group === undefined ? {} : { group: document.group }),
    ramps: ramp !== null,
    shadows: shadow !== null,
    caches: cache !== null,
  }
}

function shortOf({
  exchanges,
  perSecond,
  errorRatio,
  fallbacks,
  cacheHitRatio,
  share,
  sides,
}: RouteWindow): LiveFigures {
  return {
    exchanges,
    perSecond,
    errorRatio,
    fallbacks,
    cacheHitRatio,
    actualPercent: share?.actualPercent ?? null,
    noKeyPercent: share?.noKeyPercent ?? null,
    sides: Object.fromEntries(
      Object.entries(sides).map(([name, { exchanges, errorRatio, p50Ms, p95Ms }]) => [
        name,
        { exchanges, errorRatio, p50Ms, p95Ms },
      ]),
    ),
  }
}
