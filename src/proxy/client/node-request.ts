/**
 * A request of node:http, as the engine sees it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SMALL_BYTES } from '../../wire/chunks.ts'
import { type Held, sendLater } from '../../wire/turn.ts'
import type { Answer } from './answer.ts'
import {
  type BodyReader,
  type ClientRequest,
  type HandedOver,
  type Peer,
  type RequestOwner,
  type SwitchingHead,
  switchingText,
} from './request.ts'
import { isStalled } from './send-timeout.ts'
import { SharedAnswer } from './shared-answer.ts'
import { whenEnding } from './sockets.ts'
import type { UpgradeClient } from './upgrade-client.ts'

/** What is known of a request besides node:http's objects. */
export interface NodeRequestParts {
  readonly peer: Peer
  /** The client side of an upgrade, or null. */
  readonly upgrade: UpgradeClient | null
  /** Told of errors of other code that uses the response. */
  readonly onFault: (error: unknown) => void
}

/** A request with its response. */
export class NodeRequest implements ClientRequest {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #upgrade: UpgradeClient | null
  readonly peer: Peer
  readonly answer: Answer
  readonly exclusive = false
  readonly askForHttp1 = null
  owner: RequestOwner | null = null

  constructor(req: IncomingMessage, res: ServerResponse, { peer, upgrade, onFault }: NodeRequestParts) {
    this.#req = req
    this.#res = res
    this.#upgrade = upgrade
    this.peer = peer
    this.answer = new SharedAnswer(res, onFault)
  }

  get method(): string {
    return this.#req.method as string
  }

  get target(): string {
    return this.#req.url as string
  }

  get minor(): 0 | 1 {
    return this.#req.httpVersionMinor === 0 ? 0 : 1
  }

  get rawHeaders(): readonly string[] {
    return this.#req.rawHeaders
  }

  get rawTrailers(): readonly string[] {
    return this.#req.rawTrailers
  }

  get upgrade(): string | null {
    return this.#upgrade?.protocol ?? null
  }

  get bodyTaken(): boolean {
    return this.#req.readableDidRead
  }

  get complete(): boolean {
    return this.#req.complete
  }

  get gone(): boolean {
    // Its 'destroyed' says nothing: node:http sets it from the start for a request without a body.
    return this.#res.destroyed || this.#req.errored !== null
  }

  get paused(): boolean {
    return this.#req.isPaused()
  }

  read(reader: BodyReader): void {
    const owned = this.#req as IncomingMessage & Owned
    owned[READER] = reader
    owned.on('data', onData)
    owned.on('end', onEnd)
  }

  pause(): void {
    this.#req.pause()
  }

  resume(): void {
    this.#req.resume()
  }

  discard(limitMs: number): void {
    const req = this.#req
    if (req.complete || req.destroyed) return
    const timer = setTimeout(() => req.destroy(), limitMs)
    timer.unref()
    req.once('close', () => clearTimeout(timer))
    req.once('end', () => clearTimeout(timer))
    req.on('error', ignore)
    req.resume()
  }

  destroy(): void {
    this.#req.destroy()
    this.#res.destroy()
  }

  handOver(head: SwitchingHead): HandedOver {
    const { socket: stream } = this.#upgrade as UpgradeClient
    const early = (this.#upgrade as UpgradeClient).take()
    const res = this.#res
    this.owner = null
    res.detachSocket(stream as Socket)
    // There is no connection whose 'close' would follow: destroy the response for its listeners.
    if (stream.destroyed) res.destroy()
    else stream.once('close', () => res.destroy())
    stream.write(switchingText(head), 'latin1')
    return { stream, early, exclusive: true, whenEnding: (listener) => whenEnding(stream, listener) }
  }

  /** The response is closed. */
  closed(): void {
    this.owner?.onGone(isStalled(this.#req.socket))
  }
}

/** Property of a request with the reader of its body: listeners are shared functions, not created per exchange. */
const READER = Symbol('reader')

/** Property of a request with small pieces of its body that wait for the end of the turn. */
const SMALL = Symbol('small')

interface Owned {
  [READER]?: BodyReader
  [SMALL]?: SmallPieces | null
}

/** Joins small pieces of a body: node:http reports each chunk separately, and each would cost a write to the upstream. */
class SmallPieces implements Held {
  readonly #owned: Owned
  readonly #pieces: Buffer[]

  constructor(owned: Owned, first: Buffer) {
    this.#owned = owned
    this.#pieces = [first]
    owned[SMALL] = this
    sendLater(this)
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece)
  }

  /** Reports them, once. */
  sendNow(): void {
    const owned = this.#owned
    if (owned[SMALL] !== this) return
    owned[SMALL] = null
    const pieces = this.#pieces
    owned[READER]!.onBody(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))
  }
}

function onData(this: Owned, piece: Buffer): void {
  const small = this[SMALL] ?? null
  if (piece.length >= SMALL_BYTES) {
    small?.sendNow()
    this[READER]!.onBody(piece)
  } else if (small !== null) small.add(piece)
  else new SmallPieces(this, piece)
}

function onEnd(this: Owned): void {
  this[SMALL]?.sendNow()
  this[READER]!.onBodyEnd()
}

function ignore(): void {
  // 'close' follows and handles it.
}
