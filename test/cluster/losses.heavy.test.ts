/**
 * What the documentation says can be lost with the cluster's Redis is lost, and nothing else: the table, its history, drained and
 * leased servers, pins and ramps stay with any instance that is alive, comparisons and progress are counted anew.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, Gate, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

async function redisOf(...options: string[]): Promise<RedisServer> {
  const redis = await startRedis(...options)
  left.push(() => redis.stop())
  return redis
}

const RAMP = 'sticky: [header:x-key], ramp: { steps: [20, 50], hold: 1h, guard: { minKeys: 100000 } }'

/** A table with a ramp, comparisons, and pins after a write. */
async function fullTable(): Promise<string> {
  return (await clusterTable())
    .replace('path: /a }, to: modern,', `path: /a }, to: modern, ${RAMP},`)
    .replace('path: /b }, to: modern,', 'path: /b }, to: modern, shadow: { percent: 100 },')
    .replace(
      '{ path: /c }, to: modern, percent: 0',
      '{ path: /c }, to: modern, percent: 100, group: pins, sticky: [header:x-key], pinAfterWrite: 1h',
    )
    .concat(
      '  - { id: w, match: { path: /w }, to: modern, percent: 0, group: pins, sticky: [header:x-key], pinAfterWrite: 1h }\n',
    )
}

/** What nothing may take from an instance while another one, or itself, is alive. */
async function keptBy(at: Banyan, server: string, leased: string): Promise<object> {
  const [history, shown, ramp, drained, lease] = await Promise.all([
    historyOf(at),
    percents(at),
    ask(at, 'GET', '/routes/a/ramp'),
    ask(at, 'GET', server),
    ask(at, 'GET', leased),
  ])
  const { status, percent, events, evidence } = ramp.json
  const read = await fetch(`http://127.0.0.1:${at.port}/c`, { headers: { 'x-key': 'pinned' } })
  return {
    ...{ history, shown, ramp: { status, percent, events, keys: evidence.length > 0 } },
    ...{ isDrained: drained.json.drained, leased: lease.status, pinnedTo: await read.text() },
  }
}

const comparisonsOf = async (at: Banyan): Promise<number> =>
  (await ask(at, 'GET', '/routes/b/comparisons')).json.comparisons

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

