/**
 * An instance that can't be one of its cluster says so everywhere, changes nothing, writes nothing in Redis, and joins without a
 * restart when what stands in the way is mended.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const run = promisify(execFile)
const RAMP = 'path: /a }, to: modern, sticky: [header:x-key], ramp: { steps: [50], hold: 1h },'

async function redisOf(): Promise<RedisServer> {
  const redis = await startRedis()
  left.push(() => redis.stop())
  return redis
}

async function inStep({ adminPort }: Banyan): Promise<string | undefined> {
  const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  return /^banyan_cluster_in_step (\d)$/m.exec(metrics)?.[1]
}

async function statusText({ adminPort }: Banyan): Promise<string> {
  return (await run(process.execPath, ['bin/banyan.js', 'status', '--admin', `127.0.0.1:${adminPort}`])).stdout
}

/** It says why it is none of the cluster, wherever somebody may look, and changes nothing. */
async function isRefused(banyan: Banyan, why: string): Promise<void> {
  await soon(async () => {
    expect((await ask(banyan, 'GET', '/readyz')).json.reasons.join()).toContain(`cluster shop: ${why}`)
  })
  const { json } = await ask(banyan, 'GET', '/status')
  expect(json.cluster.problem).toContain(why)
  expect(json.instances.find(({ self }: { self: boolean }) => self)).toMatchObject({ state: 'not-following' })
  expect(await statusText(banyan)).toContain(`problem: cluster shop: ${why}`)
  await banyan.program.line((line) => line.includes('"event":"cluster"') && line.includes(why))
  expect(await inStep(banyan)).toBe('0')
  const refused = { status: 503, json: { type: 'urn:banyan:problem:cluster-unavailable' } }
  const edit = await setPercent(banyan, 'a', 99)
  expect(edit).toMatchObject(refused)
  expect(edit.json.detail).toContain(why)
  expect(await ask(banyan, 'POST', '/routes/a/ramp/start')).toMatchObject(refused)
}

/** Nothing is kept in Redis but that there are instances. */
async function isLeftEmpty(redis: RedisServer): Promise<void> {
  const kept = (await redis.command('KEYS', '*')).match(/banyan:\S+/g) ?? []
  expect(kept.filter((key) => !key.endsWith(':members'))).toEqual([])
}

/** It has joined by itself, and what it serves is the table of the cluster. */
async function joins(banyan: Banyan, shown: readonly number[]): Promise<void> {
  await soon(async () => expect(await percents(banyan)).toEqual(shown))
  await soon(async () => expect(await inStep(banyan)).toBe('1'))
  await banyan.program.line((line) => line.includes('in step with it again'))
  expect(await setPercent(banyan, 'c', 1)).toMatchObject({ status: 200 })
}

test('another secret, or none: it says so, and so do those that can not read it', async () => {
  const redis = await redisOf()
  const table = (await clusterTable()).replace('path: /a }, to: modern,', RAMP)
  const state = folder()
  const secret = ['--cluster-secret', 'a secret of the test']
  const one = await member(table, redis.url, secret, state)
  await setPercent(one, 'b', 10)
  const [wrong, bare] = await Promise.all([
    member(table, redis.url, ['--cluster-secret', 'another secret of the test']),
    member(table, redis.url),
  ])
  await isRefused(wrong, 'revision 2 in its Redis does not verify: it was sealed with another --cluster-secret')
  await isRefused(bare, 'revision 2 in its Redis does not verify: it was sealed with a --cluster-secret, and this')
  expect(await statusText(wrong)).toContain('cluster shop, not joined: this instance has a table of its own')
  await soon(async () => {
    expect(await statusText(one)).toContain(
      "2 instances of that name tell what can't be read here: another --cluster-s",
    )
  })
  expect((await ask(one, 'GET', '/status')).json).toMatchObject({ ready: true, cluster: { unreadable: 2 } })
  expect(await percents(one)).toEqual([0, 10, 0])
  // Even an empty Redis is not theirs to fill: there is a cluster that they can't read.
  await one.stop()
  await redis.command('FLUSHALL')
  await isRefused(wrong, 'its Redis has become empty, and the table there before was not that of this instance')
  await isLeftEmpty(redis)
  const again = await member(table, redis.url, secret, state)
  await soon(async () => expect(await setPercent(again, 'b', 20)).toMatchObject({ status: 200, instances: '1/1' }))
  expect(await percents(again)).toEqual([0, 20, 0])
  await isRefused(wrong, 'revision 3 in its Redis does not verify')
})

