/**
 * The circuit breakers of all routes, one for each target: each is kept while the route keeps its settings and that target.
 */
import { Breaker } from '../../rules/failures/breaker.ts'
import { isTarget } from '../../rules/routing/targets.ts'
import type { Route, Table, Target } from '../../rules/table/table.ts'
import type { Measurements } from '../figures/measurements.ts'
import type { BreakerStanding } from './figures.ts'

interface Entry {
  readonly route: Route
  readonly target: string
  readonly breaker: Breaker
}

/** Breakers are created on first use: in large tables most routes are idle. */
export class Breakers {
  readonly #measurements: Pick<Measurements, 'upstream'>
  /** The current table; null before it is known. */
  #current: Pick<Table, 'routes' | 'places'> | null = null
  /** By id and target. */
  readonly #byId = new Map<string, Entry>()
  /** The breakers of the routes in use, in the order of their targets. */
  readonly #byRoute = new Map<Route, (Breaker | null)[]>()

  /** @param measurements counts how often they open */
  constructor(measurements: Pick<Measurements, 'upstream'>) {
    this.#measurements = measurements
  }

  /** The breaker of a route for one of its targets, or null if it has none. */
  of(route: Route, target: string): Breaker | null {
    if (route.breaker === null) return null
    const { targets } = route
    for (let at = 0; at < targets.length; at++) {
      if ((targets[at] as Target).upstream === target) {
        return this.#byRoute.get(route)?.[at] ?? this.#take(route, at)
      }
    }
    return null
  }

  /** Drops the breakers of all routes but those of a table. */
  keepOnly(table: Pick<Table, 'routes' | 'places'>): void {
    this.#current = table
    for (const [key, known] of this.#byId) {
      const route = routeOf(table, known.route.id)
      if (route === undefined || !isTarget(route, known.target) || !isSame(known.route, route)) this.#byId.delete(key)
      else this.#byId.set(key, { ...known, route })
    }
    // Exchanges of earlier revisions may still need their breaker: they find it by id.
    this.#byRoute.clear()
  }

  /** Marks the counters of these breakers as used, so that they are kept. */
  touch(nowMs: number): void {
    for (const { route, target } of this.#byId.values())
      this.#measurements.upstream(target).breakers.of(route.id, nowMs)
  }

  /** By upstream: the breakers of routes that have it as a target. */
  standing(nowMs: number): ReadonlyMap<string, readonly BreakerStanding[]> {
    const standing = new Map<string, BreakerStanding[]>()
    for (const { route, target, breaker } of this.#byId.values()) {
      standing.set(target, [...(standing.get(target) ?? []), { route: route.id, state: breaker.word(nowMs) }])
    }
    return standing
  }

  #take(route: Route, at: number): Breaker {
    const target = (route.targets[at] as Target).upstream
    const key = `${route.id}\0${target}`
    const known = this.#byId.get(key)
    const same = known !== undefined && isSame(known.route, route)
    const breaker = same ? known.breaker : this.#make(route, target)
    // A breaker created for an exchange of an earlier revision is used by that exchange only.
    if (this.#current === null || routeOf(this.#current, route.id) === route)
      this.#byId.set(key, { route, target, breaker })
    const breakers = this.#byRoute.get(route) ?? route.targets.map(() => null)
    breakers[at] = breaker
    this.#byRoute.set(route, breakers)
    return breaker
  }

  #make({ id, breaker }: Route, target: string): Breaker {
    return new Breaker(breaker!, this.#measurements.upstream(target).breakers.of(id))
  }
}

function routeOf({ routes, places }: Pick<Table, 'routes' | 'places'>, id: string): Route | undefined {
  return routes[places.get(id) ?? -1]
}

/** Whether two routes have the same settings for their breakers. */
function isSame(a: Route, b: Route): boolean {
  return JSON.stringify(a.breaker) === JSON.stringify(b.breaker)
}
