/**
 * A body on its way to its clients: whose memory may be given up, what is held for the slow ones, and what is held at all.
 */
import { expect, test } from 'vitest'
import { Fill, type FillTerms } from '../../../src/proxy/caching/fill.ts'
import { HeldBodies } from '../../../src/proxy/caching/held-bodies.ts'
import type { Lookup } from '../../../src/proxy/caching/lookup.ts'
import type { UpstreamRequest } from '../../../src/proxy/caching/upstream-request.ts'

const MADE = { key: '/a', print: '', parts: '', vary: [], selected: '' }
const HEAD = { status: 200, reason: 'OK', fields: [] }
const MIB = 1024 * 1024

/** A client: what it was given, and whether that may be gone once it is written. */
class Client {
  readonly given: [text: string, spent: boolean][] = []
  #drained: (() => void)[] = []
  keepsUp = true
  ended = false
  failed = ''
  readonly lookup: Lookup

  constructor() {
    const answer = {
      begin: () => {},
      flush: () => true,
      body: (piece: Buffer, spent = false) => {
        this.given.push([piece.toString('latin1'), spent])
        return this.keepsUp
      },
      end: () => {
        this.ended = true
      },
      whenDrained: (listener: () => void) => void this.#drained.push(listener),
    }
    const fail = (failure: string): void => {
      this.failed = failure
    }
    const exchange = { answer, request: { exclusive: true } }
    this.lookup = { ...MADE, exchange, done: () => {}, fail } as unknown as Lookup
  }

  get text(): string {
    return this.given.map(([text]) => text).join('')
  }

