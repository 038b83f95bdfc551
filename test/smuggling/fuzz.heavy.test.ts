/**
 * Random requests with a few bytes changed, through a real banyan: whatever reaches the upstream has one reading.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, RawClient, startBanyan } from './banyan.ts'
import { type LenientUpstream, type Recorded, startLenientUpstream } from './lenient-upstream.ts'
import { readStrictly } from './strict.ts'

/** Samples of the run. `BANYAN_FUZZ_REQUESTS` and `BANYAN_FUZZ_SEED` set others. */
const RUNS = Number(process.env.BANYAN_FUZZ_REQUESTS ?? 1500)
const SEED = Number(process.env.BANYAN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Clients at the same time, each with a connection of its own. */
const BATCH = 50
/** A mutated request may wait for bytes that never come; its client gives up then. */
const PATIENCE_MS = 250

/** A request that nothing is wrong with is answered, however busy the machine is. */
const ANSWER_WITHIN_MS = 120_000

const MARKER = 'GET /marker HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n'

let upstream: LenientUpstream
let banyan: Banyan

beforeAll(async () => {
  upstream = await startLenientUpstream()
  banyan = await startBanyan(
    `version: 1\nupstreams:\n  legacy: { servers: ['http://127.0.0.1:${upstream.port}'] }\ndefault: legacy\n`,
  )
})

afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await upstream.close()
})

const LINES = [
  'X: a',
  'Connection: keep-alive',
  'Connection: X, Content-Length',
  'Expect: 100-continue',
  'TE: trailers',
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: 05',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity',
  'transfer-encoding:chunked',
  'Host: front.test',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Trailer: X',
]
const line = fc.constantFrom(...LINES)
const body = fc.constantFrom('', 'hello', SMUGGLED)
const chunked = fc
  .record({
    data: body,
    extension: fc.constantFrom('', '', ';a=b'),
    trailer: fc.constantFrom('', '', 'X: a\r\n', 'Host: x\r\n'),
  })
  .map(({ data, extension, trailer }) => {
    const chunk = data === '' ? '' : `${data.length.toString(16)}${extension}\r\n${data}\r\n`
    return `${chunk}0\r\n${trailer}\r\n`
  })
const framed = fc.oneof(
  body.map((text) => [`Content-Length: ${text.length}`, text] as const),
  chunked.map((text) => ['Transfer-Encoding: chunked', text] as const),
  fc.constant([null, ''] as const),
)
const TROUBLE = [
  '',
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '\t',
  '\0',
  '\x0b',
  '\x7f',
  '\xff',
  ':',
  ';',
  ',',
  '"',
  '0',
  '1',
  '5',
  'a',
  '-',
  '+',
  '_',
  '#',
  '\\',
  '/',
  '\r\n ',
  '\n\n',
  '\r\r\n',
]
const change = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  out: fc.nat({ max: 2 }),
  into: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...TROUBLE) },
    { weight: 1, arbitrary: line.map((l) => `\r\n${l}\r\n`) },
  ),
})

/** One to three requests on one connection, some of them changed. */
const conversation: fc.Arbitrary<string> = fc
  .record({
    requests: fc.array(
      fc.record({
        method: fc.constantFrom('GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD'),
        version: fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
        before: fc.array(line, { maxLength: 2 }),
        framed,
        after: fc.array(line, { maxLength: 1 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    changes: fc.array(change, { maxLength: 3 }),
  })
  .map(({ requests, changes }) => {
    let text = ''
    for (const {
      method,
      version,
      before,
      framed: [framing, content],
      after,
    } of requests) {
      const lines = ['Host: front.test', ...before, ...(framing === null ? [] : [framing]), ...after]
      text += `${method} /case HTTP/${version}\r\n${lines.join('\r\n')}\r\n\r\n${content}`
    }
    for (const { at, out, into } of changes) {
      const place = Math.floor(at * text.length)
      text = text.slice(0, place) + into + text.slice(place + out)
    }
    return text
  })

/** Sends the bytes and a marker behind them, and waits for the end, so long. @returns what came back */
async function send(text: string, patienceMs = PATIENCE_MS): Promise<string> {
  const client = new RawClient(banyan.port)
  client.send(text + MARKER)
  const timer = setTimeout(() => client.socket.destroy(), patienceMs)
  await client.closed
  clearTimeout(timer)
  return client.received
}

/** What is wrong with the bytes of an upstream connection, or null. */
function complaintOf({ bytes, closed }: Recorded): string | null {
  const { problem, rest } = readStrictly(bytes)
  if (problem !== null) return `${problem}: ${JSON.stringify(rest.slice(0, 300))}`
  return rest === '' || closed ? null : `not complete, and still open: ${JSON.stringify(rest.slice(0, 300))}`
}

describe(`random conversations (seed ${SEED})`, () => {
  test(`${RUNS} of them leave every upstream message with one reading`, { timeout: 300_000 + RUNS * 20 }, async () => {
    const samples = fc.sample(conversation, { numRuns: RUNS, seed: SEED })
    for (let at = 0; at < samples.length; at += BATCH) {
      const batch = samples.slice(at, at + BATCH)
      await Promise.all(batch.map((text) => send(text)))
      // Behind this answer all that was on its way has come.
      expect(await send('', ANSWER_WITHIN_MS)).toContain('you asked for /marker')
    }
    expect(upstream.connections.map(complaintOf).filter((complaint) => complaint !== null)).toEqual([])
    const strict = upstream.connections.flatMap(({ bytes }) => readStrictly(bytes).messages.map(({ target }) => target))
    expect(upstream.understood.map(({ target }) => target).sort()).toEqual(strict.sort())
    expect(strict.filter((target) => target === '/case').length).toBeGreaterThan(RUNS / 10)
  })
})
