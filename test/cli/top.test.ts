/**
 * `banyan top`: routes with their sides, and servers, by what comes between two looks.
 */
import nock from 'nock'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { banyan } from './rig.ts'

const ADMIN = 'http://127.0.0.1:8081'

function admin(): nock.Scope {
  return nock(ADMIN).defaultReplyHeaders({ 'Banyan-Request-Id': 'x' })
}

beforeEach(() => nock.disableNetConnect())
afterEach(() => {
  const pending = nock.pendingMocks()
  nock.cleanAll()
  nock.enableNetConnect()
  expect(pending).toEqual([])
})

const NOTHING = { perSecond: 0, errorRatio: null, p50Ms: null, p95Ms: null, seconds: 60, share: null, sides: {} }
const side = (attempts: number, failedRatio: number, attemptP50Ms: number, attemptP95Ms: number) => ({
  attempts,
  failedRatio,
  attemptP50Ms,
  attemptP95Ms,
})

function upstreams(exchanges: number, failures: number) {
  const server = {
    id: 's1',
    url: 'http://127.0.0.1:4002',
    state: 'up',
    exchanges,
    failures,
    connections: { active: 2 },
  }
  return {
    default: 'legacy',
    upstreams: [
      { name: 'legacy', live: { servers: [] } },
      { name: 'gtin', live: { servers: [server] } },
    ],
  }
}

const ROUTES = {
  revision: 7,
  routes: [
    { id: 'idle', to: 'gtin', percent: 0, live: { lastMinute: NOTHING } },
    {
      id: 'gtin-lookup',
      to: 'gtin',
      percent: 5,
      live: {
        lastMinute: {
          ...NOTHING,
          perSecond: 20.25,
          errorRatio: 0.0125,
          p50Ms: 12,
          p95Ms: 480,
          sides: { gtin: side(60, 0.25, 300, 1520), legacy: side(1140, 0, 11, 21.5) },
        },
      },
    },
  ],
  live: { unclaimed: { lastMinute: { ...NOTHING, perSecond: 1, errorRatio: 0, p50Ms: 3, p95Ms: 5 } } },
}

/** A clock that a second passes on with each sleep. */
function clockwork(onSleep: () => void = () => {}) {
  let ms = 1_000_000
  return {
    now: () => ms,
    sleep: async (by: number) => {
      ms += by
      onSleep()
    },
  }
}

test('in a pipe it looks once: which route is slow, and which of its sides', async () => {
  admin()
    .get('/upstreams')
    .reply(200, upstreams(100, 10))
    .get('/routes')
    .reply(200, ROUTES)
    .get('/upstreams')
    .reply(200, upstreams(110, 15))
  const { code, out } = await banyan(['top'], clockwork())
  expect([code, out]).toEqual([
    0,
    `ROUTE        SIDE    PERCENT    RATE  ERRORS     P50      P95
gtin-lookup              5 %  20.3/s  1.25 %   12 ms   480 ms
             legacy             19/s     0 %   11 ms  21.5 ms
             gtin                1/s    25 %  300 ms   1.52 s
(no route)                 -     1/s     0 %    3 ms     5 ms
idle                     0 %     0/s       -       -        -

UPSTREAM  SERVER  STATE  IN FLIGHT  RATE  ERRORS
gtin      s1      up             2  10/s    50 %
`,
  ])
})

test('--json has numbers for scripts; --sort says what comes first; a route alone has its servers alone', async () => {
  admin()
    .get('/upstreams')
    .reply(200, upstreams(0, 0))
    .get('/routes')
    .reply(200, ROUTES)
    .get('/upstreams')
    .reply(200, upstreams(0, 0))
  const { out } = await banyan(['top', '--json', '--sort', 'errors'], clockwork())
  const { revision, routes, servers } = JSON.parse(out)
  expect(revision).toBe(7)
  expect(routes[0]).toMatchObject({ route: 'gtin-lookup', side: null, perSecond: 20.25, p95Ms: 480 })
  expect(servers).toEqual([expect.objectContaining({ upstream: 'gtin', server: 's1', perSecond: 0, errorRatio: null })])
  admin()
    .get('/upstreams')
    .reply(200, upstreams(5, 0))
    .get('/routes/gtin-lookup')
    .reply(200, { revision: 7, ...ROUTES.routes[1] })
    .get('/upstreams')
    .reply(200, upstreams(2, 0))
  const alone = (await banyan(['top', 'gtin-lookup', '--once'], clockwork())).out
  expect(alone).not.toContain('no route')
  // It was restarted: what it counts is not the difference.
  expect(alone).toMatch(/^gtin +s1 +up +2 +- +-$/m)
})

test('in a terminal it goes on until it is ended, on a screen of its own, and waits for a proxy that is gone', async () => {
  const end = new AbortController()
  let looks = 0
  admin()
    .get('/upstreams')
    .reply(200, upstreams(0, 0))
    .get('/routes')
    .reply(200, ROUTES)
    .get('/upstreams')
    .reply(200, upstreams(4, 0))
  admin()
    .get('/routes')
    .replyWithError(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))
  const clock = clockwork(() => {
    if (++looks === 3) end.abort()
  })
  const terminal = () => ({ columns: 80, rows: 24 })
  const { code, out } = await banyan(['top'], { ...clock, ended: end.signal, terminal })
  expect(code).toBe(0)
  expect(out.startsWith('\x1b[?1049h\x1b[?25l\x1b[H')).toBe(true)
  expect(out.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
  expect(out).toContain('127.0.0.1:8081  revision 7')
  expect(out).toContain('cannot reach the admin API')
})
