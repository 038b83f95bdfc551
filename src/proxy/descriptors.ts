/**
 * File descriptors: some are reserved, so that the admin API, the log and the table keep working when clients use up the rest.
 */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'

/** Kept back for everything that is no client's connection, or a quarter where there are few. */
const RESERVE = 64

/** The limit may be raised, or lowered, while the process runs. */
const READ_EVERY_MS = 1_000

/** How often it is told that there are too many connections. */
const TELL_EVERY_MS = 60_000

/** Fewer than this do not last for a burst of connections with their upstreams'. */
const ENOUGH = 4096

/** What a logger must have; pino has. */
export interface WarningLog {
  warn(fields: object, message: string): void
}

/** The descriptors of this process. */
export class Descriptors {
  readonly #log: WarningLog
  #limit: number | null = null
  #readAtMs = Number.NEGATIVE_INFINITY
  #toldAtMs = Number.NEGATIVE_INFINITY
  #closed = 0

  constructor(log: WarningLog) {
    this.#log = log
  }

  /** Warns where the process may have few. Node has raised the limit as far as it is allowed to. */
  checkLimit(): void {
    const limit = descriptorLimit()
    if (limit === null || limit >= ENOUGH) return
    const message = `file descriptor limit is ${limit}: connections beyond it are closed; raise the hard limit (ulimit -Hn, LimitNOFILE=) to ${ENOUGH} or more`
    this.#log.warn({ event: 'descriptors', limit }, message)
  }

  /** Whether a connection may stay: not where it has one of the last descriptors. It is to be closed then, which is counted. */
  mayKeep(socket: Socket): boolean {
    // The system gives the lowest number that is free. Where there is no such thing, clients get all there is.
    const { fd } = (socket as Socket & { _handle?: { fd?: number } | null })._handle ?? {}
    const limit = this.#limitNow()
    if (fd === undefined || limit === null || fd < limit - Math.min(RESERVE, limit >> 2)) return true
    this.lost(1, `the limit is ${limit}`)
    return false
  }

  /** Counts connections that were closed or could not be accepted, and tells of them once a minute. */
  lost(count: number, why: string): void {
    this.#closed += count
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    const message = `out of file descriptors (${why}): closed ${this.#closed} client connections since the last message`
    this.#log.warn({ event: 'descriptors', closed: this.#closed }, message)
    this.#toldAtMs = nowMs
    this.#closed = 0
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

/** The soft limit; null where there is none, or the system does not tell. */
function descriptorLimit(): number | null {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return soft === undefined ? null : Number(soft)
  } catch {
    return null
  }
}
