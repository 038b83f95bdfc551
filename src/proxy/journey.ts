/**
 * THE life of one exchange, top to bottom:
 *
 *   1 listen -> 2 match -> 3 decide -> 4 cache -> 5 forward -> 6 answer -> 7 observe
 *
 * Every step is one call; every exchange ends in step 7. The decision is made once, from one revision of the table,
 * and the exchange keeps it to its end. Steps 5 to 7 continue in callbacks of the forwarder, or of the cache if it handles the
 * exchange: no promise, closure or timer is created per exchange here, since that would cost more than the steps.
 */
import { isSafeMethod } from '../rules/caching/invalidation.ts'
import type { RequestView } from '../rules/http/exchange.ts'
import { ownValues, takeOwnCookies } from '../rules/http/own-cookies.ts'
import { refusedNow } from '../rules/retirement/retirement.ts'
import { decide } from '../rules/routing/decide.ts'
import { matchRoute } from '../rules/routing/match.ts'
import { drawsKeys } from '../rules/routing/targets.ts'
import { NO_UPSTREAM, type Route, type Table } from '../rules/table/table.ts'
import type { CookieKeySource } from '../state/cookie-key-source.ts'
import { newVisitorId, readVisitor } from '../state/cookie-keys.ts'
import type { Measurements } from '../state/figures/measurements.ts'
import type { Force } from '../state/force-token.ts'
import type { LiveTable } from '../state/live-table.ts'
import type { Pins } from '../state/pins.ts'
import type { Upstreams } from '../state/upstreams/upstreams.ts'
import type { ResponseCache } from './caching/cache.ts'
import { Exchange, type Received } from './exchange.ts'
import type { Observer } from './observe.ts'
import { answerOwn } from './own-answer.ts'
import { ClientFields, namesVisitors } from './own-fields.ts'
import type { Recorder } from './recorder.ts'
import { BothRecorders } from './shadow/reference.ts'
import type { Shadows } from './shadow/shadows.ts'
import type { Tracer } from './tracing/trace.ts'
import { Forward, type ForwardParts } from './upstream/forward.ts'
import { PinRecorder } from './upstream/pin-recorder.ts'

/** Dependencies of the journey. */
export interface JourneyParts {
  readonly live: LiveTable
  readonly upstreams: Upstreams
  readonly measurements: Measurements
  readonly cache: ResponseCache
  readonly observer: Observer
  readonly shadows: Shadows
  /** Null where tracing is off. */
  readonly tracer: Tracer | null
  /** Checks force tokens; null if they are not enabled. */
  readonly force: Force | null
  /** Cookies of links may force, too. */
  readonly forceByLink: boolean
  readonly pins: Pins
  /** The keys of banyan's own cookies. */
  readonly cookieKeys: CookieKeySource
}

const NO_COOKIES: readonly string[] = []

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
    const { live, upstreams, cache, observer, force, pins, tracer } = this.#parts
    const revision = live.current
    const { table } = revision
    let { view } = received
    let own = NO_COOKIES
    if (received.said.ownCookies || namesVisitors(table)) {
      const taken = takeOwnCookies(view.rawHeaders, table.visitor.name)
      own = taken.own
      if (own.length > 0) view = { ...view, rawHeaders: taken.rawHeaders }
    }
    const matched = matchRoute(table, view) //                                                    2 match
    if (matched.route?.keysVisitors === true) view = this.#withVisitor(view, matched.route, table, own)
    const forced = force === null ? null : this.#forced(force, view, own, table)
    const { peer } = received.request
    const pinned = peer.privates === null ? null : peer.privates.sideOf(matched.route)
    const written = pins.sideFor(matched, view)
    const retire = matched.route === null ? null : matched.route.retire
    const nowMs = retire === null ? 0 : Date.now()
    const refused = retire === null ? null : refusedNow(retire, nowMs, view.chance)
    const isRefused = refused !== null
    const decision = decide(table, matched, view, upstreams.isAvailable, forced, pinned, written, isRefused) // 3 decide
    const exchange = new Exchange(received, [view, own], revision, matched, decision)
    if (
      table.addsToAnswers ||
      received.tellsId ||
      forced !== null ||
      (matched.route !== null && (matched.route.answer !== null || retire !== null))
    )
      exchange.answer.own = new ClientFields(exchange, upstreams, this.#parts.cookieKeys.keys)
    if (tracer !== null) exchange.trace = tracer.begin(exchange)
    observer.begun()
    if (decision.upstream === NO_UPSTREAM) {
      answerOwn(exchange, refused, nowMs) //                                                      no 4, 5
      this.over(exchange) //                                                                      7
      return
    }
    exchange.recorder = this.#draw(exchange)
    if (cache.answer(exchange) === 'taken') return //                                             4 cache, 5, 6, 7
    const heard = recorderOf(cache.recorder(exchange), exchange.recorder)
    const recorder = recorderOf(heard, this.#pinRecorder(exchange))
    new Forward(this.#forwardParts, exchange, recorder).start() //                                5 forward, 6, 7
  }

  #pinRecorder(exchange: Exchange): Recorder | null {
    const { route } = exchange.matched
    if (route === null || route.pinAfterWriteMs === null || isSafeMethod(exchange.view.method)) return null
    return new PinRecorder(this.#parts.pins, exchange, route, route.pinAfterWriteMs)
  }

  #forced(force: Force, view: RequestView, own: readonly string[], table: Table): string | null {
    const nowMs = Date.now()
    const named = force.upstreamFor(view, table, nowMs)
    return named ?? (this.#parts.forceByLink && own.length > 0 ? force.cookieUpstream(own, table, nowMs) : null)
  }

  /** With the id of the visitor: that of the cookie, else a new one where the route draws on it. */
  #withVisitor(view: RequestView, route: Route, table: Table, own: readonly string[]): RequestView {
    const { keys } = this.#parts.cookieKeys
    const read = keys === null || own.length === 0 ? null : readVisitor(keys, ownValues(own, table.visitor.name))
    if (read !== null) return { ...view, visitor: read.text }
    return drawsKeys(route) ? { ...view, visitor: newVisitorId() } : view
  }

  /** What hears the response of an exchange that is copied to its other side. */
  #draw(exchange: Exchange): Recorder | null {
    const { route } = exchange.matched
    if (route === null || route.shadow === null) return null
    return this.#parts.shadows.draw(exchange, route, route.shadow)
  }

  /** Step 7 of an exchange, which is over however it ended. */
  over(exchange: Exchange): void {
    if (exchange.shadow !== null) this.#parts.shadows.over(exchange)
    this.#parts.observer.over(exchange)
    if (exchange.trace !== null) exchange.trace.end()
  }
}

function recorderOf(one: Recorder | null, other: Recorder | null): Recorder | null {
  return one === null || other === null ? (one ?? other) : new BothRecorders(one, other)
}