test('another secret with a later revision than Redis has: it neither replaces what it can not read, nor fills what was emptied', async () => {
  const redis = await redisOf()
  const table = (await clusterTable()).replace('path: /a }, to: modern,', RAMP)
  const [early, late] = [folder(), folder()]
  const secret = ['--cluster-secret', 'a secret of the test']
  const one = await member(table, redis.url, secret, early)
  const two = await member(table, redis.url, secret, late)
  await soon(async () => expect(await setPercent(one, 'b', 10)).toMatchObject({ status: 200, instances: '2/2' }))
  const { current } = (await ask(one, 'GET', '/revisions')).json
  await one.stop()
  await redis.command('SAVE')
  expect(await setPercent(two, 'b', 20)).toMatchObject({ status: 200 })
  await two.stop()
  await redis.kill()
  await redis.start()
  const wrong = await member(table, redis.url, ['--cluster-secret', 'another secret of the test'], late)
  await isRefused(
    wrong,
    `revision ${current} in its Redis does not verify: it was sealed with another --cluster-secret`,
  )
  await redis.command('FLUSHALL')
  await isRefused(wrong, 'its Redis has become empty, and the table there before was not that of this instance')
  await isLeftEmpty(redis)
  const again = await member(table, redis.url, secret, early)
  await soon(async () => expect(await setPercent(again, 'c', 5)).toMatchObject({ status: 200, instances: '1/1' }))
  expect(await percents(again)).toEqual([0, 10, 5])
})

test('a secret is replaced: all can be read with the new one alone, and whoever has been started with another is refused', async () => {
  const redis = await redisOf()
  const [state, table] = [folder(), await clusterTable()]
  const secret = (text: string): string[] => ['--cluster-secret', text]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(/127\.0\.0\.1:\d+/.exec(table)?.[0] as string)}`
  const drained = async (banyan: Banyan): Promise<boolean> => (await ask(banyan, 'GET', server)).json.drained
  const one = await member(table, redis.url, secret('an old secret of all'), state)
  expect(await setPercent(one, 'b', 10)).toMatchObject({ status: 200 })
  expect((await ask(one, 'POST', `${server}/drain`)).status).toBe(200)
  await one.stop()

  const stored = async (): Promise<string> =>
    `${await redis.command('HVALS', 'banyan:{shop}:revisions')}${await redis.command('HVALS', 'banyan:{shop}:records:servers')}`
  const seals = async (): Promise<readonly string[]> => (await stored()).match(/[0-9a-f]{64}\./g) ?? []
  const before = await seals()
  expect(before).toHaveLength(3)
  const both = await member(table, redis.url, secret('a new secret of all,an old secret of all'), state)
  await soon(async () => expect((await seals()).filter((seal) => before.includes(seal))).toEqual([]))
  await both.stop()

  const fresh = await member(table, redis.url, secret('a new secret of all'))
  await soon(async () => expect(await percents(fresh)).toEqual([0, 10, 0]))
  await soon(async () => expect(await drained(fresh)).toBe(true))
  expect((await ask(fresh, 'GET', '/revisions')).json.revisions).toHaveLength(2)
  // It has the newest revision itself, which tells nothing of its secret.
  const wrong = await member(table, redis.url, secret('not the secret of all'), state)
  await isRefused(wrong, 'revision 2 in its Redis does not verify: it was sealed with another --cluster-secret')
  expect(await setPercent(fresh, 'c', 1)).toMatchObject({ status: 200 })

  // A record that nobody can read does not keep anyone from writing another one.
  await redis.command('HSET', 'banyan:{shop}:records:servers', '0:3:all', '[7,1,"damaged",1]')
  expect((await ask(fresh, 'POST', `${server}/undrain`)).status).toBe(200)
  expect(await drained(fresh)).toBe(false)
})

test('a wrong password, and a user who may not do all that is needed', async () => {
  const redis = await redisOf()
  const table = (await clusterTable()).replace('path: /a }, to: modern,', RAMP)
  const one = await member(table, redis.url)
  await setPercent(one, 'b', 10)
  const user = (...rules: string[]): Promise<string> => redis.command('ACL', 'SETUSER', 'ann', 'reset', 'on', ...rules)
  await user('>other', '~*', '&*', '+@all')
  const two = await member(table, `redis://ann:secret@127.0.0.1:${redis.port}`)
  await isRefused(two, 'its Redis is not connected: WRONGPASS (wrong user or password)')
  const needed =
    '~banyan:{shop}:* &banyan:{shop}:* +@connection +@read +@write +@scripting +@pubsub +info +time +wait'.split(' ')
  const why = `redis says NOPERM (its user needs the rules ${needed.join(' ')})`
  // No channel: nobody would tell it anything.
  await user('>secret', '~*', '+@all')
  await isRefused(two, `its Redis is not connected: ${why}`)
  // A command in a script, which Redis 7.0 refuses in other words than later ones; and the scripts themselves.
  await user('>secret', ...needed, '-hget')
  await redis.command('CLIENT', 'KILL', 'USER', 'ann')
  await isRefused(two, why)
  await user('>secret', ...needed, '-eval')
  await isRefused(two, why)
  // What the message and the documentation ask for is enough.
  expect(readFileSync('docs/guides/instances.md', 'utf8')).toContain(needed.slice(2).join(' '))
  await user('>secret', ...needed)
  await joins(two, [0, 10, 0])
  expect(await ask(two, 'POST', '/routes/a/ramp/start')).toMatchObject({ status: 200, instances: '2/2' })
})

