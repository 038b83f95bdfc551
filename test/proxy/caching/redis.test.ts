/**
 * Two proxies on one Redis: what one stores, asks for, forgets and purges, the other knows.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'
import { always, fieldIn, inTurn, type Rig, type RigOptions, reply, startRig, statusOf, until } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'
const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

/** A proxy that has reached Redis. */
async function startShared(options: RigOptions = {}): Promise<Rig> {
  const rig = await startRig({ ...options, remote: storeAt(redis.url) })
  await until(() => rig.plane.cache.figures().remote?.state === 'up')
  return rig
}

/** Two proxies, each with memory of its own, with one upstream between them. */
async function pair(options: RigOptions = {}): Promise<[Rig, Rig]> {
  const a = await startShared(options)
  const b = await startShared({ ...options, upstreams: a })
  return [a, b]
}

const generationOf = (rig: Rig): number => rig.plane.cache.figures().generation
const writesOf = (rig: Rig): number => rig.plane.cache.figures().remote?.writes ?? 0

describe('a fetch of another process', () => {
  test('whose body takes its time: the first byte does not wait for the last', async () => {
    const [a, b] = await pair({ headers: '30s', cache: '{ collapse: { wait: 10m } }' })
    const first = await a.begin('/a')
    const request = await a.legacy.request()
    const second = await b.begin('/a')
    await until(() => b.plane.cache.figures().counters.waits === 1)
    const head = `HTTP/1.1 200 OK\r\n${FRESH}\r\nContent-Length: 10\r\n\r\n`
    await request.send(`${head}01234`)
    await first.readUntil('01234')
    const own = await a.legacy.request()
    // Whoever comes now waits for neither.
    const third = b.get('/a')
    await own.send(`${head}abcde`)
    await second.readUntil('abcde')
    await until(() => b.plane.measurements.active === 2)
    await own.send('fghij')
    expect((await third).body.text).toBe('abcdefghij')
    await request.send('56789')
    await first.readUntil('56789')
    expect(a.legacy.requests).toBe(2)
  })

  test('that does not come is waited for no longer than collapse.wait', async () => {
    const [a, b] = await pair({ headers: '30s', cache: '{ collapse: { wait: 200ms } }' })
    const held = await a.begin('/a')
    await a.legacy.request()
    const waiting = b.get('/a')
    const own = await a.legacy.request()
    await own.send(reply(200, [FRESH], 'at once'))
    expect((await waiting).body.text).toBe('at once')
    held.reset()
  })
})

