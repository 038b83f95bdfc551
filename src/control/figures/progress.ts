/**
 * How far the migration is: of requests and of endpoints, what is on new services, now and over the last weeks.
 */

import { z } from 'zod'
import type { Route } from '../../rules/table/table.ts'
import { goneIds, replaced } from '../../rules/values/replaced.ts'
import { allOf, type Steps } from '../../rules/values/steps.ts'
import { Callers, type CallersDelta } from '../../state/discovery/callers.ts'
import type { RouteCallers } from '../../state/discovery/usage-tally.ts'
import type { MeasuredDelta } from '../../state/figures/measurements.ts'
import {
  HOUR_MS,
  hourOf,
  type NewRecord,
  type SpaceBounds,
  type StateStore,
  type Sum,
} from '../../state/store/store.ts'
import { inTurns } from '../turns.ts'
import { type Answered, addAnswered, answeredIn, noneAnswered, RouteDays } from './route-days.ts'
import { DAY_MS, dayOf, Stored } from './stored.ts'

/** Days of single routes that are known. */
export const ROUTE_DAYS = 35

const WEEKS = 26
/** The whole by day, and single routes. */
const DAYS = { space: 'progress', bounds: { hours: WEEKS * 7 * 24 } satisfies SpaceBounds } as const
/** The whole by hour. */
const HOURS = { space: 'progress-hours', bounds: { hours: 8 * 7 * 24 } satisfies SpaceBounds } as const
/** Records of routes; they are as old as the routes. */
const ROUTES = { space: 'progress-routes', state: 'state', callers: 'callers' } as const

/** Records of routes that are written at once. */
const BATCH = 500

const WHOLE = 'whole'
const ENDPOINTS = 'endpoints'
/** Key of requests without a route: no route has an empty id. */
const UNCLAIMED = ''

/** Hours that are in memory. */
const UNSAVED_HOURS = 7 * 24

/** A caller that was not seen for so long is forgotten. */
const CALLER_DAYS = 90

/** How far the endpoints are. */
export interface EndpointCount {
  /** Paths of routes with everybody on `to`. */
  moved: number
  /** With a part of the requests on `to`. */
  moving: number
  /** With nobody on `to`. */
  waiting: number
  /** Ended for everybody. */
  ended: number
  /** Endpoints without a route. */
  unclaimed: number
}

/** Since when a route is where it is. */
export interface RouteStanding {
  /** `all`, or its percent. */
  readonly at: string
  /** Epoch milliseconds. */
  readonly sinceMs: number
}

interface Standing extends RouteStanding {
  /** Since the start of the process; the store may know better. */
  readonly isFirst: boolean
}

/** One step of the history. */
export interface ProgressStep {
  /** Begin, epoch milliseconds. */
  readonly atMs: number
  readonly answered: Answered
  /** Null where it is not known. */
  readonly endpoints: EndpointCount | null
}

const standingRecord = z.object({ at: z.string().max(20), sinceMs: z.number() })
const callersRecord = z.object({
  callers: z
    .array(
      z.object({ agent: z.string().max(100), network: z.string().max(100), requests: z.number(), lastMs: z.number() }),
    )
    .max(100),
  more: z.number(),
})
const size = z.int().min(0)
const endpointsRecord = z.object({ moved: size, moving: size, waiting: size, ended: size, unclaimed: size })

/** Progress of all data planes. With a store it is kept for weeks. */
export class Progress extends Stored {
  #days = new RouteDays(ROUTE_DAYS)
  readonly #unsaved = new RouteDays(ROUTE_DAYS)
  readonly #unsavedHours = new Map<number, Answered>()
  readonly #routes = new Map<string, Standing>()
  #followed: readonly Pick<Route, 'id' | 'percent' | 'movesAll'>[] = []
  /** Routes whose standing is not stored. */
  readonly #changed = new Set<string>()
  readonly #gone = new Set<string>()
  readonly #late = new Map<string, Callers>()
  readonly #freshLate = new Set<string>()
  readonly #count: () => EndpointCount

  /** @param count of the endpoints, as they stand @param now epoch milliseconds */
  constructor(count: () => EndpointCount, now: () => number = Date.now) {
    super('figures of the progress are', now)
    this.#count = count
  }

