/**
 * Distributes accepted connections to the workers by least connections, which keeps them balanced when a worker is restarted.
 */
import type { Socket } from 'node:net'

/** A receiver of connections. */
export interface Taker {
  /** Its open connections, including those being passed to it. */
  readonly connections: number
  take(socket: Socket): void
}

/** Connections that are held while there is no worker; more than these are closed. */
const MAX_WAITING = 4096

/** Distributes connections. */
export class Spread {
  readonly #takers: Taker[] = []
  readonly #waiting: Socket[] = []
  #closed = false

  add(taker: Taker): void {
    this.#takers.push(taker)
    for (const socket of this.#waiting.splice(0)) this.give(socket)
  }

  /** Gives it no more connections. */
  remove(taker: Taker): void {
    const at = this.#takers.indexOf(taker)
    if (at !== -1) this.#takers.splice(at, 1)
  }

  give(socket: Socket): void {
    const [first, ...others] = this.#takers
    if (first === undefined) this.#wait(socket)
    else {
      const taker = others.reduce((best, one) => (one.connections < best.connections ? one : best), first)
      // Round robin among equals.
      this.remove(taker)
      this.#takers.push(taker)
      taker.take(socket)
    }
  }

  /** Closes the connections that are held, and all that are still passed in. */
  close(): void {
    this.#closed = true
    for (const socket of this.#waiting.splice(0)) socket.destroy()
  }

  #wait(socket: Socket): void {
    if (this.#closed || this.#waiting.length >= MAX_WAITING) socket.destroy()
    else this.#waiting.push(socket)
  }
}
