/**
 * The store over a real Redis: entries, locks, messages, purges; two stores stand for two processes.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Purge, writePurge } from '../../../src/rules/caching/purge.ts'
import { encodeEntry } from '../../../src/state/caching/frame.ts'
import { PurgeLog } from '../../../src/state/caching/purges.ts'
import type { FillLock } from '../../../src/state/caching/remote.ts'
import type { RedisStore } from '../../../src/state/redis/store.ts'
import { Gate, undo } from '../../cluster/rig.ts'
import { until } from '../../proxy/caching/rig.ts'
import { startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'
import { entry, place } from '../make.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

async function store(prefix = 'banyan:', purges = new PurgeLog(true), url = redis.url): Promise<RedisStore> {
  const one = storeAt(url, { prefix })
  one.follow(purges, null)
  await until(() => one.usable)
  return one
}

const purge = (url: string): Purge => ({ id: `of ${url}`, target: { what: 'url', url }, soft: false, atMs: 1 })

/** A process: what it knows of purges, and its store. */
async function member(): Promise<{ log: PurgeLog; store: RedisStore; order(purge: Purge): Promise<string | null> }> {
  const log = new PurgeLog(true)
  const one = await store('banyan:', log)
  return {
    log,
    store: one,
    order: (purge) => {
      log.add(purge)
      return one.share(purge)
    },
  }
}

/** Whether purges of these URLs would be seen in what is in memory. */
const knows = (log: PurgeLog, ...urls: string[]): boolean =>
  urls.every((url) => log.ofMemory(entry(), place(url)) === null)

/** The log as it lies in Redis: how many purges, behind the record that it begins with. */
const lengthOf = async (key: string): Promise<number> => Number((await redis.command('XLEN', key)).slice(1)) - 1

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
    a.delete('k')
    await a.share(purge('/'))
    expect(await redis.command('GET', 'mine')).toBe('$1\r\nx\r\n')
    expect(await redis.command('KEYS', '[^ab]*')).toBe('*1\r\n$4\r\nmine\r\n')
  })
})

/** The lock, where it was had. */
async function taken(of: RedisStore): Promise<FillLock> {
  const lock = await of.lock('k')
  if (typeof lock === 'string' || !('release' in lock)) throw new Error(JSON.stringify(lock))
  return lock
}

/** The Redis key of the only lock there is. */
async function lockName(): Promise<string> {
  return (/banyan:l:\S+/.exec(await redis.command('KEYS', 'banyan:l:*')) as RegExpExecArray)[0]
}

/** Of five deadlines. */
const LEASE_MS = 2500

