/**
 * A circuit breaker: keeps requests from waiting for a Redis that does not answer.
 *
 * - `closed`: lets everything through
 * - `open`: refuses everything until its cool-off time is over
 * - `half-open`: lets one probe through, whose outcome decides
 */
type State =
  | { readonly state: 'closed'; readonly failures: number }
  | { readonly state: 'open'; readonly untilMs: number; readonly coolOffMs: number }
  | { readonly state: 'half-open'; readonly coolOffMs: number }

/** Consecutive failures that open the breaker. */
const FAILURES = 5
const FIRST_COOL_OFF_MS = 500
const LONGEST_COOL_OFF_MS = 10_000

const CLOSED: State = { state: 'closed', failures: 0 }

/** The breaker of one Redis. */
export class Breaker {
  readonly #chance: () => number
  #state: State = CLOSED
  /** How often it has opened. */
  opened = 0

  /** @param chance in [0, 1), for jitter, so that many processes don't probe at the same time */
  constructor(chance: () => number) {
    this.#chance = chance
  }

  get state(): State['state'] {
    return this.#state.state
  }

  /** Whether an operation would be refused now; unlike `admits`, doesn't use up the probe. */
  wouldRefuse(nowMs: number): boolean {
    const now = this.#state
    return now.state === 'half-open' || (now.state === 'open' && nowMs < now.untilMs)
  }

  /** Whether an operation may run now. If so, the caller must report `succeeded` or `failed`. */
  admits(nowMs: number): boolean {
    const now = this.#state
    if (now.state === 'closed') return true
    if (this.wouldRefuse(nowMs)) return false
    this.#state = { state: 'half-open', coolOffMs: now.coolOffMs }
    return true
  }

  succeeded(): void {
    this.#state = CLOSED
  }

  failed(nowMs: number): void {
    const now = this.#state
    if (now.state === 'closed' && now.failures + 1 < FAILURES) {
      this.#state = { state: 'closed', failures: now.failures + 1 }
      return
    }
    // Failures of operations that were in flight when it opened are no news.
    if (now.state === 'open') return
    const coolOffMs = now.state === 'closed' ? FIRST_COOL_OFF_MS : Math.min(now.coolOffMs * 2, LONGEST_COOL_OFF_MS)
    this.opened++
    this.#state = { state: 'open', untilMs: nowMs + coolOffMs * (0.75 + this.#chance() / 2), coolOffMs }
  }
}
