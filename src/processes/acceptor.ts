/**
 * Accepts connections in a worker, from the listening sockets that it shares with the other workers. While it has more
 * connections than another one it pauses: whoever has the fewest is left to accept.
 *
 * A paused worker has closed its descriptors of the sockets, as node has no other way to stop; the primary sends it others.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { acceptWaiting, type ListenPlace } from '../proxy/client/listen-at.ts'
import type { PublicServer } from '../proxy/client/listener.ts'
import { FIRST_TURN, type Shares } from './shares.ts'

/**
 * A pause costs as much as some ten connections, so pauses are limited: this many at once, and this many more per second. Each
 * connection that closes takes some away: where connections are short, the numbers even out by themselves.
 */
const MAX_PAUSES = 64
const PAUSES_PER_SECOND = 10
const PAUSES_PER_CLOSE = 8

/** Without any left, a pause needs this many more connections than the other, and this share of the other's, at most so often. */
const CLEARLY_AHEAD = 8
const CLEARLY_AHEAD_SHARE = 1 / 8
const CLEARLY_AHEAD_MS = 100

/** Without a pause left there is no hurry to compare. */
const LAZY_MS = 10

/** A worker that was out of descriptors looks this often whether there are some: others than its connections use them, and the limit changes. */
const FULL_LOOK_MS = 1000

/** The listening socket: a handle of node:net. */
export interface ListeningHandle {
  close(): void
}

/** Dependencies of an acceptor. */
export interface AcceptorParts {
  readonly shares: Shares
  /** The record of this worker. */
  readonly record: number
  readonly server: Pick<PublicServer, 'take' | 'connections'>
  /** Where clients are accepted: a listening socket for each. */
  readonly places: readonly ListenPlace[]
  /** Length of the accept queue. */
  readonly backlog: number
  /** Whether there is a file descriptor for another connection. */
  hasDescriptors(): boolean
  /** Some worker, maybe this one, is to accept again: the primary sends it the socket. */
  onDue(): void
  /** A connection can't be accepted. */
  onFault(error: Error): void
}

/** The accepting part of a worker. */
export class Acceptor {
  readonly #parts: AcceptorParts
  /** A server for each place; none while it is paused. */
  #listening: readonly Server[] = []
  /** Sockets that have come, by place: it accepts from all or from none. */
  #arrived: ListeningHandle[] = []
  #turn = FIRST_TURN
  #closed = false
  #isLookDue = false
  /** It is out of descriptors while it has this many connections. */
  #fullAt = Number.POSITIVE_INFINITY
  #fullLookAtMs = 0
  #pauses = MAX_PAUSES
  #countedAtMs = 0
  #pausedAtMs = Number.NEGATIVE_INFINITY
  #accepted = 0

  constructor(parts: AcceptorParts) {
    this.#parts = parts
  }

  /**
   * Accepts connections once the sockets of all places are there, or until it pauses.
   * @param handle the listening socket of a place, which is closed with the pause
   * @returns whether all are there
   * @throws errors of listen(2), such as EADDRINUSE
   */
  async listen(handle: ListeningHandle, place: number): Promise<boolean> {
    if (this.#closed || this.#listening.length > 0) {
      handle.close()
      return false
    }
    // Sent again where another one has not arrived.
    this.#arrived[place]?.close()
    this.#arrived[place] = handle
    const { places } = this.#parts
    const handles = places.map((_, at) => this.#arrived[at]).filter((one) => one !== undefined)
    if (handles.length < places.length) return false
    this.#arrived = []
    const servers = places.map((at) => this.#serverAt(at))
    this.#listening = servers
    this.#turn++
    await Promise.all(servers.map((listening, at) => this.#begin(listening, handles[at] as ListeningHandle)))
    this.look()
    return true
  }

  #serverAt(place: ListenPlace): Server {
    // As node:http's: a client may half-close after its request.
    return createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
      this.#accepted++
      this.#parts.server.take(socket, place)
      this.#changed()
    })
  }

  async #begin(listening: Server, handle: ListeningHandle): Promise<void> {
    const { server, backlog, onFault } = this.#parts
    await new Promise<void>((resolve, reject) => {
      listening.once('error', reject)
      listening.listen({ _handle: handle } as object, backlog, () => {
        listening.off('error', reject)
        listening.on('error', (error) => {
          this.#setFull(server.connections)
          onFault(error)
          this.#changed()
        })
        resolve()
      })
    })
  }

