/**
 * Listens for clients: on an address, at a Unix socket, or on a socket passed by systemd.
 */
import type { Server } from 'node:net'
import { bindAt } from './unix-socket.ts'

/** An address, a Unix socket, or a socket that is open already. */
export interface ListenPlace {
  readonly host: string
  readonly port: number
  /** File descriptor of a listening socket; host and port are ignored then. */
  readonly fd?: number
  /** A Unix socket; host and port are ignored then. */
  readonly path?: string
  /** Permission bits of the file of that socket. */
  readonly mode?: number
  /** Clients speak TLS there. Default false. */
  readonly tls?: boolean
}

/** Where clients are accepted, with the actual port. */
export type Bound = { readonly host: string; readonly port: number } | { readonly path: string }

/** Stands for a Unix socket opened by systemd: node doesn't know its path. */
export const HANDED_UNIX = { path: 'systemd' }

/** Length of the accept queue. */
export const BACKLOG = 4096

/** Maximum turns of the event loop to wait for the accept queue to become empty. */
const MAX_LAST_TURNS = 200

/**
 * Waits until all that is in the accept queue has been accepted: the kernel resets what is left there when the socket closes.
 * @param accepted how many connections have been accepted so far
 */
export async function acceptWaiting(accepted: () => number): Promise<void> {
  for (let turn = 0; turn < MAX_LAST_TURNS; turn++) {
    const before = accepted()
    await new Promise((resolve) => setImmediate(resolve))
    // The first turn doesn't count: it began before.
    if (turn > 0 && accepted() === before) return
  }
}

/**
 * Makes a server accept client connections.
 * @returns the bound address, with the actual port for port 0
 * @param onFault called for each later connection that can't be accepted
 * @throws errors of node:net, such as EADDRINUSE, with the `place`
 */
export async function listenAt(
  server: Server,
  where: ListenPlace,
  onFault: (error: Error) => void = () => {},
): Promise<Bound> {
  const { host, port, fd, path, mode } = where
  await new Promise<void>((resolve, fail) => {
    const reject = (error: Error): void => fail(Object.assign(error, { place: where }))
    server.once('error', reject)
    const listening = (): void => {
      server.off('error', reject)
      server.on('error', onFault)
      resolve()
    }
    if (path !== undefined) {
      bindAt(path, mode, () => server.listen({ path, backlog: BACKLOG }, listening)).catch(reject)
    } else server.listen(fd === undefined ? { host, port, backlog: BACKLOG } : { fd, backlog: BACKLOG }, listening)
  })
  const address = server.address()
  if (path !== undefined) return { path }
  if (address === null || typeof address === 'string') return HANDED_UNIX
  return { host: address.address, port: address.port }
}
