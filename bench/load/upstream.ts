/**
 * The Node upstream: reads bodies to their end, streams bodies of any size, stalls on request, echoes WebSocket messages.
 *
 * `node upstream.ts PORT`:
 * - `POST /sink` reads the body and answers how long it was
 * - `POST /stall` never reads the body and never answers
 * - `GET /bytes/N` streams N bytes as fast as they are taken
 * - `GET /slow/N` answers after N milliseconds
 * - an upgrade to `websocket` on any path echoes each message; to anything else echoes bytes
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { FrameReader, serverFrame } from './frames.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'banyan ')
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

const server = createServer((req, res) => {
  const [, what = '', amount = ''] = (req.url ?? '').split('/')
  if (what === 'bytes') sendBytes(res, Number(amount))
  else if (what === 'slow') setTimeout(() => answer(res, { slow: amount }), Number(amount))
  else if (what !== 'stall') sink(req, res)
})
server.keepAliveTimeout = 3_600_000
server.requestTimeout = 0
server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
  socket.on('error', () => socket.destroy())
  if (req.headers.upgrade?.toLowerCase() === 'websocket') echoMessages(req, socket, head)
  else echoBytes(req, socket, head)
})
server.listen(Number(process.argv[2]), '127.0.0.1')

function sink(req: IncomingMessage, res: ServerResponse): void {
  let bytes = 0
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  req.on('end', () => answer(res, { bytes }))
}

function answer(res: ServerResponse, value: object): void {
  const body = JSON.stringify(value)
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}

function sendBytes(res: ServerResponse, total: number): void {
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total })
  let left = total
  const more = (): void => {
    while (left > 0) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= chunk.length
      if (!res.write(chunk)) {
        if (left > 0) res.once('drain', more)
        break
      }
    }
    if (left === 0) res.end()
  }
  more()
}

/** RFC 6455 section 4.2.2. */
function echoMessages(req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}${WEBSOCKET_GUID}`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  const reader = new FrameReader((payload, opcode) => {
    if (opcode === 8) socket.end(serverFrame(payload, opcode))
    else socket.write(serverFrame(payload, opcode))
  })
  reader.take(head)
  socket.on('data', (chunk: Buffer) => reader.take(chunk))
  socket.on('end', () => socket.end())
}

function echoBytes(req: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${req.headers.upgrade}\r\nConnection: Upgrade\r\n\r\n`)
  if (head.length > 0) socket.write(head)
  socket.pipe(socket)
}
