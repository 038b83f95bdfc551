/**
 * Local resource shortages when opening connections to servers: file descriptors, ephemeral ports, memory. The server is not to blame.
 */
import type { WireFailure } from './connections.ts'
import { coarseNowMs } from './deadlines.ts'

/** No connection is tried for this long after a shortage: with all ephemeral ports in use, each attempt makes the kernel search all of them. */
const PAUSE_MS = 100

const CODES: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

const NO_DESCRIPTORS = Object.assign(new Error('no file descriptors left for connections to servers'), {
  code: 'EMFILE',
})

/** Whether this process has a file descriptor for one more connection, beside `coming` connections that are about to take theirs. */
export type RoomCheck = (coming: number) => boolean

let hasRoom: RoomCheck = () => true

/** @param check replaces the default, which is always true */
export function onlyWithRoom(check: RoomCheck): void {
  hasRoom = check
}

/** Connections begun in this turn of the event loop: node:net opens their descriptors later, so they don't show in a count yet. */
let coming = 0

function count(): void {
  if (coming++ === 0) setImmediate(forget)
}

function forget(): void {
  coming = 0
}

/** Tracks shortages for connections to one server. */
export class Shortages {
  /** A connection to the server has been open before. */
  hasStood = false
  #error: Error | null = null
  #untilMs = 0

  /** Call before opening a connection. @returns why not to try, or null to go ahead */
  refusal(): Error | null {
    if (coarseNowMs() < this.#untilMs) return this.#error
    if (!hasRoom(coming)) return NO_DESCRIPTORS
    count()
    return null
  }

  /** Call when a connection could not be opened. @returns the failure to report */
  unmade(error: NodeJS.ErrnoException | null): WireFailure {
    if (error === null || !this.#isOne(error.code)) return 'connect'
    if (coarseNowMs() >= this.#untilMs) {
      this.#error = error
      this.#untilMs = coarseNowMs() + PAUSE_MS
    }
    return 'overloaded'
  }

  /** EADDRNOTAVAIL means that no ephemeral port is free; before the first connection it may also mean that this system lacks the IP version. */
  #isOne(code: string | undefined): boolean {
    return CODES.has(code) || (code === 'EADDRNOTAVAIL' && this.hasStood)
  }
}
