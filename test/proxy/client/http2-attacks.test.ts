/**
 * Attacks on HTTP/2, done for real in raw frames: each ends with the connection or the stream of whoever does it, and costs others
 * nothing.
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import {
  block,
  CODE,
  FLAG,
  type FrameClient,
  frame,
  frameClient,
  GET,
  headers,
  POST,
  PREFACE,
  settings,
  TYPE,
  word,
} from '../../support/frames.ts'
import { scriptedUpstream } from '../../support/upstream.ts'
import { BrokenOff } from '../../support/wire.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c'] })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(async () => {
  upstream.handler = (request) => request.ok()
  upstream.readsBodies = true
  await upstream.cut()
})

const MIB = 1024 * 1024

/** Sends until the proxy has had enough. @returns how it ended, and how often `bytes` was sent */
async function flood(
  client: FrameClient,
  bytes: (nth: number) => Buffer,
  most: number,
): Promise<{ code: number; by: string; sent: number }> {
  let sent = 0
  let over = false
  const refused = client.refusal().then((refusal) => {
    over = true
    return refusal
  })
  while (!over && sent < most) {
    await client.send(bytes(sent++)).catch(() => {})
    // The other side's turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { by, code } = await refused
  return { by, code, sent }
}

/** Sends until the connection ends: resets of streams are no end. @returns how many of these came */
async function untilEnded(
  client: FrameClient,
  bytes: (nth: number) => Buffer,
  most: number,
): Promise<{ resets: number }> {
  let resets = 0
  let ended = false
  const reads = (async () => {
    try {
      for (;;) {
        const got = await client.next()
        if (got.type === TYPE.goaway) ended = true
        if (got.type === TYPE.reset) resets++
      }
    } catch (error) {
      if (!(error instanceof BrokenOff)) throw error
      ended = true
    }
  })()
  for (let nth = 0; !ended && nth < most; nth++) {
    await client.send(bytes(nth)).catch(() => {})
    await new Promise((resolve) => setImmediate(resolve))
  }
  await reads
  return { resets }
}

/** Somebody else is served meanwhile. */
async function othersAreServed(): Promise<void> {
  upstream.handler = (request) => request.ok()
  const client = await frameClient(banyan.port)
  await client.send(headers(1, GET, FLAG.endStream))
  await client.until(TYPE.headers, 1)
}

const many = (one: Buffer, times: number): Buffer => Buffer.concat(Array.from({ length: times }, () => one))

describe('floods', () => {
  test('rapid reset (CVE-2023-44487): the connection ends, and few of its requests reach an upstream', async () => {
    const client = await frameClient(banyan.port)
    const seen = upstream.requests
    const cancel = word(CODE.cancel)
    const pairs = (nth: number): Buffer =>
      Buffer.concat(
        Array.from({ length: 100 }, (_, n) => {
          const id = (nth * 100 + n) * 2 + 1
          return Buffer.concat([headers(id, GET, FLAG.endStream), frame(TYPE.reset, 0, id, cancel)])
        }),
      )
    const { by } = await flood(client, pairs, 1000)
    expect(['goaway', 'end']).toContain(by)
    // What is reset in the same packet is never asked.
    expect(upstream.requests - seen).toBeLessThan(100)
    await othersAreServed()
  })

  test('MadeYouReset (CVE-2025-8671): streams that are made to be reset count as well', async () => {
    upstream.handler = null
    const client = await frameClient(banyan.port)
    const wrong = (nth: number): Buffer =>
      Buffer.concat(
        Array.from({ length: 50 }, (_, n) => {
          const id = (nth * 50 + n) * 2 + 1
          return Buffer.concat([headers(id, GET, FLAG.endStream), frame(TYPE.window, 0, id, word(0))])
        }),
      )
    const seen = upstream.requests
    const { resets } = await untilEnded(client, wrong, 400)
    expect(resets).toBeLessThan(3000)
    expect(upstream.requests - seen).toBeLessThan(3000)
    await othersAreServed()
  })

  test('CONTINUATION without an end (VU#421644)', async () => {
    const client = await frameClient(banyan.port)
    await client.send(frame(TYPE.headers, FLAG.endStream, 1, block(GET)))
    const piece = frame(TYPE.continuation, 0, 1, block([['x', 'y'.repeat(1000)]]))
    const { by, sent } = await flood(client, () => piece, 10_000)
    expect(['goaway', 'end']).toContain(by)
    // A thousand of them fit into the buffers of two sockets.
    expect(sent).toBeLessThan(2000)
  })

  test('empty CONTINUATION frames', async () => {
    const client = await frameClient(banyan.port)
    await client.send(frame(TYPE.headers, FLAG.endStream, 1, block(GET)))
    const { by } = await flood(client, () => many(frame(TYPE.continuation, 0, 1), 100), 10_000)
    expect(['goaway', 'end']).toContain(by)
  })

  test.each([
    ['SETTINGS (CVE-2019-9515)', settings(4, 65_535)],
    ['PING (CVE-2019-9512)', frame(TYPE.ping, 0, 0, '12345678')],
    ['PRIORITY (CVE-2019-9513)', frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 0, 16]))],
    ['frames of unknown types', frame(0x42, 0, 0, 'x'.repeat(100))],
    ['WINDOW_UPDATE', frame(TYPE.window, 0, 0, word(1))],
    ['SETTINGS acknowledged without having been sent', frame(TYPE.settings, FLAG.ack, 0)],
  ])('%s, whose answers are read', async (_, one) => {
    const client = await frameClient(banyan.port)
    const { by } = await flood(client, () => many(one, 500), 20_000)
    expect(['goaway', 'end']).toContain(by)
    await othersAreServed()
  })

  test.each([
    ['PING', frame(TYPE.ping, 0, 0, '12345678')],
    ['SETTINGS', settings(4, 65_535)],
  ])('%s, whose answers nobody reads, takes no memory', async (_, one) => {
    const client = await frameClient(banyan.port)
    client.socket.pause()
    const before = banyan.program.residentBytes()
    for (let n = 0; n < 200 && !client.socket.destroyed; n++) {
      if (!client.socket.write(many(one, 1000))) await new Promise((resolve) => setImmediate(resolve))
    }
    await othersAreServed()
    expect(banyan.program.residentBytes() - before).toBeLessThan(64 * MIB)
  })

  test('empty DATA frames (CVE-2019-9518)', async () => {
    const client = await frameClient(banyan.port)
    await client.send(headers(1, POST, 0))
    const { by } = await flood(client, () => many(frame(TYPE.data, 0, 1), 200), 10_000)
    expect(['goaway', 'end']).toContain(by)
  })

  test('SETTINGS with thousands of entries', async () => {
    const client = await frameClient(banyan.port)
    const values = Array.from({ length: 2000 }, () => [4, 65_535]).flat()
    await client.send(settings(...values))
    expect((await client.refusal()).by).not.toBe('reset')
  })

  test('a header table that makes much of little (HPACK bomb)', async () => {
    const client = await frameClient(banyan.port)
    const before = banyan.program.residentBytes()
    const value = 'x'.repeat(3900)
    // Literal with indexing, then that entry of the table again and again.
    const entry = Buffer.from(block([['x', value]]))
    entry[0] = 0x40
    for (let id = 1; id < 40; id += 2) {
      const bytes = Buffer.concat([block(GET), ...(id === 1 ? [entry] : []), Buffer.alloc(10_000, 0xbe)])
      await client.send(frame(TYPE.headers, FLAG.endStream | FLAG.endHeaders, id, bytes))
    }
    expect((await client.refusal()).code).toBe(CODE.calm)
    expect(banyan.program.residentBytes() - before).toBeLessThan(64 * MIB)
    await othersAreServed()
  })

  test('streams that are refused again and again', async () => {
    upstream.handler = null
    const client = await frameClient(banyan.port)
    const posts = (nth: number): Buffer =>
      Buffer.concat(Array.from({ length: 500 }, (_, n) => headers((nth * 500 + n) * 2 + 1, POST, 0)))
    await untilEnded(client, posts, 1000)
    await othersAreServed()
  })
})

