/**
 * Stale answers: validation at the upstream, serving them while they are refreshed, and in place of failures
 * (RFC 9111 sections 4.2.4 and 4.3, RFC 5861).
 */
import { describe, expect, test } from 'vitest'
import type { UpstreamRequest } from '../../support/upstream.ts'
import { always, dateIn, fieldIn, inTurn, type Rig, reply, startRig, statusOf, until } from './rig.ts'

const STALE = ['Cache-Control: max-age=0', 'ETag: "one"']

describe('validation', () => {
  test('a 304 renews what is stored, with the fields that it has', async () => {
    const rig = await startRig()
    const modified = dateIn(-5000)
    const seen = inTurn(
      rig.legacy,
      reply(200, [...STALE, `Last-Modified: ${modified}`, 'X-A: 1', 'X-B: 1'], 'body'),
      reply(304, ['ETag: "one"', 'Cache-Control: max-age=60', 'X-A: 2']),
    )
    await rig.get('/a')
    const renewed = await rig.get('/a', 'If-None-Match: "zero"')
    expect(renewed).toMatchObject({ status: 200, body: { text: 'body' } })
    expect([fieldIn(renewed, 'x-a'), fieldIn(renewed, 'x-b')]).toEqual(['2', '1'])
    expect(statusOf(renewed)).toMatch(/^banyan;fwd=stale;fwd-status=304;ttl=(59|60);stored$/)
    expect(seen[1]!.field('if-none-match')).toBe('"one"')
    expect(seen[1]!.field('if-modified-since')).toBe(modified)
    expect(fieldIn(await rig.get('/a'), 'x-a')).toBe('2')
    expect(seen).toHaveLength(2)
  })

  test('a 200 takes its place', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, STALE, 'old'), reply(200, ['Cache-Control: max-age=60', 'ETag: "two"'], 'new'))
    await rig.get('/a')
    expect((await rig.get('/a')).body.text).toBe('new')
    expect(statusOf(await rig.get('/a'))).toContain('hit')
  })

  test("the client's condition holds for what came in its place", async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, STALE, 'old'), reply(200, ['Cache-Control: max-age=60', 'ETag: "two"'], 'new'))
    await rig.get('/a')
    expect((await rig.get('/a', 'If-None-Match: "two"')).status).toBe(304)
    expect((await rig.get('/a')).body.text).toBe('new')
    expect(rig.legacy.requests).toBe(2)
  })

  test("the client's condition holds for what was confirmed", async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, STALE, 'old'), reply(304, ['ETag: "one"', 'Cache-Control: max-age=60']))
    await rig.get('/a')
    expect((await rig.get('/a', 'If-None-Match: "one"')).status).toBe(304)
  })

  test('a 304 for something else asks again, without conditions', async () => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, STALE, 'old'), reply(304, ['ETag: "other"']), reply(200, [], 'new'))
    await rig.get('/a')
    expect(await rig.get('/a', 'If-None-Match: "x"')).toMatchObject({ status: 200, body: { text: 'new' } })
    expect(seen).toHaveLength(3)
    expect(seen[2]!.field('if-none-match')).toBeUndefined()
  })

  test('a 304 that forbids storing is the last', async () => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, STALE, 'old'), reply(304, ['ETag: "one"', 'Cache-Control: no-store']))
    await rig.get('/a')
    expect((await rig.get('/a')).body.text).toBe('old')
    rig.legacy.handler = (request) => {
      expect(request.field('if-none-match')).toBeUndefined()
      return request.send(reply(200, [], 'fresh'))
    }
    expect((await rig.get('/a')).body.text).toBe('fresh')
    expect(seen).toHaveLength(2)
  })

  test('Set-Cookie of a 304 is for its client only', async () => {
    const rig = await startRig()
    inTurn(
      rig.legacy,
      reply(200, STALE, 'old'),
      reply(304, ['ETag: "one"', 'Cache-Control: max-age=60', 'Set-Cookie: sid=1']),
    )
    await rig.get('/a')
    expect(fieldIn(await rig.get('/a'), 'set-cookie')).toBe('sid=1')
    expect(fieldIn(await rig.get('/a'), 'set-cookie')).toBeUndefined()
  })

  test('no-cache validates each time, fresh or not', async () => {
    const rig = await startRig()
    const seen = inTurn(
      rig.legacy,
      reply(200, ['Cache-Control: no-cache, max-age=60', 'ETag: "one"'], 'body'),
      reply(304, ['ETag: "one"']),
    )
    for (let i = 0; i < 3; i++) expect((await rig.get('/a')).body.text).toBe('body')
    expect(seen).toHaveLength(3)
    expect(seen[2]!.field('if-none-match')).toBe('"one"')
  })

  test('a range of a stale answer is cut out of what was confirmed', async () => {
    const rig = await startRig()
    const seen = inTurn(
      rig.legacy,
      reply(200, STALE, '0123456789'),
      reply(304, ['ETag: "one"', 'Cache-Control: max-age=60']),
    )
    await rig.get('/a')
    expect(await rig.get('/a', 'Range: bytes=2-3')).toMatchObject({ status: 206, body: { text: '23' } })
    expect(seen).toHaveLength(2)
  })

  test('what is there no more goes', async () => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, STALE, 'old'), reply(404, [], 'gone'))
    await rig.get('/a')
    expect((await rig.get('/a')).status).toBe(404)
    expect((await rig.get('/a')).status).toBe(404)
    expect(seen[2]!.field('if-none-match')).toBeUndefined()
  })
})

