/**
 * Requests by the side that has answered them, by day and route. In memory, within bounds.
 */
import { NO_UPSTREAM } from '../../rules/table/table.ts'
import type { MeasuredDelta } from '../../state/figures/measurements.ts'

/** Requests by who has answered them. Forced ones are no part of the others. */
export const ANSWERED = ['to', 'from', 'fallback', 'forced', 'ended'] as const

/**
 * - `to`, `from`: answered by that side of its route; without a route, or as a fallback, the old application has answered: `from`
 * - `fallback`: of those, answered by `from` because `to` had failed or its breaker was open
 * - `forced`: somebody with a force token has chosen `from`
 * - `ended`: answered by banyan itself, since the endpoint has ended
 */
export type Answered = Record<(typeof ANSWERED)[number], number>

/** Routes that are told apart on a day. */
const MAX_ROUTES = 1000
/** All routes beyond those: no route has this id. */
const FURTHER = '*'

export function noneAnswered(): Answered {
  return { to: 0, from: 0, fallback: 0, forced: 0, ended: 0 }
}

export function addAnswered(sum: Answered, more: Readonly<Partial<Answered>>): void {
  for (const who of ANSWERED) sum[who] += more[who] ?? 0
}

/** Of the requests that one of the two sides has answered, what `to` has; null without any. */
export function shareOf({ to, from }: Pick<Answered, 'to' | 'from'>): number | null {
  return to + from === 0 ? null : to / (to + from)
}

/** What planes have counted, by route; null stands for requests without a route. */
export function answeredIn({ routes }: Pick<MeasuredDelta, 'routes'>): Map<string | null, Answered> {
  const found = new Map<string | null, Answered>()
  for (const { routeId, cells } of routes) {
    const sum = found.get(routeId) ?? noneAnswered()
    for (const { labels, counts } of cells) {
      const count = counts.reduce((all, [, some]) => all + some, 0)
      for (const who of whoAnswered(routeId, labels)) sum[who] += count
    }
    if (ANSWERED.some((who) => sum[who] > 0)) found.set(routeId, sum)
  }
  return found
}

type Labels = MeasuredDelta['routes'][number]['cells'][number]['labels']

function whoAnswered(routeId: string | null, { reason, side, upstream }: Labels): readonly (keyof Answered)[] {
  if (upstream === NO_UPSTREAM) return ['ended']
  if (reason === 'forced') return side === 'from' ? ['forced'] : []
  if (routeId === null) return ['from']
  if (reason === 'fallback' || reason === 'unavailable') return ['from', 'fallback']
  return side === 'to' ? ['to'] : side === 'from' ? ['from'] : []
}

/** Counts by day and route. */
export class RouteDays {
  readonly #days = new Map<number, Map<string | null, Answered>>()
  readonly #most: number

  /** @param most days */
  constructor(most: number) {
    this.#most = most
  }

  /** Those of too many routes on a day are counted as one. */
  add(day: number, route: string | null, more: Readonly<Partial<Answered>>): void {
    let routes = this.#days.get(day)
    if (routes === undefined) {
      routes = new Map()
      this.#days.set(day, routes)
      for (const known of this.#days.keys()) if (known <= day - this.#most) this.#days.delete(known)
    }
    const of = route === null || routes.has(route) || routes.size <= MAX_ROUTES ? route : FURTHER
    const sum = routes.get(of) ?? noneAnswered()
    addAnswered(sum, more)
    routes.set(of, sum)
  }

  /** The counts of a day. */
  day(day: number): ReadonlyMap<string | null, Answered> {
    return this.#days.get(day) ?? new Map()
  }

  /** Each day with its counts. */
  all(): [day: number, routes: ReadonlyMap<string | null, Answered>][] {
    return [...this.#days]
  }

  /** Forgets a day. */
  take(day: number): void {
    this.#days.delete(day)
  }

  /** The sums since a day, by route. */
  since(day: number): Map<string | null, Answered> {
    const sums = new Map<string | null, Answered>()
    for (const [of, routes] of this.#days) {
      if (of < day) continue
      for (const [route, answered] of routes) {
        const sum = sums.get(route) ?? noneAnswered()
        addAnswered(sum, answered)
        sums.set(route, sum)
      }
    }
    return sums
  }
}
