/**
 * A connection to a server in HTTP/1.1: one exchange at a time, every byte streamed.
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

/** How far below the server's own keep-alive limit ours stays: the time a request may be on its way. */
const KEEP_ALIVE_MARGIN_MS = 1000

/**
 * RFC 9112 section 9.8: without a closure alert, whoever sits on the path may have cut a body that ends with the connection.
 * node:tls reports such an alert and a mere FIN alike, so that none of these bodies counts as whole.
 */
const UNVERIFIED_END = 'a body that ends with the TLS connection (no Content-Length, not chunked) may be truncated'

/** The pool of a connection. */
export interface Home {
  readonly settings: PoolSettings
  readonly dial: Dial | null
  readonly shortages: Shortages
  /** No connection is kept behind its exchange. */
  readonly closed: boolean
  /** Connections with an exchange on them. */
  active: number
  countReuse(): void
  countRepaired(): void
  /** The connection is not shared any more. */
  own(connection: Connection): void
  /** Its exchange is over, and it can take another one. */
  release(connection: Connection): void
  /** It is gone. */
  forget(connection: Connection): void
}

type Phase = 'connecting' | 'idle' | 'sending' | 'awaiting' | 'receiving' | 'closed'

/** One connection to a server. `send`, then body bytes, then `finish`; the exchange hears the answer. */
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
  /** The last read was one of a large body. */
  #bulk = false
  /** The socket is somebody else's: what is read goes into its stream. */
  #detached = false
  #lastError: Error | null = null
  /** Why nothing can be sent any more, while what the server has said before is still being read. */
  #sendError: NodeJS.ErrnoException | null = null
  /** A head that leaves at the end of this turn, or with the body bytes that come before; '' where there is none. */
  #unsent = ''
  deadlineMs: number
  /** When its last exchange was over, by the coarse clock. */
  idleSinceMs = 0
  /** The connection had served an exchange before this one. */
  reused = false
  /** A byte of the answer to the current exchange has come. */
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
      // An alert, or a record that can't be read, is reported by node:tls without closing the socket.
      this.#socket.destroy()
    })
    this.#socket.on('close', () => contain(this, this.#onClosed))
    watch(this)
    this.deadlineMs = coarseNowMs() + settings.connectTimeoutMs
  }

  #connect({ hostname, port, socketPath, tls }: PoolSettings): Socket {
    // Read past the stream: that one gives nothing out any more once a write has failed.
    const reading = { allowHalfOpen: true, noDelay: true, onread: this.#reading() }
    const address = { ...(this.#pool.dial ?? { host: hostname }), port, ...reading }
    const shortage = this.#pool.shortages.refusal()
    if (shortage !== null) return new Socket().destroy(shortage)
    try {
      if (socketPath !== null) return connectPlain({ path: socketPath, ...reading })
      if (tls === null) return connectPlain(address)
      return connectTls({ ...tls, ...address })
    } catch (error) {
      // What node refuses to try is a connection that did not come about, for this one exchange.
      return new Socket().destroy(error as Error)
    }
  }

  /** Can take another exchange. */
  get usable(): boolean {
    return this.#phase === 'idle' && this.deadlineMs > coarseNowMs()
  }

  /** The connection stands. */
  get ready(): boolean {
    return this.#connected
  }

  /** From now on it is never shared: behind each exchange it is its owner's. */
  claim(owner: ConnectionOwner): void {
    this.#owner = owner
    this.#pool.own(this)
  }

  /** Begins another exchange on a connection that its owner has. It must be `usable`. */
  reuse(exchange: ClientExchange): void {
    this.#pool.active++
    this.#pool.countReuse()
    this.assign(exchange)
  }

  /** It serves nobody behind this exchange, whose final head has come. */
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
   * @param written called once they are on their way, or undefined
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
   * @param written called once they are on their way, or undefined
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

  /** The reader of the answer does not keep up: take no more bytes from the server. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#touch()
    this.#socket.resume()
    if (this.#sendError !== null) this.#readRest(this.#sendError)
  }

  /** Bytes went on in one of the two directions: the idle time starts anew. */
  touch(): void {
    this.#touch()
  }

  /** Ends the exchange from our side; nothing more is reported. */
  abort(): void {
    this.#exchange = null
    this.destroy()
  }

  /**
   * Hands the socket over after an upgrade. The connection is done with it.
   * @returns the socket, paused, and the bytes that came behind the 101 head
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
    // The server says that it is at work (102, RFC 2518 section 10.1): the time for the final head starts anew.
    if (this.#phase === 'awaiting') this.deadlineMs = coarseNowMs() + this.#headersTimeoutMs
    this.#exchange?.onInformation(head)
  }

  onHead(head: ResponseHead): void {
    // Behind an interim head in the same bytes the exchange may have been given up.
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

  /** How node:net reads: into which memory, and who gets what was read. */
  #reading(): OnReadOpts {
    return {
      buffer: () => readBuffer(this.#bulk && (this.#phase === 'receiving' || this.#detached)),
      callback: (count, buffer) => this.#onRead(count, buffer as Buffer),
    }
  }

  /** @returns false where no more is to be read for now */
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
      // An answer to nothing: these bytes were on their way before the request, and belong to no exchange.
      this.#fail('response-head', null)
      return
    }
    this.answered = true
    try {
      this.#reader.push(bytes)
      if (this.#phase !== 'closed') this.#onPushed()
    } catch (error) {
      // Behind a complete answer there is nobody left to tell: the poisoned connection is closed, never reused.
      if (error instanceof MalformedMessage) this.#fail('response-malformed', error)
      else breakOff(this, error)
    }
  }

  #onPushed(): void {
    if (this.#upgraded !== null) {
      this.#exchange?.onUpgrade(this.#upgraded)
    } else if (this.#reader.busy) {
      // While the head is awaited this moves nothing: one that comes byte by byte must still come in time.
      this.#touch()
      this.#exchange?.onPause()
    } else this.#settle()
  }

  /** The answer is complete: keep the connection, if both messages ended where they should. */
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
    // What belongs to a client lasts as long as client and server want: the login would be lost with it.
    this.deadlineMs = owner === null ? coarseNowMs() + this.#keepAliveMs : Number.POSITIVE_INFINITY
    this.#pool.active--
    // The reader of this answer may have paused us; an idle connection must hear the server close.
    if (this.#socket.isPaused()) this.#socket.resume()
    if (owner === null) this.#pool.release(this)
    else owner.onIdle()
  }

  #onDrained(): void {
    this.#touch()
    this.#exchange?.onDrain()
  }

  /** @returns whether the socket goes on although an error is about to destroy it */
  #outlives(error: NodeJS.ErrnoException | undefined): boolean {
    if (!isWriteFailure(error) || this.#exchange === null || !this.#connected) return false
    // Several writes may have been under way.
    if (this.#sendError !== null) return true
    this.#sendError = error
    this.#unsent = ''
    // What is still to be sent goes nowhere, and must not hold up whoever sends it.
    contain(this, () => this.#exchange?.onDrain())
    // Where this was the first write on a new connection, node:net has not begun to read, and does not any more by itself.
    if (!this.#socket.isPaused()) this.#socket.resume()
    this.#readRest(error)
    return true
  }

  /** Reads what the server has said before it took no more. A paused connection is asked again by `resume`. */
  #readRest(error: NodeJS.ErrnoException): void {
    whenRead(this.#socket, () => {
      if (this.#phase !== 'closed') contain(this, () => this.#onRestRead(error))
    })
  }

  #onRestRead(error: NodeJS.ErrnoException): void {
    // Linux: EPIPE says that the server had ended its side properly before, ECONNRESET that it had not.
    if (error.code === 'EPIPE' && this.#pool.settings.tls === null) this.#onPeerEnd()
    else this.#fail(this.#phase === 'receiving' ? 'response-body' : 'response-head', error)
  }

  #onPeerEnd(): void {
    if (this.#phase === 'closed') return
    const { tls } = this.#pool.settings
    if (tls !== null && this.#reader.endsWithConnection) this.#fail('response-body', new Error(UNVERIFIED_END))
    else if (this.#connected && this.#reader.end()) this.destroy()
    // An alert that tells why may be reported right behind the end.
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