  /** Adds what a plane has counted. */
  add(measured: Pick<MeasuredDelta, 'routes'>, late: readonly RouteCallers[]): void {
    const nowMs = this.now()
    const day = dayOf(nowMs)
    for (const [route, answered] of answeredIn(measured)) {
      this.#days.add(day, route, answered)
      this.#unsaved.add(day, route, answered)
      addAnswered(this.#hour(hourOf(nowMs)), answered)
    }
    for (const { route, ...callers } of late) {
      if (!this.#routes.has(route)) continue
      const known = this.#late.get(route) ?? new Callers()
      known.add(callers)
      this.#late.set(route, known)
      this.#freshLate.add(route)
    }
  }

  /** These routes are in the table in force. */
  follow(routes: readonly Pick<Route, 'id' | 'percent' | 'movesAll'>[]): void {
    allOf(this.followSteps(routes))
  }

  /** As `follow`, a route at a time. */
  *followSteps(routes: readonly Pick<Route, 'id' | 'percent' | 'movesAll'>[]): Steps<void> {
    const nowMs = this.now()
    const changed = replaced(this.#followed, routes)
    this.#followed = routes
    for (const { id, percent, movesAll } of changed.come) {
      yield
      const at = movesAll ? 'all' : String(percent)
      const known = this.#routes.get(id)
      if (known?.at === at) continue
      this.#routes.set(id, { at, sinceMs: nowMs, isFirst: known === undefined && !this.isLoaded })
      this.#changed.add(id)
      this.#gone.delete(id)
    }
    for (const id of goneIds(changed)) {
      this.#routes.delete(id)
      this.#changed.delete(id)
      this.#late.delete(id)
      this.#gone.add(id)
      yield
    }
  }

  /** Since when a route is where it is. */
  standing(route: string): RouteStanding | null {
    return this.#routes.get(route) ?? null
  }

  /** Who has still used the old side of a route that has moved, or an endpoint that has ended. */
  lateCallers(route: string): CallersDelta {
    return this.#late.get(route)?.all() ?? { callers: [], more: 0 }
  }

  /** The sums of the last days by route, today included; at most `ROUTE_DAYS`. Null stands for requests without a route. */
  lastDays(days: number): Map<string | null, Answered> {
    return this.#days.since(dayOf(this.now()) - days + 1)
  }

  /** How far the endpoints are. */
  get endpoints(): EndpointCount {
    return this.#count()
  }

  /** The history of the whole, the oldest first. @param by its steps */
  async history(by: 'hour' | 'day' | 'week'): Promise<ProgressStep[]> {
    await this.save()
    const store = this.stored
    const found = new Map<number, { answered: Answered; endpoints: EndpointCount | null }>()
    const stepOf = (ms: number): number =>
      by === 'hour' ? hourOf(ms) * HOUR_MS : by === 'day' ? dayOf(ms) * DAY_MS : mondayOf(ms)
    const at = (ms: number) => {
      const step = stepOf(ms)
      const known = found.get(step) ?? { answered: noneAnswered(), endpoints: null }
      found.set(step, known)
      return known
    }
    if (store === null) this.#fromMemory(by, at)
    else {
      try {
        const { space } = by === 'hour' ? HOURS : DAYS
        for (const { hour, counts } of await store.sums(space, 0, WHOLE))
          addAnswered(at(hour * HOUR_MS).answered, counts)
        if (by !== 'hour')
          for (const { group, key, value } of await store.list(DAYS.space)) {
            const read = group === ENDPOINTS && /^\d{1,6}$/.test(key) ? parsed(endpointsRecord, value) : null
            // Of a week its last day counts.
            if (read !== null) at(Number(key) * DAY_MS).endpoints = read
          }
      } catch {
        found.clear()
        this.#fromMemory(by, at)
      }
    }
    at(this.now()).endpoints = by === 'hour' ? null : this.endpoints
    return [...found].sort(([a], [b]) => a - b).map(([atMs, step]) => ({ atMs, ...step }))
  }

  #fromMemory(by: 'hour' | 'day' | 'week', at: (ms: number) => { answered: Answered }): void {
    if (by === 'hour') {
      for (const [hour, answered] of this.#unsavedHours) addAnswered(at(hour * HOUR_MS).answered, answered)
      return
    }
    const today = dayOf(this.now())
    for (let day = today - ROUTE_DAYS + 1; day <= today; day++)
      for (const answered of this.#days.day(day).values()) addAnswered(at(day * DAY_MS).answered, answered)
  }

  protected async load(store: StateStore): Promise<void> {
    const days = new RouteDays(ROUTE_DAYS)
    const today = dayOf(this.now())
    // A day at a time: an answer of the store is read in one piece.
    for (let day = today - ROUTE_DAYS + 1; day <= today; day++) {
      await inTurns(daySteps(days, day, await store.sums(DAYS.space, day * 24, groupOf(day))))
    }
    for (const { group, key, value } of await store.list(ROUTES.space)) {
      const known = this.#routes.get(group)
      if (known === undefined) {
        this.#gone.add(group)
        continue
      }
      const standing = key === ROUTES.state ? parsed(standingRecord, value) : null
      if (standing !== null && known.isFirst && standing.at === known.at) {
        this.#routes.set(group, { ...standing, isFirst: false })
        this.#changed.delete(group)
      }
      const late = key === ROUTES.callers ? parsed(callersRecord, value) : null
      if (late === null) continue
      const callers = new Callers()
      const oldest = this.now() - CALLER_DAYS * DAY_MS
      callers.add({ ...late, callers: late.callers.filter(({ lastMs }) => lastMs >= oldest) })
      // What was stored has what was known then; what is newer is told again.
      const counted = this.#freshLate.has(group) ? this.#late.get(group) : undefined
      if (counted !== undefined && !this.isLoaded) callers.add(counted.all())
      this.#late.set(group, callers)
    }
    for (const [day, routes] of this.#unsaved.all())
      for (const [route, answered] of routes) days.add(day, route, answered)
    this.#days = days
  }

  protected async write(store: StateStore): Promise<void> {
    for (const [day, routes] of this.#unsaved.all()) {
      this.#unsaved.take(day)
      const sums: Sum[] = []
      const whole = noneAnswered()
      for (const [route, answered] of routes) {
        sums.push({ group: groupOf(day), key: route ?? UNCLAIMED, hour: day * 24, counts: countsOf(answered) })
        addAnswered(whole, answered)
      }
      sums.push({ group: WHOLE, key: '', hour: day * 24, counts: countsOf(whole) })
      await store.add(DAYS.space, sums, [], DAYS.bounds).catch((error: unknown) => {
        for (const [route, answered] of routes) this.#unsaved.add(day, route, answered)
        throw error
      })
    }
    const today = String(dayOf(this.now()))
    await store.add(
      DAYS.space,
      [],
      [{ group: ENDPOINTS, key: today, value: JSON.stringify(this.endpoints) }],
      DAYS.bounds,
    )
    for (const [hour, answered] of this.#unsavedHours) {
      this.#unsavedHours.delete(hour)
      const sum = { group: WHOLE, key: '', hour, counts: countsOf(answered) }
      await store.add(HOURS.space, [sum], [], HOURS.bounds).catch((error: unknown) => {
        addAnswered(this.#hour(hour), answered)
        throw error
      })
    }
    await this.#writeRoutes(store)
  }

  /** What is not stored of an hour. Without a store the last week of it is kept. */
  #hour(hour: number): Answered {
    let sum = this.#unsavedHours.get(hour)
    if (sum === undefined) {
      sum = noneAnswered()
      this.#unsavedHours.set(hour, sum)
      for (const known of this.#unsavedHours.keys()) if (known <= hour - UNSAVED_HOURS) this.#unsavedHours.delete(known)
    }
    return sum
  }

  async #writeRoutes(store: StateStore): Promise<void> {
    await this.#writeOf(store, this.#changed, (route) => {
      const standing = this.#routes.get(route)
      if (standing === undefined) return null
      const { at, sinceMs } = standing
      return { group: route, key: ROUTES.state, value: JSON.stringify({ at, sinceMs }) }
    })
    await this.#writeOf(store, this.#freshLate, (route) => {
      const late = this.#late.get(route)
      return late === undefined ? null : { group: route, key: ROUTES.callers, value: JSON.stringify(late.all()) }
    })
    for (const route of [...this.#gone]) {
      await store.forget(ROUTES.space, route)
      this.#gone.delete(route)
    }
  }

  /** Many at once: the first time it is all routes of a table. */
  async #writeOf(store: StateStore, open: Set<string>, recordOf: (route: string) => NewRecord | null): Promise<void> {
    const routes = [...open]
    for (let at = 0; at < routes.length; at += BATCH) {
      const batch = routes.slice(at, at + BATCH)
      const records = batch.map(recordOf).filter((record) => record !== null)
      for (const route of batch) open.delete(route)
      await store.add(ROUTES.space, [], records).catch((error: unknown) => {
        for (const route of batch) open.add(route)
        throw error
      })
    }
  }
}

function* daySteps(days: RouteDays, day: number, sums: readonly Sum[]): Steps<void> {
  for (const { key, counts } of sums) {
    yield
    days.add(day, key === UNCLAIMED ? null : key, counts)
  }
}

/** Of the week that a time lies in, epoch milliseconds (UTC). */
function mondayOf(ms: number): number {
  // The epoch began on a Thursday.
  const day = dayOf(ms)
  return (day - ((day + 3) % 7)) * DAY_MS
}

function groupOf(day: number): string {
  return `day ${day}`
}

function countsOf(answered: Answered): Record<string, number> {
  return Object.fromEntries(Object.entries(answered).filter(([, count]) => count > 0))
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