describe('stale while revalidate', () => {
  const lines = (age: string) => [`Cache-Control: max-age=5, stale-while-revalidate=60`, `Age: ${age}`, 'ETag: "one"']

  test('answers at once and refreshes once behind', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, lines('10'), 'old'))
    await rig.get('/a')
    rig.legacy.handler = null
    const stale = await Promise.all([rig.get('/a'), rig.get('/a'), rig.ask('HEAD', '/a')])
    expect(stale.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(statusOf(stale[0]!)).toMatch(/^banyan;hit;ttl=-/)
    const refresh = await rig.legacy.request()
    expect(refresh.method).toBe('GET')
    expect(refresh.field('if-none-match')).toBe('"one"')
    await refresh.send(reply(200, ['Cache-Control: max-age=60'], 'new'))
    await until(() => rig.plane.cache.figures().counters.stored === 2)
    expect((await rig.get('/a')).body.text).toBe('new')
    expect(rig.legacy.requests).toBe(2)
  })

  test('a refresh asks for the whole', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, lines('10'), '0123456789'))
    await rig.get('/a')
    rig.legacy.handler = null
    expect((await rig.get('/a', 'Range: bytes=1-2')).body.text).toBe('12')
    const refresh = await rig.legacy.request()
    expect(refresh.field('range')).toBeUndefined()
    await refresh.send(reply(304, ['ETag: "one"']))
    await until(() => rig.plane.cache.figures().counters.revalidated === 1)
  })

  test.each([
    ['500', reply(500, ['Cache-Control: max-age=60'], 'broken')],
    ['503', reply(503, [], 'busy')],
    ['nothing', null],
  ])('a refresh that fails with %s never takes the place of a good answer', async (_, failure) => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, lines('10'), 'good'), failure)
    await rig.get('/a')
    await rig.get('/a')
    await until(() => rig.plane.cache.figures().counters.refreshFailures === 1)
    const asked = seen.length
    expect((await rig.get('/a')).body.text).toBe('good')
    // Not every request begins a refresh of its own while they fail.
    expect(seen).toHaveLength(asked)
  })

  test('must-revalidate and the end of the window forbid it', async () => {
    const rig = await startRig()
    for (const cc of ['max-age=5, stale-while-revalidate=60, must-revalidate', 'max-age=5, stale-while-revalidate=2']) {
      inTurn(rig.legacy, reply(200, [`Cache-Control: ${cc}`, 'Age: 10', 'ETag: "one"'], 'old'), reply(200, [], 'new'))
      await rig.get(`/${cc.length}`)
      expect((await rig.get(`/${cc.length}`)).body.text).toBe('new')
    }
  })

  test("the route's window counts where the answer names none", async () => {
    const rig = await startRig({ cache: '{ staleWhileRevalidate: 1m }' })
    inTurn(rig.legacy, reply(200, ['Cache-Control: max-age=5', 'Age: 10'], 'old'), reply(200, [], 'new'))
    await rig.get('/a')
    expect((await rig.get('/a')).body.text).toBe('old')
    await until(() => rig.legacy.requests === 2)
  })
})

