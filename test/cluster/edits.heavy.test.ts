/**
 * Several instances are one: an edit at any of them is in force at all, and all have one history.
 */
import { afterEach, expect, test } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

test('an edit at one is in force at all within a second, in workers too', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url)
  // Its own file has no part in it.
  const two = await member(table.replace('percent: 0', 'percent: 77'), redis.url, ['--workers', '2'])
  expect(await percents(two)).toEqual([0, 0, 0])
  const startedMs = performance.now()
  const edit = await setPercent(one, 'a', 100, 'go')
  expect(edit).toMatchObject({ status: 200, instances: '2/2' })
  expect(performance.now() - startedMs).toBeLessThan(1_000)
  expect(await (await fetch(`http://127.0.0.1:${two.port}/a`)).text()).toBe('new')
  expect(await setPercent(two, 'b', 100)).toMatchObject({ status: 200, instances: '2/2' })
  expect(await (await fetch(`http://127.0.0.1:${one.port}/b`)).text()).toBe('new')
  expect(await historyOf(one)).toEqual(await historyOf(two))
  expect((await historyOf(two)).list[1]).toMatch(/^2 .* anonymous go$/)
  // One that comes later has it all.
  const three = await member(table, redis.url)
  expect(await historyOf(three)).toEqual(await historyOf(one))
  expect(await ask(three, 'POST', '/revisions/1/restore')).toMatchObject({ status: 200, instances: '3/3' })
  await soon(async () => expect(await percents(one)).toEqual([0, 0, 0]))
  expect(await historyOf(three)).toEqual(await historyOf(one))
})
