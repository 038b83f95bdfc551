/**
 * What instances of a cluster have when its Redis loses everything, for the tests of CI and for those that take longer.
 */
import { expect } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { ask, clusterTable, historyOf, left, member, percents, setPercent, soon } from './rig.ts'

/** A Redis that goes with the test. */
export async function redisOf(...options: string[]): Promise<RedisServer> {
  const redis = await startRedis(...options)
  left.push(() => redis.stop())
  return redis
}

const RAMP = 'sticky: [header:x-key], ramp: { steps: [20, 50], hold: 1h, guard: { minKeys: 100000 } }'

/** A table with a ramp, comparisons, and pins after a write. */
export async function fullTable(): Promise<string> {
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

/** Comparisons are counted anew, all else stays at every instance. @param lose what empties Redis */
export async function losesComparisonsOnly(lose: (redis: RedisServer) => Promise<unknown>): Promise<void> {
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
}
