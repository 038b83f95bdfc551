/**
 * The time and the secrets of the application: real ones, or, when frozen, functions of the request alone.
 */
import { createHash, randomBytes } from 'node:crypto'

/** Where the application takes time and tokens from; nothing else in it reads a clock. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number
  /** 32 hexadecimal digits; `purpose` and `request` decide them where the clock is frozen, chance where it runs. */
  token(purpose: string, request: string): string
}

/** The machine's clock, with tokens nobody can guess. */
export function runningClock(): Clock {
  return { nowMs: () => Date.now(), token: () => randomBytes(16).toString('hex') }
}

/** A clock that always shows `nowMs`, with tokens computed from the seed and the request. */
export function frozenClock(nowMs: number, seed: number): Clock {
  return {
    nowMs: () => nowMs,
    token: (purpose, request) =>
      createHash('sha256').update(`${seed}\n${purpose}\n${request}`).digest('hex').slice(0, 32),
  }
}

/** The date as an HTTP field value (IMF-fixdate, RFC 9110 section 5.6.7). */
export function httpDate(ms: number): string {
  return new Date(ms).toUTCString()
}

/** The date as the cookies of the nineties wrote it: `Wed, 09-Jun-2027 10:18:14 GMT`. */
export function netscapeDate(ms: number): string {
  return httpDate(ms).replace(/^(\w+, \d+) (\w+) /, '$1-$2-')
}
