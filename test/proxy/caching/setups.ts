/**
 * Set-ups of Redis for tests: one server, a Sentinel over a master and its replica, a Cluster of three; and proxies over them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { findProgram } from '../../../scripts/need-tools.ts'
import { freePort } from '../../support/free-port.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'
import { type Rig, type RigOptions, reply, startRig } from './rig.ts'

export const FRESH = 'Cache-Control: max-age=60'
export const PATIENCE_MS = 120_000

/** A server that ends with the test. */
export async function redisOf(...options: string[]): Promise<RedisServer> {
  const server = await startRedis(...options)
  onTestFinished(() => server.stop())
  return server
}

/** A proxy over the Redis of a URL, before upstreams of its own or those of another proxy. @param deadlineMs for Redis to reply; `heard` gets what is said of it */
export async function proxyOver(
  url: string,
  upstreams?: Rig,
  { deadlineMs = 2000, heard = [], ...options }: RigOptions & { deadlineMs?: number; heard?: string[] } = {},
): Promise<Rig> {
  const store = storeAt(url, {
    // What is shown here is that it works, on a machine that may be busy.
    deadlineMs,
    onFull: () => heard.push('full'),
    onForeign: (message) => heard.push(message),
    onState: (up, why) => heard.push(up ? 'up' : (why ?? 'down')),
  })
  const shared = upstreams === undefined ? {} : { upstreams }
  const rig = await startRig({ remote: store, headers: '30s', ...options, ...shared })
  if (upstreams === undefined)
    rig.legacy.handler = (request) => request.send(reply(200, [FRESH], `of ${request.target}`))
  return rig
}

export const remoteOf = (rig: Rig) => rig.plane.cache.figures().remote!