describe('what one has stored', () => {
  test('the other serves, and then has in memory', async () => {
    const [a, b] = await pair()
    always(a.legacy, 200, [FRESH, 'X-A: caf\xe9', 'ETag: "one"'])
    const first = await a.get('/a')
    await until(() => writesOf(a) === 1)
    for (const hits of [1, 1]) {
      const hit = await b.get('/a')
      expect(hit.body.text).toBe('body 1')
      expect(statusOf(hit)).toMatch(/^banyan;hit;ttl=/)
      expect([fieldIn(hit, 'x-a'), fieldIn(hit, 'date')]).toEqual(['caf\xe9', fieldIn(first, 'date')])
      expect(b.plane.cache.figures().remote?.hits).toBe(hits)
    }
    expect((await b.get('/a', 'If-None-Match: "one"')).status).toBe(304)
    expect(a.legacy.requests).toBe(1)
  })

  test('variants, HEAD, ranges and only-if-cached too', async () => {
    const [a, b] = await pair()
    a.legacy.handler = (request) => request.send(reply(200, [FRESH, 'Vary: X-A'], `for ${request.field('x-a')}`))
    await a.get('/a', 'X-A: one')
    await a.get('/a', 'X-A: two')
    await until(() => writesOf(a) === 3)
    expect((await b.ask('HEAD', '/a', 'X-A: one')).status).toBe(200)
    expect((await b.get('/a', 'X-A: two', 'Range: bytes=4-')).body.text).toBe('two')
    expect((await b.get('/a', 'X-A: one', 'Cache-Control: only-if-cached')).body.text).toBe('for one')
    expect((await b.get('/a', 'X-A: three', 'Cache-Control: only-if-cached')).status).toBe(504)
    expect(a.legacy.requests).toBe(2)
  })

  test('with no-cache is revalidated where memory has no room for it', async () => {
    const a = await startShared({ memoryBytes: 1 })
    const seen = inTurn(
      a.legacy,
      reply(200, ['Cache-Control: no-cache', 'ETag: "one"'], 'stored'),
      reply(304, ['Cache-Control: no-cache', 'ETag: "one"']),
    )
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    for (let i = 0; i < 2; i++) expect((await a.get('/a')).body.text).toBe('stored')
    expect(seen.map((request) => request.field('if-none-match'))).toEqual([undefined, '"one"', '"one"'])
  })

  test('and has validated, the other need not validate again', async () => {
    const [a, b] = await pair()
    inTurn(a.legacy, reply(200, [FRESH, 'ETag: "one"'], 'body'), reply(304, ['ETag: "one"', FRESH]))
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    await b.get('/a')
    await a.plane.cache.purge({ what: 'everything' }, true)
    expect(statusOf(await a.get('/a'))).toContain('fwd-status=304')
    await until(() => writesOf(a) === 2)
    expect(statusOf(await b.get('/a'))).toMatch(/^banyan;hit;ttl=[56]/)
    expect(a.legacy.requests).toBe(2)
  })
})

describe('what is stored is for whom it was made for', () => {
  test.each(['Cookie', 'Accept-Encoding', 'X-Tenant'])('two who ask at once, told apart by %s', async (name) => {
    const a = await startShared()
    a.legacy.handler = (request) => request.send(reply(200, [FRESH, `Vary: ${name}`], `for ${request.field(name)}`))
    for (const one of ['a=1', 'b=2', 'c=3']) await a.get('/a', `${name}: ${one}`)
    await until(() => writesOf(a) === 4)
    const b = await startShared({ upstreams: a })
    const got = await Promise.all(['a=1', 'b=2', 'c=3', 'b=2', 'd=4'].map((one) => b.get('/a', `${name}: ${one}`)))
    expect(got.map(({ body }) => body.text)).toEqual(['for a=1', 'for b=2', 'for c=3', 'for b=2', 'for d=4'])
    expect(a.legacy.requests).toBe(4)
  })

  test('a cold herd in four languages over both', async () => {
    const [a, b] = await pair({ headers: '30s' })
    a.legacy.handler = (request) =>
      request.send(reply(200, [FRESH, 'Vary: Accept-Language'], `in ${request.field('accept-language')}`))
    const languages = Array.from({ length: 60 }, (_, i) => ['de', 'en', 'fr', 'it'][i % 4] as string)
    const herd = languages.map((one, i) => (i % 3 === 0 ? a : b).get('/a', `Accept-Language: ${one}`))
    const got = (await Promise.all(herd)).map(({ body }) => body.text)
    expect(got).toEqual(languages.map((one) => `in ${one}`))
  })

  test('entries that have changed places are misses, and counted', async () => {
    const [a, b] = await pair()
    a.legacy.handler = (request) => request.send(reply(200, [FRESH], `page ${request.target}`))
    await a.get('/a')
    await a.get('/b')
    await until(() => writesOf(a) === 2)
    const [one, two] = (await redis.command('KEYS', 'banyan:e:*')).match(/banyan:e:\S+/g) as unknown as [string, string]
    await redis.command('RENAME', one, 'banyan:other')
    await redis.command('RENAME', two, one)
    await redis.command('RENAME', 'banyan:other', two)
    expect((await b.get('/a')).body.text).toBe('page /a')
    expect((await b.get('/b')).body.text).toBe('page /b')
    expect(b.plane.cache.figures().counters.misplaced).toBeGreaterThan(0)
  })

  test('other settings in the table of another process', async () => {
    const a = await startShared({ cache: '{ setCookie: store }' })
    always(a.legacy, 200, [FRESH, 'Set-Cookie: sid=#'])
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    const b = await startShared({ upstreams: a })
    expect(fieldIn(await b.get('/a'), 'set-cookie')).toBe('sid=2')
  })
})

