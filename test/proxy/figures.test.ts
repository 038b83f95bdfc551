/**
 * What log and /metrics say of exchanges that fall back, break or are broken off: each is billed to whoever did it.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { http2Client } from '../support/http2-client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const pem = (name: string): string => join(import.meta.dirname, '../support/tls', `${name}.pem`)
const [main, sealed, dead] = await Promise.all([
  scriptedUpstream(),
  scriptedUpstream(null, { key: readFileSync(pem('server-key')), cert: readFileSync(pem('server')) }),
  freePort(),
])

/** Says after 60 ms that it can't answer. */
const slow = createServer((_, res) => {
  setTimeout(() => {
    res.statusCode = 503
    res.end()
  }, 60)
})
const quick = createServer((_, res) => res.end('x'))
for (const server of [slow, quick]) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
const portOf = (server: typeof slow): number => (server.address() as AddressInfo).port

const banyan = await startBanyan({
  table: `version: 1
upstreams:
  main: { servers: [{ id: main-1, url: "http://127.0.0.1:${main.port}" }] }
  idle: { servers: ["http://127.0.0.1:${main.port}"], timeouts: { idle: 300ms } }
  quick: { servers: ["http://127.0.0.1:${portOf(quick)}"] }
  slow: { servers: ["http://127.0.0.1:${portOf(slow)}"], ejection: false }
  sealed: { servers: [{ id: sealed-1, url: "https://127.0.0.1:${sealed.port}" }], tls: { ca: ${pem('ca')}, serverName: other.test } }
  dead: { servers: [{ id: dead-1, url: "http://127.0.0.1:${dead}" }] }
  silent: { servers: [{ id: silent-1, url: "http://127.0.0.1:${main.port}" }], timeouts: { headers: 100ms } }
  patient: { servers: ["http://127.0.0.1:${main.port}"] }
default: main
routes:
  - { id: patient, match: { path: /patient }, to: patient, percent: 100 }
  - { id: failing, match: { path: /failing }, from: quick, to: slow, percent: 50, sticky: [header:x-key], fallback: {}, breaker: false }
  - { id: sealed, match: { path: /sealed }, from: quick, to: sealed, percent: 100, fallback: {}, breaker: false }
  - { id: stored, match: { path: /stored }, from: quick, to: sealed, percent: 100, fallback: {}, breaker: false, cache: { ttl: 1s } }
  - { id: idle, match: { path: /idle/* }, to: idle, percent: 100 }
  - { id: kept, match: { path: /kept/* }, to: main, percent: 100, cache: { ttl: 1s } }
  - { id: silent, match: { path: /silent }, from: quick, to: silent, percent: 100, fallback: {}, breaker: false }
`,
  args: ['--access-log', 'json', '--h2c'],
})
afterAll(async () => {
  await banyan.stop()
  await Promise.all([main.stop(), sealed.stop()])
  for (const server of [slow, quick]) {
    server.closeAllConnections()
    server.close()
  }
})
beforeEach(() => Promise.all([main.cut(), sealed.cut()]))

const get = (path: string, headers: Record<string, string> = {}): Promise<string> =>
  fetch(`http://127.0.0.1:${banyan.port}${path}`, { headers }).then((answer) => answer.text())

/** The line of the exchange with this target. */
async function lineOf(target: string, of: Banyan = banyan) {
  return JSON.parse(await of.program.line((line) => line.includes(`"target":"${target}"`)))
}

/** Samples whose name and labels hold all of these texts. */
async function samples(...texts: readonly string[]): Promise<number[]> {
  const text = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  const found = text.split('\n').filter((line) => !line.startsWith('#') && texts.every((one) => line.includes(one)))
  return found.map((line) => Number(line.slice(line.lastIndexOf(' '))))
}
const sum = async (...texts: readonly string[]): Promise<number> =>
  (await samples(...texts)).reduce((all, one) => all + one, 0)

