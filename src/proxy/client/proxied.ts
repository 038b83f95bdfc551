/**
 * Connections that begin with a PROXY protocol header: those from configured load balancers. The header is read before anything else,
 * so that the client is known before the first byte of a request or TLS handshake.
 */
import type { Socket } from 'node:net'
import { UNIX_PEER } from '../../rules/http/exchange.ts'
import { readPeer } from '../../rules/patterns/address.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { tellException } from '../../wire/exceptions.ts'
import { MalformedProxyHeader, ProxyHeaderReader } from '../../wire/proxy-protocol.ts'
import type { WarningLog } from './descriptors.ts'
import type { Client } from './request.ts'
import { addressOf } from './sockets.ts'
import { trustedAddresses } from './trusted.ts'

/** How long a load balancer may take to send its header. */
export const PROXY_HEADER_TIMEOUT_MS = 5_000

/** Maximum frequency of the log message about connections that were closed. */
const TELL_EVERY_MS = 60_000

/** Serves a connection. It is paused, and bytes after the header have been put back. */
export type Serve = (socket: Socket, client: Client) => void

/** The peers that send the header, and their connections until it is complete. */
export class ProxiedConnections {
  readonly #isSender: (address: string) => boolean
  readonly #log: WarningLog
  readonly #waiting = new Set<HeaderWait>()
  #closed = 0
  #toldAtMs = Number.NEGATIVE_INFINITY

  /**
   * @param senders addresses and networks, or `unix`
   * @throws {RangeError} for an entry that is neither
   */
  constructor(senders: readonly string[], log: WarningLog) {
    this.#isSender = trustedAddresses(senders)
    this.#log = log
  }

  /** Connections whose header is not complete. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Reads the header if the peer is one that sends it, then serves the connection; serves others at once.
   * @param onLost called if the connection closes before it is served
   */
  open(socket: Socket, serve: Serve, onLost: () => void): void {
    const address = addressOf(socket)
    const peer = readPeer(address ?? '')
    if (peer === null) {
      // It has closed already, so its address is unknown.
      socket.destroy()
      onLost()
    } else if (!this.#isSender(peer)) serve(socket, { remoteAddress: address, subject: null, proxied: false })
    else {
      const wait = new HeaderWait(socket, peer, (client, why) => {
        this.#waiting.delete(wait)
        if (client !== null) {
          serve(socket, { remoteAddress: client, subject: null, proxied: true })
          return
        }
        if (why !== null) this.#tell(peer, why)
        onLost()
      })
      this.#waiting.add(wait)
    }
  }

  /** Closes the connections whose header is not complete. */
  cut(): void {
    for (const wait of this.#waiting) wait.cut()
  }

  #tell(peer: string, why: string): void {
    this.#closed++
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    const message = `no valid PROXY protocol header from ${peer} (${why}): closed ${this.#closed} connections since the last message`
    this.#log.warn({ event: 'proxy-protocol', client: peer, closed: this.#closed }, message)
    this.#toldAtMs = nowMs
    this.#closed = 0
  }
}

/** One connection until its header is complete. */
class HeaderWait implements Watched {
  readonly #socket: Socket
  readonly #peer: string
  readonly #reader = new ProxyHeaderReader()
  readonly #done: (client: string | null, why: string | null) => void
  #begun = false
  #over = false
  deadlineMs = Number.POSITIVE_INFINITY

  /** @param done called once; the client is null if the connection was closed. `why` is for the log, null for a mere probe */
  constructor(socket: Socket, peer: string, done: (client: string | null, why: string | null) => void) {
    this.#socket = socket
    this.#peer = peer
    this.#done = done
    socket.on('readable', this.#onReadable)
    socket.on('end', this.#onEnd)
    socket.on('error', ignore)
    socket.on('close', this.#onEnd)
    watch(this)
    this.deadlineMs = coarseNowMs() + PROXY_HEADER_TIMEOUT_MS
  }

  expire(): void {
    this.#fail(`not complete after ${PROXY_HEADER_TIMEOUT_MS / 1000} s`)
  }

  cut(): void {
    this.#fail(null)
  }

  readonly #onReadable = (): void => {
    try {
      this.#read()
    } catch (error) {
      this.#fail(error instanceof MalformedProxyHeader ? error.message : 'internal error')
      if (!(error instanceof MalformedProxyHeader)) tellException(error)
    }
  }

  // A probe that only connects is not an error.
  readonly #onEnd = (): void => this.#fail(this.#begun ? 'the connection ended within the header' : null)

  #read(): void {
    for (;;) {
      const bytes = this.#over ? null : (this.#socket.read() as Buffer | null)
      if (bytes === null) return
      this.#begun = true
      const taken = this.#reader.push(bytes)
      const { client } = this.#reader
      if (client === null) continue
      this.#leave()
      if (taken < bytes.length) this.#socket.unshift(bytes.subarray(taken))
      this.#done(client.kind === 'client' ? client.address : client.kind === 'unix' ? UNIX_PEER : this.#peer, null)
    }
  }

  #leave(): void {
    this.#over = true
    unwatch(this)
    const socket = this.#socket
    socket.off('readable', this.#onReadable)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onEnd)
    // The next owner starts reading.
    socket.pause()
  }

  #fail(why: string | null): void {
    if (this.#over) return
    this.#leave()
    this.#socket.destroy()
    this.#done(null, why)
  }
}

function ignore(): void {
  // 'close' follows and handles it.
}
