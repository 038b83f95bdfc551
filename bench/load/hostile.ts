/**
 * A server that answers as none should: `node hostile.ts PORT KIND`.
 */
import { createServer, type Socket } from 'node:net'
import { constants, setPriority } from 'node:os'

const [port, kind = ''] = process.argv.slice(2)

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
const SLOW_MS = 50
/** A gigabit a second. */
const FAST_MS = 1
const PIECE = Buffer.alloc(128 * 1024, 'x')
const CHUNK = Buffer.from(`${PIECE.length.toString(16)}\r\n${PIECE}\r\n`)

/** What each kind does with a request. */
const KINDS: Readonly<Record<string, (socket: Socket) => void>> = {
  hangs: () => {},
  slow(socket) {
    socket.write(`${HEAD}Content-Length: 60000\r\n\r\n`)
    const timer = setInterval(() => socket.write('x'), SLOW_MS)
    socket.once('close', () => clearInterval(timer))
  },
  garbage: (socket) => void socket.write('\0\x01garbage\r\n\r\n'),
  gigabytes: (socket) => flood(socket, `${HEAD}Content-Length: 4000000000\r\n\r\n`, PIECE),
  endless: (socket) => flood(socket, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, CHUNK),
  headers: (socket) => void socket.write(`${HEAD}${'a: b\r\n'.repeat(10_000)}\r\n`),
}

/** No faster than a network: what fills the buffers of the kernel would take the core from the load. */
function flood(socket: Socket, head: string, piece: Buffer): void {
  socket.write(head)
  const timer = setInterval(() => socket.write(piece), FAST_MS)
  socket.once('close', () => clearInterval(timer))
  socket.write(piece)
}

const answer = KINDS[kind]
if (answer === undefined) throw new Error(`no kind ${kind}; there are ${Object.keys(KINDS).join(', ')}`)

// In its place it would be another machine: it must not take the core from the load and the server that is well.
setPriority(constants.priority.PRIORITY_LOW)

createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', () => answer(socket))
}).listen(Number(port), '127.0.0.1')