test('the two sides of a route that falls back are comparable from /metrics alone', async () => {
  const asked: Promise<string>[] = []
  for (let key = 0; key < 40; key++) asked.push(get('/failing', { 'x-key': `k${key}` }))
  for (let n = 0; n < 10; n++) asked.push(get('/failing'))
  expect(new Set(await Promise.all(asked))).toEqual(new Set(['x']))
  const route = 'route="failing"'
  const toTo = await sum('banyan_requests_total{', route, 'side="to"')
  const toFrom = await sum('banyan_requests_total{', route, 'side="from"', 'reason="rest"')
  expect(toTo).toBeGreaterThan(5)
  expect(toTo + toFrom).toBe(40)
  // Without a key it is neither: the control group is those who were drawn for it.
  expect(await sum('banyan_requests_total{', route, 'side="from"', 'reason="no-key"')).toBe(10)
  // What clients got: all of it from the other side, and slower.
  expect(await sum('banyan_requests_total{', route, 'side="to"', 'upstream="quick"', 'reason="fallback"', '2xx')).toBe(
    toTo,
  )
  expect(await sum('banyan_request_duration_seconds_bucket{', route, 'side="to"', 'le="0.05"')).toBe(0)
  expect(await sum('banyan_request_duration_seconds_count{', route, 'side="to"')).toBe(toTo)
  expect(await sum('banyan_request_duration_seconds_count{', route, 'side="from"', 'reason="rest"')).toBe(toFrom)
  // What servers did.
  expect(await sum('banyan_attempts_total{', route, 'upstream="slow"')).toBe(toTo)
  expect(await sum('banyan_attempts_total{', route, 'upstream="slow"', 'reason="percent"', 'outcome="5xx"')).toBe(toTo)
  expect(await sum('banyan_attempts_total{', route, 'upstream="quick"', 'reason="rest"', 'outcome="2xx"')).toBe(toFrom)
  expect(await sum('banyan_attempts_total{', route, 'upstream="quick"', 'reason="fallback"', 'outcome="2xx"')).toBe(
    toTo,
  )
  const slowly = 'banyan_attempt_duration_seconds'
  expect(await sum(`${slowly}_bucket{`, route, 'upstream="slow"', 'le="0.05"')).toBe(0)
  expect(await sum(`${slowly}_count{`, route, 'upstream="slow"')).toBe(toTo)
  const { live } = (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/failing`)).json()) as {
    live: { sides: object; lastMinute: { sides: Record<string, { attemptP50Ms: number; p50Ms: number }> } }
  }
  expect(live.sides).toEqual({
    slow: { attempts: toTo, failed: toTo },
    quick: { attempts: toFrom, failed: 0 },
  })
  const { slow: to } = live.lastMinute.sides
  expect(to!.attemptP50Ms).toBeGreaterThanOrEqual(55)
  expect(to!.p50Ms).toBeGreaterThanOrEqual(to!.attemptP50Ms)
})

test('a side that only times out has series of its own', async () => {
  expect(await get('/silent')).toBe('x')
  expect(await sum('banyan_attempts_total{', 'route="silent"', 'upstream="silent"', 'outcome="headers-timeout"')).toBe(
    1,
  )
  expect(await sum('banyan_attempt_duration_seconds_count{', 'route="silent"', 'upstream="silent"')).toBe(1)
  expect(await lineOf('/silent')).toMatchObject({ fallbackOn: 'headers-timeout', failedServer: 'silent-1' })
})

test('an attempt takes from the end of the request: how long its client took to send it is not the server', async () => {
  const client = await rawClient(banyan.port)
  await client.send('POST /patient HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe')
  const request = await main.request()
  const PAUSE_MS = 400
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  await client.send('llo')
  expect((await request.body()).text).toBe('hello')
  await request.ok('thanks')
  await client.nextResponse()
  const seconds = (kind: string): Promise<number> => sum(`banyan_${kind}_duration_seconds_sum{`, 'route="patient"')
  const outside = (await seconds('request')) - (await seconds('attempt'))
  expect(outside).toBeGreaterThanOrEqual(PAUSE_MS / 1000 - 0.05)
})

describe('the line of an exchange that fell back names what failed there', () => {
  test.each(['/sealed', '/stored'])('%s: server, failure and cause', async (path) => {
    expect(await get(path)).toBe('x')
    const line = await lineOf(path)
    expect(line).toMatchObject({ status: 200, upstream: 'quick', fallbackOn: 'connect', failedServer: 'sealed-1' })
    expect(line.failedCause).toMatch(/other\.test/)
    expect(line).not.toHaveProperty('failure')
  })

  test('by status there is no cause but that', async () => {
    const found = await Promise.all(
      Array.from({ length: 12 }, async (_, key) => {
        await get(`/failing?key=${key}`, { 'x-key': `k${key}` })
        return lineOf(`/failing?key=${key}`)
      }),
    )
    const fallen = found.filter(({ reason }) => reason === 'fallback')
    expect(fallen.length).toBeGreaterThan(0)
    for (const line of fallen) {
      expect(line).toMatchObject({ fallbackOn: '503', failedServer: `127.0.0.1:${portOf(slow)}` })
      expect(line).not.toHaveProperty('failedCause')
    }
  })
})

describe.each(['HTTP/1.1', 'HTTP/2'])('a response over %s that has begun', (version) => {
  const name = version.replace('/', '')

  /** Sends a request that gets a part of a response. */
  async function begun(target: string, method = 'GET') {
    const isUpload = method === 'POST'
    let spoil: () => unknown
    if (version === 'HTTP/2') {
      const client = await http2Client(banyan.port)
      const { stream } = client.ask(target, isUpload ? ['content-length', '9'] : [], { method, ends: !isUpload })
      spoil = () => stream.end('short')
    } else {
      const client = await rawClient(banyan.port)
      const framing = isUpload ? 'Transfer-Encoding: chunked\r\n' : ''
      await client.send(`${method} ${target} HTTP/1.1\r\nHost: a\r\n${framing}\r\n`)
      spoil = () => client.send('no chunk\r\n')
    }
    const request = await main.request()
    await request.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello')
    return { server: request.connection, spoil }
  }

  test.each(['passed', 'kept'])('and that the server breaks off is its failure (%s)', async (kind) => {
    const target = `/${kind}/broken/${name}`
    const { server } = await begun(target)
    server.reset()
    expect(await lineOf(target)).toMatchObject({ status: 200, failure: 'response-body' })
  })

  test('and that stops is a time-out', async () => {
    const target = `/idle/response/${name}`
    await begun(target)
    expect(await lineOf(target)).toMatchObject({ status: 200, failure: 'idle-timeout' })
  })

  test('and whose request is malformed is not its failure', async () => {
    const target = `/passed/malformed/${name}`
    const { spoil } = await begun(target, 'POST')
    await spoil()
    expect(await lineOf(target)).toMatchObject({ failure: 'request-body' })
  })
})

describe('an upgraded connection', () => {
  const UPGRADE = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

  async function tunnel(target: string) {
    const client = await rawClient(banyan.port)
    await client.send(`GET ${target} HTTP/1.1\r\n${UPGRADE}`)
    const request = await main.request()
    await request.send(SWITCHING)
    await client.readUntil('\r\n\r\n')
    return { client, server: request.connection }
  }

  test('that the server breaks is a failure', async () => {
    const { server } = await tunnel('/ws/broken')
    server.reset()
    expect(await lineOf('/ws/broken')).toMatchObject({ status: 101, failure: 'upgrade' })
    expect(await sum('banyan_failures_total{', 'upstream="main"', 'failure="upgrade"')).toBe(1)
  })

  test('that falls silent is one, and says so', async () => {
    const { client, server } = await tunnel('/idle/ws')
    await Promise.all([client.ended(), server.ended()])
    expect(await lineOf('/idle/ws')).toMatchObject({
      status: 101,
      failure: 'upgrade',
      cause: 'idle for 300 ms',
    })
  })

  test('whose client vanishes is its doing', async () => {
    const { client } = await tunnel('/ws/gone')
    client.reset()
    expect(await lineOf('/ws/gone')).toMatchObject({ status: 101, failure: 'client-gone' })
  })

  test.each(['client', 'server'] as const)('that the %s ends is none', async (who) => {
    const ends = await tunnel(`/ws/ended-by-${who}`)
    ends[who].finish()
    await ends[who === 'client' ? 'server' : 'client'].ended()
    ends[who === 'client' ? 'server' : 'client'].finish()
    expect(await lineOf(`/ws/ended-by-${who}`)).not.toHaveProperty('failure')
  })
})

describe.each(['FIN', 'RST'])('an upload whose client leaves by %s', (how) => {
  test.each([
    ['length', 'Content-Length: 99\r\n\r\nhello'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ])('is answered by nobody, framed by %s', async (framing, rest) => {
    const target = `/upload/${how}/${framing}`
    const client = await rawClient(banyan.port)
    await client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\n${rest}`)
    const request = await main.request()
    if (how === 'FIN') client.finish()
    else client.reset()
    await request.connection.ended()
    expect(await lineOf(target)).toMatchObject({ status: 0, failure: 'client-gone' })
    expect(client.unread).toBe('')
  })
})

test('what can not be read behind a request leaves a trace, and the request its answer', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET /before-garbage HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03\x01 garbage\r\n\r\n')
  await (await main.request()).ok('good')
  expect((await client.nextResponse()).body.text).toBe('good')
  expect((await client.nextResponse()).status).toBe(400)
  const refused = await banyan.program.line((line) => line.includes('"failure":"bad-request"'))
  expect(JSON.parse(refused)).toMatchObject({ status: 400, client: '127.0.0.1' })
  expect(await sum('banyan_refused_requests_total{', 'bad-request')).toBe(1)
})
