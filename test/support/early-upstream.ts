/**
 * A server that answers as soon as it has read the head of a request, reads no more of it, and closes.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'

/** A server that runs. */
export interface EarlyUpstream {
  readonly port: number
  /** The answer, all of its bytes. */
  answer: string
  /** Closes with an RST, also where nothing of the body has arrived. */
  resets: boolean
  /** Request heads seen so far. */
  readonly requests: number
  stop(): Promise<void>
}

/** Starts one on a free port. GET is answered with 200. */
export async function earlyUpstream(answer: string, tls: TlsOptions | null = null): Promise<EarlyUpstream> {
  const sockets = new Set<Socket>()
  const serve = (socket: Socket): void => {
    let text = ''
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      socket.pause()
      socket.removeAllListeners('data')
      upstream.requests++
      const whole = text.startsWith('GET ')
        ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
        : null
      // With bytes of the body unread, closing resets the connection.
      socket.write(whole ?? upstream.answer, () => (upstream.resets ? socket.resetAndDestroy() : socket.destroy()))
    })
  }
  const server = tls === null ? createServer(serve) : createTlsServer(tls, serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upstream = {
    port: (server.address() as AddressInfo).port,
    answer,
    resets: false,
    requests: 0,
    async stop(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return upstream
}
