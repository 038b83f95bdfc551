/**
 * Drained servers of a cluster whose Redis has lost the last change, while two instances change them.
 */
import { afterEach, expect, test } from 'vitest'
import { ClusterServers } from '../../src/control/fleet/shared-servers.ts'
import { ClusterLink } from '../../src/state/redis/link.ts'
import { RedisStateStore } from '../../src/state/redis/state-store.ts'
import { parseRedisUrl, type RedisAddress } from '../../src/state/redis/url.ts'
import { startRedis } from '../support/redis.ts'
import { left, undo } from './rig.ts'

afterEach(undo)

async function serversOf(
  url: string,
  lost: string[] = [],
): Promise<ClusterServers & { readonly store: RedisStateStore }> {
  let link!: ClusterLink
  await new Promise<void>((ready) => {
    link = new ClusterLink('shop', {
      ...{ address: parseRedisUrl(url) as RedisAddress, deadlineMs: 5_000, chance: Math.random },
      ...{ now: () => performance.now(), onUnreadable: () => {}, onFull: () => {}, onReady: ready },
    })
  })
  left.push(() => link.close())
  const store = new RedisStateStore(link)
  const onLost = (...words: string[]): number => lost.push(words.join(' '))
  return Object.assign(
    new ClusterServers({ store, link, file: null, table: { problem: null, settled: async () => {} }, onLost }),
    { store },
  )
}

test('all have one record, also where two have made a change of the same number', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const [one, two] = await Promise.all([serversOf(redis.url), serversOf(redis.url)])
  await one.setDrained('main', 'a', true)
  await two.look()
  const before = JSON.stringify(two.current)
  await one.setDrained('main', 'b', true)
  // A replica without the last change has taken over.
  await one.store.write('servers', '', 'all', before)
  await two.setDrained('main', 'c', true)
  expect(two.current.change).toBe(one.current.change)
  await one.look()
  expect(one.current).toEqual(two.current)
  expect(one.current.upstreams.main?.drained).toEqual(['a', 'c'])
  // Whoever has more than Redis fills it.
  await one.store.write('servers', '', 'all', before)
  await two.look()
  await one.look()
  expect(JSON.parse((await one.store.read('servers', '', 'all'))?.value ?? '')).toEqual(two.current)
})

test('what is lost of a change is told, by whoever has made it, also where it changes servers itself next', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const lost: [string[], string[]] = [[], []]
  const [one, two] = await Promise.all([serversOf(redis.url, lost[0]), serversOf(redis.url, lost[1])])
  const server = { id: 'leased', url: 'http://127.0.0.1:1', weight: 1 }
  const rounds: [() => Promise<unknown>, string][] = [
    [() => one.setDrained('main', 'a', true), 'main a was drained, and is not any more'],
    [() => one.setDrained('main', 'kept', false), 'main kept was undrained, and is drained again'],
    [() => one.register('main', server, 60_000), 'main leased was leased, and is not any more'],
  ]
  await one.setDrained('main', 'kept', true)
  for (const [n, [change, told]] of rounds.entries()) {
    await two.look()
    const before = JSON.stringify(two.current)
    await change()
    // A replica without the last change has taken over.
    await one.store.write('servers', '', 'all', before)
    await two.setDrained('main', `other${n}`, true)
    if (n === 1) await one.setDrained('main', 'next', true)
    else await one.look()
    expect(lost[0]).toEqual([told])
    lost[0].length = 0
  }
  expect(lost[1]).toEqual([])
})
