/**
 * THE life of one exchange, top to bottom:
 *
 *   1 listen -> 2 match -> 3 decide -> 4 cache -> 5 forward -> 6 answer -> 7 observe
 *
 * Every step is one call; every exchange ends in step 7. The decision is made once, from one revision of the table,
 * and the exchange keeps it to its end. Steps 5 to 7 continue in callbacks of the forwarder, or of the cache if it handles the
 * exchange: no promise, closure or timer is created per exchange here, since that would cost more than the steps.
 */
import { decide } from '../rules/routing/decide.ts'
import { matchRoute } from '../rules/routing/match.ts'
import type { Measurements } from '../state/figures/measurements.ts'
import type { Force } from '../state/force-token.ts'
import type { LiveTable } from '../state/live-table.ts'
import type { Upstreams } from '../state/upstreams/upstreams.ts'
import type { ResponseCache } from './caching/cache.ts'
import { Exchange, type Received } from './exchange.ts'
import type { Observer } from './observe.ts'
import { BothRecorders, type Reference } from './shadow/reference.ts'
import type { Shadows } from './shadow/shadows.ts'
import { Forward, type ForwardParts, type Recorder } from './upstream/forward.ts'

/** Dependencies of the journey. */
export interface JourneyParts {
  readonly live: LiveTable
  readonly upstreams: Upstreams
  readonly measurements: Measurements
  readonly cache: ResponseCache
  readonly observer: Observer
  readonly shadows: Shadows
  /** Checks force tokens; null if they are not enabled. */
  readonly force: Force | null
}

/** Takes each request through its seven steps. */
export class Journey {
  readonly #parts: JourneyParts
  readonly #forwardParts: ForwardParts

  constructor(parts: JourneyParts) {
    this.#parts = parts
    this.#forwardParts = {
      upstreams: parts.upstreams,
      over: (exchange) => this.over(exchange),
      tunnels: (change) => {
        parts.measurements.tunnels += change
      },
    }
  }

  /** @param received the request as read by step 1, the listener */
  begin(received: Received): void {
    const { live, upstreams, cache, observer, force } = this.#parts
    const revision = live.current
    const matched = matchRoute(revision.table, received.view) //                                  2 match
    const forced = force === null ? null : force.upstreamFor(received.view, revision.table, Date.now())
    const { view, request } = received
    const pinned = request.peer.privates === null ? null : request.peer.privates.sideOf(matched.route)
    const decision = decide(revision.table, matched, view, upstreams.isAvailable, forced, pinned) // 3 decide
    const exchange = new Exchange(received, revision, matched, decision)
    observer.begun()
    const reference = this.#draw(exchange)
    if (cache.answer(exchange) === 'taken') return //                                             4 cache, 5, 6, 7
    const recorder = recorderOf(cache.recorder(exchange), reference)
    new Forward(this.#forwardParts, exchange, recorder).start() //                                5 forward, 6, 7
  }

  #draw(exchange: Exchange): Reference | null {
    const { route } = exchange.matched
    if (route === null || route.shadow === null) return null
    return this.#parts.shadows.draw(exchange, route, route.shadow)
  }

  /** Step 7 of an exchange, which is over however it ended. */
  over(exchange: Exchange): void {
    if (exchange.shadow !== null) this.#parts.shadows.over(exchange)
    this.#parts.observer.over(exchange)
  }
}

function recorderOf(recorder: Recorder | null, reference: Reference | null): Recorder | null {
  if (recorder === null || reference === null) return recorder ?? reference
  return new BothRecorders(recorder, reference)
}