  /** It has taken all, and goes on to. */
  drain(): void {
    this.keepsUp = true
    for (const tell of this.#drained.splice(0)) tell()
  }
}

class Upstream {
  paused = false
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
}

function fillFor(terms: Partial<FillTerms>, upstream = new Upstream(), stored: Buffer[] = []): Fill {
  const owner = { onFilled: (body: Buffer) => void stored.push(body), onOutgrown: () => {} }
  const first = new Client().lookup
  const all = {
    storing: false,
    maxBytes: 0,
    length: -1,
    first,
    madeFor: MADE,
    held: new HeldBodies(64 * MIB),
    ...terms,
  }
  return new Fill(upstream as unknown as UpstreamRequest, owner, all)
}

/** Lets those wait their turn who have to: a turn of the event loop takes a bounded number of bytes. */
async function turns(): Promise<void> {
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
}

function give(fill: Fill, ...pieces: Buffer[]): void {
  for (const piece of pieces) {
    fill.onBody(piece)
    fill.onPause()
  }
}

test('a request that the answer was not made for gets none of it', () => {
  const other = Object.assign(new Client().lookup, { key: '/other' })
  const fill = fillFor({ storing: true, maxBytes: 10 })
  expect(() => fill.attach(other, HEAD)).toThrow('not made for')
})

test('one reader of what is not stored: each piece may go', () => {
  const client = new Client()
  const fill = fillFor({})
  fill.attach(client.lookup, HEAD)
  give(fill, Buffer.from('a'), Buffer.alloc(32 * 1024, 'b'))
  fill.onEnd([])
  expect(client.given).toEqual([
    ['a', true],
    ['b'.repeat(32 * 1024), true],
  ])
  expect(client.ended).toBe(true)
})

test('what is stored stays', () => {
  const client = new Client()
  const fill = fillFor({ storing: true, maxBytes: 10 })
  fill.attach(client.lookup, HEAD)
  give(fill, Buffer.from('a'))
  expect(client.given).toEqual([['a', false]])
})

test('of two readers the last one must not give up what the other one, though done, may still be sending', async () => {
  const [quick, slow] = [new Client(), new Client()]
  const fill = fillFor({ storing: true, maxBytes: 1 })
  for (const client of [quick, slow]) fill.attach(client.lookup, HEAD)
  slow.keepsUp = false
  give(fill, Buffer.from('ab'), Buffer.from('cd'), Buffer.from('ef'))
  fill.onEnd([])
  await turns()
  expect(quick.ended).toBe(true)
  slow.drain()
  await turns()
  expect(slow.ended).toBe(true)
  expect([quick.text, slow.text]).toEqual(['abcdef', 'abcdef'])
  expect([...quick.given, ...slow.given].filter(([, spent]) => spent)).toEqual([])
})

test('a slow reader of what is not stored slows nobody, and gets all of it', async () => {
  const [quick, slow] = [new Client(), new Client()]
  const upstream = new Upstream()
  const held = new HeldBodies(64 * MIB)
  const fill = fillFor({ storing: true, maxBytes: MIB, held }, upstream)
  for (const client of [quick, slow]) fill.attach(client.lookup, HEAD)
  slow.keepsUp = false
  for (let i = 0; i < 160; i++) {
    give(fill, Buffer.alloc(64 * 1024, 'x'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(upstream.paused).toBe(false)
  }
  fill.onEnd([])
  await turns()
  expect([quick.text.length, quick.ended]).toEqual([10 * MIB, true])
  expect(held.bytes).toBeGreaterThan(9 * MIB)
  slow.drain()
  await turns()
  expect([slow.text.length, slow.ended, slow.failed]).toEqual([10 * MIB, true, ''])
  expect(held.bytes).toBe(0)
})

test('what is held for a slow reader has a bound: beyond it the upstream waits', async () => {
  const [quick, slow] = [new Client(), new Client()]
  const upstream = new Upstream()
  const fill = fillFor({ storing: true, maxBytes: MIB }, upstream)
  for (const client of [quick, slow]) fill.attach(client.lookup, HEAD)
  slow.keepsUp = false
  let given = 0
  for (; !upstream.paused; given++) {
    give(fill, Buffer.alloc(64 * 1024, 'x'))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(given * 64 * 1024).toBeGreaterThan(16 * MIB)
  expect(given * 64 * 1024).toBeLessThan(17 * MIB)
  slow.drain()
  await turns()
  expect(upstream.paused).toBe(false)
})

test('one reader that does not keep up makes the upstream wait at once', () => {
  const client = new Client()
  const upstream = new Upstream()
  const fill = fillFor({}, upstream)
  fill.attach(client.lookup, HEAD)
  client.keepsUp = false
  give(fill, Buffer.alloc(32 * 1024))
  expect(upstream.paused).toBe(true)
  client.drain()
  expect(upstream.paused).toBe(false)
})

test('a body in pieces of one byte takes hardly more memory than its bytes', () => {
  const held = new HeldBodies(64 * MIB)
  const stored: Buffer[] = []
  const fill = fillFor({ storing: true, maxBytes: MIB, held }, new Upstream(), stored)
  for (let i = 0; i < 100_000; i++) fill.onBody(Buffer.from('x'))
  fill.onPause()
  expect(held.bytes).toBeLessThan(2 * 100_000)
  fill.onEnd([])
  expect(stored.map((body) => body.toString())).toEqual(['x'.repeat(100_000)])
  expect(held.bytes).toBe(0)
})

test('a client of pieces of one byte is written to once for each read', () => {
  const client = new Client()
  const fill = fillFor({ storing: true, maxBytes: MIB })
  fill.attach(client.lookup, HEAD)
  for (let i = 0; i < 1000; i++) fill.onBody(Buffer.from('x'))
  fill.onPause()
  expect(client.given.length).toBeLessThan(4)
  expect(client.text).toBe('x'.repeat(1000))
})

test.each([true, false])('nothing is held of a body that has gone or broken off (stored: %s)', async (storing) => {
  const held = new HeldBodies(64 * MIB)
  const pieces = ['abc', 'd'.repeat(5000), 'e', 'f'].map((text) => Buffer.from(text))
  for (const ending of ['whole', 'broken', 'left'] as const) {
    const client = new Client()
    const fill = fillFor({ storing, maxBytes: MIB, held })
    fill.attach(client.lookup, HEAD)
    give(fill, ...pieces)
    if (ending === 'whole') fill.onEnd([])
    if (ending === 'left') fill.detach(client.lookup)
    if (ending !== 'whole') fill.breakOff()
    await turns()
    expect([ending, held.bytes]).toEqual([ending, 0])
  }
})

test('without memory for it a body is not stored, and goes on to its clients', async () => {
  const client = new Client()
  const held = new HeldBodies(100 * 1024)
  const stored: Buffer[] = []
  const fill = fillFor({ storing: true, maxBytes: MIB, held }, new Upstream(), stored)
  fill.attach(client.lookup, HEAD)
  give(fill, ...Array.from({ length: 10 }, () => Buffer.alloc(32 * 1024, 'x')))
  fill.onEnd([])
  await turns()
  expect([client.text.length, client.ended, stored.length, held.bytes]).toEqual([320 * 1024, true, 0, 0])
})

test('ranges are sent of a body that is still coming', async () => {
  const client = new Client()
  const fill = fillFor({ storing: true, maxBytes: MIB, length: 10 })
  const parts = [{ first: 6, last: 8 }, Buffer.from('--'), { first: 0, last: 1 }]
  fill.attach(client.lookup, { ...HEAD, parts })
  give(fill, Buffer.from('01234'))
  expect(client.text).toBe('')
  give(fill, Buffer.from('567'))
  expect(client.text).toBe('67')
  give(fill, Buffer.from('89'))
  await turns()
  expect([client.text, client.ended]).toEqual(['678--01', true])
})
