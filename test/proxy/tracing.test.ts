/**
 * `--otlp`: spans at a collector that is a server of the test's, trace context on its way, and collectors that are ill.
 */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener, request, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Exporter, hexDigits } from '../../src/logging/spans.ts'
import { readParent, withoutContext } from '../../src/rules/tracing/context.ts'
import { envelope, type SpanData, spanText } from '../../src/rules/tracing/otlp.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: { readonly key: string; readonly value: Record<string, unknown> }[]
  readonly status?: { readonly code: number }
}

const attributesOf = ({ attributes }: Span): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

async function listen(listener: RequestListener): Promise<{ server: Server; port: number }> {
  const server = createServer(listener)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

/** Keeps the spans that it is sent. */
class Collector {
  readonly spans: Span[] = []
  readonly requests: {
    readonly url: string | undefined
    readonly headers: IncomingHttpHeaders
    readonly resource: Span
  }[] = []
  status = 200
  server!: Server
  port = 0

  async start(): Promise<this> {
    const { server, port } = await listen((got, answer) => {
      let text = ''
      got.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      got.on('end', () => {
        answer.writeHead(this.status).end('{}')
        if (this.status !== 200) return
        const [{ resource, scopeSpans }] = JSON.parse(text).resourceSpans
        this.requests.push({ url: got.url, headers: got.headers, resource })
        this.spans.push(...scopeSpans[0].spans)
      })
    })
    this.server = server
    this.port = port
    return this
  }

  /** The spans of a trace, once there are so many. */
  async ofTrace(traceId: string, count: number): Promise<Span[]> {
    const found = (): Span[] => this.spans.filter((span) => span.traceId === traceId)
    await vi.waitFor(() => expect(found().length).toBeGreaterThanOrEqual(count), { timeout: 120_000, interval: 20 })
    return found()
  }
}

interface Got {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Asks banyan; the upstreams answer with the headers that they got. */
function get(port: number, path: string, headers: readonly string[] = []): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, headers: ['Host', 'shop.test:8080', ...headers] })
    sent.once('error', reject).once('response', (answer) => {
      let body = ''
      answer.setEncoding('utf8').on('data', (piece: string) => {
        body += piece
      })
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }))
    })
    sent.end()
  })
}

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const sampledParent = (traceId = TRACE): string => `00-${traceId}-${PARENT}-01`

let upstream: Server
let table = ''

const answer: RequestListener = (got, response) => {
  got.resume()
  if (got.url === '/fails') response.writeHead(503).end()
  else response.setHeader('Cache-Control', 'max-age=60').end(JSON.stringify(got.rawHeaders))
}

beforeAll(async () => {
  const started = await listen(answer)
  upstream = started.server
  table = `version: 1
upstreams:
  old: { servers: [{ url: "http://127.0.0.1:${started.port}", id: old-1 }] }
  new: { servers: [{ url: "http://127.0.0.1:${started.port}", id: new-1 }] }
  gone: { servers: [{ url: "http://127.0.0.1:1", id: gone-1 }] }
  plain: { servers: ["http://127.0.0.1:${started.port}"], headers: { remove: [traceparent] } }
default: old
routes:
  - { id: item, match: { path: "/items/:id" }, to: new, percent: 100 }
  - { id: fallen, match: { path: /fallen }, to: gone, percent: 100, fallback: {} }
  - { id: cached, match: { path: /cached }, to: new, percent: 0, cache: {} }
  - { id: copied, match: { path: /copied }, to: new, percent: 0, shadow: { percent: 100, noise: 0 } }
  - { id: removed, match: { path: /removed }, to: plain, percent: 100 }
`
})

afterAll(() => {
  upstream.close().closeAllConnections()
})

const sentHeader = ({ body }: Got, name: string): string | undefined => {
  const raw = JSON.parse(body) as string[]
  return raw[raw.findIndex((one, at) => at % 2 === 0 && one.toLowerCase() === name) + 1]
}
const counts = ({ body }: Got, name: string): number =>
  (JSON.parse(body) as string[]).filter((one, at) => at % 2 === 0 && one.toLowerCase() === name).length

