/**
 * Flood protection: what an HTTP/2 connection may cost besides its requests and their bodies.
 */
import { CONTROL_BYTES_PER_SECOND, RESET_BURST, RESETS_PER_SECOND } from './limits.ts'

/** For this many bytes sent to it, a client may send one byte of WINDOW_UPDATE. */
const BYTES_PER_UPDATE_BYTE = 64

/** Counts the costs of one connection. Times in milliseconds of a monotonic clock. */
export class Allowance {
  /** Since when control bytes are counted, and how many bytes had been sent by then. */
  #countedSinceMs: number
  #sentThen = 0
  /** Requests that may still be given up. */
  #resets = RESET_BURST
  #resetsAtMs: number

  constructor(nowMs: number) {
    this.#countedSinceMs = nowMs
    this.#resetsAtMs = nowMs
  }

  /**
   * Judges the amount of frames that are neither requests nor their bodies (CVE-2019-9512 to 9518).
   * @param bytes of such frames since the count was last settled
   * @param sent all bytes sent so far
   * @returns whether they are `within` the limit, `over` it, or `settled`: the caller restarts its count
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
   * Counts a request that was given up: its client reset it, made us reset it, or it was refused (CVE-2023-44487, CVE-2025-8671). Each
   * can cost an upstream a connection.
   * @returns false if it is one too many
   */
  giveUp(nowMs: number): boolean {
    const regained = ((nowMs - this.#resetsAtMs) / 1000) * RESETS_PER_SECOND
    this.#resets = Math.min(this.#resets + regained, RESET_BURST) - 1
    this.#resetsAtMs = nowMs
    return this.#resets >= 0
  }
}
