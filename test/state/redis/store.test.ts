/**
 * The store over a real Redis: entries, locks, messages, purges; two stores stand for two processes.
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Purge } from '../../../src/rules/caching/purge.ts'
import { encodeEntry } from '../../../src/state/caching/frame.ts'
import { MAX_PURGES } from '../../../src/state/caching/purges.ts'
import { RedisStore } from '../../../src/state/redis/store.ts'
import { parseRedisUrl, type RedisAddress } from '../../../src/state/redis/url.ts'
import { until } from '../../proxy/caching/rig.ts'
import { startRedis } from '../../support/redis.ts'
import { entry } from '../make.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

async function store(prefix = 'banyan:', heard: unknown[] = []): Promise<RedisStore> {
  const one = new RedisStore({
    address: parseRedisUrl(redis.url) as RedisAddress,
    prefix,
    deadlineMs: 500,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onState: () => {},
  })
  onTestFinished(() => one.close())
  one.follow({
    onPurge: (purge, id) => heard.push(['purge', purge, id]),
    onForget: (key) => heard.push(['forget', key]),
    onGap: (id) => heard.push(['gap', id]),
    onReset: (id) => heard.push(['reset', id]),
  })
  await until(() => one.usable)
  return one
}

const purge = (url: string): Purge => ({ target: { what: 'url', url }, soft: false, atMs: 1 })

describe('entries', () => {
  test('one process keeps what another reads', async () => {
    const [a, b] = [await store(), await store()]
    const one = entry()
    expect(await a.get('k')).toBeNull()
    await a.set('k', one, 60_000)
    expect(await b.get('k')).toEqual(one)
    b.delete('k')
    await until(() => b.usable)
    expect(await b.get('k')).toBeNull()
    expect(b.figures()).toMatchObject({ state: 'up', why: null, hits: 1, misses: 1 })
    expect(a.figures()).toMatchObject({ writes: 1, misses: 1 })
  })

  test('last as long as they are of use', async () => {
    const a = await store()
    await a.set('k', entry(), 61_000)
    const [, ttl] = /^:(\d+)/.exec(await redis.command('PTTL', await nameOf(a, 'k'))) ?? []
    expect(Number(ttl)).toBeGreaterThan(55_000)
    expect(Number(ttl)).toBeLessThanOrEqual(61_000)
    await a.set('gone', entry(), 0)
    expect(await a.get('gone')).toBeNull()
  })

  test('values that are none, and of another type, are misses', async () => {
    const a = await store()
    await a.set('k', entry(), 60_000)
    const name = await nameOf(a, 'k')
    const whole = encodeEntry(entry())
    const others = [
      Buffer.from(''),
      Buffer.from('what'),
      whole.subarray(0, 40),
      Buffer.concat([Buffer.from([99]), whole.subarray(1)]),
    ]
    for (const value of others) {
      await redis.command('SET', name, value)
      expect(await a.get('k')).toBeNull()
    }
    expect(a.figures().unreadable).toBe(others.length)
    await redis.command('DEL', name)
    await redis.command('LPUSH', name, 'x')
    expect(await a.get('k')).toBeNull()
    expect(a.figures()).toMatchObject({ state: 'up', errors: 1 })
    await a.set('k', entry(), 60_000)
    expect(await a.get('k')).not.toBeNull()
  })

  test('other prefixes are other stores, and no other keys are touched', async () => {
    const [a, b] = [await store('a:'), await store('b:')]
    await redis.command('SET', 'mine', 'x')
    await a.set('k', entry(), 60_000)
    expect(await b.get('k')).toBeNull()
    a.forget('k')
    await a.purge(purge('/'))
    expect(await redis.command('GET', 'mine')).toBe('$1\r\nx\r\n')
    expect(await redis.command('KEYS', '[^a]*')).toBe('*1\r\n$4\r\nmine\r\n')
  })
})

describe('locks', () => {
  test('one holds, the other waits and is woken by how it ended', async () => {
    const [a, b] = [await store(), await store()]
    const held = await a.lock('k')
    if (typeof held === 'string') throw new Error(held)
    for (const outcome of ['stored', 'uncacheable', 'failed'] as const) {
      const lock = outcome === 'stored' ? held : await a.lock('k')
      if (typeof lock === 'string') throw new Error(lock)
      const wait = b.awaitFill('k', 5000)
      expect(await b.lock('k')).toBe('held')
      lock.release(outcome)
      expect(await wait.outcome).toBe(outcome)
    }
    const next = await b.lock('k')
    expect(typeof next).toBe('object')
  })

  test('only its holder can give it back', async () => {
    const [a, b] = [await store(), await store()]
    const lock = await a.lock('k')
    await redis.command('FLUSHALL')
    expect(typeof (await b.lock('k'))).toBe('object')
    if (typeof lock !== 'string') lock.release('failed')
    await a.get('x')
    expect(await a.lock('k')).toBe('held')
  })

  test('one that comes too late is given back', async () => {
    const [a, b] = [await store(), await store()]
    redis.pause()
    expect(await a.lock('k')).toBe('unavailable')
    redis.resume()
    // Well before its lease of 5 seconds is over.
    const untilMs = Date.now() + 3000
    let lock = await b.lock('k')
    while (typeof lock === 'string' && Date.now() < untilMs) lock = await b.lock('k')
    expect(lock).toBeTypeOf('object')
  })

  test('a wait ends by itself, or when it is cancelled', async () => {
    const a = await store()
    expect(await a.awaitFill('k', 1).outcome).toBeNull()
    const wait = a.awaitFill('k', 60_000)
    wait.cancel()
    expect(await wait.outcome).toBeNull()
  })
})

describe('messages', () => {
  test('what one forgets the others forget', async () => {
    const heard: unknown[] = []
    const [a, b] = [await store(), await store('banyan:', heard)]
    await a.set('k', entry(), 60_000)
    a.forget('k')
    await until(() => heard.length === 1)
    expect(heard).toEqual([['forget', 'k']])
    expect(await b.get('k')).toBeNull()
    b.forget('k')
    await b.get('x')
    expect(heard).toHaveLength(1)
  })

  test('a purge reaches all, the one who says it too, with one number', async () => {
    const [one, two]: unknown[][] = [[], []]
    const [a] = [await store('banyan:', one), await store('banyan:', two)]
    expect(await a.purge(purge('/a'))).toBe(true)
    await until(() => two!.length === 1)
    expect(one).toEqual(two)
    expect(one).toEqual([['purge', purge('/a'), expect.any(Number)]])
  })

  test('who comes later learns of them first', async () => {
    const heard: unknown[] = []
    const a = await store()
    for (const url of ['/a', '/b']) await a.purge(purge(url))
    await store('banyan:', heard)
    expect(heard.map((one) => (one as [string, Purge])[1])).toEqual([purge('/a'), purge('/b')])
  })

  test('a message that is lost is made up for', async () => {
    const heard: unknown[] = []
    const b = await store('banyan:', heard)
    // As another process would write it, without telling anybody.
    await redis.command('XADD', 'banyan:purges', '*', 'p', JSON.stringify(purge('/lost')))
    await until(() => heard.length === 1)
    expect(b.usable).toBe(true)
  })

  test('purges that were forgotten are told as a gap', async () => {
    const heard: unknown[] = []
    const a = await store()
    for (let i = 0; i <= MAX_PURGES; i++) await a.purge(purge(`/${i}`))
    await store('banyan:', heard)
    expect(heard[0]).toEqual(['gap', expect.any(Number)])
    expect(heard).toHaveLength(MAX_PURGES + 1)
  })
})

/** The Redis key of an entry: the only one of its kind there. */
async function nameOf(_store: RedisStore, _key: string): Promise<string> {
  const reply = await redis.command('KEYS', 'banyan:e:*')
  return (/banyan:e:\S+/.exec(reply) as RegExpExecArray)[0]
}
