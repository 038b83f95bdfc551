/**
 * Closes client connections that accept no byte of a response for too long: `--send-timeout`, like nginx's `send_timeout`.
 */
import type { Socket } from 'node:net'
import { reset } from './sockets.ts'

/** How often connections are checked. */
const MAX_INTERVAL_MS = 5000
const MIN_INTERVAL_MS = 20

/** The socket's internal handle. */
interface Handle {
  /** Bytes that the kernel has not accepted yet. */
  readonly writeQueueSize?: number
}

interface Progress {
  pending: number
  written: number
  sinceMs: number
}

/** Connections that were closed because their client accepts nothing. */
const stalled = new WeakSet<Socket>()

/** Whether a connection was closed because its client accepts nothing. */
export function isStalled(socket: Socket): boolean {
  return stalled.has(socket)
}

/** Watches the connections of one server. */
export class SendTimeout {
  readonly #timeoutMs: number
  readonly #sockets: Iterable<Socket>
  readonly #isExempt: (socket: Socket) => boolean
  readonly #progress = new WeakMap<Socket, Progress>()
  readonly #timer: ReturnType<typeof setInterval>

  /**
   * @param timeoutMs without a byte accepted
   * @param sockets the open connections
   * @param isExempt whether other timeouts apply to a connection
   */
  constructor(timeoutMs: number, sockets: Iterable<Socket>, isExempt: (socket: Socket) => boolean) {
    this.#timeoutMs = timeoutMs
    this.#sockets = sockets
    this.#isExempt = isExempt
    const intervalMs = Math.min(Math.max(timeoutMs / 4, MIN_INTERVAL_MS), MAX_INTERVAL_MS)
    // If this process was stalled, let the sockets make progress before a client is blamed.
    this.#timer = setInterval(() => setImmediate(() => this.check(performance.now())), intervalMs)
    this.#timer.unref()
  }

  /** @param nowMs of a monotonic clock */
  check(nowMs: number): void {
    for (const socket of this.#sockets) {
      const pending = pendingBytes(socket)
      if (pending === 0) {
        this.#progress.delete(socket)
        continue
      }
      const written = socket.bytesWritten
      const before = this.#progress.get(socket)
      if (before === undefined || before.pending !== pending || before.written !== written) {
        this.#progress.set(socket, { pending, written, sinceMs: nowMs })
      } else if (nowMs - before.sinceMs >= this.#timeoutMs && !this.#isExempt(socket)) {
        stalled.add(socket)
        reset(socket)
      }
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

function pendingBytes(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: Handle | null }
  return Math.max(socket.writableLength, handle?.writeQueueSize ?? 0)
}
