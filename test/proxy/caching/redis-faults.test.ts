/**
 * Redis may fail at any moment: in each case no request fails, hardly one waits, and recovery is seen in the figures.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'
import { type Rig, reply, startRig, statusOf, until } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'

let redis: RedisServer
afterEach(() => redis?.stop())

/** A proxy over the Redis of a URL, and what it was told of its state. */
async function proxyOver(
  url: string,
  deadlineMs = 20,
  upstreams?: Rig,
): Promise<{ rig: Rig; states: boolean[]; whys: (string | null)[] }> {
  const states: boolean[] = []
  const whys: (string | null)[] = []
  const store = storeAt(url, {
    deadlineMs,
    onState: (up, why) => {
      states.push(up)
      whys.push(why)
    },
  })
  const rig = await startRig({ remote: store, ...(upstreams === undefined ? {} : { upstreams }) })
  rig.legacy.handler = (request) => request.send(reply(200, [FRESH], `of ${request.target}`))
  return { rig, states, whys }
}

const remoteOf = (rig: Rig) => rig.plane.cache.figures().remote!

let counter = 0

/** Asks for things never asked for before, so that each would look into Redis. */
async function askForNew(rig: Rig, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const target = `/new/${counter++}`
    expect(await rig.get(target)).toMatchObject({ status: 200, body: { text: `of ${target}` } })
  }
}

