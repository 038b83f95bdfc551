/**
 * Many answers on their way at once, of all sizes and framings, to clients of all paces: each client gets its own bytes.
 *
 * All connections to servers read into memory that they share, so a piece that is kept a moment too long would hold
 * somebody else's bytes.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'

/** A request that gets no bytes for so long hangs; it is named before the runner gives up. */
const QUIET_MS = 120_000

type Kind = 'length' | 'chunked' | 'close' | 'upgrade'

interface Ask {
  readonly kind: Kind
  readonly bytes: number
  /** The server writes so many at a time. */
  readonly slice: number
  /** After each 16 KiB the client takes so many turns of its event loop before it reads on. */
  readonly rest: number
  /** Below /kept answers are stored, below /large they are too large for the store; elsewhere they pass. */
  readonly where: 'kept' | 'large' | 'passed'
}

const upstream = createServer((req, res) => {
  const { kind, bytes, slice } = asked(req)
  const fields: Record<string, string> = { 'Cache-Control': 'max-age=60' }
  if (kind === 'length') fields['Content-Length'] = String(bytes)
  if (kind === 'close') {
    res.useChunkedEncodingByDefault = false
    fields.Connection = 'close'
  }
  res.writeHead(200, fields)
  void pour(res, bodyFor(req.url as string, bytes), slice).then(() => res.end())
})
upstream.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
  const { bytes, slice } = asked(req)
  socket.on('error', () => socket.destroy())
  // The first bytes leave together with the head.
  socket.cork()
  process.nextTick(() => socket.uncork())
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pour\r\n\r\n')
  void pour(socket, bodyFor(req.url as string, bytes), slice).then(() => socket.end())
})
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
const server = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
const banyan = await startBanyan({
  table: `version: 1
upstreams: { legacy: { servers: ['${server}'] } }
default: legacy
routes:
  - { id: kept, match: { path: /kept/* }, to: legacy, percent: 100, cache: { ttl: 60s, maxBody: 1MiB } }
  - { id: large, match: { path: /large/* }, to: legacy, percent: 100, cache: { ttl: 60s, maxBody: 1KiB } }
`,
})
afterAll(async () => {
  await banyan.stop()
  upstream.closeAllConnections()
  await new Promise((resolve) => upstream.close(resolve))
})

function asked(req: IncomingMessage): Ask {
  return JSON.parse(req.headers.ask as string) as Ask
}

/** Bytes that no other path has. */
function bodyFor(path: string, bytes: number): Buffer {
  const seed = createHash('sha256').update(path).digest('hex')
  return Buffer.from(seed.repeat(Math.ceil(bytes / seed.length)).slice(0, bytes))
}

async function pour(to: Writable, body: Buffer, slice: number): Promise<void> {
  for (let at = 0; at < body.length; at += slice) {
    if (!to.write(body.subarray(at, at + slice))) await new Promise<void>((resolve) => to.once('drain', resolve))
    else await turn()
  }
}

/** Everything that the proxy answers to a request for `path`. */
function get(path: string, ask: Ask): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const upgrade = ask.kind === 'upgrade' ? { Connection: 'Upgrade', Upgrade: 'pour' } : {}
    const req = send({
      host: '127.0.0.1',
      port: banyan.port,
      path,
      agent: false,
      headers: { ask: JSON.stringify(ask), ...upgrade },
    })
    const take = (stream: AsyncIterable<Buffer>): void => void taken(stream, ask.rest).then(resolve, reject)
    req.once('response', take).once('upgrade', (_, socket, head) => {
      socket.unshift(head)
      take(socket)
    })
    req.setTimeout(QUIET_MS, () =>
      req.destroy(new Error(`${path} got no bytes for ${QUIET_MS} ms: ${JSON.stringify(ask)}`)),
    )
    req.once('error', reject).end()
  })
}

async function taken(stream: AsyncIterable<Buffer>, rest: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  // Counted in bytes: the many small chunks of a large body would make a pause after each of them take minutes.
  let untilRest = 0
  for await (const piece of stream) {
    pieces.push(piece)
    untilRest -= piece.length
    if (untilRest > 0) continue
    untilRest = 16_384
    for (let i = 0; i < rest; i++) await turn()
  }
  return Buffer.concat(pieces)
}

const ask: fc.Arbitrary<Ask> = fc.record({
  kind: fc.constantFrom('length', 'chunked', 'close', 'upgrade'),
  bytes: fc.oneof(
    { weight: 3, arbitrary: fc.nat(300) },
    { weight: 3, arbitrary: fc.integer({ min: 10_000, max: 40_000 }) },
    { weight: 3, arbitrary: fc.integer({ min: 60_000, max: 400_000 }) },
    // More than the kernel takes for a client that does not read, so that the proxy has to hold some of it.
    { weight: 1, arbitrary: fc.constant(8_000_000) },
  ),
  slice: fc.constantFrom(1500, 16_384, 40_000, 70_000, 400_000),
  rest: fc.constantFrom(0, 1, 20, 200),
  where: fc.constantFrom('kept', 'large', 'passed'),
})

let batch = 0

test('each client gets the bytes that are its own', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(ask, { minLength: 10, maxLength: 40 }), async (asks) => {
      const id = ++batch
      // Each is asked for twice, so that what is stored or shared is looked at too.
      const twice = [...asks.entries(), ...asks.entries()]
      await Promise.all(
        twice.map(async ([i, one]) => {
          const path = `/${one.where}/${id}/${i}`
          const got = await get(path, one)
          expect(got.equals(bodyFor(path, one.bytes)), `${path}: ${JSON.stringify(one)}`).toBe(true)
        }),
      )
    }),
    { numRuns: 15 },
  )
})
