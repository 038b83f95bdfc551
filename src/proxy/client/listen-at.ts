/**
 * Listens for clients: on an address, or on a socket passed by systemd.
 */
import type { AddressInfo, Server } from 'node:net'

/** An address or a socket. */
export interface ListenPlace {
  readonly host: string
  readonly port: number
  /** File descriptor of a listening socket; host and port are ignored then. */
  readonly fd?: number
}

/** Length of the accept queue. */
export const BACKLOG = 4096

/**
 * Makes a server accept client connections.
 * @returns the bound address, with the actual port for port 0
 * @param onFault called for each later connection that can't be accepted
 * @throws errors of node:net, such as EADDRINUSE
 */
export function listenAt(
  server: Server,
  where: ListenPlace,
  onFault: (error: Error) => void = () => {},
): Promise<AddressInfo> {
  const { host, port, fd } = where
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(fd === undefined ? { host, port, backlog: BACKLOG } : { fd, backlog: BACKLOG }, () => {
      server.off('error', reject)
      server.on('error', onFault)
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('not a TCP socket'))
      else resolve(address)
    })
  })
}