describe('in place of a failure', () => {
  test.each([
    ['500, in its window', ['Cache-Control: max-age=0, stale-if-error=60'], reply(500, [], 'broken'), 'stored'],
    ['503, in its window', ['Cache-Control: max-age=0, stale-if-error=60'], reply(503, [], 'broken'), 'stored'],
    ['404 is no failure', ['Cache-Control: max-age=0, stale-if-error=60'], reply(404, [], 'broken'), 'broken'],
    ['500, no window', ['Cache-Control: max-age=0'], reply(500, [], 'broken'), 'broken'],
    [
      '500, must-revalidate',
      ['Cache-Control: max-age=0, stale-if-error=60, must-revalidate'],
      reply(500, [], 'broken'),
      'broken',
    ],
    ['a cut connection, no window', ['Cache-Control: max-age=0'], null, 'stored'],
    ['an answer that is no HTTP', ['Cache-Control: max-age=0'], 'HTTP/9 what\r\n\r\n', 'stored'],
  ])('%s', async (_, lines, failure, text) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [...lines, 'ETag: "one"'], 'stored'), failure)
    await rig.get('/a')
    const response = await rig.get('/a')
    expect(response.body.text).toBe(text)
    if (text === 'stored') {
      expect(fieldIn(response, 'age')).toBeDefined()
      expect(statusOf(response)).toContain(
        failure?.startsWith('HTTP/1') ? 'detail=stale-if-error' : 'detail=disconnected',
      )
    }
  })

  test.each([
    ['must-revalidate', 504],
    ['proxy-revalidate', 504],
    ['s-maxage=0', 504],
    ['no-cache', 502],
  ])('a cut connection with %s is a %i', async (directive, status) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [`Cache-Control: max-age=0, ${directive}`, 'ETag: "one"'], 'stored'), null)
    await rig.get('/a')
    const both = await Promise.all([rig.get('/a'), rig.get('/a')])
    expect(both.map((one) => one.status)).toEqual([status, status])
    expect(JSON.parse(both[0]!.body.text)).toMatchObject({ status })
  })

  test('a server that is silent', async () => {
    const rig = await startRig({ headers: '500ms' })
    inTurn(rig.legacy, reply(200, STALE, 'stored'))
    await rig.get('/a')
    rig.legacy.handler = () => {}
    expect((await rig.get('/a')).body.text).toBe('stored')
  })

  test('a server that is gone, for GET and HEAD', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, STALE, 'stored'))
    await rig.get('/a')
    await rig.legacy.stop()
    expect((await rig.get('/a')).body.text).toBe('stored')
    expect((await rig.ask('HEAD', '/a')).status).toBe(200)
    expect(rig.plane.cache.figures().counters.staleOnError).toBe(2)
  })

  test('the other side comes first, where the route has a fallback', async () => {
    const rig = await startRig({ route: ['percent: 100', 'fallback: {}'] })
    inTurn(rig.modern, reply(200, STALE, 'modern'), null)
    always(rig.legacy, 200, ['Cache-Control: max-age=60'], 'legacy #')
    expect((await rig.get('/a')).body.text).toBe('modern')
    expect((await rig.get('/a')).body.text).toBe('legacy 1')
    // What the other side has answered lies under its own name: it is found there, and never answers for this side.
    expect((await rig.get('/a')).body.text).toBe('legacy 1')
    always(rig.modern, 200, [], 'modern again')
    expect((await rig.get('/a')).body.text).toBe('modern again')
  })

  test('a broken transfer is broken, whatever is stored', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, STALE, 'stored'))
    await rig.get('/a')
    rig.legacy.handler = async (request) => {
      await request.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')
      request.connection.socket.destroy()
    }
    await expect(rig.get('/a')).rejects.toThrow('broken off')
    inTurn(rig.legacy, null)
    expect((await rig.get('/a')).body.text).toBe('stored')
  })
})

