/**
 * The set-ups of Redis that a URL may name beside one server: a Sentinel, through a failover, and a Cluster.
 */
import { expect, test } from 'vitest'
import { type Rig, statusOf } from './rig.ts'
import { clusterSetup, PATIENCE_MS, patiently, proxyOver, remoteOf, replicationOf, sentinelSetup } from './setups.ts'

/**
 * What one has stored the other has from Redis, and learns of purges. It may take a while: behind a failover connections come
 * and go, and what is written in between is not shared.
 */
async function shares(one: Rig, other: Rig, name: string): Promise<void> {
  let attempt = 0
  let shared: readonly string[] = []
  await patiently(async () => {
    await patiently(() => [one, other].every((rig) => remoteOf(rig).state === 'up'))
    const targets = Array.from({ length: 20 }, (_, i) => `/${name}-${attempt}/${i}`)
    attempt++
    const { writes } = remoteOf(one)
    for (const target of targets) expect((await one.get(target)).body.text).toBe(`of ${target}`)
    // Some may have gone to a server that is no more: then the next attempt counts.
    for (let look = 0; look < 100 && remoteOf(one).writes < writes + targets.length; look++) await soon()
    const before = other.legacy.requests
    const responses = await Promise.all(targets.map((target) => other.get(target)))
    expect(responses.map((response) => response.body.text)).toEqual(targets.map((target) => `of ${target}`))
    const isShared = responses.every((response) => statusOf(response)?.includes('hit'))
    expect(other.legacy.requests === before).toBe(isShared)
    shared = targets
    return isShared
  })
  const { generation } = other.plane.cache.figures()
  const before = other.legacy.requests
  await patiently(async () => (await one.plane.cache.purge({ what: 'prefix', url: '/' }, false)).shared)
  await patiently(() => other.plane.cache.figures().generation > generation)
  await other.get(shared[0] as string)
  expect(other.legacy.requests).toBe(before + 1)
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 20))

const targetsOf = (name: string) => Array.from({ length: 20 }, (_, i) => `/${name}/${i}`)

test('a Sentinel: its master, and the replica that takes over', { timeout: 2 * PATIENCE_MS }, async () => {
  const { master, replica, url } = await sentinelSetup()
  const one = await proxyOver(url)
  const other = await proxyOver(url, one)
  await shares(one, other, 'before')

  const { writes } = remoteOf(one)
  await master.kill()
  // Nobody is told that there is no Redis for a while.
  for (const target of targetsOf('between')) expect((await one.get(target)).status).toBe(200)
  await patiently(async () => (await replicationOf(replica)).includes('role:master'))
  await patiently(async () => {
    await one.get(`/probe/${Math.random()}`)
    return remoteOf(one).state === 'up' && remoteOf(one).writes > writes
  })
  await shares(one, other, 'after')
})

test('a Cluster of three: keys lie on all of them', { timeout: 2 * PATIENCE_MS }, async () => {
  const { nodes, url } = await clusterSetup()
  const one = await proxyOver(url)
  const other = await proxyOver(url, one)
  await shares(one, other, 'spread')
  const sizes = await Promise.all(nodes.map((node) => node.command('DBSIZE')))
  expect(sizes.every((size) => size !== ':0\r\n')).toBe(true)

  await nodes[2]!.kill()
  for (const target of targetsOf('without')) expect((await one.get(target)).status).toBe(200)
})
