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

/** Made when a route is first asked for: of large tables most are not. */
export class Breakers {
  readonly #measurements: Pick<Measurements, 'upstream'>
  /** The routes of the table in force; null before that is known. */
  #current: ReadonlySet<Route> | null = null
  readonly #byId = new Map<string, Entry>()
  readonly #byRoute = new Map<Route, Breaker>()

  /** @param measurements where it is counted how often they open */
  constructor(measurements: Pick<Measurements, 'upstream'>) {
    this.#measurements = measurements
  }

  /** The breaker of a route, or null where it has none. */
  of(route: Route): Breaker | null {
    return route.breaker === null ? null : (this.#byRoute.get(route) ?? this.#take(route))
  }

  /** Forgets the breakers of routes that are not among these. */
  keepOnly(routes: readonly Route[]): void {
    this.#current = new Set(routes)
    const byId = new Map(routes.map((route) => [route.id, route]))
    for (const [id, known] of this.#byId) {
      const route = byId.get(id)
      if (route === undefined || !isSame(known.route, route)) this.#byId.delete(id)
      else this.#byId.set(id, { route, breaker: known.breaker })
    }
    // Exchanges of earlier revisions may still ask: they find their breaker by its id.
    this.#byRoute.clear()
  }

  /** The counters of these breakers are in use: they are not forgotten. */
  touch(nowMs: number): void {
    for (const { route } of this.#byId.values()) this.#measurements.upstream(route.to).breakers.of(route.id, nowMs)
  }

  /** By upstream: of those whose `to` it is. */
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
    // One that an exchange of an earlier revision has asked for is nobody's but that exchange's.
    if (this.#current === null || this.#current.has(route)) this.#byId.set(route.id, { route, breaker })
    this.#byRoute.set(route, breaker)
    return breaker
  }

  #make({ id, to, breaker }: Route): Breaker {
    return new Breaker(breaker!, this.#measurements.upstream(to).breakers.of(id))
  }
}

/** Whether they have one breaker. */
function isSame(a: Route, b: Route): boolean {
  return a.to === b.to && JSON.stringify(a.breaker) === JSON.stringify(b.breaker)
}