describe('an answer that comes to refresh a stale one', () => {
  const WINDOW = 'Cache-Control: max-age=0, stale-while-revalidate=60'

  test.each([
    ['404', reply(404, [], 'gone')],
    ['410', reply(410, [], 'gone')],
    ['403', reply(403, [], 'gone')],
    ['301', reply(301, ['Location: /b'], 'gone')],
    ['private', reply(200, ['Cache-Control: private'], 'gone')],
    ['no-store', reply(200, ['Cache-Control: no-store'], 'gone')],
    ['Set-Cookie', reply(200, ['Cache-Control: max-age=60', 'Set-Cookie: a=b'], 'gone')],
  ])('%s ends it at once, behind the client that still got it', async (_, gone) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [WINDOW, 'ETag: "one"'], 'page'), gone, gone)
    await rig.get('/a')
    expect((await rig.get('/a')).body.text).toBe('page')
    await expect.poll(() => rig.legacy.requests).toBe(2)
    await expect.poll(async () => (await rig.get('/a')).body.text).toBe('gone')
  })

  test('a body beyond maxBody ends it, also where its length comes late', async () => {
    const large = 'x'.repeat(2000)
    const chunks = `Transfer-Encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`
    for (const gone of [reply(200, ['Cache-Control: max-age=60'], large), `HTTP/1.1 200 OK\r\n${chunks}`]) {
      const rig = await startRig({ cache: '{ ttl: 60s, maxBody: 1KiB }' })
      inTurn(rig.legacy, reply(200, [WINDOW, 'ETag: "one"'], 'page'), gone, gone)
      await rig.get('/a')
      expect((await rig.get('/a')).body.text).toBe('page')
      await until(() => rig.plane.cache.figures().counters.skipped['too-large'] === 1)
      expect((await rig.get('/a')).body.text).toBe(large)
    }
  })

  test('one that a HEAD has asked for is stored', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [WINDOW], 'page'), reply(200, ['Cache-Control: max-age=60'], 'new page'))
    await rig.get('/a')
    expect(statusOf(await rig.ask('HEAD', '/a'))).toContain(';hit')
    await expect.poll(async () => (await rig.get('/a')).body.text).toBe('new page')
    expect(rig.legacy.requests).toBe(2)
  })

  test.each([401, 429, 431, 400, 503])('%i leaves it', async (status) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [WINDOW, 'ETag: "one"'], 'page'), reply(status, [], 'no'), reply(status, [], 'no'))
    await rig.get('/a')
    expect((await rig.get('/a')).body.text).toBe('page')
    await expect.poll(() => rig.legacy.requests).toBe(2)
    await expect.poll(() => rig.plane.measurements.active).toBe(0)
    expect((await rig.get('/a')).body.text).toBe('page')
  })
})

describe('a refresh that changes nothing', () => {
  test.each([400, 401, 423, 429, 431, 503])('with %i is not repeated by each request', async (status) => {
    const rig = await startRig()
    const page = reply(200, ['Cache-Control: max-age=0, stale-while-revalidate=60', 'ETag: "one"'], 'page')
    inTurn(rig.legacy, page, reply(status, ['Retry-After: 30'], 'no'))
    await rig.get('/a')
    await rig.get('/a')
    await until(() => {
      const { refreshFailures, skipped } = rig.plane.cache.figures().counters
      return refreshFailures > 0 || Object.values(skipped).some((count) => count > 0)
    })
    for (let i = 0; i < 5; i++) expect((await rig.get('/a')).body.text).toBe('page')
    expect(rig.legacy.requests).toBe(2)
  })
})