describe('with a collector', () => {
  const collector = new Collector()
  let banyan: Banyan

  beforeAll(async () => {
    await collector.start()
    const args = [
      '--otlp',
      `http://127.0.0.1:${collector.port}`,
      '--access-log',
      'json',
      '--trusted-proxies',
      '127.0.0.0/8',
    ]
    banyan = await startBanyan({ table, args })
  })
  afterAll(async () => {
    await banyan.stop()
    collector.server.close().closeAllConnections()
  })

  test('an exchange and its attempt are spans of one trace, found from the log line', async () => {
    const got = await get(banyan.port, '/items/7?secret=1')
    const line = await banyan.program.line((one) => one.includes('/items/7'))
    const { traceId, id } = JSON.parse(line) as { traceId: string; id: string }
    expect(traceId).toMatch(/^[0-9a-f]{32}$/)
    const spans = await collector.ofTrace(traceId, 2)
    const server = spans.find(({ kind }) => kind === 2) as Span
    const client = spans.find(({ kind }) => kind === 3) as Span
    expect(server.parentSpanId).toBeUndefined()
    expect(client.parentSpanId).toBe(server.spanId)
    expect(sentHeader(got, 'traceparent')).toBe(`00-${traceId}-${client.spanId}-01`)
    expect(server.name).toBe('GET /items/:id')
    expect(attributesOf(server)).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/items/:id',
      'url.path': '/items/7',
      'server.address': 'shop.test',
      'server.port': '8080',
      'http.response.status_code': '200',
      'banyan.request.id': id,
      'banyan.route': 'item',
      'banyan.upstream': 'new',
      'banyan.side': 'to',
      'banyan.server': 'new-1',
      'banyan.reason': 'percent',
      'banyan.percent': '100',
    })
    expect(JSON.stringify(spans)).not.toContain('secret')
    expect(attributesOf(client)).toMatchObject({ 'banyan.server': 'new-1', 'http.response.status_code': '200' })
    expect(BigInt(client.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(server.startTimeUnixNano))
    expect(BigInt(server.endTimeUnixNano) / 1_000_000n).toBeLessThanOrEqual(BigInt(Date.now() + 1))
    const [first] = collector.requests
    expect(first?.url).toBe('/v1/traces')
    expect(JSON.stringify(first?.resource)).toContain('{"key":"service.name","value":{"stringValue":"banyan"}}')
  })

  test('the trace of a client goes on; tracestate with it', async () => {
    const got = await get(banyan.port, '/items/1', [
      'TraceParent',
      sampledParent(),
      'tracestate',
      'a=1',
      'TraceState',
      'b=2',
    ])
    const spans = await collector.ofTrace(TRACE, 2)
    expect(spans.find(({ kind }) => kind === 2)?.parentSpanId).toBe(PARENT)
    expect(counts(got, 'traceparent')).toBe(1)
    expect(sentHeader(got, 'traceparent')).toMatch(new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-01$`))
    expect(counts(got, 'tracestate')).toBe(2)
  })

  test('where a trusted peer samples nothing, nothing is sampled, and servers are told', async () => {
    const traceId = '1'.repeat(32)
    const got = await get(banyan.port, '/items/2', ['traceparent', `00-${traceId}-${PARENT}-00`])
    expect(sentHeader(got, 'traceparent')).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))
    const marker = '2'.repeat(32)
    await get(banyan.port, '/items/3', ['traceparent', sampledParent(marker)])
    await collector.ofTrace(marker, 2)
    expect(collector.spans.some((span) => span.traceId === traceId)).toBe(false)
  })

  test('an invalid traceparent begins a trace anew, without its tracestate', async () => {
    const got = await get(banyan.port, '/items/4', [
      'traceparent',
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      'tracestate',
      'a=1',
    ])
    expect(sentHeader(got, 'traceparent')).not.toContain(TRACE)
    expect(counts(got, 'tracestate')).toBe(0)
  })

  test('a fallback has a span for each attempt', async () => {
    const traceId = '3'.repeat(32)
    await get(banyan.port, '/fallen', ['traceparent', sampledParent(traceId)])
    const spans = await collector.ofTrace(traceId, 4)
    const attempts = spans.filter(({ kind }) => kind === 3).map(attributesOf)
    expect(attempts.map((one) => one['banyan.server'])).toEqual(['gone-1', 'gone-1', 'old-1'])
    expect(attempts.map((one) => one['error.type'])).toEqual(['connect', 'connect', undefined])
    expect(attempts[1]?.['http.request.resend_count']).toBe('1')
    expect(spans.find(({ kind }) => kind === 2)?.status).toBeUndefined()
    expect(attributesOf(spans.find(({ kind }) => kind === 2) as Span)).toMatchObject({
      'banyan.reason': 'fallback',
      'banyan.fallback_on': 'connect',
    })
  })

  test('a failed exchange is an error', async () => {
    const traceId = '4'.repeat(32)
    await get(banyan.port, '/fails', ['traceparent', sampledParent(traceId)])
    const spans = await collector.ofTrace(traceId, 2)
    expect(spans.map(({ status }) => status)).toEqual([{ code: 2 }, { code: 2 }])
    expect(attributesOf(spans[0] as Span)['error.type']).toBe('503')
  })

  test('a hit has no attempt', async () => {
    const [first, second] = ['5'.repeat(32), '6'.repeat(32)]
    await get(banyan.port, '/cached', ['traceparent', sampledParent(first)])
    expect(
      attributesOf((await collector.ofTrace(first, 2)).find(({ kind }) => kind === 2) as Span)['banyan.cache'],
    ).toBe('miss')
    await get(banyan.port, '/cached', ['traceparent', sampledParent(second)])
    const [hit, ...others] = await collector.ofTrace(second, 1)
    expect(others).toEqual([])
    expect(attributesOf(hit as Span)['banyan.cache']).toBe('hit')
  })

  test('a copy for the other side has a span of its own', async () => {
    const traceId = '7'.repeat(32)
    await get(banyan.port, '/copied', ['traceparent', sampledParent(traceId)])
    const spans = await collector.ofTrace(traceId, 3)
    const copies = spans.map(attributesOf).filter((one) => one['banyan.shadow'] === true)
    // The upstream echoes traceparent, so the bodies differ, and the old side may be asked again.
    expect(copies).toContainEqual(expect.objectContaining({ 'banyan.side': 'to', 'banyan.server': 'new-1' }))
  })

  test('a table that removes traceparent has the last word', async () => {
    expect(counts(await get(banyan.port, '/removed', ['traceparent', sampledParent()]), 'traceparent')).toBe(0)
  })
})

test('without tracing the context passes as it came', async () => {
  const banyan = await startBanyan({ table })
  try {
    const odd = ['traceparent', 'odd', 'TraceParent', 'twice', 'tracestate', 'x'.repeat(600)]
    const got = await get(banyan.port, '/items/1', odd)
    expect(JSON.parse(got.body)).toEqual(expect.arrayContaining(odd))
  } finally {
    await banyan.stop()
  }
})

test('with workers, a share of 0 and an untrusted client nothing is sampled; a signal sends what waits', async () => {
  const collector = await new Collector().start()
  const otlp = ['--otlp', `http://127.0.0.1:${collector.port}`, '--workers', '2']
  const silent = await startBanyan({ table, args: [...otlp, '--otlp-sample', '0'] })
  const got = await get(silent.port, '/items/1', ['traceparent', sampledParent()])
  expect(sentHeader(got, 'traceparent')).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
  await silent.stop()
  expect(collector.spans).toEqual([])
  const traced = await startBanyan({ table, args: otlp })
  await get(traced.port, '/items/1', ['traceparent', sampledParent()])
  await traced.stop()
  expect(collector.spans).toHaveLength(2)
  collector.server.close().closeAllConnections()
})

describe('a collector that is ill', () => {
  const ILL: Record<string, Parameters<typeof createTcpServer>[1] & object> = {
    'never answers': () => {},
    'never reads': (socket) => socket.pause(),
    'closes at once': (socket) => socket.destroy(),
    'sends garbage': (socket) => socket.write('\x00\x01garbage\r\n\r\n'.repeat(1000)),
    'answers without an end': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const timer = setInterval(() => socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`), 1)
      socket.once('close', () => clearInterval(timer))
    },
  }

  test.each(Object.entries(ILL))('that %s is in nobody’s way', async (_, behaviour) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      behaviour(socket)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const banyan = await startBanyan({ table, args: ['--otlp', `http://127.0.0.1:${port}`] })
    // More than two batches.
    for (let i = 0; i < 4; i++) {
      const all = await Promise.all(Array.from({ length: 80 }, () => get(banyan.port, '/items/1')))
      expect(all.every(({ status }) => status === 200)).toBe(true)
    }
    expect(await banyan.stop()).toBe(0)
    server.close()
  })
})

describe('the exporter', () => {
  const span: SpanData = {
    traceId: TRACE,
    spanId: PARENT,
    parentId: '',
    name: 'GET',
    kind: 'server',
    startMs: 1_000.5,
    endMs: 1_001,
    attributes: ['x', 'y'],
    failed: false,
  }
  const exporterTo = (port: number, headers: string[] = []): { exporter: Exporter; told: string[] } => {
    const told: string[] = []
    const tell = (_: object, message: string): void => void told.push(message)
    const url = new URL(`http://127.0.0.1:${port}/v1/traces`)
    return { exporter: new Exporter(url, headers, envelope([], '1'), { warn: tell, info: tell }), told }
  }

  test('tries again what is refused for a while, and says so once', async () => {
    const collector = await new Collector().start()
    collector.status = 503
    const { exporter, told } = exporterTo(collector.port, ['authorization', 'Bearer x'])
    exporter.span(span)
    await vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 120_000 })
    expect(told[0]).toContain('status 503')
    collector.status = 200
    await vi.waitFor(() => expect(collector.spans).toHaveLength(1), { timeout: 120_000 })
    // It is said when the answer is there, after the collector has the spans.
    await vi.waitFor(() => expect(told).toHaveLength(2), { timeout: 120_000 })
    expect(collector.requests[0]?.headers.authorization).toBe('Bearer x')
    await exporter.close()
    collector.server.close().closeAllConnections()
  })

  test('keeps no more than its queue', async () => {
    const { exporter } = exporterTo(1)
    const before = process.memoryUsage().heapUsed
    const big = { ...span, attributes: ['x', 'y'.repeat(1000)] }
    for (let i = 0; i < 200_000; i++) exporter.span(big)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(150 * 1024 * 1024)
    await exporter.close()
  })

  test('writes what JSON and OTLP ask for', () => {
    const text = spanText({
      ...span,
      name: 'a"\n\ud800',
      attributes: ['s', 'é"', 'n', 1, 'd', 0.5, 'b', true, 'gone', null],
      failed: true,
    })
    expect(JSON.parse(text)).toEqual({
      traceId: TRACE,
      spanId: PARENT,
      name: 'a"\n\ufffd',
      kind: 2,
      startTimeUnixNano: '1000500000',
      endTimeUnixNano: '1001000000',
      attributes: [
        { key: 's', value: { stringValue: 'é"' } },
        { key: 'n', value: { intValue: '1' } },
        { key: 'd', value: { doubleValue: 0.5 } },
        { key: 'b', value: { boolValue: true } },
      ],
      status: { code: 2 },
    })
  })

  test('ids are new each time', () => {
    const random = hexDigits()
    const ids = new Set(Array.from({ length: 2000 }, () => random(8)))
    expect(ids.size).toBe(2000)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{16}$/)
  })
})

