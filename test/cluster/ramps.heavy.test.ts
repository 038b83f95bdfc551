/**
 * Evidence and ramps of a cluster: all instances count, one runs the ramps, and any can be asked.
 */
import { afterEach, expect, test } from 'vitest'
import { startLoad } from '../support/load.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, left, member, soon, undo } from './rig.ts'

afterEach(undo)

test('one instance runs a ramp, by what all of them count, whoever is asked and whoever ends', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const ramp = 'sticky: [header:x-key], ramp: { steps: [50, 60], hold: 1h, guard: { minKeys: 100000 } }'
  const table = (await clusterTable())
    .replace('path: /a }, to: modern,', `path: /a }, to: modern, ${ramp},`)
    .replace('path: /b }, to: modern,', 'path: /b }, to: modern, shadow: { percent: 100 },')
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  expect(await ask(two, 'POST', '/routes/a/ramp/start')).toMatchObject({
    ...{ status: 200, json: { status: 'running', percent: 50, storage: 'cluster' } },
  })
  await soon(async () => expect((await ask(one, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'running' }))
  const runBy = (await ask(two, 'GET', '/status')).json.cluster.rampsRunBy
  expect(runBy).not.toBe('')
  // Only the one that does not run it has clients.
  let keys = 0
  const load = startLoad(one.port, 2, (n) => ({ path: n % 2 === 0 ? '/a' : '/b', headers: { 'x-key': `k${keys++}` } }))
  await load.more(400)
  const keysOf = async (at: typeof one): Promise<number> => {
    const { json } = await ask(at, 'GET', '/routes/a/ramp')
    return Number(/"keys":\{"to":(\d+)/.exec(JSON.stringify(json))?.[1] ?? 0)
  }
  await soon(async () => expect(await keysOf(two)).toBeGreaterThan(20))
  // The other one is asked: it takes the ramp over, with what was counted.
  expect(await ask(one, 'POST', '/routes/a/ramp/pause')).toMatchObject({ status: 200, json: { status: 'paused' } })
  expect((await ask(one, 'GET', '/status')).json.cluster.rampsRunBy).not.toBe(runBy)
  expect(await keysOf(one)).toBeGreaterThan(20)
  await soon(async () => expect((await ask(two, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'paused' }))
  await load.stop()
  // What one has compared is known to both.
  await soon(async () => {
    const [here, there] = await Promise.all([one, two].map((at) => ask(at, 'GET', '/routes/b/comparisons')))
    expect(here?.json.comparisons).toBeGreaterThan(0)
    expect(there?.json.comparisons).toBe(here?.json.comparisons)
    expect(there?.json).toMatchObject({ storage: 'cluster', problem: null })
  })
  // Whoever ran it is gone without a word.
  one.program.child.kill('SIGKILL')
  expect(await ask(two, 'POST', '/routes/a/ramp/resume')).toMatchObject({ status: 200, json: { status: 'running' } })
  expect(await keysOf(two)).toBeGreaterThan(20)
  // The Redis dies and comes back empty: no step meanwhile, none lost, none taken twice.
  await redis.kill()
  const step = (): ReturnType<typeof ask> => ask(two, 'POST', '/routes/a/ramp/step', { reason: 'quiet night' })
  expect((await step()).status).toBeGreaterThanOrEqual(400)
  expect((await ask(two, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'running', percent: 50 })
  await redis.start()
  await soon(async () => expect(await step()).toMatchObject({ status: 200, json: { percent: 60 } }))
  expect(await keysOf(two)).toBeGreaterThan(20)
  const reasons = JSON.stringify((await ask(two, 'GET', '/revisions')).json.revisions).match(/ramp to \d+ %/g)
  expect(reasons).toEqual(['ramp to 60 %', 'ramp to 50 %'])
})