describe('a HEAD that went before', () => {
  const ANSWER = (version: number, age: number) => [`Cache-Control: max-age=${age}`, `X-Version: ${version}`]
  const headAnswer = (version: number, age: number) =>
    `HTTP/1.1 200 OK\r\n${ANSWER(version, age).join('\r\n')}\r\nContent-Length: 5\r\n\r\n`

  test.each([
    ['an unsafe request', (rig: Rig) => rig.ask('PUT', '/a', 'Content-Length: 0')],
    ['a purge', (rig: Rig) => rig.plane.cache.purge({ what: 'url', url: '/a' }, false)],
    ['a soft purge', (rig: Rig) => rig.plane.cache.purge({ what: 'url', url: '/a' }, true)],
    ['a newer answer', (rig: Rig) => rig.get('/a', 'Cache-Control: no-cache')],
  ])('%s, and is answered after it, changes nothing', async (_, between) => {
    const rig = await startRig()
    let version = 1
    let held: UpstreamRequest | null = null
    rig.legacy.handler = (request) => {
      if (request.method === 'HEAD') held = request
      else if (request.method === 'PUT') void request.send(reply(204))
      else void request.send(reply(200, ANSWER(version, version === 1 ? 300 : 60), `body${version}`))
    }
    await rig.get('/a')
    const head = rig.ask('HEAD', '/a', 'Cache-Control: no-cache')
    await until(() => held !== null)
    // The clock counts in milliseconds: what comes in the same one may have come before.
    const wentMs = Date.now()
    await until(() => Date.now() > wentMs)
    version = 2
    await between(rig)
    await rig.get('/a')
    await (held as UpstreamRequest | null)?.send(headAnswer(1, 300))
    expect(fieldIn(await head, 'x-version')).toBe('1')
    const after = await rig.get('/a')
    expect([after.body.text, fieldIn(after, 'x-version')]).toEqual(['body2', '2'])
    expect(fieldIn(after, 'cache-control')).toBe('max-age=60')
  })

  test('a soft purge makes nothing fresh again that is still to be confirmed', async () => {
    const rig = await startRig()
    let held: UpstreamRequest | null = null
    rig.legacy.handler = (request) => {
      if (request.method === 'HEAD') held = request
      else void request.send(reply(200, ANSWER(1, 300), 'body1'))
    }
    await rig.get('/a')
    const head = rig.ask('HEAD', '/a', 'Cache-Control: no-cache')
    await until(() => held !== null)
    await rig.plane.cache.purge({ what: 'url', url: '/a' }, true)
    await (held as UpstreamRequest | null)?.send(headAnswer(1, 300))
    await head
    await rig.get('/a')
    expect(rig.legacy.requests).toBe(3)
  })
})

describe('one request leaves what everybody has alone', () => {
  const PRIVATE = reply(200, ['Cache-Control: private'], 'mine')

  test.each([
    ['an error of its own', reply(431, [], 'no'), []],
    ['an error of its own that is no word on the resource', reply(400, [], 'no'), []],
    ['a private answer to somebody who is known', PRIVATE, ['Cookie: sid=1']],
    ['a private answer to somebody who is known by a field of his own', PRIVATE, ['X-Auth-Token: t']],
    ['the same, and no-store', reply(200, ['Cache-Control: no-store'], 'mine'), ['Cookie: sid=1', 'X-Auth-Token: t']],
    ['an answer to Authorization', reply(200, ['Cache-Control: max-age=60'], 'mine'), ['Authorization: Basic x']],
  ])('%s', async (_, answer, asks) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, ['Cache-Control: max-age=60', 'ETag: "one"'], 'page'), answer, null)
    await rig.get('/a')
    await rig.get('/a', 'Cache-Control: no-cache', ...asks)
    const hit = await rig.get('/a')
    expect([hit.body.text, rig.legacy.requests]).toEqual(['page', 2])
  })
})

test('interim answers pass ahead of what is then stored', async () => {
  const rig = await startRig()
  inTurn(
    rig.legacy,
    `HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${reply(200, ['Cache-Control: max-age=60'], 'body')}`,
  )
  expect((await rig.get('/a')).interim[0]).toContain('103')
  expect((await rig.get('/a')).interim).toEqual([])
})