/** Resolves when `holds` does; for what nothing tells of. */
export async function patiently(holds: () => boolean | Promise<boolean>): Promise<void> {
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
export async function replicationOf(server: RedisServer): Promise<string> {
  try {
    return await server.command('INFO', 'replication')
  } catch {
    return ''
  }
}

/** Resolves when both say that the one follows the other: the replica may say so first. */
export async function following(replica: RedisServer, master: RedisServer): Promise<void> {
  await patiently(async () => (await replicationOf(replica)).includes('master_link_status:up'))
  await patiently(async () => (await replicationOf(master)).includes('state=online'))
}

/** A master, its replica, and a Sentinel that has both in view. */
export interface SentinelSetup {
  readonly url: string
  readonly port: number
  readonly master: RedisServer
  readonly replica: RedisServer
}

/** Starts one. Its Sentinel takes a master for gone after half a second. @param options of the master */
export async function sentinelSetup(...options: string[]): Promise<SentinelSetup> {
  const master = await redisOf(...options)
  const replica = await redisOf('--replicaof', '127.0.0.1', String(master.port))
  await following(replica, master)
  const port = await startSentinel(master.port)
  return { url: `redis+sentinel://127.0.0.1:${port}/mymaster`, port, master, replica }
}

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

type AtEnd = (work: () => Promise<void>) => void

/** Nodes that know nothing of each other yet; `meet` tells one of the first. */
async function clusterNodes(
  count: number,
  atEnd: AtEnd,
  ...options: string[]
): Promise<{ readonly nodes: RedisServer[]; meet(node: RedisServer): Promise<string> }> {
  // By itself each would take the port 10,000 above its own, which need not be free, or be one.
  const buses = await Promise.all(Array.from({ length: count }, freePort))
  const start = async (bus: number): Promise<RedisServer> => {
    const server = await startRedis('--cluster-enabled', 'yes', '--cluster-port', String(bus), ...options)
    atEnd(() => server.stop())
    return server
  }
  const nodes = await Promise.all(buses.map(start))
  const [first] = nodes as [RedisServer]
  return {
    nodes,
    meet: (node) => node.command('CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(buses[0])),
  }
}

/** A Cluster of three masters, with its first two nodes in the URL. It ends with the test, or when `atEnd` says. */
export async function clusterSetup(
  atEnd: AtEnd = onTestFinished,
): Promise<{ readonly url: string; readonly nodes: readonly RedisServer[] }> {
  const { nodes, meet } = await clusterNodes(3, atEnd, '--cluster-require-full-coverage', 'no')
  const share = Math.ceil(16384 / nodes.length)
  for (const [i, node] of nodes.entries()) {
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(i * share), String(Math.min(16383, (i + 1) * share - 1)))
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
  }
  for (const node of nodes.slice(1)) await meet(node)
  await patiently(async () => {
    const said = await Promise.all(nodes.map((node) => node.command('CLUSTER', 'INFO')))
    return said.every((text) => text.includes('cluster_state:ok') && text.includes('cluster_slots_assigned:16384'))
  })
  const url = `redis+cluster://127.0.0.1:${nodes[0]!.port},127.0.0.1:${nodes[1]!.port}`
  return { url, nodes }
}

/** A Cluster of three masters and their replicas: a master's is three places behind it. A node that is gone is taken for that after a second. */
export async function replicatedClusterSetup(): Promise<{
  readonly url: string
  readonly nodes: readonly RedisServer[]
}> {
  const { nodes, meet } = await clusterNodes(6, onTestFinished, '--cluster-node-timeout', '1000')
  const masters = nodes.slice(0, 3)
  for (const [i, node] of nodes.entries()) {
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
    if (i > 0) await meet(node)
  }
  for (const [i, master] of masters.entries()) {
    const [first, last] = [i * SLOTS_EACH, Math.min(16_383, (i + 1) * SLOTS_EACH - 1)]
    await master.command('CLUSTER', 'ADDSLOTSRANGE', String(first), String(last))
  }
  const all = async (holds: (node: RedisServer) => Promise<boolean>): Promise<boolean> =>
    (await Promise.all(nodes.map(holds))).every(Boolean)
  await patiently(() => all(async (node) => /known_nodes:6\r/.test(await node.command('CLUSTER', 'INFO'))))
  for (const [i, master] of masters.entries()) {
    const id = (await master.command('CLUSTER', 'MYID')).split('\r\n')[1] as string
    const replica = nodes[i + masters.length] as RedisServer
    await patiently(async () => (await replica.command('CLUSTER', 'REPLICATE', id)).startsWith('+OK'))
    await following(replica, master)
  }
  await patiently(() => all(async (node) => (await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok')))
  return { url: `redis+cluster://${masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`, nodes }
}

/** Of the slots of a Cluster of three. */
const SLOTS_EACH = Math.ceil(16_384 / 3)

/** Which master of `replicatedClusterSetup` has a key. */
export async function masterOf(nodes: readonly RedisServer[], key: string): Promise<number> {
  return Math.floor(Number((await nodes[0]!.command('CLUSTER', 'KEYSLOT', key)).slice(1)) / SLOTS_EACH)
}

/** Moves the slot of a key to another master of a Cluster, with all that is in it, as `redis-cli --cluster reshard` does. @returns that master */
export async function moveSlot(masters: readonly RedisServer[], key: string): Promise<RedisServer> {
  const slot = (await masters[0]!.command('CLUSTER', 'KEYSLOT', key)).slice(1).trim()
  const counts = await Promise.all(masters.map((node) => node.command('CLUSTER', 'COUNTKEYSINSLOT', slot)))
  const at = counts.findIndex((count) => count !== ':0\r\n')
  const [from, to] = [masters[at], masters[(at + 1) % masters.length]] as [RedisServer, RedisServer]
  const [source, target] = await Promise.all(
    [from, to].map(async (node) => (await node.command('CLUSTER', 'MYID')).split('\r\n')[1] as string),
  )
  await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source!)
  await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target!)
  for (;;) {
    const reply = await from.command('CLUSTER', 'GETKEYSINSLOT', slot, '100')
    const keys = reply.split('\r\n').filter((line) => line.includes('{'))
    if (keys.length === 0) break
    await from.command('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys)
  }
  for (const node of [to, ...masters]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', target!)
  return to
}
