/**
 * Purges and invalidations that several instances order at the same time, or while Redis is away, is emptied or fails over: none
 * is lost, and no request fails. `BANYAN_ROUNDS=1000` makes as many rounds of the first tests.
 */
import { expect, test } from 'vitest'
import type { RedisServer } from '../../support/redis.ts'
import { type Rig, reply, statusOf } from './rig.ts'
import { clusterSetup, FRESH, PATIENCE_MS, patiently, proxyOver, redisOf, remoteOf, sentinelSetup } from './setups.ts'

const ROUNDS = Number(process.env.BANYAN_ROUNDS ?? 15)

/** Pages whose text counts up with each edit. */
class Pages {
  readonly #editions = new Map<string, number>()

  /** Answers a rig's upstream: what it serves, and 204 to all that may change something, which is an edit. */
  serve(rig: Rig): void {
    rig.legacy.handler = (request) => {
      if (request.method === 'GET') return request.send(reply(200, [FRESH], this.textOf(request.target)))
      this.edit(request.target)
      return request.send(reply(204))
    }
  }

  edit(target: string): void {
    this.#editions.set(target, (this.#editions.get(target) ?? 0) + 1)
  }

  textOf(target: string): string {
    return `${target} ${this.#editions.get(target) ?? 0}`
  }
}

/** Some instances over one Redis, in step, before the same pages. */
async function instances(url: string, count: number, deadlineMs = 2000): Promise<{ rigs: Rig[]; pages: Pages }> {
  const pages = new Pages()
  const first = await proxyOver(url, undefined, { deadlineMs })
  pages.serve(first)
  const others = await Promise.all(Array.from({ length: count - 1 }, () => proxyOver(url, first, { deadlineMs })))
  const rigs = [first, ...others]
  await patiently(() => rigs.every((rig) => remoteOf(rig).state === 'up'))
  return { rigs, pages }
}

const generationOf = (rig: Rig): number => rig.plane.cache.figures().generation

/** All have read the same, and that is at least so much. */
async function inStep(rigs: readonly Rig[], generation: number): Promise<void> {
  await patiently(() => rigs.every((rig) => generationOf(rig) >= generation && remoteOf(rig).state === 'up'))
}

/** Which targets each of some instances serves in an old edition. */
async function staleAt(rigs: readonly Rig[], pages: Pages, targets: readonly string[]): Promise<string[]> {
  const stale: string[] = []
  for (const [i, rig] of rigs.entries()) {
    const got = await Promise.all(targets.map((target) => rig.get(target)))
    for (const [j, { status, body }] of got.entries()) {
      const target = targets[j] as string
      if (status !== 200 || body.text !== pages.textOf(target)) stale.push(`${i}: ${status} ${body.text}`)
    }
  }
  return stale
}

const SETUPS: readonly [string, () => Promise<{ readonly url: string }>][] = [
  ['one server', () => redisOf()],
  ['a Sentinel', sentinelSetup],
  ['a Cluster', clusterSetup],
]

test.each(SETUPS)('purges ordered at three instances at the same time: %s', { timeout: 600_000 }, async (_, setup) => {
  const { url } = await setup()
  const { rigs, pages } = await instances(url, 3)
  const all: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const targets = rigs.map((_one, i) => `/${round}/${i}`)
    all.push(...targets)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
    for (const target of targets) pages.edit(target)
    const before = generationOf(rigs[0]!)
    const told = await Promise.all(
      rigs.map((rig, i) => rig.plane.cache.purge({ what: 'url', url: targets[i] as string }, false)),
    )
    expect(told).toEqual(rigs.map(() => ({ shared: true })))
    await inStep(rigs, before + rigs.length)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
  }
  const fresh = await proxyOver(url, rigs[0])
  await patiently(() => remoteOf(fresh).state === 'up')
  expect(await staleAt([fresh], pages, all.slice(-300))).toEqual([])
})

test('what was asked for before a PUT or a purge, and comes after it, is not stored', async () => {
  const { rigs, pages } = await instances((await redisOf()).url, 2)
  const [a, b] = rigs as [Rig, Rig]
  for (const [target, change] of [
    ['/put', () => a.ask('PUT', '/put', 'Content-Length: 0')],
    ['/purged', () => a.plane.cache.purge({ what: 'url', url: '/purged' }, false)],
  ] as const) {
    let answer = (): void => {}
    const asked = new Promise<void>((arrived) => {
      a.legacy.handler = (request) => {
        if (request.method !== 'GET') return request.send(reply(204))
        answer = () => void request.send(reply(200, [FRESH], 'old'))
        return arrived()
      }
    })
    const early = b.get(target)
    await asked
    pages.edit(target)
    const before = generationOf(b)
    await change()
    await patiently(() => generationOf(b) > before)
    answer()
    expect((await early).body.text).toBe('old')
    pages.serve(a)
    expect(await staleAt(rigs, pages, [target])).toEqual([])
  }
})

