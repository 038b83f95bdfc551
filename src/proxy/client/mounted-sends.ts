/**
 * The send timeout in an application's own server: for the responses that banyan sends there, and for no others.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { NodeHttp } from './node-http.ts'
import { SendTimeout } from './send-timeout.ts'

const DEFAULT_TIMEOUT_MS = 60_000

/** Watches connections while a response of banyan's is sent on them. */
export class MountedSends {
  readonly #node: NodeHttp
  /** The newest response of each connection. */
  readonly #responses = new Map<Socket, ServerResponse>()
  readonly #sockets = new Set<Socket>()
  readonly #timeout: SendTimeout

  /** @param timeoutMs without a byte accepted */
  constructor(node: NodeHttp, timeoutMs = DEFAULT_TIMEOUT_MS) {
    this.#node = node
    this.#timeout = new SendTimeout(timeoutMs, this.#sockets, (socket) => this.#isExempt(socket))
  }

  /** Watches the connection of a response until that is closed. */
  watch(res: ServerResponse): void {
    const { socket } = res.req
    this.#responses.set(socket, res)
    this.#sockets.add(socket)
    res.once('close', () => {
      if (this.#responses.get(socket) !== res) return
      this.#responses.delete(socket)
      this.#sockets.delete(socket)
    })
  }

  close(): void {
    this.#timeout.close()
  }

  #isExempt(socket: Socket): boolean {
    const res = this.#responses.get(socket)
    // It waits for an earlier one on the connection, perhaps of the application.
    if (res === undefined || res.socket !== socket) return true
    return !res.writableEnded && this.#node.limitsTime(res)
  }
}
