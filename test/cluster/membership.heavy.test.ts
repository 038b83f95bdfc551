/**
 * Who is one of a cluster, and who is not: partitions, other clusters, other secrets, a Redis that may evict, no Redis at all.
 */
import { afterEach, expect, test } from 'vitest'
import { startBanyan } from '../support/banyan.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, Gate, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

async function redisOf(...options: string[]): Promise<RedisServer> {
  const redis = await startRedis(...options)
  left.push(() => redis.stop())
  return redis
}

const reasons = async (banyan: Parameters<typeof ask>[0]): Promise<string> =>
  (await ask(banyan, 'GET', '/readyz')).json.reasons.join()

test('an instance that is cut off serves its last good, says so, changes nothing, and catches up without a flap', async () => {
  const redis = await redisOf()
  const gate = new Gate(redis.port)
  const table = await clusterTable()
  const one = await member(table, redis.url)
  const two = await member(table, await gate.open())
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  gate.cut()
  await soon(async () => expect(await reasons(two)).toMatch(/^cluster shop: .*; changing nothing(,|$)/))
  expect(await setPercent(two, 'a', 0)).toMatchObject({
    status: 503,
    json: {
      type: 'urn:banyan:problem:cluster-unavailable',
      detail: expect.stringMatching(/^table of cluster shop can't be written to: .*; nothing was changed\.$/),
    },
  })
  // Whoever edits is told that not all have it.
  expect(await setPercent(one, 'a', 20)).toMatchObject({ status: 200, instances: '1/2' })
  for (const percent of [30, 40, 50]) expect(await setPercent(one, 'a', percent)).toMatchObject({ status: 200 })
  expect(await percents(two)).toEqual([10, 0, 0])
  expect((await ask(two, 'GET', '/readyz')).status).toBe(200)
  gate.heal()
  await soon(async () => expect(await percents(two)).toEqual([50, 0, 0]))
  // The history has a revision a moment after it is in force.
  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
  await soon(async () => expect(await reasons(two)).toBe(''))
  // From 10 % to 50 % at once: what was between never was in force here.
  await two.program.line((line) => line.includes('"event":"revision","revision":6'))
  const applied = two.log.flatMap((line) => /"event":"revision","revision":(\d+)/.exec(line)?.[1] ?? [])
  expect(applied.slice(-2)).toEqual(['2', '6'])
  expect(await setPercent(two, 'b', 5)).toMatchObject({ status: 200, instances: '2/2' })
  // Connections that stand, and carry nothing.
  gate.stall()
  await soon(async () => expect(await reasons(two)).toMatch(/^cluster shop: .*; changing nothing(,|$)/))
  expect(await setPercent(one, 'a', 60)).toMatchObject({ status: 200, instances: '1/2' })
  expect(await setPercent(two, 'a', 0)).toMatchObject({ status: 503 })
  expect(await percents(two)).toEqual([50, 5, 0])
  gate.heal()
  await soon(async () => expect(await percents(two)).toEqual([60, 5, 0]))
  await soon(async () => expect(await reasons(two)).toBe(''))
  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
})

test('an instance starts and serves without Redis, as it was last, and an empty Redis is filled from what it has', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const state = folder()
  const before = await member(table, redis.url, [], state)
  for (const percent of [10, 20]) await setPercent(before, 'a', percent)
  const history = await historyOf(before)
  await before.stop()
  await redis.kill()
  const after = await member(table, redis.url, [], state)
  expect(await percents(after)).toEqual([20, 0, 0])
  await soon(async () => expect(await historyOf(after)).toEqual(history))
  expect(await setPercent(after, 'a', 30)).toMatchObject({ status: 503 })
  await redis.start()
  await soon(async () => expect(await setPercent(after, 'a', 40)).toMatchObject({ status: 200 }))
  expect((await historyOf(after)).current).toBe(4)
  // A new one gets all of that, and not its file.
  const other = await member(table, redis.url)
  await soon(async () => expect(await historyOf(other)).toEqual(await historyOf(after)))
})

