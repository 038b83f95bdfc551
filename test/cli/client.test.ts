/**
 * The command line as a client of the admin API: what it asks, what it prints, and how it ends when the proxy is gone, slow or says no.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import nock from 'nock'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { banyan } from './rig.ts'

const ADMIN = 'http://127.0.0.1:8081'
const LIVE = { exchanges: 0, lastMinute: null }
const ROUTE = {
  revision: 7,
  id: 'gtin-lookup',
  match: { path: '/stores/:id' },
  to: 'gtin',
  percent: 5,
  order: 1,
  live: LIVE,
}

/** Answers as the admin API does. */
function admin(base = ADMIN, options: nock.Options = {}): nock.Scope {
  return nock(base, options).defaultReplyHeaders({ 'Banyan-Request-Id': 'admin-x-1' })
}

beforeEach(() => {
  nock.disableNetConnect()
  admin().persist().get('/livez').optionally().reply(200, { alive: true })
})
afterEach(() => {
  const pending = nock.pendingMocks()
  nock.cleanAll()
  nock.enableNetConnect()
  expect(pending).toEqual([])
})

function problem(status: number, code: string, more: object = {}): [number, object, Record<string, string>] {
  const document = {
    type: `urn:banyan:problem:${code}`,
    title: 'It is so',
    status,
    detail: `Because of ${code}.`,
    requestId: 'admin-x-1',
    ...more,
  }
  return [status, document, { 'Content-Type': 'application/problem+json' }]
}

