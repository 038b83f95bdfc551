/**
 * What is sent on a connection of HTTP/2: frames about the connection first, then the answers in turn, a frame of each at a time, so that a
 * large one does not keep small ones waiting. All of a turn of the event loop leaves together.
 */
import type { Socket } from 'node:net'
import { tellException } from '../../../wire/exceptions.ts'
import { FieldEncoder } from '../../../wire/http2/hpack-encoder.ts'
import { FrameOutput } from '../../../wire/http2/output.ts'
import { FIRST_WINDOW, MAX_WINDOW } from '../../../wire/http2/protocol.ts'
import { type Held, sendLater } from '../../../wire/turn.ts'

/** What a socket may hold that the kernel has not accepted; a frame more may be added. */
const SOCKET_BYTES = 128 * 1024

/** Places of answers in turn that had theirs. */
const MAX_BEHIND = 200

const output = new FrameOutput()

/** What can be sent of an answer: nothing for now, more right away, or nothing until the window of the connection grows. */
export type Sendable = 'nothing' | 'more' | 'connection-window'

/** An answer, as far as its sending goes. */
export interface Sending {
  /** It is among those that have something to send, or wait for the window of the connection. */
  isReady: boolean
  /** Gives its end to its stream. */
  sendNow(): void
  /** Puts the next frame, and heads before it, into the output. @param connectionWindow bytes of DATA that may be sent */
  sendSome(to: FrameOutput, connectionWindow: number): Sendable
  /** Whoever waits for it may write on. */
  tellDrained(): void
}

/** A frame about a stream or the connection. */
type Control = (to: FrameOutput) => void

/** The sending half of one connection. */
export class Http2Sender implements Held {
  readonly #socket: Socket
  readonly encoder = new FieldEncoder()
  /** What the client accepts on the connection (RFC 9113 section 6.9). */
  window = FIRST_WINDOW
  /** What it accepts on each new stream. */
  initialWindow = FIRST_WINDOW
  #control: Control[] = []
  /** Answers that end in this turn. */
  #ending: Sending[] = []
  /** Those that have something to send, in turn: the first one, and a place to begin at. */
  #ready: Sending[] = []
  #first = 0
  /** Those that wait for the window of the connection. */
  #starved: Sending[] = []
  #drained: Sending[] = []
  #isWaiting = false
  #isSending = false
  #afterwards: (() => void) | null = null
  /** Bytes that were sent. */
  bytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Frames about the connection that wait. */
  get waitingControls(): number {
    return this.#control.length
  }

  /** Sends a frame before those of answers. */
  control(frame: Control): void {
    this.#control.push(frame)
    this.#wait()
  }

  /** Has `answer.sendNow` called at the end of this turn. */
  later(answer: Sending): void {
    this.#ending.push(answer)
    this.#wait()
  }

  /** An answer has something to send. */
  ready(answer: Sending): void {
    if (answer.isReady) return
    answer.isReady = true
    this.#ready.push(answer)
    this.#wait()
  }

  /** An answer has nothing more to send: whoever resets streams all the time would leave one behind for each. */
  drop(answer: Sending): void {
    if (!answer.isReady) return
    answer.isReady = false
    const at = this.#ready.indexOf(answer, this.#first)
    if (at !== -1) this.#ready.splice(at, 1)
    else this.#starved = this.#starved.filter((one) => one !== answer)
  }

  /** An answer has room for more to be written. */
  drained(answer: Sending): void {
    this.#drained.push(answer)
  }

  /** WINDOW_UPDATE of the connection. @returns false where it is too large (section 6.9.1) */
  grow(increment: number): boolean {
    this.window += increment
    if (this.window > MAX_WINDOW) return false
    const starved = this.#starved
    if (starved.length > 0) {
      this.#starved = []
      this.#ready.push(...starved)
      this.#wait()
    }
    return true
  }

  #wait(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    sendLater(this)
  }

  /** @internal */
  sendNow(): void {
    this.#isWaiting = false
    const ending = this.#ending
    if (ending.length > 0) {
      this.#ending = []
      for (const answer of ending) {
        try {
          answer.sendNow()
        } catch (error) {
          tellException(error)
        }
      }
    }
    const afterwards = this.#afterwards
    this.#afterwards = null
    if (afterwards === null) this.send()
    else this.finish(afterwards)
  }

  /** Sends what waits, then calls a function. */
  finish(afterwards: () => void): void {
    if (this.#isSending || output.isInUse) {
      this.#afterwards = afterwards
      this.#wait()
    } else {
      this.send(true)
      afterwards()
    }
  }

  /** Sends what the socket and the windows take. @param isLast frames about the connection go however full the socket is */
  send(isLast = false): void {
    if (this.#isSending) return
    // The end of an answer on another connection has led here: its frames are being put together.
    if (output.isInUse) {
      this.#wait()
      return
    }
    const socket = this.#socket
    const room = SOCKET_BYTES - socket.writableLength
    if (socket.destroyed || socket.writableEnded || (room <= 0 && !isLast)) return
    this.#isSending = true
    output.begin(socket)
    try {
      this.#put(room)
    } finally {
      this.bytes += output.total
      output.end()
      this.#isSending = false
    }
    const afterwards = this.#afterwards
    this.#afterwards = null
    if (afterwards !== null) this.finish(afterwards)
    // Nobody says when there is room for these: the kernel has taken all at once.
    if (this.#first < this.#ready.length && !socket.writableNeedDrain) this.#wait()
    const drained = this.#drained
    if (drained.length === 0) return
    this.#drained = []
    for (const answer of drained) answer.tellDrained()
  }

  /** @param room bytes that may be put into the output; a frame more may be */
  #put(room: number): void {
    const controls = this.#control
    if (controls.length > 0) {
      this.#control = []
      for (const frame of controls) frame(output)
    }
    const ready = this.#ready
    while (this.#first < ready.length && output.total < room) {
      const answer = ready[this.#first++] as Sending
      const more = answer.sendSome(output, this.window)
      if (more === 'more') ready.push(answer)
      else if (more === 'connection-window') this.#starved.push(answer)
      else answer.isReady = false
    }
    if (this.#first === ready.length) ready.length = 0
    else if (this.#first < MAX_BEHIND) return
    else this.#ready = ready.slice(this.#first)
    this.#first = 0
  }
}
