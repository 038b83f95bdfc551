/**
 * The cluster's Redis is killed, paused, emptied, and restored from an old snapshot, while edits come and clients ask: no request
 * fails, and no revision is lost that was answered and that a live instance has.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { type Load, startLoad } from '../support/load.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { clusterTable, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** An edit that was answered with 200. */
interface Made {
  readonly etag: string
  readonly revision: number
  readonly isShared: boolean
}

/** Edits at all instances in turn, until it is stopped. @returns those that were answered */
function startEdits(instances: readonly Banyan[]): { readonly made: Made[]; stop(): Promise<void> } {
  const made: Made[] = []
  let running = true
  const over = Promise.all(
    instances.map(async (instance, at) => {
      for (let n = 1; running; n++) {
        const said = await setPercent(instance, 'abc'[at] as string, n % 100)
        if (said.status === 200) {
          made.push({
            etag: said.etag as string,
            revision: said.json.revision,
            isShared: Number(said.instances?.split('/')[0]) > 1,
          })
        } else expect([503]).toContain(said.status)
        await new Promise((done) => setTimeout(done, 20))
      }
    }),
  )
  return {
    made,
    stop: async () => {
      running = false
      await over
    },
  }
}

const FAULTS: [string, (redis: RedisServer) => Promise<void>][] = [
  [
    'killed, and empty when it is back',
    async (redis) => {
      await redis.kill()
      await new Promise((done) => setTimeout(done, 1_500))
      await redis.start()
    },
  ],
  [
    'paused for longer than anybody waits',
    async (redis) => {
      redis.pause()
      await new Promise((done) => setTimeout(done, 4_000))
      redis.resume()
    },
  ],
  ['emptied', async (redis) => void (await redis.command('FLUSHALL'))],
  [
    'restored from an old snapshot',
    async (redis) => {
      await redis.command('SAVE')
      await new Promise((done) => setTimeout(done, 1_000))
      await redis.kill()
      await redis.start()
    },
  ],
]

test('no request fails and no shared revision is lost when Redis is away, empty or older', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const first = await member(table, redis.url)
  const instances = [first, ...(await Promise.all([1, 2].map(() => member(table, redis.url))))]
  const loads = instances.flatMap(({ port }): Load[] => [
    startLoad(port, 1, () => ({ path: '/a' })),
    startLoad(port, 1, () => ({ path: '/b', method: 'POST', body: 'x' })),
  ])
  for (const [what, fault] of FAULTS) {
    const edits = startEdits(instances)
    await soon(async () => expect(edits.made.length, what).toBeGreaterThan(5))
    await fault(redis)
    const before = edits.made.length
    await soon(async () => expect(edits.made.length, what).toBeGreaterThan(before + 5))
    await edits.stop()
    await soon(async () => {
      const [one, ...others] = await Promise.all(instances.map(historyOf))
      for (const other of others) expect(other, what).toEqual(one)
    })
    const { list } = await historyOf(first)
    const lost = edits.made.filter(({ etag, isShared }) => isShared && !list.some((line) => line.includes(etag)))
    const oldest = Math.min(...list.map((line) => Number(line.split(' ')[0])))
    expect(
      lost.filter(({ revision }) => revision >= oldest),
      what,
    ).toEqual([])
    const [shown, ...others] = await Promise.all(instances.map(percents))
    for (const other of others) expect(other, what).toEqual(shown)
  }
  await Promise.all(loads.map((load) => load.stop()))
  for (const { outcomes } of loads) {
    expect(outcomes.length).toBeGreaterThan(10)
    expect(outcomes.filter(({ status }) => status !== 200)).toEqual([])
  }
})
