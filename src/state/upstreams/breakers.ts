/**
 * The circuit breakers of all routes: each is kept while the route keeps its settings and its `to`.
 */
import { Breaker } from '../../rules/failures/breaker.ts'
import type { Route } from '../../rules/table/table.ts'
import type { Measurements } from '../figures/measurements.ts'
import type { BreakerStanding } from './figures.ts'

interface Entry {
  readonly route: Route
  readonly breaker: Breaker
}

/** Breakers are created on first use: in large tables most routes are idle. */
export class Breakers {
  readonly #measurements: Pick<Measurements, 'upstream'>
  /** The routes of the current table; null before it is known. */
  #current: ReadonlySet<Route> | null = null
  readonly #byId = new Map<string, Entry>()
  readonly #byRoute = new Map<Route, Breaker>()

  /** @param measurements counts how often they open */
  constructor(measurements: Pick<Measurements, 'upstream'>) {
    this.#measurements = measurements
  }

  /** The breaker of a route, or null if it has none. */
  of(route: Route): Breaker | null {
    return route.breaker === null ? null : (this.#byRoute.get(route) ?? this.#take(route))
  }

  /** Drops the breakers of all other routes. */
  keepOnly(routes: readonly Route[]): void {
    this.#current = new Set(routes)
    const byId = new Map(routes.map((route) => [route.id, route]))
    for (const [id, known] of this.#byId) {
      const route = byId.get(id)
      if (route === undefined || !isSame(known.route, route)) this.#byId.delete(id)
      else this.#byId.set(id, { route, breaker: known.breaker })
    }
    // Exchanges of earlier revisions may still need their breaker: they find it by id.
    this.#byRoute.clear()
  }

  /** Marks the counters of these breakers as used, so that they are kept. */
  touch(nowMs: number): void {
    for (const { route } of this.#byId.values()) this.#measurements.upstream(route.to).breakers.of(route.id, nowMs)
  }

  /** By upstream: the breakers of routes whose `to` it is. */
  standing(nowMs: number): ReadonlyMap<string, readonly BreakerStanding[]> {
    const standing = new Map<string, BreakerStanding[]>()
    for (const { route, breaker } of this.#byId.values()) {
      const { id, to } = route
      standing.set(to, [...(standing.get(to) ?? []), { route: id, state: breaker.word(nowMs) }])
    }
    return standing
  }

  #take(route: Route): Breaker {
    const known = this.#byId.get(route.id)
    const same = known !== undefined && isSame(known.route, route)
    const breaker = same ? known.breaker : this.#make(route)
    // A breaker created for an exchange of an earlier revision is used by that exchange only.
    if (this.#current === null || this.#current.has(route)) this.#byId.set(route.id, { route, breaker })
    this.#byRoute.set(route, breaker)
    return breaker
  }

  #make({ id, to, breaker }: Route): Breaker {
    return new Breaker(breaker!, this.#measurements.upstream(to).breakers.of(id))
  }
}

/** Whether two routes share a breaker. */
function isSame(a: Route, b: Route): boolean {
  return a.to === b.to && JSON.stringify(a.breaker) === JSON.stringify(b.breaker)
}