describe('uploads whose client has yet to learn that they are of no use', () => {
  const piece = Buffer.alloc(16_000)
  /** As much as the windows of the streams take, in turn. */
  async function upload(client: FrameClient, streams: readonly number[]): Promise<void> {
    for (let nth = 0; nth < 4; nth++) {
      for (const stream of streams) await client.send(frame(TYPE.data, 0, stream, piece))
    }
  }

  test('their server dies: the connection goes on, but not for more than was allowed', async () => {
    upstream.handler = null
    upstream.readsBodies = false
    const client = await frameClient(banyan.port)
    const streams = Array.from({ length: 8 }, (_, n) => 2 * n + 1)
    for (const stream of streams) await client.send(headers(stream, POST, 0))
    for (const _ of streams) {
      await (await upstream.request()).send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
    }
    for (const _ of streams) await client.until(TYPE.data)
    await upstream.cut()
    for (const _ of streams) await client.until(TYPE.reset)
    await upload(client, streams)
    expect(await client.answers()).toBe(true)
    expect((await flood(client, () => frame(TYPE.data, 0, 1, piece), 1000)).code).toBe(CODE.calm)
  })

  test('more streams than there may be: those that are taken are answered', async () => {
    upstream.handler = null
    const client = await frameClient(banyan.port)
    await client.send(headers(1, GET, FLAG.endStream))
    const request = await upstream.request()
    for (let stream = 3; stream <= 199; stream += 2) {
      await client.send(headers(stream, POST, 0))
      await upstream.request()
    }
    const refused = Array.from({ length: 8 }, (_, n) => 201 + 2 * n)
    for (const stream of refused) await client.send(headers(stream, POST, 0))
    for (const _ of refused) await client.until(TYPE.reset)
    await upload(client, refused)
    await request.ok()
    await client.until(TYPE.data, 1)
  })

  test('a drain: what was asked before its last GOAWAY is answered', async () => {
    upstream.handler = null
    const own = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c'] })
    onTestFinished(async () => void (await own.stop()))
    const client = await frameClient(own.port)
    await client.send(headers(1, GET, FLAG.endStream))
    const request = await upstream.request()
    const ended = own.program.stop()
    await client.until(TYPE.ping)
    await client.until(TYPE.goaway)
    const late = Array.from({ length: 8 }, (_, n) => 3 + 2 * n)
    for (const stream of late) await client.send(headers(stream, POST, 0))
    await upload(client, late)
    await request.ok()
    await client.until(TYPE.data, 1)
    client.finish()
    expect(await ended).toBe(0)
  })
})

