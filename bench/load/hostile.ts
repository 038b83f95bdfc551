/**
 * A server that answers as none should: `node hostile.ts PORT KIND`.
 */
import { createServer, type Socket } from 'node:net'

const [port, kind = ''] = process.argv.slice(2)

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
const SLOW_MS = 50

/** What each kind does with a request. */
const KINDS: Readonly<Record<string, (socket: Socket) => void>> = {
  hangs: () => {},
  slow(socket) {
    socket.write(`${HEAD}Content-Length: 100000\r\n\r\n`)
    const timer = setInterval(() => socket.write('x'), SLOW_MS)
    socket.once('close', () => clearInterval(timer))
  },
  garbage: (socket) => void socket.write('\0\x01garbage\r\n\r\n'),
  gigabytes(socket) {
    socket.write(`${HEAD}Content-Length: 4000000000\r\n\r\n`)
    const piece = Buffer.alloc(64 * 1024, 'x')
    const pump = (): void => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.on('drain', pump)
    pump()
  },
  headers: (socket) => void socket.write(`${HEAD}${'a: b\r\n'.repeat(10_000)}\r\n`),
}

const answer = KINDS[kind]
if (answer === undefined) throw new Error(`no kind ${kind}; there are ${Object.keys(KINDS).join(', ')}`)

createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', () => answer(socket))
}).listen(Number(port), '127.0.0.1')
