/**
 * Hears the response to a write of a route with `pinAfterWrite`, and pins the reads of its key to the side that has answered.
 */
import { answeringSide } from '../../rules/routing/decide.ts'
import { firstKey } from '../../rules/routing/targets.ts'
import type { Route } from '../../rules/table/table.ts'
import type { Pins } from '../../state/pins.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Exchange } from '../exchange.ts'
import type { Recorder } from '../recorder.ts'

/** One write. */
export class PinRecorder implements Recorder {
  readonly #pins: Pins
  readonly #exchange: Exchange
  readonly #route: Route
  readonly #forMs: number

  /** @param forMs how long reads stay; milliseconds */
  constructor(pins: Pins, exchange: Exchange, route: Route, forMs: number) {
    this.#pins = pins
    this.#exchange = exchange
    this.#route = route
    this.#forMs = forMs
  }

  head({ status }: ResponseHead): void {
    const { decision, view, matched, startedMs } = this.#exchange
    const side = answeringSide(decision, this.#route)
    if (side === null || status < 200 || status >= 400) return
    const key = firstKey(this.#route, matched.params, view)
    if (key === null) return
    this.#pins.pin(this.#route.salt, key, side, performance.now() - startedMs, this.#forMs)
  }

  body(): void {}
  end(): void {}
  abandon(): void {}
}