test.each([
  ['EVAL', ''],
  ['INFO', 'its Redis is not connected: '],
])('a server on which %s is switched off', async (command, before) => {
  const redis = await startRedis('--rename-command', command, '')
  left.push(() => redis.stop())
  const one = await member((await clusterTable()).replace('path: /a }, to: modern,', RAMP), redis.url)
  await isRefused(one, `${before}redis has no command ${command} (banyan needs it: is it renamed or disabled there?)`)
})

test('somebody without the secret says to have more than all instances: that is told, and they go on', async () => {
  const redis = await redisOf()
  const one = await member(await clusterTable(), redis.url, ['--cluster-secret', 'a secret of the test'])
  await setPercent(one, 'a', 10)
  await redis.command('HSET', 'banyan:{shop}:offers', 'forged', '.9 9')
  await redis.command('DEL', 'banyan:{shop}:table', 'banyan:{shop}:revisions')
  await one.program.line((line) =>
    line.includes(
      'cluster shop: the offer of forged in banyan:{shop}:offers does not verify: it has no MAC, and this instance has a --cluster-secret: give all instances the same one, or none; it is ignored',
    ),
  )
  await soon(async () => expect(await setPercent(one, 'a', 20)).toMatchObject({ status: 200, instances: '1/1' }))
  expect((await ask(one, 'GET', '/status')).json.cluster).toMatchObject({ epoch: 2, problem: null })
})

test('what a later release has written', async () => {
  const redis = await redisOf()
  const table = (await clusterTable()).replace('path: /a }, to: modern,', RAMP)
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  await setPercent(one, 'b', 10)
  const [key, at] = [
    'banyan:{shop}:revisions',
    (await redis.command('HGET', 'banyan:{shop}:table', 'at')).split('\r\n')[1],
  ]
  const text = (await redis.command('HGET', key, '2')).split('\r\n').slice(1).join('\r\n').trimEnd()
  const later = text.replace('"number":2', '"number":3').replace('"format":1', '"format":2')
  await redis.command('HSET', key, '3', `${later}\n`)
  await redis.command('HSET', 'banyan:{shop}:table', 'at', `${at}`.replace(/ 2 (\S+)$/, ' 3 $1'))
  await isRefused(two, 'revision 3 in its Redis does not verify: it is of a later release (format 2, here 1): upgrade')
  expect(await percents(two)).toEqual([0, 10, 0])
  await redis.command('HSET', 'banyan:{shop}:table', 'at', at as string)
  await joins(two, [0, 10, 0])
})

test('a Redis that may evict, from some time on', async () => {
  const redis = await redisOf()
  const table = (await clusterTable()).replace('path: /a }, to: modern,', RAMP)
  const one = await member(table, redis.url)
  await setPercent(one, 'b', 10)
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await isRefused(
    one,
    'its Redis may evict keys (maxmemory-policy allkeys-lru): name one with noeviction as --cluster-redis',
  )
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await joins(one, [0, 10, 0])
})
