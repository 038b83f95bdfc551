/**
 * The set-ups of Redis that a URL may name beside one server: a Sentinel, through a failover, and a Cluster.
 */
import { expect, test } from 'vitest'
import { type Rig, statusOf } from './rig.ts'
import { clusterSetup, PATIENCE_MS, patiently, proxyOver, remoteOf, replicationOf, sentinelSetup } from './setups.ts'

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
  expect(await one.plane.cache.purge({ what: 'prefix', url: '/' }, false)).toMatchObject({ shared: true })
  await patiently(() => other.plane.cache.figures().generation > generation)
  await other.get(targets[0] as string)
  expect(other.legacy.requests).toBe(before + 1)
}

const targetsOf = (name: string) => Array.from({ length: 20 }, (_, i) => `/${name}/${i}`)

test('a Sentinel: its master, and the replica that takes over', { timeout: 2 * PATIENCE_MS }, async () => {
  const { master, replica, url } = await sentinelSetup()
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

test('a Cluster of three: keys lie on all of them', { timeout: 2 * PATIENCE_MS }, async () => {
  const { nodes, url } = await clusterSetup()
  const one = await proxyOver(url)
  const other = await proxyOver(url, one)
  await shares(one, other, targetsOf('spread'))
  const sizes = await Promise.all(nodes.map((node) => node.command('DBSIZE')))
  expect(sizes.every((size) => size !== ':0\r\n')).toBe(true)

  await nodes[2]!.kill()
  for (const target of targetsOf('without')) expect((await one.get(target)).status).toBe(200)
})