/** Redis is in use again: what it is given now can be had from it by others. */
async function up(rig: Rig): Promise<void> {
  // A breaker lets a probe through only where somebody asks.
  while (remoteOf(rig).state !== 'up') {
    await askForNew(rig, 1)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const { writes } = remoteOf(rig)
  let target = ''
  // On a busy machine a write may miss its deadline: then the next one counts.
  while (remoteOf(rig).writes === writes) {
    target = `/again/${counter++}`
    await rig.get(target)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(statusOf(await (await startRigLike(rig)).get(target))).toContain('hit')
}

/** Another proxy over the same Redis and upstreams. */
async function startRigLike(rig: Rig): Promise<Rig> {
  const { rig: other } = await proxyOver(redis.url, 20, rig)
  other.legacy.handler = rig.legacy.handler
  await until(() => remoteOf(other).state === 'up')
  return other
}

describe('Redis', () => {
  test('killed under load, and started again, empty', async () => {
    redis = await startRedis()
    const { rig, states, whys } = await proxyOver(redis.url)
    await until(() => remoteOf(rig).state === 'up')
    const load = Promise.all(Array.from({ length: 10 }, () => askForNew(rig, 30)))
    await askForNew(rig, 5)
    await redis.kill()
    await load
    await askForNew(rig, 30)
    expect(remoteOf(rig)).toMatchObject({ state: 'degraded' })
    expect(rig.plane.cache.degraded).toMatch(/^cache: redis is not connected/)
    await redis.start()
    await up(rig)
    expect(rig.plane.cache.degraded).toBeNull()
    expect(states).toContain(false)
    expect(states.at(-1)).toBe(true)
    expect(whys.some((why) => why !== null)).toBe(true)
    for (const why of whys)
      if (why !== null) expect(why).toMatch(/^redis is not connected: (connection closed|ECONN[A-Z]+)$/)
    expect(remoteOf(rig).reconnects).toBeGreaterThan(0)
  })

  test('standing still: the breaker opens, nobody waits, and it goes on where it was', async () => {
    redis = await startRedis()
    const { rig } = await proxyOver(redis.url)
    await until(() => remoteOf(rig).state === 'up')
    await askForNew(rig, 3)
    redis.pause()
    await askForNew(rig, 60)
    // On a busy machine the connection itself may have been given up by now.
    const why = expect.stringMatching(/^redis (does not answer in time|is not connected: )/)
    expect(remoteOf(rig)).toMatchObject({ state: 'degraded', why })
    // Five in a row open the breaker, then one probes at a time: the others did not wait at all.
    expect(remoteOf(rig).timeouts).toBeLessThan(15)
    expect(remoteOf(rig).opened).toBeGreaterThan(0)
    redis.resume()
    await up(rig)
  })

  test('full: writes fail, reads go on, nobody notices', async () => {
    redis = await startRedis('--maxmemory', '2mb', '--maxmemory-policy', 'noeviction')
    // Long enough that nothing is late on a busy machine: what counts here is that refused writes are no outage.
    const { rig } = await proxyOver(redis.url, 10_000)
    await until(() => remoteOf(rig).state === 'up')
    await redis.command('SET', 'filler', 'x'.repeat(1_500_000))
    rig.legacy.handler = (request) => request.send(reply(200, [FRESH], 'y'.repeat(100_000)))
    for (let i = 0; i < 30; i++) expect((await rig.get(`/large/${counter++}`)).body.text).toHaveLength(100_000)
    await until(() => remoteOf(rig).errors > 0)
    expect(remoteOf(rig)).toMatchObject({ state: 'up', opened: 0 })
    await redis.command('DEL', 'filler')
    rig.legacy.handler = (request) => request.send(reply(200, [FRESH], `of ${request.target}`))
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await up(rig)
  })

  test('with another password: degraded, and every request is answered', async () => {
    redis = await startRedis('--requirepass', 'right')
    const { rig } = await proxyOver(redis.url.replace('://', '://:wrong@'))
    await askForNew(rig, 20)
    await until(() => remoteOf(rig).why?.includes('WRONGPASS') ?? false)
    expect(remoteOf(rig).state).toBe('degraded')
    expect(JSON.stringify(rig.plane.cache.degraded)).not.toContain('wrong@')
    const { rig: other } = await proxyOver(redis.url.replace('://', '://:right@'))
    await until(() => remoteOf(other).state === 'up')
  })

  test('not there at all', async () => {
    redis = await startRedis()
    const { rig, states } = await proxyOver(`redis://127.0.0.1:${await freePort()}`)
    await askForNew(rig, 20)
    expect(remoteOf(rig).state).toBe('degraded')
    // It is said once, although it never was there.
    await until(() => states.length > 0)
    expect(states).toEqual([false])
  })

  test('slow: what comes too late is not waited for', async () => {
    redis = await startRedis()
    const { rig } = await proxyOver(redis.url)
    await until(() => remoteOf(rig).state === 'up')
    // One thread serves all: a script that runs for half a second keeps everybody waiting.
    const busy = redis.command(
      'EVAL',
      'local t=redis.call("TIME") repeat local n=redis.call("TIME") until (n[1]-t[1])*1000000+(n[2]-t[2]) > 500000',
      '0',
    )
    await askForNew(rig, 20)
    await busy
    expect(remoteOf(rig).timeouts).toBeGreaterThan(0)
    await up(rig)
  })

  test('a purge that could not be told is told before anything is read', async () => {
    redis = await startRedis()
    const { rig } = await proxyOver(redis.url)
    await until(() => remoteOf(rig).state === 'up')
    await rig.get('/a')
    // On a busy machine the write may have come too late, which is as good here.
    await until(() => remoteOf(rig).writes + remoteOf(rig).timeouts > 0)
    const other = await startRigLike(rig)
    await other.get('/a')
    redis.pause()
    expect(await rig.plane.cache.purge({ what: 'url', url: '/a' }, false)).toMatchObject({
      shared: false,
      why: 'redis does not answer in time',
    })
    rig.legacy.handler = (request) =>
      request.send(reply(200, [FRESH], request.target === '/a' ? 'new' : `of ${request.target}`))
    other.legacy.handler = rig.legacy.handler
    expect((await rig.get('/a')).body.text).toBe('new')
    redis.resume()
    await until(() => other.plane.cache.figures().generation > 0)
    expect((await other.get('/a')).body.text).toBe('new')
    await up(rig)
  })
})
