/**
 * The pods of deploy/kubernetes/ as processes, with the settings of their manifests: what needs no Kubernetes to be seen. The public Service
 * is a client that asks each pod; the kubelet is whoever swaps `..data`.
 */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { banyan } from '../cli/rig.ts'
import { folder, left, soon, undo } from '../cluster/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { textOf } from './project.ts'
import { containerOf, environmentOf, named, stackOf } from './stack.ts'

const stack = stackOf('deploy/kubernetes/overlays/blue')
const manifest = named(stack, 'Deployment', 'banyan-blue')
const settings = environmentOf(manifest)
const LOOKUP = '/stores/3/gtins/123456789012'

afterEach(undo)

/** The Redis of the cluster, with the flags of its container. @param data its volume */
async function clusterRedis(data: string): Promise<RedisServer> {
  const [, ...args] = containerOf(named(stack, 'Deployment', 'cluster-redis-blue')).args as string[]
  const redis = await startRedis(...args.map((one) => (one === '/data' ? data : one)))
  left.push(() => redis.stop())
  return redis
}

/** The ConfigMap of the table with servers of this machine, mounted as the kubelet does. */
async function mountedTable(): Promise<{ path: string; text: string; update(text: string): void }> {
  const answering = (text: string) =>
    scriptedUpstream((request) => request.send(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n${text}`))
  const [legacy, gtin] = await Promise.all([answering('old'), answering('new')])
  left.push(() => Promise.all([legacy.stop(), gtin.stop()]))
  const text = textOf('deploy/kubernetes/overlays/blue/routes.yaml')
    .replace('http://legacy:4001', `http://127.0.0.1:${legacy.port}`)
    .replace('http://gtin-blue:4002', `http://127.0.0.1:${gtin.port}`)
  const mount = folder()
  let version = 0
  const update = (next: string): void => {
    const data = `..version-${++version}`
    mkdirSync(join(mount, data))
    writeFileSync(join(mount, data, 'routes.yaml'), next)
    symlinkSync(data, join(mount, '..data_tmp'))
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
  }
  update(text)
  symlinkSync('..data/routes.yaml', join(mount, 'routes.yaml'))
  return { path: join(mount, 'routes.yaml'), text, update }
}

/** Starts a pod: all settings are those of its container, but for the addresses of this machine. */
async function startPod(table: string, redis: RedisServer): Promise<Banyan> {
  const pod = await startBanyan({
    table: '',
    args: ['--table', table, '--workers', settings.BANYAN_WORKERS as string, '--state', folder()],
    env: { ...settings, BANYAN_ADMIN: '127.0.0.1:0', BANYAN_CLUSTER_REDIS: redis.url },
    complains: true,
  })
  left.push(() => pod.stop())
  return pod
}

/** `banyan ...` through `kubectl port-forward` to a pod. */
async function command(pod: Banyan, ...args: string[]): Promise<string> {
  const env = { BANYAN_ADMIN: `127.0.0.1:${pod.adminPort}`, BANYAN_TOKEN: settings.BANYAN_ADMIN_TOKEN as string }
  const { code, out, err } = await banyan(args, { now: Date.now, env })
  if (code !== 0) throw new Error(err)
  return out
}

/** Which side a pod asks for a client. */
async function sideAt(pod: Banyan, client: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${pod.port}${LOOKUP}`, { headers: { 'x-client-id': client } })
  return await response.text()
}

const percentAt = async (pod: Banyan): Promise<number> =>
  (JSON.parse(await command(pod, 'routes', '--json')) as { routes: { percent: number }[] }).routes[0]!.percent

test('a percent that is set at one pod is live at all, stays when the ConfigMap changes and when Redis is replaced', async () => {
  const [volume, { path, text, update }] = [folder(), await mountedTable()]
  const redis = await clusterRedis(volume)
  const [one, two] = [await startPod(path, redis), await startPod(path, redis)]
  expect(await percentAt(two)).toBe(5)
  await command(one, 'set', 'gtin-lookup', '100', '--reason', 'seen enough')
  for (const pod of [one, two]) expect(await sideAt(pod, 'anyone')).toBe('new')
  // The next rollout brings a route. What is live stays.
  update(`${text}  - { id: more, match: { path: /more }, to: gtin, percent: 100 }\n`)
  await soon(async () => {
    for (const pod of [one, two]) expect(await command(pod, 'routes')).toContain('more')
  })
  for (const pod of [one, two]) expect(await percentAt(pod)).toBe(100)
  // Its pod is made anew, with the same volume.
  await redis.kill()
  await redis.start()
  await soon(async () => void (await command(two, 'set', 'gtin-lookup', '50', '--reason', 'Redis is back')))
  expect(await percentAt(one)).toBe(50)
  const { revisions } = JSON.parse(await command(one, 'revisions', '--json')) as {
    revisions: { revision: number; reason: string }[]
  }
  const { revision } = revisions.find(({ reason }) => reason === 'seen enough')!
  await command(one, 'restore', String(revision), '--yes', '--reason', 'as it was')
  for (const pod of [one, two]) expect(await percentAt(pod)).toBe(100)
  expect(await command(one, 'status')).toContain('banyan-blue')
})

test('a rollout under load: no request fails, and the new pod has the live percent, not that of its file', async () => {
  const { path } = await mountedTable()
  const redis = await clusterRedis(folder())
  const one = await startPod(path, redis)
  await command(one, 'set', 'gtin-lookup', '100', '--reason', 'seen enough')
  const load = startLoad(one.port, 4, () => ({ path: LOOKUP }))
  await load.more(50)
  const two = await startPod(path, redis)
  const [{ httpGet }] = [containerOf(manifest).readinessProbe as { httpGet: { path: string } }]
  await soon(async () => expect((await fetch(`http://127.0.0.1:${two.adminPort}${httpGet.path}`)).status).toBe(200))
  expect(await sideAt(two, 'anyone')).toBe('new')
  // Nodes go on sending to the old pod until its probe fails, then to the new one.
  const next = startLoad(two.port, 4, () => ({ path: LOOKUP }))
  const ended = one.stop()
  await soon(async () => expect((await fetch(`http://127.0.0.1:${one.adminPort}${httpGet.path}`)).status).toBe(503))
  await load.more(20)
  await load.stop()
  expect(await ended).toBe(0)
  await next.more(20)
  await next.stop()
  for (const { outcomes } of [load, next]) {
    expect(outcomes.filter(({ status }) => status !== 200)).toEqual([])
    expect(outcomes.at(-1)?.text).toBe('new')
  }
  await soon(async () => expect(await command(two, 'status')).not.toContain('missing'))
})
