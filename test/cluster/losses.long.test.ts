/**
 * What the documentation says can be lost with the cluster's Redis is lost, and nothing else: the cases that take too long for CI.
 */
import { existsSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import type { RedisServer } from '../support/redis.ts'
import { losesComparisonsOnly, redisOf } from './losses.ts'
import { ask, clusterTable, folder, historyOf, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const LOSSES: [string, (redis: RedisServer) => Promise<unknown>][] = [
  ['emptied', (redis) => redis.command('FLUSHALL')],
  [
    'killed without a file',
    async (redis) => {
      await redis.kill()
      await redis.start()
    },
  ],
]

test('Redis is emptied: comparisons are counted anew, all else stays at every instance', async () => {
  await losesComparisonsOnly((redis) => redis.command('FLUSHALL'))
})

test.each(LOSSES)(
  'Redis is %s: progress and discovered endpoints are counted anew, the same at every instance',
  async (_, lose) => {
    const redis = await redisOf()
    const table = await clusterTable()
    const one = await member(table, redis.url)
    const two = await member(table, redis.url)
    const get = async (at: Banyan, path: string): Promise<ReturnType<typeof JSON.parse>> =>
      (await ask(at, 'GET', path)).json
    /** What an instance says of requests: at endpoints, of the last days, of the whole by day, and of one route. */
    const saidBy = async (at: Banyan) => {
      const [discovered, progress] = await Promise.all([get(at, '/discovered'), get(at, '/progress?by=day')])
      expect(discovered).toMatchObject({ storage: 'cluster', problem: null })
      expect(progress).toMatchObject({ storage: 'cluster', problem: null })
      return {
        endpoints: discovered.endpoints.map(
          ({ path, requests }: { path: string; requests: number }) => `${path} ${requests}`,
        ),
        unclaimed: progress.unclaimed.from,
        route: progress.routes[0].from + progress.routes[0].to,
        days: progress.history.map(({ from, to }: { from: number; to: number }) => from + to),
      }
    }
    const visit = async (at: Banyan, path: string, times: number): Promise<void> => {
      for (let n = 0; n < times; n++) await (await fetch(`http://127.0.0.1:${at.port}${path}`)).text()
    }
    const both = (expected: object) =>
      soon(async () => {
        for (const at of [one, two]) expect(await saidBy(at)).toEqual(expected)
      })
    await visit(one, '/known', 7)
    await visit(two, '/known', 5)
    await visit(two, '/a', 4)
    await both({ endpoints: ['/known 12'], unclaimed: 12, route: 4, days: [16] })
    await lose(redis)
    await soon(async () => expect(await setPercent(two, 'b', 20)).toMatchObject({ status: 200, instances: '2/2' }))
    await visit(one, '/known', 2)
    await visit(two, '/other', 3)
    await visit(one, '/a', 1)
    await both({ endpoints: ['/other 3', '/known 2'], unclaimed: 5, route: 1, days: [6] })
    // The same in Redis: one that comes later finds it.
    const three = await member(table, redis.url)
    await soon(async () => expect(await saidBy(three)).toEqual(await saidBy(one)))
  },
)

test('all end, and Redis is empty: the newest of any folder is there again; without folders, the table file', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const [early, late] = [folder(), folder()]
  const one = await member(table, redis.url, [], early)
  const two = await member(table, redis.url, [], late)
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  await one.stop()
  for (const percent of [20, 30]) await setPercent(two, 'a', percent)
  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  await ask(two, 'POST', `${server}/drain`)
  const history = await historyOf(two)
  two.program.child.kill('SIGKILL')
  await redis.command('FLUSHALL')
  // The one that has less is there first.
  const first = await member(table, redis.url, [], early)
  await soon(async () =>
    expect(await ask(first, 'GET', '/status')).toMatchObject({ json: { cluster: { problem: null } } }),
  )
  expect(await percents(first)).toEqual([10, 0, 0])
  const second = await member(table, redis.url, [], late)
  await soon(async () => expect(await historyOf(first)).toEqual(history))
  await soon(async () => expect(await historyOf(second)).toEqual(history))
  await soon(async () => expect((await ask(first, 'GET', server)).json).toMatchObject({ drained: true }))
  await Promise.all([first.stop(), second.stop()])
  await redis.command('FLUSHALL')
  const fresh = await member(table, redis.url)
  expect(await historyOf(fresh)).toMatchObject({ current: 1 })
  expect(await percents(fresh)).toEqual([0, 0, 0])
  expect(existsSync(fresh.tableFile)).toBe(true)
})
