/**
 * HTTP/2 of our own against that of node:http2 (nghttp2) as its client: random requests on few connections, with bodies, trailers, windows
 * and resets at random, arrive as they were sent, and so do their answers.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect, constants } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import fc from 'fast-check'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'

const MIB = 1024 * 1024

/** Bytes that both sides know: any window of them tells where it is from. */
const bytes = randomBytes(2 * MIB)

const hashOf = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

/** What is asked of the server, which reads it from the target. */
interface Plan {
  readonly method: string
  /** Of the request's body; null for none. */
  readonly up: number | null
  readonly isUpSized: boolean
  /** Of the answer's. */
  readonly down: number
  readonly isDownSized: boolean
  readonly pieces: number
  readonly trailers: boolean
  /** The answer begins before the body was read. */
  readonly early: boolean
  /** The client pauses behind its first piece; or resets the stream then (earlier, node:http2 may lose another request). */
  readonly client: 'reads' | 'pauses' | 'resets'
}

const size = fc.oneof(fc.constantFrom(0, 1, 16_383, 16_384, 16_385, 65_535, 65_536), fc.nat(3000), fc.nat(300_000))
const plan: fc.Arbitrary<Plan> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD'),
  up: fc.option(size),
  isUpSized: fc.boolean(),
  down: size,
  isDownSized: fc.boolean(),
  pieces: fc.integer({ min: 1, max: 20 }),
  trailers: fc.boolean(),
  early: fc.boolean(),
  client: fc.constantFrom('reads', 'reads', 'reads', 'pauses', 'resets'),
})

function split(data: Buffer, pieces: number): Buffer[] {
  const length = Math.max(1, Math.ceil(data.length / pieces))
  return Array.from({ length: Math.ceil(data.length / length) }, (_, n) => data.subarray(n * length, (n + 1) * length))
}

/** They take an answer in chunks. */
function hasTrailers({ method, trailers, isDownSized }: Plan): boolean {
  return trailers && !isDownSized && method !== 'HEAD'
}

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const one = JSON.parse(decodeURIComponent(req.url!.slice(1))) as Plan
  const { down, isDownSized, pieces, early } = one
  const trailers = hasTrailers(one)
  const hash = createHash('sha256')
  let got = 0
  const read = pipeline(req, async (body) => {
    for await (const piece of body as AsyncIterable<Buffer>) {
      hash.update(piece)
      got += piece.length
    }
  })
  read.catch(() => {})
  if (!early) await read
  if (isDownSized) res.setHeader('content-length', down)
  if (!early) res.setHeader('x-got', `${got} ${hash.digest('hex')} ${req.trailers['x-sum'] ?? 'none'}`)
  if (trailers) res.setHeader('trailer', 'x-end')
  for (const piece of split(bytes.subarray(0, down), pieces)) {
    if (!res.write(piece)) await new Promise((resolve) => res.once('drain', resolve).once('close', resolve))
  }
  if (early) await read
  if (trailers) res.addTrailers({ 'x-end': String(down) })
  res.end()
}

const server = createServer((req, res) => void answer(req, res).catch(() => res.destroy())).listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const banyan = await startBanyan({ table: tableFor((server.address() as AddressInfo).port), args: ['--h2c'] })
afterAll(async () => {
  await banyan.stop()
  server.closeAllConnections()
  server.close()
})

async function session(windowBytes: number, connectionBytes: number): Promise<ClientHttp2Session> {
  const opened = connect(`http://127.0.0.1:${banyan.port}`, {
    settings: { enablePush: false, initialWindowSize: windowBytes },
  })
  onTestFinished(() => opened.destroy())
  opened.on('error', () => {})
  await new Promise((resolve) => opened.once('remoteSettings', resolve))
  opened.setLocalWindowSize(connectionBytes)
  return opened
}

