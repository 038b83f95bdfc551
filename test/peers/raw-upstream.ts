/**
 * An upstream of raw connections for the comparison of proxies: each behaviour says what it does with what it gets.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** One connection from the proxy. */
export interface FromProxy {
  readonly socket: Socket
  /** From 0, in the order in which they came since the behaviour began. */
  readonly number: number
  /** All bytes so far, Latin-1. */
  text: string
  readonly closed: Promise<void>
}

/** Called for each piece of bytes, after it was added to `text`. */
export type OnBytes = (connection: FromProxy) => void

export class RawUpstream {
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => this.#take(socket))
  #sockets = new Set<Socket>()
  #onBytes: OnBytes = () => {}
  #waiting: (() => void)[] = []
  connections: FromProxy[] = []

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  /** Forgets what was before, closes its connections, and does this from now on. */
  async become(onBytes: OnBytes): Promise<void> {
    const open = [...this.#sockets]
    for (const socket of open) socket.destroy()
    await Promise.all(open.map((socket) => (socket.closed ? null : once(socket, 'close'))))
    this.connections = []
    this.#onBytes = onBytes
  }

  /** Waits until `enough` holds; it is asked again whenever bytes have come or a connection has closed. */
  async until(enough: () => boolean): Promise<void> {
    while (!enough()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket)
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const connection: FromProxy = { socket, number: this.connections.length, text: '', closed }
    this.connections.push(connection)
    // Proxies reset connections; 'close' follows.
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#wake()
    })
    socket.on('data', (bytes: Buffer) => {
      connection.text += bytes.toString('latin1')
      this.#onBytes(connection)
      this.#wake()
    })
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
