/**
 * An upstream that says anything: answers that are whole, changed, cut short, late, endless, or no HTTP at all.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Random } from './random.ts'

const WHOLE = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVary: Accept, X-A\r\nETag: "a"\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=0, stale-while-revalidate=9\r\n\r\nhello',
  'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
  'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore',
  'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM abc\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.0 200 OK\n\nhello',
  'HTTP/1.1 503 x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno',
]

/** Starts one on a free port of loopback. @returns its port, and how it is stopped */
export async function startGarbage(random: Random): Promise<{ port: number; stop: () => void }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.on('data', () => answer(socket, random))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

function answer(socket: Socket, random: Random): void {
  const say = (text: string): void => {
    if (!socket.destroyed && socket.writable) socket.write(text, 'latin1')
  }
  const whole = random.pick(WHOLE)
  const what = random.below(12)
  if (what < 3) say(whole)
  else if (what < 7) say(random.mutate(whole))
  else if (what === 7) say(random.bytes(random.length(5000)))
  else if (what === 8)
    say(
      `HTTP/1.1 200 OK\r\n${`X-${random.below(9)}: ${'v'.repeat(random.length(500))}\r\n`.repeat(random.length(3000))}\r\n`,
    )
  else if (what === 9) say('HTTP/1.1 102 Processing\r\n\r\n'.repeat(random.length(500)) + whole)
  else if (what === 10) say(whole + random.pick(WHOLE))
  else {
    // Byte by byte, and perhaps never to its end.
    const cut = whole.slice(0, random.below(whole.length + 1))
    let at = 0
    const timer = setInterval(() => {
      if (at >= cut.length || socket.destroyed) clearInterval(timer)
      else say(cut[at++] as string)
    }, 2)
  }
  if (random.chance(0.2))
    setTimeout(() => (random.chance(0.5) ? socket.resetAndDestroy() : socket.end()), random.below(20))
}
