/**
 * A new service that fails in each of its ways, and what the client sees of it: the table of docs/reference/failures.md.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { startBlackhole } from '../../support/blackhole.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const [legacy, modern, blackhole] = await Promise.all([
  scriptedUpstream((request) => request.ok('from legacy')),
  scriptedUpstream(),
  startBlackhole(),
])
const upstreams = ['modern', 'hasty', 'steady', 'nobody', 'hole']
const ways = { safe: '{}', none: null, all: '{ methods: all }', '404': '{ on: [404] }', '500': '{ on: [500] }' }
const routes = upstreams.flatMap((to) =>
  Object.entries(ways).map(([way, fallback]) => {
    const more = fallback === null ? '' : `, fallback: ${fallback}, breaker: false`
    return `  - { id: ${to}-${way}, match: { path: /${to}/${way} }, to: ${to}, percent: 100${more} }`
  }),
)
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
  hasty: { servers: ["http://127.0.0.1:${modern.port}"], timeouts: { headers: 300ms } }
  steady: { servers: ["http://127.0.0.1:${modern.port}"], timeouts: { headers: 1s } }
  nobody: { servers: ["http://127.0.0.1:1"] }
  hole: { servers: ["http://127.0.0.1:${blackhole.port}"], timeouts: { connect: 200ms } }
default: legacy
routes:
${routes.join('\n')}
`,
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop(), blackhole.stop()]))
beforeEach(() => Promise.all([legacy.cut(), modern.cut()]))

type Fault = (request: UpstreamRequest) => void | Promise<void>
const answer =
  (status: number): Fault =>
  (request) =>
    request.send(`HTTP/1.1 ${status} Said\r\nContent-Length: 3\r\n\r\nnew`)

/** Where the client asks, what the service does, and what the client gets: a status, `legacy`, or a broken transfer. */
const ROWS: readonly (readonly [
  service: string,
  to: string,
  fault: Fault | null,
  get: string,
  alone: string,
  post: string,
  postToAll: string,
])[] = [
  ['refuses connections', 'nobody', null, 'legacy', '502', '502', 'legacy'],
  ['takes no connection in time', 'hole', null, 'legacy', '504', '504', 'legacy'],
  ['accepts and never answers', 'hasty', () => {}, 'legacy', '504', '504', '504'],
  [
    'is slow, within its timeouts',
    'steady',
    // The head comes well before the limit, its end after it: the limit is for the head.
    async (request) => {
      await request.send('HTTP/1.1 200 Said\r\nContent-Length: 3\r\n\r\n')
      await new Promise((resolve) => setTimeout(resolve, 1100))
      await request.send('new')
    },
    '200',
    '200',
    '200',
    '200',
  ],
  ['closes before an answer', 'modern', (request) => request.connection.finish(), 'legacy', '502', '502', '502'],
  ['resets before an answer', 'modern', (request) => request.connection.reset(), 'legacy', '502', '502', '502'],
  [
    'breaks off in mid-body',
    'modern',
    async (request) => {
      await request.send('HTTP/1.1 200 Said\r\nContent-Length: 99\r\n\r\nnew')
      // Not by an RST, which may overtake the head: then nothing has begun, and the client gets 502.
      request.connection.finish()
    },
    'broken',
    'broken',
    'broken',
    'broken',
  ],
  [
    'answers garbage',
    'modern',
    (request) => request.send('\x16\x03\x01 garbage\r\n\r\n'),
    'legacy',
    '502',
    '502',
    '502',
  ],
  ['answers 500', 'modern', answer(500), '500', '500', '500', '500'],
  ['answers 502', 'modern', answer(502), 'legacy', '502', '502', '502'],
  ['answers 503', 'modern', answer(503), 'legacy', '503', '503', '503'],
  ['answers 504', 'modern', answer(504), 'legacy', '504', '504', '504'],
]

/** Asks, and says in a word what came. */
async function outcome(method: string, path: string): Promise<string> {
  const client = await rawClient(banyan.port)
  const body = method === 'POST' ? 'Content-Length: 2\r\n\r\nhi' : '\r\n'
  await client.send(`${method} ${path} HTTP/1.1\r\nHost: a\r\n${body}`)
  const response = await client.nextResponse(method).catch(() => null)
  if (response === null) return 'broken'
  expect(client.unread).toBe('')
  return response.body.text === 'from legacy' ? 'legacy' : String(response.status)
}

describe.each(ROWS)('a new service that %s', (_, to, fault, get, alone, post, postToAll) => {
  beforeEach(() => {
    modern.handler = fault
  })

  test('GET with a fallback, and without one', async () => {
    expect(await outcome('GET', `/${to}/safe`)).toBe(get)
    expect(await outcome('GET', `/${to}/none`)).toBe(alone)
  })

  test('POST, which legacy never gets where the service may have', async () => {
    const [seenNew, seenLegacy] = [modern.requests, legacy.requests]
    expect(await outcome('POST', `/${to}/safe`)).toBe(post)
    expect(await outcome('POST', `/${to}/all`)).toBe(postToAll)
    expect(legacy.requests - seenLegacy).toBe(postToAll === 'legacy' ? 1 : 0)
    expect(modern.requests - seenNew).toBe(fault === null ? 0 : 2)
  })
})

test('500 for 30 %: the client gets each as it came, or none where the route falls back on 500', async () => {
  let turn = 0
  modern.handler = (request) => answer(turn++ % 10 < 3 ? 500 : 200)(request)
  for (const [path, expected] of [
    ['/modern/safe', '500'],
    ['/modern/500', 'legacy'],
  ] as const) {
    const outcomes: string[] = []
    for (let n = 0; n < 20; n++) outcomes.push(await outcome('GET', path))
    expect(outcomes.filter((one) => one === expected)).toHaveLength(6)
    expect(outcomes.filter((one) => one === '200')).toHaveLength(14)
  }
})

test('on: [404] for what has not moved yet: GET by legacy, counted by what it was for; a POST stays', async () => {
  modern.handler = answer(404)
  expect(await outcome('GET', '/modern/404')).toBe('legacy')
  expect(await outcome('POST', '/modern/404')).toBe('404')
  modern.handler = answer(503)
  expect(await outcome('GET', '/modern/404')).toBe('503')
  const state = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/modern-404`)
  expect((await state.json()).live).toMatchObject({ fallbacks: { '404': 1 }, reasons: { fallback: 1, percent: 2 } })
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(metrics).toContain('banyan_fallbacks_total{route="modern-404",upstream="legacy",on="404"} 1\n')
})
