/**
 * An HTTP/1.1 connection to a server: one exchange at a time, all bodies streamed.
 */
import { connect as connectPlain, type OnReadOpts, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type {
  ClientExchange,
  ConnectionOwner,
  Dial,
  PoolSettings,
  ServerConnection,
  WireFailure,
} from './connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from './deadlines.ts'
import { type Breakable, breakOff, contain } from './exceptions.ts'
import { isWriteFailure, whenRead } from './failed-writes.ts'
import { MalformedMessage } from './fields.ts'
import { ResponseReader } from './http1.ts'
import { isBulk, keep, lend, readBuffer, takeBack } from './read-memory.ts'
import { mayReadOn } from './read-turns.ts'
import type { ResponseHead } from './response-head.ts'
import type { Shortages } from './shortages.ts'
import { type Held, sendLater } from './turn.ts'

/** Our keep-alive limit is this much below the server's: the time that a request may be in flight. */
const KEEP_ALIVE_MARGIN_MS = 1000

/**
 * RFC 9112 section 9.8: without a closure alert, an attacker on the path may have truncated a body that ends with the connection.
 * node:tls reports a closure alert and a plain FIN alike, so no such body counts as complete.
 */
const UNVERIFIED_END = 'a body that ends with the TLS connection (no Content-Length, not chunked) may be truncated'

/** The pool of a connection. */
export interface Home {
  readonly settings: PoolSettings
  readonly dial: Dial | null
  readonly shortages: Shortages
  /** Connections are not kept after their exchange. */
  readonly closed: boolean
  /** Connections with an exchange on them. */
  active: number
  countReuse(): void
  countRepaired(): void
  /** The connection is no longer shared. */
  own(connection: Connection): void
  /** Its exchange is over, and it can take another one. */
  release(connection: Connection): void
  /** The connection is closed. */
  forget(connection: Connection): void
}

type Phase = 'connecting' | 'idle' | 'sending' | 'awaiting' | 'receiving' | 'closed'

/** One connection to a server. `send`, then body bytes, then `finish`; the exchange receives the answer. */
export class Connection implements Breakable, Held, ServerConnection, Watched {
  readonly #pool: Home
  readonly #socket: Socket
  readonly #reader: ResponseReader
  #exchange: ClientExchange | null = null
  #owner: ConnectionOwner | null = null
  #phase: Phase = 'connecting'
  #connected = false
  #requestDone = false
  #keepAlive = true
  #keepAliveMs: number
  /** Of the current exchange. */
  #headersTimeoutMs: number
  #idleTimeoutMs: number
  #upgraded: ResponseHead | null = null
  /** The last read was large: part of a large body. */
  #bulk = false
  /** The socket has been handed over: what is read goes into its stream. */
  #detached = false
  #lastError: Error | null = null
  /** Why nothing more can be sent, while the rest of the server's answer is still being read. */
  #sendError: NodeJS.ErrnoException | null = null
  /** A head to be sent at the end of this turn, or earlier with the first body bytes; '' for none. */
  #unsent = ''
  deadlineMs: number
  /** When its last exchange ended, on the coarse clock. */
  idleSinceMs = 0
  /** The connection has served another exchange before this one. */
  reused = false
  /** At least one byte of the answer to the current exchange has arrived. */
  answered = false

  constructor(pool: Home) {
    const { settings } = pool
    this.#pool = pool
    this.#keepAliveMs = settings.keepAliveMs
    this.#headersTimeoutMs = settings.headersTimeoutMs
    this.#idleTimeoutMs = settings.idleTimeoutMs
    this.#reader = new ResponseReader(settings.limits, settings.lenient)
    this.#socket = this.#connect(settings)
    this.#socket.on(settings.tls === null ? 'connect' : 'secureConnect', () => contain(this, this.#onConnected))
    const { destroy } = this.#socket
    this.#socket.destroy = (error?: Error) => (this.#outlives(error) ? this.#socket : destroy.call(this.#socket, error))
    this.#socket.on('drain', () => contain(this, this.#onDrained))
    this.#socket.on('end', () => contain(this, this.#onPeerEnd))
    this.#socket.on('error', (error: Error) => {
      this.#lastError = error
      // node:tls reports an alert or an invalid record without closing the socket.
      this.#socket.destroy()
    })
    this.#socket.on('close', () => contain(this, this.#onClosed))
    watch(this)
    this.deadlineMs = coarseNowMs() + settings.connectTimeoutMs
  }

  #connect({ hostname, port, socketPath, tls }: PoolSettings): Socket {
    // Read with `onread`, not from the stream: after a failed write the stream delivers nothing more.
    const reading = { allowHalfOpen: true, noDelay: true, onread: this.#reading() }
    const address = { ...(this.#pool.dial ?? { host: hostname }), port, ...reading }
    const shortage = this.#pool.shortages.refusal()
    if (shortage !== null) return new Socket().destroy(shortage)
    try {
      if (socketPath !== null) return connectPlain({ path: socketPath, ...reading })
      if (tls === null) return connectPlain(address)
      return connectTls({ ...tls, ...address })
    } catch (error) {
      // Arguments that node rejects count as a failed connection, for this exchange only.
      return new Socket().destroy(error as Error)
    }
  }

  /** Can take another exchange. */
  get usable(): boolean {
    return this.#phase === 'idle' && this.deadlineMs > coarseNowMs()
  }

  /** The connection is open. */
  get ready(): boolean {
    return this.#connected
  }

  /** From now on the connection is never shared: after each exchange it goes back to its owner. */
  claim(owner: ConnectionOwner): void {
    this.#owner = owner
    this.#pool.own(this)
  }

  /** Begins another exchange on an owned connection, which must be `usable`. */
  reuse(exchange: ClientExchange): void {
    this.#pool.active++
    this.#pool.countReuse()
    this.assign(exchange)
  }

  /** Close the connection after this exchange, whose final head has arrived. */
  retire(): void {
    this.#keepAlive = false
  }

  /** @internal */
  assign(exchange: ClientExchange): void {
    this.#exchange = exchange
    this.answered = false
    this.#requestDone = false
    this.#headersTimeoutMs = this.#pool.settings.headersTimeoutMs
    this.#idleTimeoutMs = this.#pool.settings.idleTimeoutMs
    if (this.#connected) {
      this.reused = true
      this.#phase = 'sending'
    }
  }

  /** Other limits than the pool's for the current exchange, in milliseconds; null leaves the pool's. Before `send`. */
  limit(headersTimeoutMs: number | null, idleTimeoutMs: number | null): void {
    this.#headersTimeoutMs = headersTimeoutMs ?? this.#headersTimeoutMs
    this.#idleTimeoutMs = idleTimeoutMs ?? this.#idleTimeoutMs
  }

  /**
   * Sends a request head.
   * @param head with its empty line, a Latin-1 string
   * @param method of the request
   * @param upgrade the head asks for an upgrade
   */
  send(head: string, method: string, upgrade: boolean): void {
    this.#reader.begin(this, method, upgrade)
    this.#touch()
    if (this.#connected) {
      this.#unsent = head
      sendLater(this)
    } else this.#socket.write(head, 'latin1')
  }

  /** @internal */
  sendNow(): void {
    const head = this.#unsent
    if (head === '') return
    this.#unsent = ''
    if (this.#phase !== 'closed') this.#socket.write(head, 'latin1')
  }

  /**
   * Sends body bytes as they are.
   * @param written called once they have been written to the socket, or undefined
   * @returns false where the server does not keep up: wait for `onDrain`
   */
  write(bytes: Buffer, written?: () => void): boolean {
    this.#touch()
    if (this.#sendError !== null) return true
    if (this.#unsent === '') return this.#socket.write(bytes, written)
    this.#socket.cork()
    this.sendNow()
    const keepsUp = this.#socket.write(bytes, written)
    this.#socket.uncork()
    return keepsUp
  }

  /**
   * Sends body bytes as one chunk (RFC 9112 section 7.1).
   * @param written called once they have been written to the socket, or undefined
   * @returns false where the server does not keep up: wait for `onDrain`
   */
  writeChunk(bytes: Buffer, written?: () => void): boolean {
    this.#touch()
    if (this.#sendError !== null) return true
    this.#socket.cork()
    this.sendNow()
    this.#socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1')
    this.#socket.write(bytes, written)
    const keepsUp = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return keepsUp
  }

  /**
   * The request is complete.
   * @param lastChunk the last chunk with its trailer section, or null where the body is not chunked
   */
  finish(lastChunk: string | null): void {
    if (lastChunk !== null && this.#sendError === null) {
      this.sendNow()
      this.#socket.write(lastChunk, 'latin1')
    }
    this.#requestDone = true
    if (this.#phase === 'sending') {
      this.#phase = 'awaiting'
      this.deadlineMs = coarseNowMs() + this.#headersTimeoutMs
    }
  }

  /** The reader of the answer does not keep up: read no more from the server. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#touch()
    this.#socket.resume()
    if (this.#sendError !== null) this.#readRest(this.#sendError)
  }

  /** Bytes moved in either direction: restart the idle timeout. */
  touch(): void {
    this.#touch()
  }

  /** Ends the exchange from our side; nothing more is reported. */
  abort(): void {
    this.#exchange = null
    this.destroy()
  }

  /**
   * Hands the socket over after an upgrade. The connection no longer uses it.
   * @returns the socket, paused, and the bytes received after the 101 head
   */
  detach(): { socket: Socket; rest: Buffer | null } {
    const { rest } = this.#reader
    this.#detached = true
    this.#socket.pause()
    // The other listeners stay: they do nothing once the phase is 'closed'.
    this.#socket.removeAllListeners('drain')
    this.#exchange = null
    this.#gone()
    return { socket: this.#socket, rest: rest === null ? null : keep(rest) }
  }

  /** @internal */
  destroy(): void {
    this.#gone()
    this.#socket.destroy()
  }

  /** A deadline has passed. */
  expire(): void {
    if (this.#phase === 'idle') this.destroy()
    else if (this.#phase === 'connecting') this.#fail('connect-timeout', null)
    else if (this.#phase === 'awaiting') this.#fail('headers-timeout', null)
    else this.#fail('idle-timeout', null)
  }

  onInformation(head: ResponseHead): void {
    // The server says that it is working (102, RFC 2518 section 10.1): restart the timeout for the final head.
    if (this.#phase === 'awaiting') this.deadlineMs = coarseNowMs() + this.#headersTimeoutMs
    this.#exchange?.onInformation(head)
  }

  onHead(head: ResponseHead): void {
    // The exchange may have been aborted at an interim head earlier in the same bytes.
    if (this.#phase === 'closed') return
    this.#phase = 'receiving'
    this.#keepAlive = head.keepAlive
    if (head.keepAliveTimeoutMs !== -1) {
      const hinted = Math.max(head.keepAliveTimeoutMs - KEEP_ALIVE_MARGIN_MS, 0)
      this.#keepAliveMs = Math.min(hinted, this.#pool.settings.keepAliveMs)
    }
    if (head.status === 101) this.#upgraded = head
    else this.#exchange?.onHead(head)
  }

  onBody(piece: Buffer): void {
    this.#exchange?.onBody(piece)
  }

  onEnd(rawTrailers: string[]): void {
    const exchange = this.#exchange
    this.#exchange = null
    if (this.#reader.repaired) this.#pool.countRepaired()
    exchange?.onEnd(rawTrailers)
  }

  #touch(): void {
    if (this.#phase === 'sending' || this.#phase === 'receiving') {
      this.deadlineMs = coarseNowMs() + this.#idleTimeoutMs
    }
  }

  #onConnected(): void {
    this.#connected = true
    this.#pool.shortages.hasStood = true
    if (this.#phase !== 'connecting') return
    this.#phase = this.#requestDone ? 'awaiting' : 'sending'
    this.deadlineMs = coarseNowMs() + (this.#requestDone ? this.#headersTimeoutMs : this.#idleTimeoutMs)
    this.#exchange?.onReady()
  }

  /** Options for node:net: which buffer it reads into, and what is called with the bytes. */
  #reading(): OnReadOpts {
    return {
      buffer: () => readBuffer(this.#bulk && (this.#phase === 'receiving' || this.#detached)),
      callback: (count, buffer) => this.#onRead(count, buffer as Buffer),
    }
  }

  /** @returns false to stop reading for now */
  #onRead(count: number, buffer: Buffer): boolean {
    const bytes = lend(buffer, count)
    this.#bulk = isBulk(count)
    if (this.#detached) {
      const more = this.#socket.push(keep(bytes))
      takeBack()
      return more
    }
    this.#onBytes(bytes)
    takeBack()
    return (!this.#bulk && this.#pool.settings.tls === null) || mayReadOn(this.#socket, count)
  }

  #onBytes(bytes: Buffer): void {
    if (this.#unsent !== '') {
      // These bytes were sent before our request was: they answer no request.
      this.#fail('response-head', null)
      return
    }
    this.answered = true
    try {
      this.#reader.push(bytes)
      if (this.#phase !== 'closed') this.#onPushed()
    } catch (error) {
      // After a complete answer there is no exchange to fail: the poisoned connection is closed, never reused.
      if (error instanceof MalformedMessage) this.#fail('response-malformed', error)
      else breakOff(this, error)
    }
  }

  #onPushed(): void {
    if (this.#upgraded !== null) {
      this.#exchange?.onUpgrade(this.#upgraded)
    } else if (this.#reader.busy) {
      // While awaiting the head this changes nothing: a head that arrives byte by byte must still be complete in time.
      this.#touch()
      this.#exchange?.onPause()
    } else this.#settle()
  }

  /** The answer is complete: keep the connection if both messages ended properly. */
  #settle(): void {
    if (this.#phase === 'closed') return
    const over = !this.#keepAlive || !this.#requestDone || this.#sendError !== null
    const owner = this.#owner
    if (over || (owner === null ? this.#keepAliveMs === 0 : this.#pool.closed)) {
      this.destroy()
      return
    }
    this.#phase = 'idle'
    this.idleSinceMs = coarseNowMs()
    // A client's own connection stays open as long as client and server want: its login would be lost with it.
    this.deadlineMs = owner === null ? coarseNowMs() + this.#keepAliveMs : Number.POSITIVE_INFINITY
    this.#pool.active--
    // The reader of this answer may have paused the socket; an idle connection must notice when the server closes.
    if (this.#socket.isPaused()) this.#socket.resume()
    if (owner === null) this.#pool.release(this)
    else owner.onIdle()
  }

  #onDrained(): void {
    this.#touch()
    this.#exchange?.onDrain()
  }

  /** @returns whether to keep the socket in spite of an error, in order to read an answer */
  #outlives(error: NodeJS.ErrnoException | undefined): boolean {
    if (!isWriteFailure(error) || this.#exchange === null || !this.#connected) return false
    // Several writes may have been pending.
    if (this.#sendError !== null) return true
    this.#sendError = error
    this.#unsent = ''
    // What is still to be sent is discarded, and must not block the sender.
    contain(this, () => this.#exchange?.onDrain())
    // If this was the first write on a new connection, node:net hasn't begun to read, and won't by itself.
    if (!this.#socket.isPaused()) this.#socket.resume()
    this.#readRest(error)
    return true
  }

  /** Reads what the server sent before it stopped reading. For a paused connection, `resume` calls this again. */
  #readRest(error: NodeJS.ErrnoException): void {
    whenRead(this.#socket, () => {
      if (this.#phase !== 'closed') contain(this, () => this.#onRestRead(error))
    })
  }

  #onRestRead(error: NodeJS.ErrnoException): void {
    // On Linux, EPIPE means that the server had closed its side properly before; ECONNRESET that it had not.
    if (error.code === 'EPIPE' && this.#pool.settings.tls === null) this.#onPeerEnd()
    else this.#fail(this.#phase === 'receiving' ? 'response-body' : 'response-head', error)
  }

  #onPeerEnd(): void {
    if (this.#phase === 'closed') return
    const { tls } = this.#pool.settings
    if (tls !== null && this.#reader.endsWithConnection) this.#fail('response-body', new Error(UNVERIFIED_END))
    else if (this.#connected && this.#reader.end()) this.destroy()
    // An alert with the reason may be reported right after the end.
    else if (tls !== null) setImmediate(() => contain(this, this.#onClosed))
    else this.#onClosed()
  }

  #onClosed(): void {
    if (this.#phase === 'closed') return
    const error = this.#lastError
    if (!this.#connected) this.#fail(this.#pool.shortages.unmade(error), error)
    else this.#fail(this.#phase === 'receiving' ? 'response-body' : 'response-head', error)
  }

  /** @internal */
  breakOff(error: unknown): void {
    this.#fail('internal', error as Error)
  }

  #fail(failure: WireFailure, cause: Error | null): void {
    const exchange = this.#exchange
    this.#exchange = null
    this.destroy()
    exchange?.onFailure(failure, cause)
  }

  #gone(): void {
    if (this.#phase === 'closed') return
    if (this.#phase !== 'idle') this.#pool.active--
    this.#phase = 'closed'
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
    this.#pool.forget(this)
    const owner = this.#owner
    this.#owner = null
    owner?.onGone()
  }
}