describe('a herd over both', () => {
  test('makes one request', async () => {
    const [a, b] = await pair()
    const herd = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? a : b).get('/a'))
    const request = await a.legacy.request()
    await until(() => a.plane.measurements.active + b.plane.measurements.active === 100)
    await until(() => a.plane.cache.figures().counters.waits + b.plane.cache.figures().counters.waits === 1)
    await request.send(reply(200, [FRESH], 'one for all'))
    for (const response of await Promise.all(herd)) expect(response.body.text).toBe('one for all')
    expect(a.legacy.requests).toBe(1)
  })

  test('that can not share goes on, and does not wait again', async () => {
    const [a, b] = await pair()
    const one = a.get('/a')
    const request = await a.legacy.request()
    const two = b.get('/a')
    await until(() => b.plane.cache.figures().counters.waits === 1)
    always(a.legacy, 200, ['Cache-Control: no-store'], 'own')
    await request.send(reply(200, ['Cache-Control: no-store'], 'own'))
    await Promise.all([one, two])
    expect(a.legacy.requests).toBe(2)
    await b.get('/a')
    expect(b.plane.cache.figures().counters).toMatchObject({ waits: 1, hitForMiss: 1 })
  })

  test.each([
    ['what is private to somebody who is known', ['Cookie: sid=1'], reply(200, ['Cache-Control: private'], 'own')],
    ['what speaks of one request', [], reply(431, [], 'own')],
  ])('after %s goes on sharing', async (_, fields, answer) => {
    const [a, b] = await pair({ headers: '30s' })
    const one = a.get('/a', ...fields)
    const request = await a.legacy.request()
    const waiting = b.get('/a')
    await until(() => b.plane.cache.figures().counters.waits === 1)
    await request.send(answer)
    expect((await one).body.text).toBe('own')
    const next = await a.legacy.request()
    const herd = Array.from({ length: 9 }, () => b.get('/a'))
    await until(() => b.plane.measurements.active === 10)
    await next.send(reply(200, [FRESH], 'for all'))
    for (const response of await Promise.all([waiting, ...herd])) expect(response.body.text).toBe('for all')
    expect([a.legacy.requests, b.plane.cache.figures().counters.hitForMiss]).toEqual([2, 0])
  })

  test('whose filler fails is filled by another', async () => {
    const [a, b] = await pair()
    const one = a.get('/a')
    const request = await a.legacy.request()
    const two = b.get('/a')
    await until(() => b.plane.cache.figures().counters.waits === 1)
    always(a.legacy, 200, [FRESH], 'well')
    await request.send('HTTP/9.9 what\r\n\r\n')
    expect((await one).status).toBe(502)
    expect((await two).body.text).toBe('well')
  })
})

