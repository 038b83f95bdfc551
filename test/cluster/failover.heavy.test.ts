/**
 * The cluster's Redis behind a Sentinel, which fails over, and as a Redis Cluster.
 */
import { afterEach, expect, test } from 'vitest'
import { clusterSetup, sentinelSetup } from '../proxy/caching/setups.ts'
import { startLoad } from '../support/load.ts'
import { ask, clusterTable, historyOf, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

test('a failover fails no request and loses no shared revision', async () => {
  const { url, master } = await sentinelSetup()
  const table = await clusterTable()
  const one = await member(table, url)
  const two = await member(table, url)
  const loads = [one, two].flatMap(({ port }) => [
    startLoad(port, 1, () => ({ path: '/a' })),
    startLoad(port, 1, () => ({ path: '/b', method: 'POST', body: 'x' })),
  ])
  const made: string[] = []
  const edit = async (percent: number): Promise<void> => {
    const said = await setPercent(one, 'a', percent)
    expect([200, 503]).toContain(said.status)
    if (said.status === 200 && said.instances === '2/2') made.push(said.etag as string)
  }
  for (let percent = 1; percent <= 5; percent++) await edit(percent)
  await master.kill()
  const before = made.length
  let percent = 6
  await soon(async () => {
    await edit(percent++ % 100)
    expect(made.length).toBeGreaterThan(before + 2)
  })
  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
  const { list } = await historyOf(one)
  expect(made.filter((etag) => !list.some((line) => line.includes(etag)))).toEqual([])
  for (const load of loads) await load.stop()
  expect(loads.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== 200))).toEqual([])
})

test('all keys are at one node of a Redis Cluster', async () => {
  const { url } = await clusterSetup()
  const table = await clusterTable()
  const one = await member(table, url)
  const two = await member(table, url)
  await soon(async () => expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' }))
  expect(await ask(two, 'POST', '/revisions/1/restore')).toMatchObject({ status: 200, instances: '2/2' })
  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  expect(await ask(one, 'POST', `${server}/drain?wait=10s`)).toMatchObject({ status: 200, instances: '2/2' })
  expect(await historyOf(two)).toEqual(await historyOf(one))
})
