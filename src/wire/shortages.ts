/**
 * What this system can run out of when connections to servers are made: descriptors, ports, memory. That is none of a server's doing.
 */
import type { WireFailure } from './connections.ts'
import { coarseNowMs } from './deadlines.ts'

/** For so long no connection is tried behind one for which something was short: with all ports taken, each try looks at all of them. */
const PAUSE_MS = 100

const CODES: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

const NO_DESCRIPTORS = Object.assign(new Error('no file descriptors left for connections to servers'), {
  code: 'EMFILE',
})

/** Whether this process has a descriptor for one more connection, beside those that are about to take one. */
export type RoomCheck = (coming: number) => boolean

let hasRoom: RoomCheck = () => true

/** @param check by default there always is one */
export function onlyWithRoom(check: RoomCheck): void {
  hasRoom = check
}

/** Connections of this turn of the event loop: node:net opens their descriptors later, so that none of them can be seen yet. */
let coming = 0

function count(): void {
  if (coming++ === 0) setImmediate(forget)
}

function forget(): void {
  coming = 0
}

/** What there is too little of for connections to one server. */
export class Shortages {
  /** A connection has stood. */
  hasStood = false
  #error: Error | null = null
  #untilMs = 0

  /** One more connection is wanted. @returns why it is not tried, or null where it is */
  refusal(): Error | null {
    if (coarseNowMs() < this.#untilMs) return this.#error
    if (!hasRoom(coming)) return NO_DESCRIPTORS
    count()
    return null
  }

  /** A connection did not come about. @returns how that is told */
  unmade(error: NodeJS.ErrnoException | null): WireFailure {
    if (error === null || !this.#isOne(error.code)) return 'connect'
    if (coarseNowMs() >= this.#untilMs) {
      this.#error = error
      this.#untilMs = coarseNowMs() + PAUSE_MS
    }
    return 'overloaded'
  }

  /** Without a port left there is none, and no address either where the system does not speak the server's version of IP. */
  #isOne(code: string | undefined): boolean {
    return CODES.has(code) || (code === 'EADDRNOTAVAIL' && this.hasStood)
  }
}
