/**
 * What the documentation says can be lost with the cluster's Redis is lost, and nothing else: the table, its history, drained and
 * leased servers, pins and ramps stay with any instance that is alive, comparisons and progress are counted anew.
 */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { fullTable, losesComparisonsOnly, redisOf } from './losses.ts'
import { ask, clusterTable, folder, Gate, historyOf, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

test('Redis is killed without a file: comparisons are counted anew, all else stays at every instance', async () => {
  await losesComparisonsOnly(async (redis) => {
    await redis.kill()
    await redis.start()
  })
})

test('Redis is restored from before: a ramp that was paused since stays paused, also where its instance is gone', async () => {
  const redis = await redisOf()
  const table = await fullTable()
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  expect(await ask(one, 'POST', '/routes/a/ramp/start')).toMatchObject({ status: 200, instances: '2/2' })
  await redis.command('SAVE')
  expect(await ask(one, 'POST', '/routes/a/ramp/step', { reason: 'quiet night' })).toMatchObject({ status: 200 })
  expect(await ask(one, 'POST', '/routes/a/ramp/pause')).toMatchObject({ status: 200, instances: '2/2' })
  const { events } = (await ask(two, 'GET', '/routes/a/ramp')).json
  one.program.child.kill('SIGKILL')
  await redis.kill()
  await redis.start()
  await soon(async () => expect(await setPercent(two, 'b', 5)).toMatchObject({ status: 200 }))
  await soon(async () => {
    const { json } = await ask(two, 'GET', '/status')
    expect(json.cluster.rampsRunBy).toBe(json.instances.find(({ self }: { self: boolean }) => self).instance)
  })
  expect((await ask(two, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'paused', percent: 50, events })
  const three = await member(table, redis.url)
  await soon(async () =>
    expect((await ask(three, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'paused', percent: 50, events }),
  )
})

test('an edit that one instance had alone is lost with it and Redis, which is logged, and its text is kept', async () => {
  const redis = await redisOf()
  const gate = new Gate(redis.port)
  const table = await clusterTable()
  const state = folder()
  const one = await member(table, redis.url, [], state)
  const two = await member(table, await gate.open())
  expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '2/2' })
  gate.cut()
  expect(await setPercent(one, 'a', 20, 'known to one')).toMatchObject({ status: 200, instances: '1/2' })
  one.program.child.kill('SIGKILL')
  await redis.command('FLUSHALL')
  gate.heal()
  await soon(async () => expect(await setPercent(two, 'b', 30)).toMatchObject({ status: 200, instances: '1/1' }))
  expect(await percents(two)).toEqual([10, 30, 0])
  const again = await member(table, redis.url, [], state)
  await again.program.line((line) => line.includes('revision 3 by anonymous is lost') && line.includes('known to one'))
  await soon(async () => expect(await historyOf(again)).toEqual(await historyOf(two)))
  await soon(async () => {
    const kept = readdirSync(state, { recursive: true }).map(String)
    expect(kept.filter((name) => /(^|\/)3\.lost-/.test(name))).toHaveLength(1)
  })
})

test('with --cluster-replicas an answered edit is on a replica when master and instance are lost together', async () => {
  const master = await redisOf()
  const replica = await redisOf('--replicaof', `127.0.0.1 ${master.port}`)
  await soon(async () => expect(await replica.command('INFO', 'replication')).toContain('master_link_status:up'))
  const table = await clusterTable()
  const state = folder()
  const one = await member(table, master.url, ['--cluster-replicas', '1'], state)
  for (const percent of [10, 20, 30]) {
    expect(await setPercent(one, 'a', percent)).toMatchObject({ status: 200, replicas: '1/1' })
  }
  // The replica is cut off: the next edit is known to the instance and the master alone.
  await replica.command('REPLICAOF', 'NO', 'ONE')
  const args = ['bin/banyan.js', 'set', 'a', '40', '--admin', `127.0.0.1:${one.adminPort}`]
  const { stderr } = await promisify(execFile)(process.execPath, args)
  expect(stderr).toContain('confirmed by 0 of 1 replicas of Redis: it may be lost if Redis fails now')
  await one.program.line((line) => line.includes('revision 5 was confirmed by 0 of 1 replicas of Redis'))
  one.program.child.kill('SIGKILL')
  await master.kill()
  const two = await member(table, replica.url)
  expect(await percents(two)).toEqual([30, 0, 0])
  expect((await historyOf(two)).current).toBe(4)
  await two.stop()
  // Its folder has the fourth edit: with it, nothing is lost.
  const again = await member(table, replica.url, [], state)
  await soon(async () => expect(await percents(again)).toEqual([40, 0, 0]))
})
