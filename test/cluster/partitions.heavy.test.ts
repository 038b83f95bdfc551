/**
 * The instance that runs a ramp is cut off from Redis, under load: another one goes on, the percent is moved by one of them at a
 * time and never back, and when the partition heals there is one history.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { type Load, startLoad } from '../support/load.ts'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { ask, Gate, historyOf, left, member, percents, soon, undo } from './rig.ts'

afterEach(undo)

const MIN_KEYS = 15
/** More than there is time for. */
const STEPS = Array.from({ length: 32 }, (_, at) => 3 * (at + 1))

interface Row {
  readonly self: boolean
  readonly instance: string
}

interface Cluster {
  readonly instances: readonly Banyan[]
  readonly gates: readonly Gate[]
  readonly loads: readonly Load[]
  /** What the new side answers. */
  to: number
  /** The one that runs the ramp, as any that is in step knows. */
  runner(): Promise<number>
  /** Requests to the route, each with a key of its own. */
  asked(): number
}

/** Three instances with a ramp that has started, each with clients. */
async function ramping(hold: string): Promise<Cluster> {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const answering = async (status: () => number) => {
    const upstream = await scriptedUpstream(async (request) => {
      await request.body().catch(() => {})
      await new Promise((done) => setTimeout(done, 20))
      await request.send(`HTTP/1.1 ${status()} X\r\nContent-Length: 2\r\n\r\nok`).catch(() => {})
    })
    left.push(() => upstream.stop())
    return upstream.port
  }
  const cluster = { to: 200 } as { -readonly [key in keyof Cluster]: Cluster[key] }
  const guard = `{ minKeys: ${MIN_KEYS}, tolerate: { harm: 100, latency: 100 } }`
  const table = `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${await answering(() => 200)}"] }
  modern: { servers: ["http://127.0.0.1:${await answering(() => cluster.to)}"] }
default: legacy
routes:
  - { id: a, match: { path: /a }, to: modern, percent: 0, sticky: [header:x-key], ramp: { steps: [${STEPS}], hold: ${hold}, guard: ${guard} } }
  - { id: b, match: { path: /b }, to: modern, percent: 0 }
`
  const gates = [0, 1, 2].map(() => new Gate(redis.port))
  const [first, ...urls] = await Promise.all(gates.map((gate) => gate.open()))
  const one = await member(table, first as string)
  const instances = [one, ...(await Promise.all(urls.map((url) => member(table, url))))]
  let keys = 0
  const asks = () => ({ path: '/a', headers: { 'x-key': `k${keys++}` } })
  const loads = instances.flatMap(({ port }): Load[] => [
    startLoad(port, 2, asks),
    startLoad(port, 2, () => ({ ...asks(), method: 'POST', body: 'x' })),
  ])
  const runner = async (): Promise<number> => {
    const said = await Promise.all(instances.map(async (at) => (await ask(at, 'GET', '/status')).json))
    const known = said.find(({ cluster }) => cluster.problem === null)?.cluster.rampsRunBy
    return said.findIndex((one) => one.instances.some((row: Row) => row.self && row.instance === known))
  }
  Object.assign(cluster, { instances, gates, loads, asked: () => keys, runner })
  // On a busy machine whoever has the lease may take a while to give it away.
  await soon(async () => {
    await ask(instances[2] as Banyan, 'POST', '/routes/a/ramp/start')
    expect((await rampOf(instances[2] as Banyan)).status).toMatch(/running|holding/)
  })
  return cluster
}

/** The revisions that an instance has had in force, one after the other: how they follow tells how the percent has moved. */
const revisionsIn = ({ log }: Banyan): number[] =>
  log.flatMap((line) => /"event":"revision","revision":(\d+)/.exec(line)?.[1] ?? []).map(Number)

/** The ramp as it is stored: which verdict was the last is known to whoever has judged. */
const rampOf = async (at: Banyan): Promise<ReturnType<typeof JSON.parse>> => {
  const { verdict: _, heldSeconds: __, ...ramp } = (await ask(at, 'GET', '/routes/a/ramp')).json
  return ramp
}

const reasons = async (at: Banyan): Promise<string> => (await ask(at, 'GET', '/readyz')).json.reasons.join()

const PARTITIONS: [string, (gate: Gate) => void][] = [
  ['cut', (gate) => gate.cut()],
  ['stalled', (gate) => gate.stall()],
  ['stalled, and what it has sent arrives when it is over', (gate) => gate.stall(true)],
]

