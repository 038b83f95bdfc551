/**
 * The sending half of an HTTP/2 connection: control frames first, then the answers in round robin, a frame of each at a time, so that
 * a large one does not keep small ones waiting. The frames of one turn of the event loop are written together.
 */
import type { Socket } from 'node:net'
import { tellException } from '../../../wire/exceptions.ts'
import { FieldEncoder } from '../../../wire/http2/hpack-encoder.ts'
import { FrameOutput } from '../../../wire/http2/output.ts'
import { FIRST_WINDOW, MAX_WINDOW } from '../../../wire/http2/protocol.ts'
import { type Held, sendLater } from '../../../wire/turn.ts'

/** Limit on bytes in the socket that the kernel has not accepted; one more frame may be added. */
const SOCKET_BYTES = 128 * 1024

/** Used-up places at the front of #ready before it is compacted. */
const MAX_BEHIND = 200

const output = new FrameOutput()

/** What more an answer can send: nothing for now, more right away, or nothing until the connection window grows. */
export type Sendable = 'nothing' | 'more' | 'connection-window'

/** An answer, as the sender sees it. */
export interface Sending {
  /** It is queued: it has something to send, or waits for the connection window. */
  isReady: boolean
  /** Queues the end of the answer. */
  sendNow(): void
  /** Writes the next frame, and any heads before it, to the output. @param connectionWindow bytes of DATA that may be sent */
  sendSome(to: FrameOutput, connectionWindow: number): Sendable
  /** Lets the waiting writer continue. */
  tellDrained(): void
}

/** Writes a control frame, about a stream or the connection. */
type Control = (to: FrameOutput) => void

/** The sending half of one connection. */
export class Http2Sender implements Held {
  readonly #socket: Socket
  readonly encoder = new FieldEncoder()
  /** The flow-control window of the connection (RFC 9113 section 6.9). */
  window = FIRST_WINDOW
  /** The initial window of each new stream. */
  initialWindow = FIRST_WINDOW
  #control: Control[] = []
  /** Answers that end in this turn. */
  #ending: Sending[] = []
  /** Answers with something to send, in turn, and the index of the first one. */
  #ready: Sending[] = []
  #first = 0
  /** Answers that wait for the connection window. */
  #starved: Sending[] = []
  #drained: Sending[] = []
  #isWaiting = false
  #isSending = false
  #afterwards: (() => void) | null = null
  /** Bytes sent so far. */
  bytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Queued control frames. */
  get waitingControls(): number {
    return this.#control.length
  }

  /** Queues a control frame, sent before those of answers. */
  control(frame: Control): void {
    this.#control.push(frame)
    this.#wait()
  }

  /** Calls `answer.sendNow` at the end of this turn. */
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

  /** Removes an answer from the queues: a client that resets streams all the time would otherwise leave one behind for each. */
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

  /** Handles WINDOW_UPDATE for the connection. @returns false if the window gets too large (section 6.9.1) */
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

  /** Sends what is queued, then calls a function. */
  finish(afterwards: () => void): void {
    if (this.#isSending || output.isInUse) {
      this.#afterwards = afterwards
      this.#wait()
    } else {
      this.send(true)
      afterwards()
    }
  }

  /** Sends as much as the socket and the windows allow. @param isLast sends control frames however full the socket is */
  send(isLast = false): void {
    if (this.#isSending) return
    // Called from within the sending of another connection, which uses the shared output.
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
    // The kernel has accepted everything, so no 'drain' will come for the rest.
    if (this.#first < this.#ready.length && !socket.writableNeedDrain) this.#wait()
    const drained = this.#drained
    if (drained.length === 0) return
    this.#drained = []
    for (const answer of drained) answer.tellDrained()
  }

  /** @param room bytes that may be written to the output; one more frame may be */
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