describe('what has become untrue', () => {
  test('by a purge stays gone where the log alone is lost while no instance runs', async () => {
    const a = await startShared()
    always(a.legacy, 200, [FRESH])
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    await a.plane.cache.purge({ what: 'url', url: '/a' }, false)
    await a.plane.cache.close()
    await redis.command('DEL', 'banyan:{log}')
    const b = await startShared({ upstreams: a })
    expect((await b.get('/a')).body.text).toBe('body 2')
    // From now on it is shared under the new log.
    await until(() => writesOf(b) === 1)
    const c = await startShared({ upstreams: a })
    expect((await c.get('/a')).body.text).toBe('body 2')
  })

  test('by a purge on one is gone on the other', async () => {
    const [a, b] = await pair()
    always(a.legacy, 200, [FRESH])
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    await b.get('/a')
    expect(await b.plane.cache.purge({ what: 'url', url: '/a' }, false)).toMatchObject({ shared: true })
    await until(() => generationOf(a) > 0 && generationOf(a) === generationOf(b))
    expect((await a.get('/a')).body.text).toBe('body 2')
    expect((await b.get('/a')).body.text).toBe('body 2')
  })

  test('by an unsafe request on one is gone on the other', async () => {
    const [a, b] = await pair()
    always(a.legacy, 200, [FRESH])
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    await b.get('/a')
    inTurn(a.legacy, reply(204))
    await a.ask('DELETE', '/a')
    await until(() => generationOf(b) > 0)
    always(a.legacy, 200, [FRESH], 'new')
    expect((await b.get('/a')).body.text).toBe('new')
  })

  test('by a share that was taken back is gone on both, and stays gone', async () => {
    const routes = (percent: number) => [
      '- id: split',
      '  match: { path: /* }',
      '  to: modern',
      `  percent: ${percent}`,
      '  cache: {}',
    ]
    const [a, b] = await pair({ routes: routes(100) })
    always(a.modern, 200, [FRESH], 'modern #')
    await a.get('/a')
    await until(() => writesOf(a) === 1)
    await b.get('/a')
    a.apply({ routes: routes(0) })
    await until(() => generationOf(b) > 0)
    expect((await b.get('/a')).body.text).toBe('modern 2')
  })
})

describe('what was in force before a start', () => {
  const split = (percent: number): RigOptions => ({
    routes: ['- id: split', '  match: { path: /* }', '  to: modern', `  percent: ${percent}`, '  cache: {}'],
  })
  const noteOf = () => redis.command('HGET', 'banyan:{log}table', 'print')

  /** Starts with each table, one after the other, until it is left for the next start; gets /a from the first and the last. */
  async function runs(tables: readonly RigOptions[], between = async () => {}): Promise<[first: string, last: string]> {
    const bodies: string[] = []
    let upstreams: Rig | undefined
    for (const [i, table] of tables.entries()) {
      const before = await noteOf()
      const changes = i > 0 && table !== tables[i - 1]
      const rig = await startShared({ ...table, ...(upstreams === undefined ? {} : { upstreams }) })
      if (upstreams === undefined) {
        always(rig.legacy, 200, [FRESH])
        always(rig.modern, 200, [FRESH])
      }
      upstreams ??= rig
      if (i === 0 || i === tables.length - 1) bodies.push((await rig.get('/a')).body.text)
      if (i === 0) await until(() => writesOf(rig) === 1)
      if (changes) while ((await noteOf()) === before) await new Promise((resolve) => setTimeout(resolve, 20))
      await rig.plane.cache.close()
      await between()
    }
    return bodies as [string, string]
  }

  const plain: RigOptions = { cache: '{}' }
  test('is compared with the table: what has not changed stays', async () => {
    expect(await runs([plain, plain])).toEqual(['body 1', 'body 1'])
  })

  test.each([
    ['settings that have changed meanwhile', [plain, { cache: '{ ttl: 1m }' }, plain]],
    ['a route that was away', [plain, { routes: ['- id: other', '  match: { path: /* }', '  to: modern'] }, plain]],
    ['a share that was lower', [split(100), split(50), split(100)]],
  ])('%s take their answers with them, even where they are back', async (_, tables) => {
    expect(await runs(tables)).toEqual(['body 1', 'body 2'])
  })

  test('and where that is lost, nothing is used that was stored before', async () => {
    const lose = async () => void (await redis.command('DEL', 'banyan:{log}table'))
    expect(await runs([plain, plain], lose)).toEqual(['body 1', 'body 2'])
  })
})
