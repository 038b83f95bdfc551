/**
 * Keys for session tickets (RFC 5077, RFC 8446 section 4.6.1): shared by all processes, and rotated, so that a stolen key opens few
 * sessions.
 */
import { randomBytes } from 'node:crypto'

/** The format of node:tls: a name, a MAC key and a cipher key of 16 bytes each. */
const KEY_BYTES = 48

/** A key makes tickets for this long, and opens them for as long again, which is how long a session can be resumed. */
export const ROTATION_MS = 8 * 60 * 60 * 1000

/** The keys of one instance. They are held in memory only. */
export class TicketKeys {
  #current: readonly string[] = [newKey()]
  #timer: NodeJS.Timeout | undefined

  /** The first one makes tickets, all of them open tickets. */
  get current(): readonly string[] {
    return this.#current
  }

  /** Rotates from now on. Does not keep the process alive. */
  start(onChange: () => void): void {
    this.#timer = setInterval(() => {
      this.rotate()
      onChange()
    }, ROTATION_MS).unref()
  }

  rotate(): void {
    this.#current = [newKey(), ...this.#current.slice(0, 1)]
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

function newKey(): string {
  return randomBytes(KEY_BYTES).toString('base64')
}