  /** A connection was closed for lack of descriptors. */
  setFull(): void {
    // It is among those that are counted.
    this.#setFull(this.#parts.server.connections - 1)
  }

  #setFull(connections: number): void {
    this.#fullAt = Math.min(this.#fullAt, connections)
    this.#fullLookAtMs = performance.now()
  }

  /** A connection has closed. */
  closed(): void {
    this.#pauses = Math.max(0, this.#pauses - PAUSES_PER_CLOSE)
    this.#changed()
  }

  #changed(): void {
    if (this.#isLookDue || this.#closed) return
    this.#isLookDue = true
    const look = (): void => {
      this.#isLookDue = false
      this.look()
    }
    // libuv accepts one connection per turn: an immediate is before the next one.
    if (this.#pausesLeft(performance.now()) >= 1) setImmediate(look)
    else setTimeout(look, LAZY_MS)
  }

  /** Tells the others how many connections there are, and compares. */
  look(): void {
    if (this.#closed) return
    const { shares, record } = this.#parts
    this.#tell()
    shares.read()
    const load = shares.load(record)
    if (this.#listening.length > 0 && load > shares.lowest && this.#mayPause(load, shares.lowest)) {
      this.#stop()
      // Another one may have looked before that: then this is the one to see that nobody accepts.
      this.#tell()
      shares.read()
    }
    if (shares.due().length > 0) this.#parts.onDue()
  }

  /**
   * Accepts no more connections.
   * @param isLast no other worker will accept those in the queue: they are accepted before
   */
  async close(isLast: boolean): Promise<void> {
    if (isLast && this.#listening.length > 0) await acceptWaiting(() => this.#accepted)
    this.#stop()
    this.#closed = true
    for (const handle of this.#arrived) handle?.close()
    this.#arrived = []
  }

  #stop(): void {
    if (this.#listening.length === 0) return
    for (const listening of this.#listening) listening.close()
    this.#listening = []
    this.#turn++
  }

  #tell(): void {
    const { shares, record, server } = this.#parts
    const { connections } = server
    if (connections < this.#fullAt || this.#hasDescriptorsAgain()) this.#fullAt = Number.POSITIVE_INFINITY
    // Without any connection it can only try.
    shares.write(record, connections, connections > 0 && connections >= this.#fullAt, this.#turn)
  }

  #hasDescriptorsAgain(): boolean {
    const nowMs = performance.now()
    if (this.#fullAt === Number.POSITIVE_INFINITY || nowMs - this.#fullLookAtMs < FULL_LOOK_MS) return false
    this.#fullLookAtMs = nowMs
    return this.#parts.hasDescriptors()
  }

  #mayPause(load: number, lowest: number): boolean {
    const nowMs = performance.now()
    if (this.#pausesLeft(nowMs) >= 1) this.#pauses--
    else {
      const isAhead = load - lowest >= Math.max(CLEARLY_AHEAD, lowest * CLEARLY_AHEAD_SHARE)
      if (!isAhead || nowMs - this.#pausedAtMs < CLEARLY_AHEAD_MS) return false
    }
    this.#pausedAtMs = nowMs
    return true
  }

  #pausesLeft(nowMs: number): number {
    const gained = ((nowMs - this.#countedAtMs) / 1000) * PAUSES_PER_SECOND
    this.#pauses = Math.min(this.#pauses + gained, MAX_PAUSES)
    this.#countedAtMs = nowMs
    return this.#pauses
  }
}