test('an invalidation while Redis stands still holds at once here, and for the others when it goes on', {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const redis = await redisOf()
  const { rigs, pages } = await instances(redis.url, 2, 100)
  const [a, b] = rigs as [Rig, Rig]
  await a.get('/x')
  await patiently(() => remoteOf(a).writes === 1)
  await b.get('/x')
  redis.pause()
  expect((await a.ask('POST', '/x', 'Content-Length: 0')).status).toBe(204)
  expect((await a.ask('POST', '/x', 'Content-Length: 0')).status).toBe(204)
  expect((await a.get('/x')).body.text).toBe(pages.textOf('/x'))
  redis.resume()
  await inStep(rigs, 1)
  await patiently(async () => (await b.get('/x')).body.text === pages.textOf('/x'))
  const fresh = await proxyOver(redis.url, a)
  await patiently(() => remoteOf(fresh).state === 'up')
  expect(await staleAt([...rigs, fresh], pages, ['/x'])).toEqual([])
})

test('an unsafe request reaches the answers of all routes on its URI, everywhere', async () => {
  const redis = await redisOf()
  const routes = [
    '- id: phones',
    '  match: { path: /a, methods: [GET], headers: { x-phone: "1" } }',
    '  to: modern',
    '  cache: {}',
    '- id: posts',
    '  match: { path: /a, methods: [POST] }',
    '  to: modern',
    '- id: rest',
    '  match: { path: /* }',
    '  to: modern',
    '  cache: { key: { query: { drop: [utm] } } }',
  ]
  const a = await proxyOver(redis.url, undefined, { routes })
  const b = await proxyOver(redis.url, a, { routes })
  let edition = 0
  a.legacy.handler = (request) =>
    request.method === 'GET'
      ? request.send(reply(200, [FRESH], `${edition}`))
      : request.send(reply(201, ['Location: /b?utm=1'], ''))
  await patiently(() => [a, b].every((rig) => remoteOf(rig).state === 'up'))
  const ask = async (rig: Rig): Promise<string[]> => {
    const got = [await rig.get('/a', 'X-Phone: 1'), await rig.get('/a'), await rig.get('/b?utm=2'), await rig.get('/c')]
    return got.map(({ body }) => body.text)
  }
  for (const rig of [a, b]) expect(await ask(rig)).toEqual(['0', '0', '0', '0'])
  edition = 1
  await a.ask('POST', '/a', 'Content-Length: 0')
  expect(await ask(a)).toEqual(['1', '1', '1', '0'])
  await patiently(() => generationOf(b) === 2)
  expect(await ask(b)).toEqual(['1', '1', '1', '0'])
})

test('thousands of purges of other URLs take nothing away', async () => {
  const { rigs } = await instances((await redisOf()).url, 2)
  const [a, b] = rigs as [Rig, Rig]
  await a.get('/kept')
  await patiently(() => remoteOf(a).writes === 1)
  for (let i = 0; i < 3000; i += 100) {
    const some = Array.from({ length: 100 }, (_, j) => `https://shop.test/products/${i + j}`)
    await Promise.all(some.map((url) => a.plane.cache.purge({ what: 'url', url }, false)))
  }
  await inStep(rigs, 3000)
  for (const rig of [a, b]) expect(statusOf(await rig.get('/kept'))).toContain('hit')
})

/** What one stores the other finds in Redis, in variants too. */
async function isShared(one: Rig, other: Rig, name: string): Promise<void> {
  for (const field of ['X-Plain: 1', 'X-Variant: 1', 'X-Variant: 2']) {
    const target = `/${name}/${field.replace(/\W/g, '')}`
    const { writes } = remoteOf(one)
    const first = await one.get(target, field)
    await patiently(() => remoteOf(one).writes > writes)
    await patiently(async () => statusOf(await other.get(target, field))?.includes('hit') ?? false)
    expect((await other.get(target, field)).body.text).toBe(first.body.text)
  }
}

test.each<[string, (redis: RedisServer) => Promise<unknown>]>([
  ['killed and started empty', (redis) => redis.kill().then(() => redis.start())],
  ['emptied', (redis) => redis.command('FLUSHALL')],
])('a Redis that is %s after purges is shared through as before', { timeout: 2 * PATIENCE_MS }, async (_, empty) => {
  const redis = await redisOf()
  const { rigs } = await instances(redis.url, 2)
  const [a, b] = rigs as [Rig, Rig]
  a.legacy.handler = (request) =>
    request.send(reply(200, [FRESH, 'Vary: X-Variant'], `${request.target} ${request.field('x-variant')}`))
  await isShared(a, b, 'before')
  await a.plane.cache.purge({ what: 'prefix', url: '/' }, false)
  await inStep(rigs, 1)
  await empty(redis)
  await patiently(async () => (await redis.command('XLEN', 'banyan:{log}')) === ':1\r\n')
  await inStep(rigs, 1)
  await isShared(a, b, 'after')
  // In variants of what both had known before as well.
  const target = '/before/XVariant1'
  for (const rig of rigs) await rig.get(target, 'X-Variant: 1')
  await a.get(target, 'X-Variant: 9')
  await patiently(async () => statusOf(await b.get(target, 'X-Variant: 9'))?.includes('hit') ?? false)
  expect((await b.get(target, 'X-Variant: 9')).body.text).toBe(`${target} 9`)
})
