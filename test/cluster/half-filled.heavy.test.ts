/**
 * Whoever fills a Redis that was emptied is killed before it has written all of the history: the others add what is missing, and nothing
 * else.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import type { RedisServer } from '../support/redis.ts'
import { redisOf } from './losses.ts'
import { ask, clusterTable, folder, Gate, historyOf, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const REVISIONS = 'banyan:{shop}:revisions'
const numbersIn = async (redis: RedisServer): Promise<number> =>
  Number((await redis.command('HLEN', REVISIONS)).slice(1))

const sameHistories = (all: readonly Banyan[], expected: object): Promise<void> =>
  soon(async () => {
    for (const at of all) expect(await historyOf(at)).toEqual(expected)
  })

test('an instance is killed while it fills Redis: all have the whole history, also one that joins, and the killed one when it is back', async () => {
  const redis = await redisOf()
  // A page of what is added has few of them.
  const table = `${await clusterTable()}# ${'x'.repeat(400_000)}\n`
  const gates = [new Gate(redis.port), new Gate(redis.port), new Gate(redis.port)]
  const folders = gates.map(() => folder())
  const all: Banyan[] = []
  for (const [n, gate] of gates.entries()) all.push(await member(table, await gate.open(), [], folders[n]))
  for (let n = 1; n <= 12; n++)
    expect((await setPercent(all[n % 3] as Banyan, 'abc'[n % 3] as string, n, `edit ${n}`)).status).toBe(200)
  // The last edit was made here.
  const before = await historyOf(all[0] as Banyan)
  expect(before.list).toHaveLength(13)
  await sameHistories(all, before)

  const stalled = gates.map((gate) => gate.stallAfter(1_800_000))
  await redis.command('FLUSHALL')
  const killed = await Promise.race(stalled.map((one, n) => one.then(() => n)))
  all[killed]?.program.child.kill('SIGKILL')
  const filled = await numbersIn(redis)
  expect(filled).toBeGreaterThan(1)
  expect(filled).toBeLessThan(13)
  for (const gate of gates) {
    void gate.stallAfter(Number.POSITIVE_INFINITY)
    gate.heal()
  }
  const alive = all.filter((_, n) => n !== killed)
  // The newest one was added to Redis again, by one of them.
  await soon(async () => expect(await numbersIn(redis)).toBe(13))
  await sameHistories(alive, before)
  const joined = await member(table, redis.url)
  const back = await member(table, redis.url, [], folders[killed])
  await sameHistories([...alive, joined, back], before)
  expect((await setPercent(joined, 'a', 50)).status).toBe(200)
  await soon(async () => expect(await historyOf(back)).toEqual(await historyOf(joined)))
})

test('what an instance has alone of an epoch that is over is not added, and gives way to what the cluster has', async () => {
  const redis = await redisOf()
  const [gate, other] = [new Gate(redis.port), new Gate(redis.port)]
  const table = await clusterTable()
  const one = await member(table, await gate.open())
  const two = await member(table, await other.open())
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  other.cut()
  expect(await setPercent(one, 'a', 20, 'known to one')).toMatchObject({ status: 200, instances: '1/2' })
  gate.cut()
  await redis.command('FLUSHALL')
  other.heal()
  for (const percent of [30, 40])
    await soon(async () => expect(await setPercent(two, 'b', percent)).toMatchObject({ status: 200 }))
  // The cluster has another third revision, which is missing in Redis while only the first instance is there.
  other.cut()
  await redis.command('HDEL', REVISIONS, '3')
  gate.heal()
  await soon(async () => expect(await percents(one)).toEqual([10, 40, 0]))
  const joined = await member(table, redis.url)
  await soon(async () => expect((await historyOf(joined)).list).toHaveLength(3))
  expect(await setPercent(joined, 'c', 1)).toMatchObject({ status: 200 })
  await soon(async () => expect(await percents(one)).toEqual([10, 40, 1]))
  expect((await ask(joined, 'GET', '/revisions/3')).status).toBe(404)
  other.heal()
  await one.program.line((line) => line.includes('revision 3 by anonymous is lost') && line.includes('known to one'))
  await soon(async () => expect((await historyOf(two)).current).toBe(5))
  for (const at of [one, joined]) await soon(async () => expect(await historyOf(at)).toEqual(await historyOf(two)))
})
