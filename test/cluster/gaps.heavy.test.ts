/**
 * The history of a cluster lacks numbers, since runs of edits of one route are kept as one revision: it is filled into an empty Redis,
 * and edits go on.
 */
import { afterEach, expect, test } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { clusterTable, historyOf, left, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** Instances keep so many revisions, and Redis as many numbers. */
const KEPT = 8

test.each([
  ['an empty Redis was filled', ['FLUSHALL']],
  ['what Redis has counted of its bytes was changed', ['HSET', 'banyan:{shop}:table', 'bytes', 'many']],
])('no answered edit is lost where %s', async (_, command) => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const args = ['--keep-revisions', String(KEPT)]
  const one = await member(table, redis.url, args)
  const other = await member(table, redis.url, args)
  for (let n = 1; n <= 2 * KEPT; n++) expect((await setPercent(one, 'a', n)).status).toBe(200)

  await redis.command(...command)

  await soon(async () => expect((await setPercent(one, 'b', 1)).instances).toBe('2/2'))
  const made: string[] = []
  for (let n = 1; n <= 3; n++) {
    for (const [instance, route] of [
      [one, 'b'],
      [other, 'c'],
    ] as const) {
      const said = await setPercent(instance, route, 10 * n)
      expect(said).toMatchObject({ status: 200, instances: '2/2' })
      made.push(said.etag as string)
    }
  }
  const [own, others] = [await historyOf(one), await historyOf(other)]
  expect(others).toEqual(own)
  for (const etag of made) expect(own.list.join('\n')).toContain(etag)
  expect([...one.log, ...other.log].join('\n')).not.toContain('is lost')
})
