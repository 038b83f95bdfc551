/**
 * The data of the cluster's Redis are at another server from now on: whoever edits waits for a moment, until it is known that nothing is
 * lacking.
 */
import { afterEach, expect, test } from 'vitest'
import { clusterSetup, moveSlot, patiently, redisOf, replicationOf, sentinelSetup } from '../proxy/caching/setups.ts'
import type { Banyan } from '../support/banyan.ts'
import { commandOf, type RedisServer } from '../support/redis.ts'
import { ask, clusterTable, Gate, historyOf, member, percents, type Said, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** Instances of one cluster, with a server that can be drained. */
async function startThree(url: string): Promise<{ readonly instances: readonly Banyan[]; readonly server: string }> {
  const table = await clusterTable()
  const instances = [await member(table, url), await member(table, url), await member(table, url)]
  const [, server] = /(localhost:\d+)/.exec(table) as unknown as [string, string]
  await soon(async () => {
    for (const at of instances) expect(await setPercent(at, 'a', 1)).toMatchObject({ status: 200, instances: '3/3' })
  })
  return { instances, server: `/upstreams/legacy/servers/${encodeURIComponent(server)}` }
}

/** Does something at all instances, again and again at each, until it is stopped. @returns all answers */
function startAsking(
  instances: readonly Banyan[],
  askOnce: (at: Banyan, n: number) => Promise<Said>,
): { readonly said: Said[]; stop(): Promise<void> } {
  const said: Said[] = []
  let running = true
  const over = Promise.all(
    instances.map(async (at) => {
      for (let n = 1; running; n++) said.push(await askOnce(at, n))
    }),
  )
  return {
    said,
    stop: async () => {
      running = false
      await over
    },
  }
}

/** Edits and drains at all instances while the data move. @returns what was answered */
async function askedWhile(
  { instances, server }: Awaited<ReturnType<typeof startThree>>,
  move: () => Promise<RedisServer>,
): Promise<Said[]> {
  const edits = startAsking(instances, (at, n) => setPercent(at, 'abc'[instances.indexOf(at)] as string, n % 100))
  const drains = startAsking(instances.slice(0, 1), (at, n) => ask(at, 'POST', `${server}/${n % 2 ? '' : 'un'}drain`))
  const to = await move()
  const run = /run_id:(\w+)/.exec(await to.command('INFO', 'server'))?.[1] as string
  // All have found out, and said what they have.
  await patiently(async () => {
    const offers = await to.command('HVALS', 'banyan:{shop}:offers').catch(() => '')
    return offers.split(run).length > instances.length
  })
  const before = edits.said.length
  await patiently(() => edits.said.length > before + 12)
  await Promise.all([edits.stop(), drains.stop()])
  await soon(async () => {
    const [own, ...others] = await Promise.all(instances.map(historyOf))
    for (const other of others) expect(other).toEqual(own)
  })
  for (const { log } of instances) expect(log.join('\n')).not.toMatch(/is lost|filled again/)
  return [...edits.said, ...drains.said]
}

const refusals = (said: readonly Said[]): string[] =>
  said.filter(({ status }) => status !== 200).map(({ status, json }) => `${status} ${json.detail}`)

test('the slot of its keys moves to another node of a Redis Cluster', async () => {
  const { url, nodes } = await clusterSetup()
  const three = await startThree(url)
  const said = await askedWhile(three, () => moveSlot(nodes, '{shop}'))
  expect(refusals(said)).toEqual([])
})

test('a Sentinel has its replica take over, which lacks nothing', async () => {
  const { url, port, master, replica } = await sentinelSetup()
  const three = await startThree(url)
  await commandOf(port, 'SENTINEL', 'FAILOVER', 'mymaster')
  // What is written before that may be lost.
  await patiently(async () => (await replicationOf(master)).includes('role:slave'))
  const said = await askedWhile(three, async () => replica)
  expect(refusals(said).filter((line) => !line.includes('not connected'))).toEqual([])
})

test('a server that lacks what another instance has: who seems to be in step with it waits for that one', async () => {
  const redis = await redisOf()
  const gate = new Gate(redis.port)
  const table = await clusterTable()
  const one = await member(table, redis.url)
  const two = await member(table, await gate.open())
  await soon(async () => expect(await setPercent(two, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' }))
  await redis.command('SAVE')
  gate.cut()
  expect(await setPercent(one, 'a', 20)).toMatchObject({ status: 200, instances: '1/2' })
  one.program.child.kill('SIGSTOP')
  await redis.kill()
  await redis.start()
  gate.heal()
  const edit = soon(async () => expect(await setPercent(two, 'b', 30)).toMatchObject({ status: 200 }))
  await patiently(async () => (await redis.command('HLEN', 'banyan:{shop}:offers')) !== ':0\r\n')
  one.program.child.kill('SIGCONT')
  await edit
  await soon(async () => expect(await percents(one)).toEqual([20, 30, 0]))
  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
  for (const { log } of [one, two]) expect(log.join('\n')).not.toContain('is lost')
})
