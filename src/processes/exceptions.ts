/**
 * The last resort of a serving process: an exception that no callback has kept to itself is logged with its stack, and the
 * process goes on. One fault in one exchange must not end all others.
 */
import type { Logger } from 'pino'
import { onException, tellException } from '../wire/exceptions.ts'

/** Lines with a stack within a minute; those beyond it are counted only. */
const MAX_LINES = 60
const MINUTE_MS = 60_000

/**
 * Has every exception of this process logged from now on, with its stack.
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