test('a folder with a history of its own founds the cluster with it', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const state = folder()
  const alone = await startBanyan({ table, args: ['--state', state] })
  await setPercent(alone, 'a', 10)
  await setPercent(alone, 'b', 20)
  const history = await historyOf(alone)
  const { json: text } = await ask(alone, 'GET', '/revisions/3')
  await alone.stop()
  const one = await member(text.text, redis.url, [], state)
  await soon(async () => expect(await historyOf(one)).toEqual(history))
  const two = await member(table, redis.url)
  await soon(async () => expect(await historyOf(two)).toEqual(history))
  expect(await ask(two, 'POST', '/revisions/1/restore')).toMatchObject({ status: 200, instances: '2/2' })
})

test('two instances with one state folder are two, and the second one keeps nothing in it until the first has ended', async () => {
  const redis = await redisOf()
  const [table, state] = [await clusterTable(), folder()]
  const one = await member(table, redis.url, [], state)
  const two = await member(table, redis.url, [], state)
  expect(two.log.join('')).toContain('keeping nothing in it')
  expect(await setPercent(two, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  await one.stop()
  await soon(async () => expect(two.log.join('')).toContain("is this instance's own now"))
  await two.stop()
  await redis.kill()
  expect(await percents(await member(table, redis.url, [], state))).toEqual([10, 0, 0])
})

test('two clusters in one Redis never meet, and one of another id or secret is refused', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const secret = ['--cluster-secret', 'a secret of the test']
  const state = folder()
  const one = await member(table, redis.url, secret, state)
  const elsewhere = await member(table, redis.url, ['--cluster', 'other', ...secret])
  const wrong = await member(table, redis.url, ['--cluster-secret', 'another secret of the test'])
  const bare = await member(table, redis.url)
  expect(await setPercent(elsewhere, 'a', 77)).toMatchObject({ status: 200, instances: '1/1' })
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '1/1' })
  for (const refused of [wrong, bare]) {
    expect(await reasons(refused)).toContain('does not verify')
    expect(await setPercent(refused, 'a', 99)).toMatchObject({ status: 503 })
  }
  expect(await percents(one)).toEqual([10, 0, 0])
  // Somebody writes into Redis what is no revision of the cluster.
  const at = (await redis.command('HGET', 'banyan:{shop}:table', 'at')).split('\r\n')[1] as string
  await redis.command('HSET', 'banyan:{shop}:revisions', '2', '.# banyan {"number":2}\nversion: 1\n')
  await redis.command('HSET', 'banyan:{shop}:table', 'at', at.replace(/\S+$/, 'forged'))
  await soon(async () => expect(await reasons(one)).toContain('does not verify'))
  expect(await percents(one)).toEqual([10, 0, 0])
  await redis.command('HSET', 'banyan:{shop}:table', 'at', 'of-another-cluster 9 9 x')
  await soon(async () => expect(await reasons(one)).toContain('another cluster of this name'))
  expect(await percents(one)).toEqual([10, 0, 0])
  await redis.command('SET', 'banyan:{shop}:table', 'garbage')
  await soon(async () => expect(await reasons(one)).toContain('banyan:{shop}:table in its Redis is a string'))
})

test('a Redis that may evict is not used', async () => {
  const redis = await redisOf('--maxmemory-policy', 'allkeys-lru', '--maxmemory', '100mb')
  const table = await clusterTable()
  const refused = await member(table, redis.url).catch((error: Error) => error.message)
  expect(refused).toMatch(/may evict keys \(maxmemory-policy allkeys-lru\).*--cluster-redis/)
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  const one = await member(table, redis.url)
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200 })
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru')
  await redis.command('CLIENT', 'KILL', 'TYPE', 'normal')
  await soon(async () => expect(await reasons(one)).toContain('maxmemory-policy volatile-lru'))
  expect(await setPercent(one, 'a', 20)).toMatchObject({ status: 503 })
})