describe('locks', () => {
  test('one holds, the other waits and is woken by how it ended', async () => {
    const [a, b] = [await store(), await store()]
    for (const outcome of ['stored', 'uncacheable', 'failed'] as const) {
      const lock = await taken(a)
      const waits = ['cookie', ''].map((asker) => b.awaitFill('k', asker))
      expect(await b.lock('k')).toEqual({ heldForMs: expect.any(Number) })
      lock.release(outcome, 'cookie')
      const [like, unlike] = await Promise.all(waits.map((wait) => wait.within(60_000)))
      expect(like).toBe(outcome)
      // What somebody else can't share says nothing to strangers.
      expect(unlike).toBe(outcome === 'uncacheable' ? 'failed' : outcome)
    }
    await taken(b)
  })

  test('only its holder can give it back', async () => {
    const [a, b] = [await store(), await store()]
    const lock = await taken(a)
    await redis.command('FLUSHALL')
    await taken(b)
    lock.release('failed')
    await a.get('x')
    expect(await a.lock('k')).toHaveProperty('heldForMs')
  })

  test('it lasts no longer than a few deadlines by itself, and as long as it is held', async () => {
    const [a, b] = [await store(), await store()]
    const lock = await taken(a)
    const name = await lockName()
    const ttl = async () => Number((await redis.command('PTTL', name)).slice(1))
    expect(await ttl()).toBeLessThanOrEqual(LEASE_MS)
    // Nearly over: renewed by its holder, who is there.
    await redis.command('PEXPIRE', name, '1500')
    let left = 0
    while (left <= 1500) left = await ttl()
    expect(left).toBeLessThanOrEqual(LEASE_MS)
    const held = await b.lock('k')
    expect(held).toHaveProperty('heldForMs')
    if (typeof held === 'object' && 'heldForMs' in held) expect(held.heldForMs).toBeLessThanOrEqual(LEASE_MS)
    lock.release('failed')
  })

  test('one whose holder is gone can be had when it is over', async () => {
    const [a, b] = [await store(), await store()]
    await taken(a)
    await a.close()
    await redis.command('PEXPIRE', await lockName(), '1')
    let lock = await b.lock('k')
    while (typeof lock === 'object' && 'heldForMs' in lock) lock = await b.lock('k')
    expect(lock).toHaveProperty('release')
  })

  test('one whose reply comes too late is held all the same, and given back with the fill', async () => {
    const [a, b] = [await store(), await store()]
    redis.pause()
    const lock = await taken(a)
    redis.resume()
    let held = await b.lock('k')
    while (held === 'unavailable') held = await b.lock('k')
    expect(held).toHaveProperty('heldForMs')
    const wait = b.awaitFill('k', '')
    lock.release('stored')
    expect(await wait.within(60_000)).toBe('stored')
    await taken(b)
  })

  test.each([
    ['garbage', (name: string) => redis.command('SET', name, 'x'.repeat(36))],
    ['garbage with a time', (name: string) => redis.command('SET', name, 'x', 'PX', '4000')],
    ['one that lasts for hours', (name: string) => redis.command('PEXPIRE', name, '9999999')],
    ['another type', (name: string) => redis.command('LPUSH', name, 'x')],
  ])('%s in its place is none', async (_, put) => {
    const [a, b] = [await store(), await store()]
    await taken(a)
    const name = await lockName()
    if (!_.startsWith('one')) await redis.command('DEL', name)
    await put(name)
    await taken(b)
  })

  test('a wait ends by itself, or when it is cancelled', async () => {
    const a = await store()
    expect(await a.awaitFill('k', '').within(1)).toBeNull()
    const wait = a.awaitFill('k', '')
    const ended = wait.within(60_000)
    wait.cancel()
    expect(await ended).toBeNull()
  })
})

