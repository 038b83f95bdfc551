/**
 * The first message of a TLS client, as node:tls sends it.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect } from 'node:tls'

/** @param protocols that it offers by ALPN */
export async function clientHello(servername: string, protocols: string[]): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', servername, ALPNProtocols: protocols })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [hello] = await once(socket, 'data')
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}
