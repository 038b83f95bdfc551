/**
 * The last resort of a serving process: uncaught exceptions are logged with their stack, and the process continues. A fault
 * in one request must not end all others.
 */
import type { Logger } from 'pino'
import { onException, tellException } from '../wire/exceptions.ts'

/** Logged stacks per minute; further exceptions are only counted. */
const MAX_LINES = 60
const MINUTE_MS = 60_000

/**
 * Logs all uncaught exceptions of this process from now on, with their stack.
 * @param now a monotonic clock, milliseconds
 */
export function logExceptions(log: Pick<Logger, 'error'>, now: () => number): void {
  let sinceMs = Number.NEGATIVE_INFINITY
  let lines = 0
  onException((error) => {
    const nowMs = now()
    if (nowMs - sinceMs >= MINUTE_MS) {
      sinceMs = nowMs
      lines = 0
    }
    if (lines++ >= MAX_LINES) return
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    log.error({ event: 'exception', stack }, 'uncaught exception: one request or message failed')
  })
  process.on('uncaughtException', tellException)
  process.on('unhandledRejection', tellException)
}
