/**
 * The cluster's Redis behind a Sentinel, which fails over, and as a Redis Cluster.
 */
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import {
  clusterSetup,
  patiently,
  replicatedClusterSetup,
  replicationOf,
  sentinelSetup,
} from '../proxy/caching/setups.ts'
import { startLoad } from '../support/load.ts'
import { commandOf } from '../support/redis.ts'
import { ask, clusterTable, historyOf, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** Sends commands on one connection. */
async function inline(port: number, ...commands: string[]): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  let replies = ''
  socket.on('data', (bytes) => {
    replies += bytes
  })
  socket.write(commands.map((command) => `${command}\r\n`).join(''))
  await patiently(() => replies.split('\r\n').length > commands.length)
  socket.destroy()
  expect(replies).not.toContain('-')
}

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

test('a failover to a replica that lacks the last writes loses nothing that a live instance has', async () => {
  const { url, master, replica, port } = await sentinelSetup()
  // So long a replica may have been cut off, ten times over, and still take over.
  await commandOf(port, 'SENTINEL', 'SET', 'mymaster', 'down-after-milliseconds', '3000')
  const table = await clusterTable()
  const [one, two, three] = [await member(table, url), await member(table, url), await member(table, url)]
  const all = [one, two, three]
  const loads = all.flatMap(({ port }) => [
    startLoad(port, 1, () => ({ path: '/a' })),
    startLoad(port, 1, () => ({ path: '/b', method: 'POST', body: 'x' })),
  ])
  const [, at] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = (host: string): string => `/upstreams/legacy/servers/${encodeURIComponent(`${host}:${at}`)}`
  await soon(async () => expect(await setPercent(one, 'a', 1)).toMatchObject({ status: 200, instances: '3/3' }))
  await soon(async () =>
    expect(await ask(one, 'POST', `${server('127.0.0.1')}/drain`)).toMatchObject({ instances: '3/3' }),
  )
  await patiently(async () => (await replica.command('HVALS', 'banyan:{shop}:records:servers')).includes('drained'))

  // The replica is cut off, and can't come back: connections that stand are not asked for the password.
  await inline(master.port, 'CONFIG SET requirepass secret', 'CLIENT KILL TYPE replica')
  await patiently(async () => (await replicationOf(replica)).includes('master_link_status:down'))
  const made: string[] = []
  const edit = async (where: typeof one, route: string, instances: string): Promise<void> => {
    const said = await setPercent(where, route, made.length + 2)
    expect(said.status).toBe(200)
    made.push(said.etag as string)
    expect(said.instances).toBe(instances)
  }
  await soon(() => edit(one, 'a', '3/3'))
  await soon(() => edit(two, 'b', '3/3'))
  await soon(async () =>
    expect(await ask(two, 'POST', `${server('127.0.0.1')}/undrain`)).toMatchObject({ instances: '3/3' }),
  )
  // The last ones are known to one instance and the master alone.
  two.program.child.kill('SIGSTOP')
  three.program.child.kill('SIGSTOP')
  await edit(one, 'c', '1/3')
  expect(await ask(one, 'POST', `${server('localhost')}/drain`)).toMatchObject({ status: 200, instances: '1/3' })
  const history = await historyOf(one)
  await master.kill()
  await patiently(async () => (await replicationOf(replica)).includes('role:master'))
  two.program.child.kill('SIGCONT')
  three.program.child.kill('SIGCONT')
  // Whoever edits first has less than another instance.
  await Promise.all(
    [two, three].map((at, n) =>
      soon(async () => {
        const said = await setPercent(at, 'bc'[n] as string, 4)
        expect(said.status).toBe(200)
        made.push(said.etag as string)
      }),
    ),
  )
  await soon(async () => expect(await setPercent(one, 'a', 5)).toMatchObject({ status: 200, instances: '3/3' }))
  await soon(async () => {
    const histories = await Promise.all(all.map(historyOf))
    for (const other of histories) expect(other).toEqual(histories[0])
  })
  const { list } = await historyOf(one)
  expect(made.filter((etag) => !list.some((line) => line.includes(etag)))).toEqual([])
  expect(list.slice(-history.list.length)).toEqual(history.list)
  for (const at of all) {
    await soon(async () => expect((await ask(at, 'GET', server('localhost'))).json).toMatchObject({ drained: true }))
    expect((await ask(at, 'GET', server('127.0.0.1'))).json).toMatchObject({ drained: false })
    expect(at.log.join('\n')).not.toContain('is lost')
  }
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
  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
})

test('a Redis Cluster of which only replicas are named', async () => {
  const { nodes } = await replicatedClusterSetup()
  const url = `redis+cluster://${nodes
    .slice(3)
    .map(({ port }) => `127.0.0.1:${port}`)
    .join(',')}`
  const one = await member(await clusterTable(), url)
  await soon(async () => expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '1/1' }))
})
