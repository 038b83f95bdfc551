/**
 * File descriptors: some are reserved, so that the admin API, the log and the table keep working when clients use up the rest.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'

/** Reserved for everything except client connections; a quarter of the limit if that is less. */
const RESERVE = 64

/** How often the limit is read, and how long a count is trusted: the limit can change while the process runs. */
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
  /** Descriptors that can be handed out before the next count. */
  #spare = 0
  #lookedAtMs = 0

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
    this.#spare--
    if (fd === undefined || fd < this.#bound()) return true
    this.lost(1, `the limit is ${this.#limit}`)
    return false
  }

  /**
   * Whether the next connection would get a descriptor that is not reserved. Counting costs system calls, so half of the free
   * descriptors seen are handed out before the next count; the other half is for uses that are not tracked here.
   * @param coming connections that are about to take a descriptor
   */
  hasRoom(coming = 0): boolean {
    if (this.#spare > 0 && performance.now() - this.#lookedAtMs < READ_EVERY_MS) {
      this.#spare--
      return true
    }
    const room = this.#bound() - openDescriptors() - coming
    this.#spare = Math.floor(room / 2)
    this.#lookedAtMs = performance.now()
    return room > 0
  }

  /** Counts connections that were closed or could not be accepted, and logs them once a minute. */
  lost(count: number, why: string): void {
    this.#closed += count
    this.#spare = 0
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    const message = `out of file descriptors (${why}): closed ${this.#closed} client connections since the last message`
    this.#log.warn({ event: 'descriptors', closed: this.#closed }, message)
    this.#toldAtMs = nowMs
    this.#closed = 0
  }

  /** The first descriptor that is reserved. */
  #bound(): number {
    const limit = this.#limitNow() ?? Number.POSITIVE_INFINITY
    return limit - Math.min(RESERVE, Math.floor(limit / 4))
  }

  #limitNow(): number | null {
    const nowMs = performance.now()
    if (nowMs - this.#readAtMs >= READ_EVERY_MS) {
      this.#limit = descriptorLimit(this.#limit)
      this.#readAtMs = nowMs
    }
    return this.#limit
  }
}

/** How many descriptors are open; 0 if unknown. The lowest free number doesn't tell, because it can be a gap below others. */
function openDescriptors(): number {
  try {
    // Before Linux 6.2 the size is 0.
    return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EMFILE' ? Number.POSITIVE_INFINITY : 0
  }
}

/**
 * The soft limit; null if there is none or it is unknown.
 * @param before returned if there is no free descriptor to read it with
 */
function descriptorLimit(before: number | null = null): number | null {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return soft === undefined ? null : Number(soft)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EMFILE' ? before : null
  }
}
