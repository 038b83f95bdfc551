/**
 * What moves, once a second and at each revision, for whoever watches: the routes at the first line and after each revision, and their
 * figures as they change. All watchers share one look at the figures.
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
  /** The revision that it has the routes of. */
  revision = 0
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
    const { has } = watcher
    const isNew = watcher.revision !== number
    watcher.revision = number
    const routes: string[] = []
    const head: string[] = []
    const tell = (id: string, text: string): void => void routes.push(`${JSON.stringify(id)}:${text}`)
    if (isNew) {
      for (const route of table.routes) {
        head.push(JSON.stringify(rowOf(route)))
        tell(route.id, all.get(route.id) ?? IDLE)
        yield
      }
    } else {
      for (const [id, text] of all) {
        if (has.get(id) !== text) tell(id, text)
        yield
      }
      for (const id of has.keys()) if (!all.has(id)) tell(id, IDLE)
    }
    watcher.has = all
    const at = JSON.stringify(new Date(this.#parts.now()).toISOString())
    const rows = isNew ? `"table":[${head.join(',')}],` : ''
    const known = `"at":${at},"revision":${number},"default":${JSON.stringify(table.default)}`
    return `{${known},${rows}"unclaimed":${unclaimed},"routes":{${routes.join(',')}}}\n`
  }
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
