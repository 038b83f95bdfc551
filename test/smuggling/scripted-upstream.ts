/**
 * An upstream that answers with whatever bytes a test says, and tells which connection each request came on.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

export interface ScriptedUpstream {
  readonly port: number
  /** Bytes of the answer to /case, Latin-1; every other request is told the number of its connection, from 1. */
  script: string
  /** What happens behind the script: the connection stays open, is ended, or is reset. */
  ending: 'stay' | 'end' | 'reset'
  /** The number of the connection that /case came on last. */
  readonly caseConnection: number
  /** Writes further bytes on that connection. */
  late(bytes: string): void
  /** Resolves when that connection is closed. */
  caseClosed(): Promise<void>
  close(): Promise<void>
}

/** Starts it on a free port. It knows requests without a body only. */
export async function startScriptedUpstream(): Promise<ScriptedUpstream> {
  const sockets = new Set<Socket>()
  let count = 0
  let caseNumber = 0
  let caseSocket: Socket | null = null
  const server = createServer((socket) => {
    const number = ++count
    let rest = ''
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Banyan resets connections that it can't trust any more.
    socket.on('error', () => {})
    socket.on('data', (piece) => {
      rest += piece.toString('latin1')
      for (let end = rest.indexOf('\r\n\r\n'); end !== -1; end = rest.indexOf('\r\n\r\n')) {
        const target = rest.split(' ', 2)[1]
        rest = rest.slice(end + 4)
        if (target === '/case') {
          caseNumber = number
          caseSocket = socket
          play(socket, upstream)
        } else {
          const body = `${target} on connection ${number}`
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
        }
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upstream: ScriptedUpstream = {
    port: (server.address() as AddressInfo).port,
    script: '',
    ending: 'stay',
    get caseConnection() {
      return caseNumber
    },
    late: (bytes) => caseSocket?.write(bytes, 'latin1'),
    async caseClosed() {
      if (caseSocket !== null && !caseSocket.closed) await once(caseSocket, 'close')
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return upstream
}

function play(socket: Socket, { script, ending }: ScriptedUpstream): void {
  socket.write(script, 'latin1', () => {
    if (ending === 'end') socket.end()
    else if (ending === 'reset') socket.resetAndDestroy()
  })
}
