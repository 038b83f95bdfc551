/**
 * Passive ejection of one server: left out after too many failures in a row, back by a single probe after a pause that grows.
 */
import type { EjectionSettings } from '../table/table.ts'

/**
 * `in`; `out` for the length of its pause; `due`: its probe may begin; `overdue`: for the length of another pause there was none;
 * `probing`: it is under way.
 */
export type EjectionState = 'in' | 'out' | 'due' | 'overdue' | 'probing'

/** Answers that tell of a fault of the server: not those that a client can bring about by its method or version. */
export function isServerFault(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 505
}

/** What is remembered of one server. Times in milliseconds on any clock that only goes on. */
export class Ejection {
  /** In a row, up to now. */
  #failures = 0
  #errors = 0
  #out = false
  #probing = false
  #untilMs = 0
  #pauseMs = 0
  #returnedMs = Number.NEGATIVE_INFINITY
  readonly #counted: { ejections: number }

  /** @param counted where it is counted how often it was left out */
  constructor(counted: { ejections: number } = { ejections: 0 }) {
    this.#counted = counted
  }

  /** How often it was left out. */
  get count(): number {
    return this.#counted.ejections
  }

  get isOut(): boolean {
    return this.#out
  }

  state(nowMs: number): EjectionState {
    if (!this.#out) return 'in'
    if (this.#probing) return 'probing'
    if (nowMs < this.#untilMs) return 'out'
    return nowMs < this.#untilMs + this.#pauseMs ? 'due' : 'overdue'
  }

  /** An exchange begins there that finds out how it is. */
  probe(): void {
    this.#probing = true
  }

  /** The probe ended without an answer that tells anything. */
  probeLost(): void {
    this.#probing = false
  }

  /** The head of an answer came that is no fault of the server's. */
  answered(): void {
    this.#errors = 0
  }

  /** It answered although it was out: it is back. */
  returned(nowMs: number): void {
    this.forget()
    this.#returnedMs = nowMs
  }

  /** An answer came to its end. */
  completed(): void {
    this.#failures = 0
  }

  /**
   * An exchange broke at the server.
   * @returns whether the server is out from now on
   */
  failed(settings: EjectionSettings, nowMs: number): boolean {
    this.#failures++
    return this.#failures >= settings.failures || this.#probing ? this.#eject(settings, nowMs) : false
  }

  /**
   * An answer came that tells of a fault of the server's. For such answers alone the last server is never left out: it does
   * answer, which the others may not; where it was out it is back, if only for the worse.
   * @param isLast no other server is up
   * @returns whether the server is out from now on
   */
  erred(settings: EjectionSettings, nowMs: number, isLast: boolean): boolean {
    this.#errors++
    if (isLast && this.#out) {
      this.returned(nowMs)
      return false
    }
    return (this.#errors >= settings.errors || this.#probing) && !isLast ? this.#eject(settings, nowMs) : false
  }

  /** Nothing is held against the server any more: somebody else has found it healthy. */
  forget(): void {
    this.#failures = 0
    this.#errors = 0
    this.#out = false
    this.#probing = false
  }

  #eject(settings: EjectionSettings, nowMs: number): boolean {
    // What was begun before it was left out says nothing new about it.
    if (this.#out && !this.#probing) return false
    const again = this.#out || nowMs - this.#returnedMs < this.#pauseMs
    this.#pauseMs = Math.min(again ? this.#pauseMs * 2 : settings.pauseMs, settings.maxPauseMs)
    this.#untilMs = nowMs + this.#pauseMs
    this.#failures = 0
    this.#errors = 0
    this.#out = true
    this.#probing = false
    this.#counted.ejections++
    return true
  }
}