test.each(LOSSES)('Redis is %s: comparisons are counted anew, all else stays at every instance', async (_, lose) => {
  const redis = await redisOf()
  const table = await fullTable()
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  const leased = '/upstreams/legacy/servers/leased'
  await setPercent(one, 'b', 10, 'to be kept')
  expect(await ask(two, 'POST', `${server}/drain`)).toMatchObject({ status: 200, instances: '2/2' })
  const lease = { url: `http://127.0.0.1:${port}`, ttl: '1h' }
  expect(await ask(one, 'PUT', leased, { ...lease, url: `http://127.0.0.2:${port}` })).toMatchObject({
    status: 201,
    instances: '2/2',
  })
  expect(await ask(one, 'POST', '/routes/a/ramp/start')).toMatchObject({ status: 200, instances: '2/2' })
  let keys = 0
  const load = startLoad(one.port, 2, (n) => ({ path: n % 2 === 0 ? '/a' : '/b', headers: { 'x-key': `k${keys++}` } }))
  await load.more(200)
  await load.stop()
  await soon(async () => {
    const [here, there] = await Promise.all([one, two].map(comparisonsOf))
    expect(here).toBeGreaterThan(0)
    expect(there).toBe(here)
  })
  expect(await ask(two, 'POST', '/routes/a/ramp/pause')).toMatchObject({ status: 200, instances: '2/2' })
  await fetch(`http://127.0.0.1:${one.port}/w`, { method: 'POST', body: 'x', headers: { 'x-key': 'pinned' } })
  await soon(async () => {
    const read = await fetch(`http://127.0.0.1:${two.port}/c`, { headers: { 'x-key': 'pinned' } })
    expect(await read.text()).toBe('old')
  })
  await soon(async () => expect(await keptBy(two, server, leased)).toEqual(await keptBy(one, server, leased)))
  const before = (await keptBy(one, server, leased)) as { history: object; ramp: object }
  expect(before).toMatchObject({
    isDrained: true,
    leased: 200,
    pinnedTo: 'old',
    ramp: { status: 'paused', percent: 20 },
  })
  const counted = await comparisonsOf(one)
  await lose(redis)
  // It is whole again when an edit is in force at both.
  await soon(async () => expect(await setPercent(two, 'b', 20)).toMatchObject({ status: 200, instances: '2/2' }))
  expect((await ask(one, 'GET', '/status')).json.cluster.epoch).toBe(2)
  await soon(async () => {
    for (const at of [one, two]) {
      const { history, shown, ...kept } = (await keptBy(at, server, leased)) as typeof before & { shown: number[] }
      expect({ ...kept }).toEqual({ ...before, history: undefined, shown: undefined })
      expect(shown).toEqual([20, 20, 100, 0])
      expect((history as { list: string[] }).list.slice(1)).toEqual((before.history as { list: string[] }).list)
    }
  })
  // A third one finds all that in Redis.
  const three = await member(table, redis.url)
  await soon(async () =>
    expect(await ask(three, 'GET', '/routes/a/ramp')).toMatchObject({ json: { status: 'paused', percent: 20 } }),
  )
  expect((await ask(three, 'GET', server)).json).toMatchObject({ drained: true })
  expect((await ask(three, 'GET', leased)).status).toBe(200)
  await soon(async () => expect(await historyOf(three)).toEqual(await historyOf(one)))
  await soon(async () => expect(await comparisonsOf(one)).toBeLessThan(counted))
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

test('Redis is restored from before: a ramp that was paused since stays paused, also where its instance is gone', async () => {
  const redis = await redisOf()
  const table = await fullTable()
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  expect(await ask(one, 'POST', '/routes/a/ramp/start')).toMatchObject({ status: 200, instances: '2/2' })
  await redis.command('SAVE')
  expect(await ask(one, 'POST', '/routes/a/ramp/step', { reason: 'quiet night' })).toMatchObject({ status: 200 })
  expect(await ask(one, 'POST', '/routes/a/ramp/pause')).toMatchObject({ status: 200, instances: '2/2' })
  const { events } = (await ask(two, 'GET', '/routes/a/ramp')).json
  one.program.child.kill('SIGKILL')
  await redis.kill()
  await redis.start()
  await soon(async () => expect(await setPercent(two, 'b', 5)).toMatchObject({ status: 200 }))
  await soon(async () => {
    const { json } = await ask(two, 'GET', '/status')
    expect(json.cluster.rampsRunBy).toBe(json.instances.find(({ self }: { self: boolean }) => self).instance)
  })
  expect((await ask(two, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'paused', percent: 50, events })
  const three = await member(table, redis.url)
  await soon(async () =>
    expect((await ask(three, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'paused', percent: 50, events }),
  )
})

test('an edit that one instance had alone is lost with it and Redis, which is logged, and its text is kept', async () => {
  const redis = await redisOf()
  const gate = new Gate(redis.port)
  const table = await clusterTable()
  const state = folder()
  const one = await member(table, redis.url, [], state)
  const two = await member(table, await gate.open())
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  gate.cut()
  expect(await setPercent(one, 'a', 20, 'known to one')).toMatchObject({ status: 200, instances: '1/2' })
  one.program.child.kill('SIGKILL')
  await redis.command('FLUSHALL')
  gate.heal()
  await soon(async () => expect(await setPercent(two, 'b', 30)).toMatchObject({ status: 200, instances: '1/1' }))
  expect(await percents(two)).toEqual([10, 30, 0])
  const again = await member(table, redis.url, [], state)
  await again.program.line((line) => line.includes('revision 3 by anonymous is lost') && line.includes('known to one'))
  await soon(async () => expect(await historyOf(again)).toEqual(await historyOf(two)))
  await soon(async () => {
    const kept = readdirSync(state, { recursive: true }).map(String)
    expect(kept.filter((name) => /(^|\/)3\.lost-/.test(name))).toHaveLength(1)
  })
})

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

test('with --cluster-replicas an answered edit is on a replica when master and instance are lost together', async () => {
  const master = await redisOf()
  const replica = await redisOf('--replicaof', `127.0.0.1 ${master.port}`)
  await soon(async () => expect(await replica.command('INFO', 'replication')).toContain('master_link_status:up'))
  const table = await clusterTable()
  const state = folder()
  const one = await member(table, master.url, ['--cluster-replicas', '1'], state)
  for (const percent of [10, 20, 30]) {
    expect(await setPercent(one, 'a', percent)).toMatchObject({ status: 200, replicas: '1/1' })
  }
  // The replica is cut off: the next edit is known to the instance and the master alone.
  await replica.command('REPLICAOF', 'NO', 'ONE')
  const args = ['bin/banyan.js', 'set', 'a', '40', '--admin', `127.0.0.1:${one.adminPort}`]
  const { stderr } = await promisify(execFile)(process.execPath, args)
  expect(stderr).toContain('confirmed by 0 of 1 replicas of Redis: it may be lost if Redis fails now')
  await one.program.line((line) => line.includes('revision 5 was confirmed by 0 of 1 replicas of Redis'))
  one.program.child.kill('SIGKILL')
  await master.kill()
  const two = await member(table, replica.url)
  expect(await percents(two)).toEqual([30, 0, 0])
  expect((await historyOf(two)).current).toBe(4)
  await two.stop()
  // Its folder has the fourth edit: with it, nothing is lost.
  const again = await member(table, replica.url, [], state)
  await soon(async () => expect(await percents(again)).toEqual([40, 0, 0]))
})
