/**
 * THE life of one exchange, top to bottom:
 *
 *   1 listen -> 2 match -> 3 decide -> 4 cache -> 5 forward -> 6 answer -> 7 observe
 *
 * Every step is one call; every exchange ends in step 7. The decision is made once, from one revision of the table,
 * and the exchange keeps it to its end. Steps 5 to 7 go on in the callbacks of the forwarder: no promise, closure or
 * timer is made for an exchange here, since that would cost more than the steps themselves.
 */
import { decide } from '../rules/decide.ts'
import { matchRoute } from '../rules/match.ts'
import type { LiveTable } from '../state/live-table.ts'
import type { Measurements } from '../state/measurements.ts'
import type { Upstreams } from '../state/upstreams.ts'
import type { ResponseCache } from './cache.ts'
import { Exchange, type Received } from './exchange.ts'
import { Forward, type ForwardParts } from './forward.ts'
import type { Observer } from './observe.ts'

/** What the journey needs of the process. */
export interface JourneyParts {
  readonly live: LiveTable
  readonly upstreams: Upstreams
  readonly measurements: Measurements
  readonly cache: ResponseCache
  readonly observer: Observer
}

/** Takes each request through its seven steps. */
export class Journey {
  readonly #parts: JourneyParts
  readonly #forwardParts: ForwardParts

  constructor(parts: JourneyParts) {
    this.#parts = parts
    this.#forwardParts = {
      upstreams: parts.upstreams,
      over: (exchange) => parts.observer.over(exchange),
      tunnels: (change) => {
        parts.measurements.tunnels += change
      },
    }
  }

  /** @param received what step 1, the listener, has read of the request */
  begin(received: Received): void {
    const { live, cache, observer } = this.#parts
    const revision = live.current
    const matched = matchRoute(revision.table, received.view) //                                  2 match
    const decision = decide(revision.table, matched, received.view, isAvailable) //               3 decide
    const exchange = new Exchange(received, revision, matched, decision)
    observer.begun()
    if (cache.answer(exchange)) {
      //                                                                                          4 cache, 6 answer
      observer.over(exchange) //                                                                  7 observe
      return
    }
    new Forward(this.#forwardParts, exchange, cache.recorder(exchange)).start() //                5 forward, 6, 7
  }
}

/** Every upstream is tried: breakers, which would say no here, are not part of this version. */
function isAvailable(): boolean {
  return true
}