describe('clients that do not read', () => {
  test('a window that never opens: the stored answer is given up after the send timeout', async () => {
    const size = 4 * MIB
    const table = `${tableFor(upstream.port)}routes: [{ id: all, match: { path: /* }, to: main, cache: { ttl: 10m, maxBody: 8MiB } }]\n`
    const own = await startBanyan({ table, args: ['--h2c', '--send-timeout', '300ms'] })
    onTestFinished(async () => void (await own.stop()))
    upstream.handler = (request) =>
      request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
    const seen = upstream.requests
    const first = await fetch(`http://127.0.0.1:${own.port}/`, {})
    await first.arrayBuffer()
    const client = await frameClient(own.port)
    await client.send(headers(1, [...GET.slice(0, 3), [':authority', `127.0.0.1:${own.port}`]], FLAG.endStream))
    expect(await client.refusal()).toEqual({ by: 'reset', code: CODE.calm })
    expect(await client.answers()).toBe(true)
    expect(upstream.requests - seen).toBe(1)
  })

  test('two hundred streams that nobody reads hold no more than their windows', async () => {
    const size = 2 * MIB
    const body = Buffer.alloc(size)
    upstream.handler = async (request) => {
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      await request.send(body)
    }
    const before = banyan.program.residentBytes()
    const clients = await Promise.all([frameClient(banyan.port), frameClient(banyan.port)])
    for (const client of clients) {
      await client.send(Buffer.concat(Array.from({ length: 100 }, (_, n) => headers(2 * n + 1, GET, FLAG.endStream))))
      for (let heads = 0; heads < 100; ) if ((await client.next()).type === TYPE.headers) heads++
    }
    // 400 MiB are offered.
    expect(banyan.program.residentBytes() - before).toBeLessThan(150 * MIB)
  })

  test('streams that are reset while the window of the connection is used up leave nothing behind', async () => {
    upstream.handler = (request) => request.ok('x'.repeat(65_535))
    const client = await frameClient(banyan.port)
    await client.send(headers(1, GET, FLAG.endStream))
    for (let came = 0; came < 65_535; ) came += (await client.until(TYPE.data, 1)).payload.length
    const fields: [string, string][] = [
      [':method', 'CONNECT'],
      [':authority', 'a:80'],
      ['x', 'x'.repeat(16_000)],
    ]
    const before = banyan.program.residentBytes()
    for (let first = 3; first < 10_000; first += 100) {
      const streams = Array.from({ length: 50 }, (_, n) => first + 2 * n)
      for (const stream of streams) await client.send(headers(stream, fields, FLAG.endStream))
      for (const _ of streams) await client.until(TYPE.headers)
      for (const stream of streams) await client.send(frame(TYPE.reset, 0, stream, word(CODE.cancel)))
    }
    // 80 MB were asked with.
    expect(await client.answers()).toBe(true)
    expect(banyan.program.residentBytes() - before).toBeLessThan(40 * MIB)
  })

  test('a connection that reads nothing at all is closed after the send timeout', async () => {
    const own = await startBanyan({
      table: tableFor(upstream.port, ['timeouts: { idle: 300ms }']),
      args: ['--h2c', '--send-timeout', '300ms'],
    })
    onTestFinished(async () => void (await own.stop()))
    const size = 64 * MIB
    upstream.handler = async (request) => {
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      await request.send(Buffer.alloc(size))
    }
    const before = own.program.sockets()
    const wide = Buffer.concat([
      Buffer.from(PREFACE),
      settings(4, 2 ** 31 - 1),
      frame(TYPE.window, 0, 0, word(2 ** 30)),
    ])
    const client = await frameClient(own.port, wide)
    client.socket.pause()
    await client.send(headers(1, GET, FLAG.endStream))
    await expect.poll(() => own.program.sockets(), { timeout: 120_000 }).toBe(before)
  })

  test('one that has ended its side is closed after the send timeout, too, though all is answered', async () => {
    const own = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c', '--send-timeout', '300ms'] })
    onTestFinished(async () => void (await own.stop()))
    upstream.handler = (request) => request.ok('x'.repeat(60_000))
    const before = own.program.sockets()
    const windows = Buffer.concat([settings(4, 2 ** 30), frame(TYPE.window, 0, 0, word(2 ** 30))])
    const client = await frameClient(own.port, Buffer.concat([Buffer.from(PREFACE), windows]))
    client.socket.pause()
    const asked = upstream.requests + 100
    for (let stream = 1; stream < 200; stream += 2) await client.send(headers(stream, GET, FLAG.endStream))
    await expect.poll(() => upstream.requests).toBe(asked)
    for (let stream = 1; stream < 200; stream += 2) await client.send(frame(TYPE.reset, 0, stream, word(CODE.cancel)))
    client.finish()
    await upstream.cut()
    await expect.poll(() => own.program.sockets()).toBeLessThanOrEqual(before)
  })
})