test('a ramp goes on by one instance at a time while those that run it are cut off, one after the other', async () => {
  const cluster = await ramping('1s')
  const { instances, gates, loads } = cluster
  for (const [what, cut] of PARTITIONS) {
    await soon(async () => expect(await cluster.runner(), what).not.toBe(-1))
    const at = await cluster.runner()
    const [lost, gate] = [instances[at] as Banyan, gates[at] as Gate]
    const others = instances.filter((one) => one !== lost)
    const [before] = (await percents(lost)) as [number]
    cut(gate)
    await soon(async () => expect(await reasons(lost), what).toContain('changing nothing'))
    await soon(async () => {
      for (const one of others) expect((await percents(one))[0], what).toBeGreaterThan(before)
    })
    expect((await percents(lost))[0], what).toBeLessThanOrEqual(before + 3)
    gate.heal()
    await soon(async () => expect(await reasons(lost), what).toBe(''))
    await soon(async () => expect(await percents(lost), what).toEqual(await percents(others[0] as Banyan)))
  }
  await soon(async () => expect((await ask(instances[0] as Banyan, 'POST', '/routes/a/ramp/pause')).status).toBe(200))
  for (const load of loads) await load.stop()
  expect(loads.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== 200))).toEqual([])
  await soon(async () => {
    const [one, ...others] = await Promise.all(
      instances.map(async (at) => ({ history: await historyOf(at), ramp: await rampOf(at) })),
    )
    for (const other of others) expect(other).toEqual(one)
  })
  // Each step was taken once, and nowhere was one taken back.
  const { list } = await historyOf(instances[0] as Banyan)
  const taken = STEPS.slice(0, list.length - 1)
  expect(list.slice(0, -1).map((line) => Number(/ramp to (\d+) %/.exec(line)?.[1]))).toEqual(taken.toReversed())
  for (const at of instances) expect(revisionsIn(at)).toEqual([...new Set(revisionsIn(at))].sort((a, b) => a - b))
  // Each had its evidence, and none of that counts twice.
  const { evidence } = await rampOf(instances[0] as Banyan)
  expect(evidence.map(({ percent }: { percent: number }) => percent)).toEqual(taken)
  let counted = 0
  for (const { percent, keys } of evidence) {
    if (percent !== taken.at(-1)) expect(keys.to, `${percent} %`).toBeGreaterThanOrEqual(MIN_KEYS)
    counted += keys.to + keys.rest
  }
  expect(counted).toBeLessThanOrEqual(cluster.asked())
})

test('what the new side fails by while the instance that runs the ramp is cut off takes it back, for good', async () => {
  const cluster = await ramping('1h')
  const { instances, gates, loads } = cluster
  await Promise.all(loads.map((load) => load.more(50)))
  await soon(async () => expect(await cluster.runner()).not.toBe(-1))
  const at = await cluster.runner()
  const [lost, gate] = [instances[at] as Banyan, gates[at] as Gate]
  const others = instances.filter((one) => one !== lost)
  gate.stall(true)
  // It does not know yet that it is cut off: what it could not store has not happened.
  const paused = await ask(lost, 'POST', '/routes/a/ramp/pause')
  expect(paused).toMatchObject({ status: 503, json: { type: 'urn:banyan:problem:cluster-unavailable' } })
  expect(await rampOf(lost)).toMatchObject({ status: expect.stringMatching(/running|holding/) })
  cluster.to = 500
  await soon(async () => {
    for (const one of others) expect(await rampOf(one)).toMatchObject({ status: 'rolled-back' })
  })
  for (const one of others) expect(await percents(one)).toEqual([0, 0])
  gate.heal()
  await soon(async () => {
    const [one, ...more] = await Promise.all(
      instances.map(async (one) => ({ history: await historyOf(one), ramp: await rampOf(one) })),
    )
    for (const other of more) expect(other).toEqual(one)
    expect(one).toMatchObject({ ramp: { status: 'rolled-back' } })
  })
  for (const load of loads) await load.stop()
  const { list } = await historyOf(lost)
  expect(list.map((line) => line.split(' ').slice(2).join(' '))).toEqual([
    expect.stringMatching(/^ramp taken back: /),
    'anonymous ramp to 3 %: started by anonymous',
    'file ',
  ])
  for (const at of instances) {
    expect(await percents(at)).toEqual([0, 0])
    await soon(async () => expect(revisionsIn(at)).toEqual([2, 3]))
  }
})
