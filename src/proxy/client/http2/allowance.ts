/**
 * What a connection of HTTP/2 may cost beside its requests and their bodies.
 */
import { CONTROL_BYTES_PER_SECOND, RESET_BURST, RESETS_PER_SECOND } from './limits.ts'

/** Behind so many bytes sent, a client sends one that says that it has read them. */
const BYTES_PER_UPDATE_BYTE = 64

/** Counts what one connection costs. Times in milliseconds of a monotonic clock. */
export class Allowance {
  /** Since when control bytes are counted, and what had been sent then. */
  #countedSinceMs: number
  #sentThen = 0
  /** Requests that may still come to nothing. */
  #resets = RESET_BURST
  #resetsAtMs: number

  constructor(nowMs: number) {
    this.#countedSinceMs = nowMs
    this.#resetsAtMs = nowMs
  }

  /**
   * Judges frames that are neither requests nor their bodies (CVE-2019-9512 to 9518).
   * @param bytes that came of them since they were last settled; `sent`: all bytes that were sent
   * @returns whether they are `within` what is allowed, `over` it, or `settled`: to be counted anew
   */
  judge(bytes: number, sent: number, nowMs: number): 'within' | 'over' | 'settled' {
    if (bytes <= CONTROL_BYTES_PER_SECOND) return 'within'
    const seconds = Math.max((nowMs - this.#countedSinceMs) / 1000, 1)
    const updates = (sent - this.#sentThen) / BYTES_PER_UPDATE_BYTE
    if (bytes - updates > CONTROL_BYTES_PER_SECOND * seconds) return 'over'
    if (seconds === 1) return 'within'
    this.#countedSinceMs = nowMs
    this.#sentThen = sent
    return 'settled'
  }

  /**
   * Counts a request that came to nothing: it was reset by its client, its client has made us reset it, or it was refused (CVE-2023-44487,
   * CVE-2025-8671). Each can cost an upstream a connection.
   * @returns false where it is one too many
   */
  giveUp(nowMs: number): boolean {
    const regained = ((nowMs - this.#resetsAtMs) / 1000) * RESETS_PER_SECOND
    this.#resets = Math.min(this.#resets + regained, RESET_BURST) - 1
    this.#resetsAtMs = nowMs
    return this.#resets >= 0
  }
}
