/**
 * Listens for clients: on an address, or on a socket passed by systemd.
 */
import type { AddressInfo, Server } from 'node:net'

/** An address, or a socket. */
export interface ListenPlace {
  readonly host: string
  readonly port: number
  /** A socket that listens already, handed over by its file descriptor; host and port count for nothing then. */
  readonly fd?: number
}

/** Connections that the system keeps until they are accepted. */
const BACKLOG = 4096

/**
 * Lets a server accept the connections of clients.
 * @returns the address in use, with the port that was taken for port 0
 * @param onFault told of each connection that can't be accepted later on
 * @throws what node:net says, EADDRINUSE and the like
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
