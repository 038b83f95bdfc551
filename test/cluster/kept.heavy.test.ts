/**
 * Revisions that are marked to be kept, in a cluster.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, left, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** By number, with the reason. */
async function keptAt(banyan: Banyan): Promise<Record<string, string>> {
  const { json } = await ask(banyan, 'GET', '/revisions')
  const kept = (json.revisions as { revision: number; kept: { reason: string } | null }[]).filter(({ kept }) => kept)
  return Object.fromEntries(kept.map(({ revision, kept }) => [revision, kept?.reason ?? '']))
}

test('a mark at one instance is at all, also at one that starts later, and outlives Redis', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  // Few, so that later revisions push it out of Redis, and of a history without the mark.
  const few = ['--keep-revisions', '2']
  const state = folder()
  const one = await member(table, redis.url, few)
  const two = await member(table, redis.url, few, state)
  await setPercent(one, 'a', 10)
  await soon(async () => expect((await ask(two, 'GET', '/revisions/2')).status).toBe(200))
  expect((await ask(two, 'PUT', '/revisions/2/keep', {}, 'it works')).status).toBe(200)
  await soon(async () => expect(await keptAt(one)).toEqual({ 2: 'it works' }))
  for (const percent of [20, 30, 40, 50]) await setPercent(one, 'b', percent)
  const three = await member(table, redis.url, few)
  await soon(async () => expect(await keptAt(three)).toEqual({ 2: 'it works' }))
  expect((await ask(three, 'GET', '/revisions/2')).json.text).toContain(
    'id: a, match: { path: /a }, to: modern, percent: 10',
  )
  await redis.command('FLUSHALL')
  // Filled again; an instance that was away meanwhile learns what was unmarked.
  await two.stop()
  await soon(async () => expect((await ask(three, 'PUT', '/revisions/6/keep', {}, 'newest')).status).toBe(200))
  expect((await ask(three, 'DELETE', '/revisions/2/keep')).status).toBe(200)
  await soon(async () => expect(await keptAt(one)).toEqual({ 6: 'newest' }))
  const again = await member(table, redis.url, few, state)
  await soon(async () => expect(await keptAt(again)).toEqual({ 6: 'newest' }))
  await redis.kill()
  await soon(async () => expect(await ask(one, 'DELETE', '/revisions/6/keep')).toMatchObject({ status: 503 }))
  expect((await ask(one, 'DELETE', '/revisions/6/keep')).json.detail).toMatch(
    /^Revisions of cluster shop can't be kept: .*; nothing was changed\.$/,
  )
  expect(await keptAt(one)).toEqual({ 6: 'newest' })
})