/** Asks, and compares what comes. */
async function ask(opened: ClientHttp2Session, one: Plan): Promise<void> {
  const body = one.up === null || one.method === 'GET' || one.method === 'HEAD' ? null : bytes.subarray(0, one.up)
  const isSized = one.isUpSized && body !== null
  const resets = one.client === 'resets'
  const stream = opened.request(
    {
      ...{ ':method': one.method, ':path': `/${encodeURIComponent(JSON.stringify(one))}` },
      ...(isSized ? { 'content-length': body.length } : {}),
    },
    // node:http2 ends the process where such a stream is reset.
    { endStream: body === null, waitForTrailers: body !== null && !isSized && !resets },
  )
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'sum' }))
  stream.on('error', () => {})
  const closed = new Promise((resolve) => stream.once('close', resolve))
  if (body !== null) {
    for (const piece of split(body, one.pieces)) stream.write(piece)
    stream.end()
  }
  const head = await new Promise<Record<string, unknown>>((resolve, reject) => {
    stream.once('response', resolve)
    stream.once('close', () => reject(new Error(`${JSON.stringify(one)}: reset with ${stream.rstCode}`)))
  })
  let end: unknown = null
  stream.on('trailers', (fields) => {
    end = fields['x-end']
  })
  if (one.client === 'resets') {
    stream.once('data', () => stream.close(constants.NGHTTP2_CANCEL)).on('end', () => stream.close())
    await closed
    return
  }
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => {
    pieces.push(piece)
    if (one.client === 'pauses' && pieces.length === 1) {
      stream.pause()
      setTimeout(() => stream.resume(), 20)
    }
  })
  await closed
  const got = Buffer.concat(pieces)
  const expected = one.method === 'HEAD' ? Buffer.alloc(0) : bytes.subarray(0, one.down)
  expect(head[':status'], JSON.stringify(one)).toBe(200)
  expect(stream.rstCode, JSON.stringify(one)).toBe(0)
  expect([got.length, hashOf(got)], JSON.stringify(one)).toEqual([expected.length, hashOf(expected)])
  if (!one.early) {
    const sum = body === null || isSized ? 'none' : 'sum'
    expect(head['x-got'], JSON.stringify(one)).toBe(`${body?.length ?? 0} ${hashOf(body ?? Buffer.alloc(0))} ${sum}`)
  }
  if (hasTrailers(one)) expect(end).toBe(String(one.down))
}

test.each([
  [1, 65_535],
  [1000, 70_000],
  [65_535, 65_535],
  [100_000, 300_000],
  [2 ** 31 - 1, 2 ** 31 - 1],
])('windows of %i and %i bytes', { timeout: 120_000 }, async (windowBytes, connectionBytes) => {
  // A byte at a time is slow.
  const most = windowBytes < 1000 ? 20 : Number.POSITIVE_INFINITY
  const opened = await Promise.all([session(windowBytes, connectionBytes), session(windowBytes, connectionBytes)])
  const plans = fc.sample(plan, 120).map((one) => ({ ...one, down: Math.min(one.down, most) }))
  // Some at a time, on both connections.
  const next = async (n: number): Promise<void> => {
    for (let at = n; at < plans.length; at += 12) await ask(opened[n % 2] as ClientHttp2Session, plans[at] as Plan)
  }
  await Promise.all(Array.from({ length: 12 }, (_, n) => next(n)))
  for (const one of opened) expect(one.destroyed).toBe(false)
})

test('a client that changes its windows all the time gets all', async () => {
  const opened = await session(10, 65_535)
  // One after the other: node:http2 ends a session with too many changes that its server has not acknowledged yet.
  const change = (): void => {
    const initialWindowSize = fc.sample(fc.integer({ min: 1, max: 40_000 }), 1)[0]
    if (!opened.destroyed) opened.settings({ initialWindowSize }, () => setTimeout(change, 2))
  }
  change()
  const one: Plan = {
    ...{ method: 'POST', up: 200_000, isUpSized: true, down: 200_000, isDownSized: true, pieces: 7 },
    ...{ trailers: false, early: false, client: 'reads' },
  }
  for (let n = 0; n < 5; n++) await Promise.all(Array.from({ length: 5 }, () => ask(opened, one)))
})