describe('the log of purges', () => {
  test('a purge reaches all, in one order', async () => {
    const [a, b] = [await member(), await member()]
    expect(await a.order(purge('/a'))).toBeNull()
    await until(() => b.log.generation === 1 && a.log.generation === 1)
    expect(a.log.position).toBe(b.log.position)
    expect(knows(b.log, '/a')).toBe(true)
    expect(a.log.unshared.size + b.log.unshared.size).toBe(0)
  })

  test('who comes later learns of them first', async () => {
    const a = await member()
    for (const url of ['/a', '/b']) await a.order(purge(url))
    expect(knows((await member()).log, '/a', '/b')).toBe(true)
  })

  test('who comes later is in step although purges come faster than a far Redis answers', async () => {
    const near = await member()
    let isInStep = false
    const over = (async () => {
      for (let n = 0; n < 2_000 && !isInStep; n++) {
        await near.order(purge(`/${n}`))
        await wait(5)
      }
      return isInStep
    })()
    onTestFinished(undo)
    const gate = new Gate(redis.port, 100)
    const log = new PurgeLog(true)
    await store('banyan:', log, await gate.open())
    isInStep = true
    expect(await over).toBe(true)
    expect(knows(log, '/0')).toBe(true)
  })

  test('a message that is lost is made up for', async () => {
    const b = await member()
    // As another process would write it, without telling anybody.
    await redis.command('XADD', 'banyan:{log}', '1-5', 'p', writePurge(purge('/lost')))
    await until(() => knows(b.log, '/lost'))
    expect(b.store.usable).toBe(true)
  })

  test('no message takes the place of what the log says', async () => {
    const [a, b] = [await member(), await member()]
    // Ordered at the same time: the one's record comes before the other's, and its message after.
    const urls = Array.from({ length: 200 }, (_, i) => `/${i}`)
    await Promise.all(urls.map((url, i) => (i % 2 === 0 ? a : b).order(purge(url))))
    await until(() => a.log.generation === 200 && b.log.generation === 200)
    expect(knows(a.log, ...urls) && knows(b.log, ...urls)).toBe(true)
    expect(a.log.position).toBe(b.log.position)
  })

  test('records that were dropped before they were read are told as a gap', async () => {
    const a = await member()
    const b = await member()
    const kept = entry({ checked: b.log.count })
    await a.order(purge('/a'))
    await until(() => b.log.generation === 1)
    b.store.close()
    for (const url of ['/b', '/c']) await a.order(purge(url))
    await redis.command('XTRIM', 'banyan:{log}', 'MAXLEN', '1')
    const again = await store('banyan:', b.log)
    expect(again.usable).toBe(true)
    expect(b.log.generation).toBe(3)
    expect(b.log.ofMemory(kept, place('/x'))).toBeNull()
  })

  test('an emptied Redis is given again what it lacks, once, however many know it', async () => {
    const all = [await member(), await member(), await member()]
    const urls = Array.from({ length: 700 }, (_, i) => `/${i}`)
    for (const url of urls.slice(0, 3)) await all[0]!.order(purge(url))
    await Promise.all(urls.slice(3).map((url, i) => all[i % 3]!.order(purge(url))))
    await until(() => all.every(({ log }) => log.generation === 700))
    await redis.command('FLUSHALL')
    expect(await all[1]!.order(purge('/new'))).toBeNull()
    await until(() => all.every(({ log }) => log.unshared.size === 0 && log.position === all[0]!.log.position))
    expect(await lengthOf('banyan:{log}')).toBe(701)
    expect(knows((await member()).log, ...urls, '/new')).toBe(true)
  })

  test('in an older one, what it holds stays in use and what it lacks is written', async () => {
    const [a, b] = [await member(), await member()]
    for (const url of ['/a', '/b', '/c']) await a.order(purge(url))
    await until(() => b.log.generation === 3)
    const seen = entry({ position: b.log.position })
    const [second] = /2-\d+/.exec(await redis.command('XRANGE', 'banyan:{log}', '2', '2')) as RegExpExecArray
    // As a replica that had less took over, and another process was quicker.
    await redis.command('DEL', 'banyan:{log}')
    await redis.command('XADD', 'banyan:{log}', second as string, 'p', writePurge(purge('/b')))
    await redis.command('XADD', 'banyan:{log}', '3-1', 'p', writePurge(purge('/other')))
    await until(() => [a, b].every(({ log }) => log.unshared.size === 0 && log.generation >= 4))
    expect(knows(a.log, '/other') && knows(b.log, '/other')).toBe(true)
    expect(b.log.ofShared(seen, place('/x'))).toBeNull()
    expect(b.log.ofShared(entry({ position: second as string }), place('/x'))).not.toBeNull()
    for (const url of ['/other', '/c']) {
      expect(b.log.ofShared(entry({ position: second as string }), place(url))).toBeNull()
    }
  })

  test.each([
    ['a record that is none', ['XADD', 'banyan:{log}', '1-5', 'p', '{"target":{"what":"url"},"soft":false,"atMs":1}']],
    ['a record of another program', ['XADD', 'banyan:{log}', '*', 'x', 'y']],
    ['a last number', ['XADD', 'banyan:{log}', '18446744073709551615-1', 'p', 'x']],
    ['another type', ['SET', 'banyan:{log}', 'x']],
  ])('%s in it is counted or taken away, and purges go on', async (_, words) => {
    await redis.command(...words)
    const [a, b] = [await member(), await member()]
    await a.order(purge('/a'))
    await until(() => knows(b.log, '/a') && a.log.unshared.size === 0)
    await redis.command('DEL', 'banyan:{log}')
    await redis.command(...words)
    await a.order(purge('/b'))
    await until(() => knows(b.log, '/b') && a.log.unshared.size === 0)
    expect(a.store.usable && b.store.usable).toBe(true)
  })

  test('of a later form it may cover anything', async () => {
    const a = await member()
    await redis.command('XADD', 'banyan:{log}', '1-5', 'p', '{"format":2,"id":"x","what":"new"}')
    await until(() => knows(a.log, '/a', '/b'))
  })
})

/** The Redis key of an entry: the only one of its kind there. */
async function nameOf(_store: RedisStore, _key: string): Promise<string> {
  const reply = await redis.command('KEYS', 'banyan:e:*')
  return (/banyan:e:\S+/.exec(reply) as RegExpExecArray)[0]
}
