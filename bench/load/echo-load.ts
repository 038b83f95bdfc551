/**
 * WebSocket load over raw sockets: each connection sends a message, waits for its echo, and sends the next.
 *
 * `node echo-load.ts PORT CONNECTIONS MESSAGE_BYTES SECONDS` prints one line of JSON: a `Measured`.
 */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { quantile } from '../harness/figures.ts'
import type { Measured } from '../harness/rounds.ts'
import { clientFrame } from './frames.ts'
import { UpgradeReader, upgradeRequest } from './websocket.ts'

const [port = 0, connections = 0, messageBytes = 0, seconds = 0] = process.argv.slice(2).map(Number)

const payload = Buffer.alloc(messageBytes, 'banyan ')
// One frame for all messages: the mask is there to be unmasked, not to be secret here.
const frame = clientFrame(payload, 2, randomBytes(4))
const errors: Record<string, number> = {}
const micros: number[] = []
const sockets: Socket[] = []
let over = false
let upgraded = 0

for (let i = 0; i < connections; i++) sockets.push(open())
const startMs = performance.now()
setTimeout(finish, seconds * 1000)

function fail(kind: string): void {
  if (!over) errors[kind] = (errors[kind] ?? 0) + 1
}

function open(): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let sentMs = 0
  const send = (): void => {
    sentMs = performance.now()
    socket.write(frame)
  }
  const reader = new UpgradeReader({
    opened: () => {
      upgraded++
      send()
    },
    refused: () => {
      fail('status')
      socket.destroy()
    },
    frame: (echoed) => {
      if (!echoed.equals(payload)) fail('wrong echo')
      micros.push((performance.now() - sentMs) * 1000)
      if (!over) send()
    },
  })
  socket.on('data', (chunk: Buffer) => reader.take(chunk))
  socket.once('error', () => fail('read')).once('close', () => fail('closed'))
  socket.write(upgradeRequest(port))
  return socket
}

function finish(): void {
  if (upgraded < connections) errors.connect = connections - upgraded
  over = true
  const elapsedMs = performance.now() - startMs
  for (const socket of sockets) socket.destroy()
  const sorted = Float64Array.from(micros).sort()
  const measured: Measured = {
    units: sorted.length,
    perSecond: (sorted.length / elapsedMs) * 1000,
    p50Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.5),
    p99Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.99),
    errors,
  }
  console.log(JSON.stringify(measured))
}