describe('what is asked', () => {
  test('by default of 127.0.0.1:8081, without a token; of BANYAN_ADMIN with BANYAN_TOKEN; --admin wins', async () => {
    admin(ADMIN, { badheaders: ['authorization'] })
      .get('/routes')
      .reply(200, { default: 'legacy', routes: [] })
    expect(await banyan(['routes'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('no routes: every request goes to legacy'),
    })
    const env = { BANYAN_ADMIN: 'banyan.test:9000', BANYAN_TOKEN: 's3cret' }
    admin('http://banyan.test:9000', { reqheaders: { authorization: 'Bearer s3cret' } })
      .get('/routes')
      .reply(200, { default: 'legacy', routes: [] })
    expect((await banyan(['routes'], { env })).code).toBe(0)
    admin('https://other.test').get('/routes').reply(200, { default: 'legacy', routes: [] })
    expect((await banyan(['routes', '--admin', 'https://other.test'], { env })).code).toBe(0)
  })

  test('routes prints a row each, with dashes where there is nothing to tell', async () => {
    const window = {
      perSecond: 12.5,
      errorRatio: 0.0125,
      p50Ms: 3,
      p95Ms: 40,
      p99Ms: 48,
      share: { actualPercent: 4.9 },
    }
    const routes = [ROUTE, { ...ROUTE, id: 'busy', from: 'old', live: { exchanges: 9, lastMinute: window } }]
    admin().get('/routes').reply(200, { revision: 7, default: 'legacy', routes })
    expect((await banyan(['routes'])).out).toBe(
      [
        'ROUTE        TO    PERCENT  ACTUAL    RATE  ERRORS    P95  MATCH',
        'gtin-lookup  gtin      5 %       -       -       -      -  /stores/:id',
        'busy         gtin      5 %   4.9 %  12.5/s  1.25 %  40 ms  /stores/:id',
        '',
      ].join('\n'),
    )
  })

  test('routes ROUTE --json prints what the API answers', async () => {
    admin().get('/routes/gtin-lookup').reply(200, ROUTE)
    expect(JSON.parse((await banyan(['routes', 'gtin-lookup', '--json'])).out)).toEqual(ROUTE)
  })

  test('set shows before and after; the reason is kept in full', async () => {
    admin().get('/routes/gtin-lookup').reply(200, ROUTE)
    admin(ADMIN, { reqheaders: { 'banyan-reason': Buffer.from('p99 zażółć').toString('latin1') } })
      .patch('/routes/gtin-lookup', { percent: 25 })
      .reply(200, { ...ROUTE, percent: 25, revision: 8 })
    expect(await banyan(['set', 'gtin-lookup', '25', '--reason', 'p99 zażółć'])).toEqual({
      code: 0,
      out: 'gtin-lookup: 5 % -> 25 % to gtin (revision 8)\n',
      err: '',
    })
  })

  test('set to what stands already says so; --force and --if-match are passed on', async () => {
    admin()
      .get('/routes/a%2Fb')
      .reply(200, { ...ROUTE, id: 'a/b' })
    admin(ADMIN, { reqheaders: { 'if-match': '"7-abc"' } })
      .patch('/routes/a%2Fb?force=true', { percent: 5 })
      .reply(200, { ...ROUTE, id: 'a/b' })
    expect((await banyan(['set', 'a/b', '5%', '--if-match', '7-abc', '--force'])).out).toBe(
      'a/b: unchanged, 5 % to gtin (revision 7)\n',
    )
  })

  test('set says how many requests have no key and move at once', async () => {
    admin().get('/routes/gtin-lookup').reply(200, ROUTE)
    admin()
      .patch('/routes/gtin-lookup', { percent: 100 })
      .reply(200, { ...ROUTE, percent: 100, withoutKey: { exchanges: 50, withoutKey: 30, moved: 30 } })
    expect((await banyan(['set', 'gtin-lookup', '100'])).out).toBe(
      `gtin-lookup: 5 % -> 100 % to gtin (revision 7)
30 of its last 50 requests have no sticky key: such requests move all at once; noKey: from keeps them
`,
    )
  })

  test('set --dry-run prints the difference and what it would do', async () => {
    admin().get('/routes/gtin-lookup').reply(200, ROUTE)
    const simulation = {
      exchanges: 200,
      moved: 41,
      movedPercent: 20.5,
      units: { seen: 90, moved: 18 },
      withoutKey: { seen: 20, moved: 11 },
      silenced: ['old'],
      caches: [{ route: 'old', upstream: 'legacy', why: 'route-removed' }],
    }
    admin()
      .patch('/routes/gtin-lookup?dryRun=true', { percent: 25 })
      .reply(200, { dryRun: true, changed: true, diff: '@@ -1,1 +1,1 @@\n-a\n+b\n', simulation })
    expect((await banyan(['set', 'gtin-lookup', '25', '--dry-run'])).out).toBe(`@@ -1,1 +1,1 @@
-a
+b

41 of the last 200 requests (20.5 %) and 18 of 90 clients would be routed differently
11 of them have no sticky key: such requests would move all at once
old would no longer match any of them
cached responses of old from legacy would be lost: route-removed
nothing was changed (dry run)
`)
  })

  test('servers, revisions and restore', async () => {
    const connections = { open: 3, active: 1, idle: 2 }
    const server = {
      id: 's1',
      url: 'http://127.0.0.1:4002',
      weight: 2,
      state: 'ejected',
      leased: false,
      health: null,
      connections,
    }
    admin()
      .get('/upstreams')
      .reply(200, { upstreams: [{ name: 'gtin', live: { lastMinute: null, servers: [server] } }] })
    expect((await banyan(['servers'])).out).toBe(
      [
        'SERVER  STATE    WEIGHT  IN FLIGHT  IDLE  RATE  ERRORS  WHY',
        'gtin                                         -       -',
        '  s1    ejected       2          1     2',
        '',
      ].join('\n'),
    )
    const one = {
      revision: 7,
      at: '2026-01-01T00:00:00.000Z',
      author: 'anna',
      reason: 'why',
      forced: false,
      summary: null,
      run: 7,
      kept: null,
    }
    const now = () => Date.parse('2026-01-01T05:10:00.000Z')
    admin()
      .get('/revisions')
      .reply(200, { current: 7, revisions: [one, { ...one, revision: 6, run: 6, reason: null, forced: true }] })
    expect((await banyan(['revisions'], { now })).out).toBe(
      'REVISION   AGE  BY    CHANGED  REASON\n7 *         5h  anna  -        why\n6           5h  anna  -         (forced)\n',
    )
    admin()
      .get('/revisions/7')
      .twice()
      .reply(200, { ...one, diff: '-a\n+b\n', text: 'version: 1\n' })
    expect((await banyan(['revisions', '7'])).out).toBe(
      'revision 7, 2026-01-01T00:00:00.000Z, by anna: why\n\n-a\n+b\n',
    )
    expect((await banyan(['revisions', '7', '--text'])).out).toBe('version: 1\n')
    const newest = { revision: 7, author: 'bob', yours: false, reason: null, summary: null }
    admin()
      .post('/revisions/6/restore?dryRun=true')
      .reply(200, { undoes: [newest] }, { ETag: '"7-a"' })
    admin(ADMIN, { reqheaders: { 'if-match': '"7-a"' } })
      .post('/revisions/6/restore')
      .reply(200, { revision: 8, changed: true, undoes: [newest] })
    expect((await banyan(['restore', '6'])).out).toBe(
      'revision 6 restored as revision 8\ntook back 1 revision:\n  7 by bob: -\n',
    )
    admin().post('/revisions/8/restore?dryRun=true').reply(200, { undoes: [] })
    admin().post('/revisions/8/restore').reply(200, { revision: 8, changed: false })
    expect((await banyan(['restore', '8'])).out).toBe(
      'no change: the table is already the same as revision 8 (revision 8)\n',
    )
  })

  test('purge names one target, and says how far it reached', async () => {
    admin().post('/cache/purge', { route: 'a', upstream: 'gtin', soft: true }).reply(200, { shared: true })
    expect((await banyan(['purge', '--route', 'a', '--upstream', 'gtin', '--soft'])).out).toBe('purged\n')
    admin().post('/cache/purge', { everything: true }).reply(200, { shared: false })
    expect((await banyan(['purge', '--everything'])).out).toBe(
      'purged; other instances may follow later: Redis is not reachable\n',
    )
    admin()
      .post('/cache/purge', { url: '/x' })
      .reply(200, { shared: true, entries: 0, note: 'no route that caches takes /x' })
    expect((await banyan(['purge', '--url', '/x'])).out).toBe(
      'purged: 0 responses in memory (no route that caches takes /x)\n',
    )
    admin().post('/cache/purge', { tag: 'a' }).reply(200, { shared: true, entries: 1 })
    expect((await banyan(['purge', '--tag', 'a'])).out).toBe('purged: 1 response in memory\n')
    expect(await banyan(['purge', '--soft'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('nothing to purge'),
    })
  })

  test.each([
    [
      { verdict: 'fresh', why: 'fresh', stored: { where: 'memory', status: 200, ageSeconds: 12, freshForSeconds: 48 } },
      'hit (fresh); stored in memory: status 200, age 12 s, fresh for another 48 s',
    ],
    [
      {
        verdict: 'validate',
        why: 'expired',
        stored: { where: 'redis', status: 200, ageSeconds: 70, freshForSeconds: -10 },
      },
      'revalidates with the upstream (expired); stored in redis: status 200, age 70 s, stale for 10 s',
    ],
    [{ verdict: 'miss', why: 'nothing-stored', stored: null }, 'miss (nothing-stored)'],
    [
      { verdict: 'miss', why: 'nothing-stored', stored: null },
      'miss (nothing-stored); responses are stored by host: give one, as in http://shop.test/',
      '',
    ],
  ])('explain tells what the cache would do: %o', async (look, said, host = 'shop.test') => {
    const route = { id: 'a', from: 'l', to: 'g', percent: 0, group: 'a', sticky: [], fallback: false, cached: true }
    admin()
      .post('/explain', { method: 'GET', url: '/a', headers: [] })
      .reply(200, {
        revision: 3,
        request: { method: 'GET', target: '/a', host, rawHeaders: [], clientAddress: '::1', chance: 0 },
        decision: { routeId: 'a', upstream: 'l', reason: 'rest', bucket: null, percent: 0, sticky: null },
        route,
        candidates: [{ routeId: 'a', matched: true, won: true, lost: [] }],
        otherRoutes: 0,
        server: null,
        cache: { key: 'a l GET http:///a', ...look },
      })
    const { out } = await banyan(['explain', '/a'])
    expect(out).toContain(`cache     ${said}\nkey       a l GET http:///a\n`)
  })

  test('explain --id tells of an exchange that is over', async () => {
    const decision = { routeId: null, upstream: 'legacy', reason: 'default', bucket: null, percent: null, sticky: null }
    const request = { method: 'GET', target: '/', host: '', rawHeaders: [], clientAddress: '::1', chance: 0 }
    const now = { revision: 9, decision, route: null, candidates: [], otherRoutes: 0, cache: null }
    admin().get('/exchanges/ktnduo-1').reply(200, {
      at: 'then',
      status: 502,
      durationMs: 1.25,
      decision,
      server: 's1',
      cache: '-',
      failure: 'connect',
      revision: 7,
      request,
      now,
    })
    expect((await banyan(['explain', '--id', 'ktnduo-1'])).out).toBe(`at then, revision 7: 502, connect, 1.3 ms
went to legacy (s1): default, cache -

the same request now, revision 9:
request   GET / without a host from ::1
goes to   legacy: no route matches (default)
revision  9

the table has no routes
`)
  })
})

describe('what goes wrong', () => {
  test.each([
    ['nobody listens', { code: 'ECONNREFUSED', message: '' }, 'connection refused'],
    ['the name is unknown', { code: 'ENOTFOUND', message: 'getaddrinfo ENOTFOUND' }, 'getaddrinfo ENOTFOUND'],
    ['the connection breaks', { code: 'ECONNRESET', message: 'socket hang up' }, 'socket hang up'],
  ])('%s: exit 3, and where it was looked for', async (_, error, why) => {
    admin()
      .get('/routes')
      .replyWithError(Object.assign(new Error(error.message), error))
    const { code, out, err } = await banyan(['routes'])
    expect([code, out]).toEqual([3, ''])
    expect(err).toBe(
      `banyan: cannot reach the admin API at ${ADMIN}: ${why} (is banyan running? set its address with --admin or BANYAN_ADMIN)\n`,
    )
  })

  test('a proxy that does not answer in time is given up', async () => {
    admin().get('/routes').delay(60_000).reply(200, {})
    const { code, err } = await banyan(['routes'], { timeoutMs: 30 })
    expect(code).toBe(3)
    expect(err).toContain('timed out')
    nock.abortPendingRequests()
  })

  test('an edit without an answer may have been made, which is told', async () => {
    admin()
      .patch('/routes/gtin-lookup')
      .replyWithError(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))
    admin().get('/routes/gtin-lookup').optionally().reply(200, ROUTE)
    const { code, err } = await banyan(['set', 'gtin-lookup', '25'])
    expect([code, err]).toEqual([
      3,
      `banyan: no answer from the admin API at ${ADMIN}: socket hang up (what was asked for may have been done all the same: see banyan status and banyan revisions)\n`,
    ])
  })

  test.each([
    [403, 'read-only-token', 4],
    [429, 'too-many-attempts', 4],
    [403, 'table-read-only', 1],
    [404, 'no-such-route', 1],
    [409, 'table-refused', 1],
    [422, 'invalid', 1],
    [500, 'internal', 1],
    [507, 'no-space', 1],
    [412, 'unmet', 5],
  ])('%d %s: its words, exit %3$d', async (status, code, exit) => {
    admin().get('/routes/gtin-lookup').reply(200, ROUTE)
    admin()
      .patch('/routes/gtin-lookup')
      .reply(...problem(status, code))
    const ended = await banyan(['set', 'gtin-lookup', '25'])
    expect(ended).toMatchObject({ code: exit, out: '' })
    expect(ended.err).toMatch(new RegExp(`^banyan: because of ${code}\\b`))
  })

  test('the errors of a body and the problems of a file are told, each on a line', async () => {
    const more = {
      problems: [{ file: 'routes.yaml', line: 3, column: 5, message: 'unknown key', hint: 'did you mean `hosts`?' }],
      hint: 'force=true overwrites it',
    }
    admin().get('/routes/a').reply(200, ROUTE)
    admin()
      .patch('/routes/a')
      .reply(...problem(409, 'table-refused', more))
    expect((await banyan(['set', 'a', '1'])).err).toBe(
      'banyan: because of table-refused (--force overwrites it)\n  routes.yaml:3:5: unknown key (did you mean `hosts`?)\n',
    )
    admin()
      .post('/explain')
      .reply(...problem(422, 'invalid', { errors: [{ pointer: '/url', detail: 'expected a path' }] }))
    expect((await banyan(['explain', '/'])).err).toBe('banyan: because of invalid\n  url: expected a path\n')
    const alone = { detail: '/url: expected a path', errors: [{ pointer: '/url', detail: 'expected a path' }] }
    admin()
      .post('/explain')
      .reply(...problem(422, 'invalid', alone))
    expect((await banyan(['explain', '/'])).err).toBe('banyan: url: expected a path\n')
    const route = { pointer: '/route', detail: 'unknown route nope', hint: 'must be gtin-lookup' }
    admin()
      .post('/cache/purge')
      .reply(
        ...problem(422, 'invalid', { detail: '/route: unknown route nope (must be gtin-lookup)', errors: [route] }),
      )
    expect((await banyan(['purge', '--route', 'nope'])).err).toBe(
      'banyan: --route: unknown route nope (must be gtin-lookup)\n',
    )
  })

  test('a token that is none is told of, without the token; a line break behind one does not matter', async () => {
    const ended = await banyan(['routes'], { env: { BANYAN_TOKEN: 's3cret żółw' } })
    expect(ended).toMatchObject({ code: 2, err: expect.stringContaining('invalid BANYAN_TOKEN') })
    expect(ended.err).not.toContain('s3cret')
    admin(ADMIN, { reqheaders: { authorization: 'Bearer s3cret' } })
      .get('/routes')
      .reply(200, { default: 'legacy', routes: [] })
    expect((await banyan(['routes'], { env: { BANYAN_TOKEN: 's3cret\n' } })).code).toBe(0)
  })

  test('with --json the problem document is printed too', async () => {
    admin()
      .get('/revisions/9')
      .reply(...problem(404, 'no-such-revision'))
    const { code, out } = await banyan(['revisions', '9', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ type: 'urn:banyan:problem:no-such-revision' })
  })

  test.each([
    [401, 'unauthorized', 4, 'the admin API needs a token: set BANYAN_TOKEN'],
    [401, 'wrong-token', 4, 'the token in BANYAN_TOKEN is not one of this proxy'],
    [412, 'outdated', 5, 'the current revision is 9, and --if-match names another'],
    [
      428,
      'if-match-needed',
      5,
      'this proxy needs --if-match ETAG, the revision that you have read (banyan revisions --json)',
    ],
  ])('%d %s is told in terms of the command line', async (status, code, exit, told) => {
    admin()
      .get('/routes/gtin-lookup')
      .reply(...problem(status, code, { revision: 9 }))
    expect(await banyan(['set', 'gtin-lookup', '25'])).toEqual({ code: exit, out: '', err: `banyan: ${told}\n` })
  })

  describe('another server at --admin', () => {
    const told = `banyan: ${ADMIN} is not the admin API of banyan: it answered 200 (set the address with --admin or BANYAN_ADMIN)\n`

    test.each([
      ['GET', '/routes', ['routes']],
      ['GET', '/upstreams', ['servers']],
      ['GET', '/routes/gtin-lookup', ['set', 'gtin-lookup', '5']],
      ['GET', '/revisions', ['revisions']],
      ['GET', '/exchanges/x-1', ['explain', '--id', 'x-1']],
    ])('%s %s: one line, exit 3', async (_, path, words) => {
      nock(ADMIN).get(path).reply(200, '<h1>It works!</h1>', { 'Content-Type': 'text/html' })
      expect(await banyan(words)).toEqual({ code: 3, out: '', err: told })
    })

    test('one whose answer never ends is not read to its end', async () => {
      const server = createServer((_, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        const fill = (): void => {
          while (res.write(' '.repeat(65_536)));
        }
        res.on('drain', fill)
        fill()
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      onTestFinished(() => {
        server.closeAllConnections()
        server.close()
      })
      nock.enableNetConnect('127.0.0.1')
      const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
      const { code, err } = await banyan(['routes', '--admin', at])
      expect([code, err]).toEqual([3, told.replace(ADMIN, `http://${at}`)])
    })

    test.each(['null', '5', '{"routes":', ''])('a body of %j instead of JSON is told in one line', async (body) => {
      admin().get('/routes').reply(200, body, { 'Content-Type': 'application/json' })
      const { code, err } = await banyan(['routes'])
      expect(code).toBe(3)
      expect(err).toMatch(/^banyan: cannot reach the admin API at .*: invalid JSON in the response .*\n$/)
    })

    test.each([
      [['explain', '/']],
      [['restore', '3']],
      [['purge', '--everything']],
      [['servers', 'add', 'gtin', 'http://127.0.0.1:4009']],
      [['servers', 'drain', 'gtin', 'one']],
      [['deploy', 'preview', 'gtin', 'api.test', '--remove']],
    ])('%j: nothing is sent but a GET', async (words) => {
      nock.cleanAll()
      nock(ADMIN).get('/livez').reply(200, { status: 'UP' })
      expect(await banyan(words)).toEqual({ code: 3, out: '', err: told })
    })

    test('an error of its own is not printed', async () => {
      nock(ADMIN).get('/revisions/9').reply(502, '<html>Bad gateway\x1b[31m</html>', { 'Content-Type': 'text/html' })
      expect(await banyan(['revisions', '9'])).toMatchObject({ code: 3, err: told.replace('200', '502') })
    })
  })

  test('an address behind a path of another server is asked there', async () => {
    admin('http://gate.test').get('/banyan/routes').reply(200, { default: 'legacy', routes: [] })
    expect((await banyan(['routes', '--admin', 'http://gate.test/banyan/'])).code).toBe(0)
  })

  test('an answer that breaks off in its middle is no answer', async () => {
    const { createServer } = await import('node:net')
    nock.enableNetConnect('127.0.0.1')
    const server = createServer((socket) => {
      socket.once('data', () =>
        socket.end(
          'HTTP/1.1 200 OK\r\nBanyan-Request-Id: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"rev',
        ),
      )
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as { port: number }
    const { code, err } = await banyan(['routes', '--admin', `127.0.0.1:${port}`])
    server.close()
    expect(code).toBe(3)
    expect(err).toContain(`cannot reach the admin API at http://127.0.0.1:${port}`)
  })
})
