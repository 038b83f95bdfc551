/**
 * An instance that joins a cluster, or comes back to it, has the newest revision in force at once, and reads those before a page at a
 * time, however many and large they are.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { RedisServer } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, Gate, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

async function redisOf(): Promise<RedisServer> {
  const redis = await startRedis()
  left.push(() => redis.stop())
  return redis
}

/** How often a command was called, also within scripts. */
async function callsOf(redis: RedisServer, command: string): Promise<number> {
  const found = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.command('INFO', 'commandstats'))
  return Number(found?.[1] ?? 0)
}

test.each([
  ['many small ones', 150, 0, 2],
  ['few large ones', 6, 600_000, 6],
])('%s are read in pages', async (_, edits, bytes, pages) => {
  const redis = await redisOf()
  const table = `${await clusterTable()}# ${'x'.repeat(bytes)}\n`
  const one = await member(table, redis.url)
  for (let n = 1; n <= edits; n++) expect((await setPercent(one, 'ab'[n % 2] as string, n % 100)).status).toBe(200)

  const two = await member(table, await new Gate(redis.port, 200).open())

  const made = await historyOf(one)
  expect(made.list.length).toBe(edits + 1)
  await soon(async () => expect(await historyOf(two)).toEqual(made))
  expect(await percents(two)).toEqual(await percents(one))
  const read = await callsOf(redis, 'hkeys')
  expect(read).toBeGreaterThanOrEqual(pages)
  // A reply that comes too late is asked for again.
  expect(read).toBeLessThan(pages + 10)
})

test('a file that is not followed is told of where the cluster is joined only later, too', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  await member(table, redis.url)
  const gate = new Gate(redis.port)
  const url = await gate.open()
  gate.cut()
  const two = await member(table.replace('percent: 0', 'percent: 77'), url)
  expect(await percents(two)).toEqual([77, 0, 0])
  gate.heal()
  await two.program.line((line) => line.includes('differs from the table of cluster shop, and is not followed'))
  await soon(async () => expect(await percents(two)).toEqual([0, 0, 0]))
})

test('what is damaged or gone in the state folder is read again, in the middle too', async () => {
  const redis = await redisOf()
  const state = folder()
  const one = await member(await clusterTable(), redis.url, [], state)
  for (let n = 1; n <= 8; n++) expect((await setPercent(one, 'ab'[n % 2] as string, n)).status).toBe(200)
  const made = await historyOf(one)
  await one.stop()
  const files = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) => /[/]\d+\.yaml$/.test(name))
  const fileOf = (number: number): string =>
    join(state, files.find((name) => name.endsWith(`/${number}.yaml`)) as string)
  writeFileSync(fileOf(4), 'damaged')
  rmSync(fileOf(6))
  const again = await member(await clusterTable(), redis.url, [], state)
  await soon(async () => expect(await historyOf(again)).toEqual(made))
  await again.stop()
  // On disk, too.
  await redis.command('FLUSHALL')
  const alone = await member(await clusterTable(), redis.url, [], state)
  expect(await historyOf(alone)).toEqual(made)
})

test('the newest is in force though those before can not be read yet', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const one = await member(table, redis.url)
  for (let n = 1; n <= 20; n++) expect((await setPercent(one, 'ab'[n % 2] as string, n)).status).toBe(200)
  await redis.command('ACL', 'SETUSER', 'ann', 'on', '>secret', '~*', '&*', '+@all', '-hkeys')
  const two = await member(table, `redis://ann:secret@127.0.0.1:${redis.port}`)
  await soon(async () => expect(await percents(two)).toEqual([20, 19, 0]))
  expect((await historyOf(two)).list.length).toBe(1)
  expect(await setPercent(two, 'c', 5)).toMatchObject({ status: 200, instances: '2/2' })

  await redis.command('ACL', 'SETUSER', 'ann', '+@all')

  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
})

test('what an instance is still filling Redis with is read by others that have joined meanwhile', async () => {
  const redis = await redisOf()
  const table = await clusterTable()
  const one = await member(table, redis.url)
  for (let n = 1; n <= 4; n++) expect((await setPercent(one, 'ab'[n % 2] as string, n)).status).toBe(200)
  const revisions = 'banyan:{shop}:revisions'
  const reply = await redis.command('HGET', revisions, '2')
  const second = reply.slice(reply.indexOf('\r\n') + 2, -2)
  await redis.command('HDEL', revisions, '2')
  const two = await member(table, redis.url)
  await soon(async () => expect((await historyOf(two)).list.length).toBe(4))

  await redis.command('HSET', revisions, '2', second)

  await soon(async () => expect(await historyOf(two)).toEqual(await historyOf(one)))
})

test('a Redis that stands still is told apart from one that is gone', async () => {
  const redis = await redisOf()
  const one = await member(await clusterTable(), redis.url)
  redis.pause()
  left.push(() => redis.resume())
  const two = await member(await clusterTable(), redis.url)
  for (const at of [one, two])
    await soon(async () =>
      expect((await ask(at, 'GET', '/status')).json.cluster.problem).toBe('its Redis does not answer in time'),
    )
  // Connections are tried again and again.
  await two.program.line((line) => line.includes('its Redis does not answer in time'))
  redis.resume()
  await soon(async () => expect(await setPercent(two, 'a', 1)).toMatchObject({ status: 200, instances: '2/2' }))
  expect([...one.log, ...two.log].join('\n')).not.toContain('MaxRetries')
})
