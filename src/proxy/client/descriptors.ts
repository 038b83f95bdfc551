/**
 * File descriptors: some are reserved, so that the admin API, the log and the table keep working when clients use up the rest.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { devNull } from 'node:os'

/** Reserved for everything except client connections; a quarter of the limit if that is less. */
const RESERVE = 64

/** How often the limit is read: it can be changed while the process runs. */
const READ_EVERY_MS = 1_000

/** Maximum frequency of the log message about too many connections. */
const TELL_EVERY_MS = 60_000

/** With a lower limit, a burst of connections may use up all descriptors. */
const ENOUGH = 4096

/** The logger, such as pino. */
export interface WarningLog {
  warn(fields: object, message: string): void
}

/** The file descriptors of this process. */
export class Descriptors {
  readonly #log: WarningLog
  #limit: number | null = null
  #readAtMs = Number.NEGATIVE_INFINITY
  #toldAtMs = Number.NEGATIVE_INFINITY
  #closed = 0

  constructor(log: WarningLog) {
    this.#log = log
  }

  /** Logs a warning if the limit is low. Node has already raised the soft limit to the hard limit. */
  checkLimit(): void {
    const limit = descriptorLimit()
    if (limit === null || limit >= ENOUGH) return
    const message = `file descriptor limit is ${limit}: connections beyond it are closed; raise the hard limit (ulimit -Hn, LimitNOFILE=) to ${ENOUGH} or more`
    this.#log.warn({ event: 'descriptors', limit }, message)
  }

  /** Whether a connection may stay open. If it has one of the reserved descriptors the caller must close it; it is counted. */
  mayKeep(socket: Socket): boolean {
    // The system assigns the lowest free number. Without a descriptor (not on Unix) there is no reserve.
    const { fd } = (socket as Socket & { _handle?: { fd?: number } | null })._handle ?? {}
    if (fd === undefined || this.#isBelowReserve(fd)) return true
    this.lost(1, `the limit is ${this.#limit}`)
    return false
  }

  /**
   * Whether the next connection would get a descriptor that is not reserved. Costs three system calls.
   * @param coming connections that will have taken one by then
   */
  hasRoom(coming = 0): boolean {
    try {
      const fd = openSync(devNull, 'r')
      closeSync(fd)
      return this.#isBelowReserve(fd + coming)
    } catch {
      return false
    }
  }

  /** Counts connections that were closed or could not be accepted, and logs them once a minute. */
  lost(count: number, why: string): void {
    this.#closed += count
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    const message = `out of file descriptors (${why}): closed ${this.#closed} client connections since the last message`
    this.#log.warn({ event: 'descriptors', closed: this.#closed }, message)
    this.#toldAtMs = nowMs
    this.#closed = 0
  }

  #isBelowReserve(fd: number): boolean {
    const limit = this.#limitNow()
    return limit === null || fd < limit - Math.min(RESERVE, limit >> 2)
  }

  #limitNow(): number | null {
    const nowMs = performance.now()
    if (nowMs - this.#readAtMs >= READ_EVERY_MS) {
      this.#limit = descriptorLimit()
      this.#readAtMs = nowMs
    }
    return this.#limit
  }
}

/** The soft limit; null if there is none or it is unknown. */
function descriptorLimit(): number | null {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return soft === undefined ? null : Number(soft)
  } catch {
    return null
  }
}
