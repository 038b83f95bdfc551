/**
 * More than an upstream may have: some wait in a bounded line, the rest is shed in bounded time; and the time of a request
 * as a whole.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { startLoad } from '../../support/load.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const [narrow, wide, dumb] = await Promise.all([scriptedUpstream(), scriptedUpstream(), scriptedUpstream(() => {})])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  wide: { servers: ["http://127.0.0.1:${wide.port}"] }
  narrow:
    servers: ["http://127.0.0.1:${narrow.port}"]
    maxConcurrent: 2
    queue: { size: 2, timeout: 5m }
  brief: { servers: ["http://127.0.0.1:${narrow.port}"], maxConcurrent: 2, queue: { size: 2, timeout: 300ms } }
  dumb: { servers: ["http://127.0.0.1:${dumb.port}"], timeouts: { total: 400ms } }
default: wide
routes:
  - { id: alone, match: { path: /alone }, to: narrow, percent: 100 }
  - { id: brief, match: { path: /brief }, to: brief, percent: 100 }
  - { id: moved, match: { path: /moved }, to: narrow, percent: 100, fallback: {} }
  - { id: dumb, match: { path: /dumb }, to: dumb, percent: 100, fallback: {}, breaker: false }
  - { id: cached, match: { path: /cached }, to: dumb, percent: 100, cache: {} }
`,
})
afterAll(() => Promise.all([banyan.stop(), narrow.stop(), wide.stop(), dumb.stop()]))
beforeEach(async () => {
  narrow.handler = null
  wide.handler = null
  await Promise.all([narrow.cut(), wide.cut()])
})

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

async function live(upstream = 'narrow'): Promise<Record<string, number>> {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/${upstream}`)
  return ((await response.json()) as { live: Record<string, number> }).live
}

/** Clients that have sent a request: the first two are at the upstream, the others wait. */
async function fill(count: number): Promise<{ clients: RawClient[]; running: UpstreamRequest[] }> {
  const clients: RawClient[] = []
  for (let n = 0; n < count; n++) {
    const client = await rawClient(banyan.port)
    await client.send(GET('/alone'))
    clients.push(client)
    // One after the other, so that it is known who waits, and who waits first.
    while ((await live()).active! + (await live()).queued! < n + 1);
  }
  return { clients, running: [await narrow.request(), await narrow.request()] }
}

describe('an upstream at its limit', () => {
  test('has no more than it may; who waits is let in in turn; what is more is shed at once', async () => {
    const before = await live()
    const { clients, running } = await fill(4)
    expect(await live()).toMatchObject({ active: 2, queued: 2 })
    const client = await rawClient(banyan.port)
    const shed = await client.ask(GET('/alone'))
    expect(shed.status).toBe(503)
    expect(field(shed.fields, 'retry-after')).toBe('1')
    expect(shed.body.text).toContain('urn:banyan:problem:overloaded')
    // Its connection is as good as before, and so are other upstreams.
    wide.handler = (request) => request.ok('wide')
    expect((await client.ask(GET('/elsewhere'))).body.text).toBe('wide')
    await running[0]!.ok('first')
    expect((await clients[0]!.nextResponse()).body.text).toBe('first')
    await (await narrow.request()).ok('third')
    expect((await clients[2]!.nextResponse()).body.text).toBe('third')
    await running[1]!.ok('second')
    await (await narrow.request()).ok('fourth')
    expect((await clients[1]!.nextResponse()).body.text).toBe('second')
    expect((await clients[3]!.nextResponse()).body.text).toBe('fourth')
    expect(await live()).toMatchObject({ active: 0, queued: 0, shed: before.shed! + 1 })
  })

  test('who waits in vain gets 503 too', async () => {
    const clients = [await rawClient(banyan.port), await rawClient(banyan.port)]
    for (const client of clients) await client.send(GET('/brief'))
    const running = [await narrow.request(), await narrow.request()]
    const response = await (await rawClient(banyan.port)).ask(GET('/brief'))
    expect(response.status).toBe(503)
    expect(response.body.text).toContain('urn:banyan:problem:queue-timeout')
    expect(field(response.fields, 'retry-after')).toBe('1')
    for (const request of running) await request.ok()
    for (const client of clients) expect((await client.nextResponse()).status).toBe(200)
    expect(await live('brief')).toMatchObject({ active: 0, queued: 0, queueTimeouts: 1 })
  })

  test('who leaves while it waits gives its place in the line back', async () => {
    const { clients, running } = await fill(4)
    clients[2]!.reset()
    while ((await live()).queued !== 1);
    for (const request of running) await request.ok()
    await (await narrow.request()).ok('fourth')
    expect((await clients[3]!.nextResponse()).body.text).toBe('fourth')
    expect(await live()).toMatchObject({ active: 0, queued: 0 })
  })

  test('a route with a fallback goes to the other side instead', async () => {
    const { running } = await fill(4)
    wide.handler = (request) => request.ok('wide')
    const client = await rawClient(banyan.port)
    expect((await client.ask(GET('/moved'))).body.text).toBe('wide')
    for (const request of running) await request.ok()
  })

  test('far beyond it, each request is answered, the upstream never has more, and nothing piles up', async () => {
    let [now, most] = [0, 0]
    narrow.handler = async (request) => {
      most = Math.max(most, ++now)
      await new Promise((resolve) => setTimeout(resolve, 5))
      now--
      await request.ok()
    }
    const load = startLoad(banyan.port, 64, () => ({ path: '/alone' }), 0)
    await load.more(1000)
    const rss = banyan.program.residentBytes()
    await load.more(6000)
    await load.stop()
    expect(most).toBe(2)
    const statuses = new Set(load.outcomes.map(({ status }) => status))
    expect(statuses).toEqual(new Set([200, 503]))
    expect(await live()).toMatchObject({ active: 0, queued: 0 })
    expect(banyan.program.residentBytes() - rss).toBeLessThan(64 * 1024 * 1024)
  })
})

describe('the time of a request as a whole', () => {
  test('ends it with 504, though no single limit has passed, and the fallback has no time left', async () => {
    const client = await rawClient(banyan.port)
    const seen = wide.requests
    const response = await client.ask(GET('/dumb'))
    expect(response.status).toBe(504)
    expect(response.body.text).toContain('urn:banyan:problem:deadline')
    expect(wide.requests).toBe(seen)
    // It was not the client's fault.
    wide.handler = (request) => request.ok('wide')
    expect((await client.ask(GET('/elsewhere'))).status).toBe(200)
  })

  test('holds for what the cache asks, too', async () => {
    const response = await (await rawClient(banyan.port)).ask(GET('/cached'))
    expect(response.status).toBe(504)
    expect(response.body.text).toContain('urn:banyan:problem:deadline')
  })
})
