/**
 * The set-ups of Redis that a URL may name beside one server: a Sentinel, through a failover, and a Cluster.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../../../scripts/need-tools.ts'
import { RedisStore } from '../../../src/state/redis/store.ts'
import { parseRedisUrl, type RedisAddress } from '../../../src/state/redis/url.ts'
import { freePort, type RedisServer, startRedis } from '../../support/redis.ts'
import { type Rig, reply, startRig, statusOf } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'
const PATIENCE_MS = 60_000

async function redisOf(...options: string[]): Promise<RedisServer> {
  const server = await startRedis(...options)
  onTestFinished(() => server.stop())
  return server
}

/** A proxy over the Redis of a URL, before upstreams of its own or those of another proxy. */
async function proxyOver(url: string, upstreams?: Rig): Promise<Rig> {
  const store = new RedisStore({
    address: parseRedisUrl(url) as RedisAddress,
    prefix: 'banyan:',
    // What is shown here is that it works, on a machine that may be busy.
    deadlineMs: 2000,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onState: () => {},
  })
  onTestFinished(() => store.close())
  const rig = await startRig({ remote: store, headers: '30s', ...(upstreams === undefined ? {} : { upstreams }) })
  rig.legacy.handler = (request) => request.send(reply(200, [FRESH], `of ${request.target}`))
  return rig
}

const remoteOf = (rig: Rig) => rig.plane.cache.figures().remote!

async function patiently(holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + PATIENCE_MS
  while (!(await holds())) {
    if (Date.now() > untilMs) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/**
 * What a server says of its replication; '' where it cuts the connection instead: the Sentinel makes the one that it promotes
 * kill all connections of its clients (CLIENT KILL), and that of this test may be among them.
 */
async function replicationOf(server: RedisServer): Promise<string> {
  try {
    return await server.command('INFO', 'replication')
  } catch {
    return ''
  }
}

/** What one has stored the other has from Redis, and learns of purges. */
async function shares(one: Rig, other: Rig, targets: readonly string[]): Promise<void> {
  await patiently(() => [one, other].every((rig) => remoteOf(rig).state === 'up'))
  const { writes } = remoteOf(one)
  for (const target of targets) expect((await one.get(target)).body.text).toBe(`of ${target}`)
  await patiently(() => remoteOf(one).writes === writes + targets.length)
  const before = other.legacy.requests
  const responses = await Promise.all(targets.map((target) => other.get(target)))
  expect(responses.map((response) => response.body.text)).toEqual(targets.map((target) => `of ${target}`))
  expect(responses.every((response) => statusOf(response)?.includes('hit'))).toBe(true)
  expect(other.legacy.requests).toBe(before)
  const { generation } = other.plane.cache.figures()
  expect(await one.plane.cache.purge({ what: 'prefix', url: '/' }, false)).toEqual({ shared: true })
  await patiently(() => other.plane.cache.figures().generation > generation)
  await other.get(targets[0] as string)
  expect(other.legacy.requests).toBe(before + 1)
}

const targetsOf = (name: string) => Array.from({ length: 20 }, (_, i) => `/${name}/${i}`)

test('a Sentinel: its master, and the replica that takes over', { timeout: 2 * PATIENCE_MS }, async () => {
  const master = await redisOf()
  const replica = await redisOf('--replicaof', '127.0.0.1', String(master.port))
  await patiently(async () => (await replicationOf(replica)).includes('master_link_status:up'))
  const port = await startSentinel(master.port)
  const url = `redis+sentinel://127.0.0.1:${port}/mymaster`
  const one = await proxyOver(url)
  const other = await proxyOver(url, one)
  await shares(one, other, targetsOf('before'))

  const { writes } = remoteOf(one)
  await master.kill()
  // Nobody is told that there is no Redis for a while.
  for (const target of targetsOf('between')) expect((await one.get(target)).status).toBe(200)
  await patiently(async () => (await replicationOf(replica)).includes('role:master'))
  await patiently(async () => {
    await one.get(`/probe/${Math.random()}`)
    return remoteOf(one).state === 'up' && remoteOf(one).writes > writes
  })
  await shares(one, other, targetsOf('after'))
})

async function startSentinel(masterPort: number): Promise<number> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'banyan-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 2000',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const child = spawn(findProgram('redis-server') as string, [file, '--sentinel'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    rmSync(folder, { recursive: true, force: true })
  })
  // It knows of the replica, without which it has nobody to take over.
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      if (said.includes('+slave ')) resolve()
    })
    child.once('exit', () => reject(new Error(`the sentinel ended: ${said}`)))
  })
  return port
}

test('a Cluster of three: keys lie on all of them', { timeout: 2 * PATIENCE_MS }, async () => {
  const nodes = await Promise.all(
    Array.from({ length: 3 }, () => redisOf('--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no')),
  )
  const share = Math.ceil(16384 / nodes.length)
  for (const [i, node] of nodes.entries()) {
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(i * share), String(Math.min(16383, (i + 1) * share - 1)))
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
  }
  for (const node of nodes.slice(1)) await node.command('CLUSTER', 'MEET', '127.0.0.1', String(nodes[0]!.port))
  await patiently(async () => {
    const said = await Promise.all(nodes.map((node) => node.command('CLUSTER', 'INFO')))
    return said.every((text) => text.includes('cluster_state:ok') && text.includes('cluster_slots_assigned:16384'))
  })
  const url = `redis+cluster://127.0.0.1:${nodes[0]!.port},127.0.0.1:${nodes[1]!.port}`
  const one = await proxyOver(url)
  const other = await proxyOver(url, one)
  await shares(one, other, targetsOf('spread'))
  const sizes = await Promise.all(nodes.map((node) => node.command('DBSIZE')))
  expect(sizes.every((size) => size !== ':0\r\n')).toBe(true)

  await nodes[2]!.kill()
  for (const target of targetsOf('without')) expect((await one.get(target)).status).toBe(200)
})
