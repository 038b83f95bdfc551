/**
 * The breakers of all routes that have one: each stays while its route keeps its settings and its `to`.
 */
import { Breaker } from '../../rules/failures/breaker.ts'
import type { Route } from '../../rules/table/table.ts'
import type { BreakerFigures } from './figures.ts'

interface Entry {
  readonly route: Route
  readonly breaker: Breaker
}

/** Made when a route is first asked for: of large tables most are not. */
export class Breakers {
  readonly #byId = new Map<string, Entry>()
  readonly #byRoute = new Map<Route, Breaker>()

  /** The breaker of a route, or null where it has none. */
  of(route: Route): Breaker | null {
    return route.breaker === null ? null : (this.#byRoute.get(route) ?? this.#take(route))
  }

  /** Forgets the breakers of routes that are not among these. */
  keepOnly(routes: readonly Route[]): void {
    const ids = new Set(routes.map(({ id }) => id))
    for (const id of this.#byId.keys()) if (!ids.has(id)) this.#byId.delete(id)
    // Exchanges of earlier revisions may still ask: they find their breaker by its id.
    this.#byRoute.clear()
  }

  /** By upstream: of those whose `to` it is. */
  figures(nowMs: number): ReadonlyMap<string, readonly BreakerFigures[]> {
    const figures = new Map<string, BreakerFigures[]>()
    for (const { route, breaker } of this.#byId.values()) {
      const { id, to } = route
      const one = { route: id, state: breaker.word(nowMs), opened: breaker.opened }
      figures.set(to, [...(figures.get(to) ?? []), one])
    }
    return figures
  }

  #take(route: Route): Breaker {
    const known = this.#byId.get(route.id)
    const same = known !== undefined && known.route.to === route.to && isSame(known.route, route)
    const breaker = same ? known.breaker : new Breaker(route.breaker!)
    this.#byId.set(route.id, { route, breaker })
    this.#byRoute.set(route, breaker)
    return breaker
  }
}

function isSame(a: Route, b: Route): boolean {
  return JSON.stringify(a.breaker) === JSON.stringify(b.breaker)
}