describe('trace context', () => {
  test.each([
    [sampledParent(), true],
    [`00-${TRACE}-${PARENT}-00`, false],
    [`cc-${TRACE}-${PARENT}-01-more`, true],
    [`00-${TRACE}-${PARENT}-03`, true],
  ])('%s is read', (value, sampled) => {
    expect(readParent(['Traceparent', value])).toEqual({ traceId: TRACE, spanId: PARENT, sampled })
  })

  test.each([
    '',
    'ff-'.padEnd(55, '1'),
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-0g`,
    `cc-${TRACE}-${PARENT}-01.more`,
  ])('%j is none', (value) => {
    expect(readParent(['traceparent', value])).toBeNull()
  })

  test('several are none, and a long tracestate does not go on', () => {
    expect(readParent(['traceparent', sampledParent(), 'Traceparent', sampledParent()])).toBeNull()
    const fields = ['traceparent', 'x', 'tracestate', 'a'.repeat(256), 'Tracestate', 'b'.repeat(256), 'a', 'b']
    expect(withoutContext(fields, true)).toEqual(['a', 'b'])
    expect(withoutContext(['tracestate', 'a'.repeat(512)], true)).toHaveLength(2)
    expect(withoutContext(['tracestate', 'a=1'], false)).toEqual([])
  })
})
