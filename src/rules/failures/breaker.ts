/**
 * The breaker of one route's `to`: open after too many failures among enough requests, then single probes until it closes.
 */
import type { BreakerSettings } from '../table/table.ts'

export const BREAKER_WORDS = ['closed', 'open', 'half-open'] as const
export type BreakerWord = (typeof BREAKER_WORDS)[number]

/** How an exchange may go on: `probe` finds out for the others; `refuse` must not reach the upstream. */
export type BreakerEntry = 'pass' | 'probe' | 'refuse'

/** The window is looked at in so many steps: what is old falls out a step at a time. */
const STEPS = 10

/** What is remembered of one route's exchanges with its `to`. Times in milliseconds on any clock that only goes on. */
export class Breaker {
  readonly settings: BreakerSettings
  readonly #requests = new Uint32Array(STEPS)
  readonly #failures = new Uint32Array(STEPS)
  #step = 0
  #open = false
  #probing = false
  #untilMs = 0
  #succeeded = 0
  readonly #counted: { opened: number }

  /** @param counted where it is counted how often it opened */
  constructor(settings: BreakerSettings, counted: { opened: number } = { opened: 0 }) {
    this.settings = settings
    this.#counted = counted
  }

  /** How often it opened. */
  get opened(): number {
    return this.#counted.opened
  }

  get isClosed(): boolean {
    return !this.#open
  }

  word(nowMs: number): BreakerWord {
    return !this.#open ? 'closed' : nowMs < this.#untilMs ? 'open' : 'half-open'
  }

  /**
   * Whether an exchange would be let through now. Changes nothing.
   * @param repeatable it may be made again: others are probes only where none such has come for another pause
   */
  admits(repeatable: boolean, nowMs: number): boolean {
    if (!this.#open) return true
    return !this.#probing && nowMs >= (repeatable ? this.#untilMs : this.#untilMs + this.settings.pauseMs)
  }

  /** An exchange is about to go to the upstream. What was let through must `leave` with the word it got. */
  enter(repeatable: boolean, nowMs: number): BreakerEntry {
    if (!this.#open) return 'pass'
    if (!this.admits(repeatable, nowMs)) return 'refuse'
    this.#probing = true
    return 'probe'
  }

  /**
   * An exchange is done with the upstream.
   * @param good null where its end says nothing about the upstream
   */
  leave(entry: BreakerEntry, good: boolean | null, nowMs: number): void {
    if (entry === 'probe') this.#probed(good, nowMs)
    else if (entry === 'pass' && good !== null && !this.#open) this.#count(good, nowMs)
  }

  #probed(good: boolean | null, nowMs: number): void {
    this.#probing = false
    if (good === false) this.#trip(nowMs)
    else if (good && ++this.#succeeded >= this.settings.probes) {
      this.#open = false
      this.#requests.fill(0)
      this.#failures.fill(0)
    }
  }

  #count(good: boolean, nowMs: number): void {
    const { windowMs, minRequests, failureRatio } = this.settings
    const step = Math.floor((nowMs * STEPS) / windowMs)
    for (; this.#step < step; this.#step++) {
      if (step - this.#step > STEPS) this.#step = step - STEPS
      this.#requests[(this.#step + 1) % STEPS] = 0
      this.#failures[(this.#step + 1) % STEPS] = 0
    }
    this.#requests[step % STEPS]!++
    if (good) return
    this.#failures[step % STEPS]!++
    const requests = sum(this.#requests)
    if (requests >= minRequests && sum(this.#failures) >= requests * failureRatio) this.#trip(nowMs)
  }

  #trip(nowMs: number): void {
    this.#open = true
    this.#untilMs = nowMs + this.settings.pauseMs
    this.#succeeded = 0
    this.#counted.opened++
  }
}

function sum(counts: Uint32Array): number {
  let all = 0
  for (let at = 0; at < STEPS; at++) all += counts[at] as number
  return all
}
