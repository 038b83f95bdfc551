/**
 * The state in a Redis Cluster of three masters: all keys of one script are at one of them.
 */

import { ClusterLink } from '../../../src/state/redis/link.ts'
import { RedisStateStore } from '../../../src/state/redis/state-store.ts'
import { parseRedisUrl, type RedisAddress } from '../../../src/state/redis/url.ts'
import { clusterSetup } from '../../proxy/caching/setups.ts'
import { describesStateStore, KEPT_MESSAGES } from '../store/contract.ts'

async function opened(url: string): Promise<RedisStateStore> {
  const link = new ClusterLink('of-the-test', {
    address: parseRedisUrl(url) as RedisAddress,
    deadlineMs: 5_000,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onFull: () => {},
  })
  const store = new RedisStateStore(link, KEPT_MESSAGES)
  // Where the nodes are is found out with the first commands.
  while ((await store.position('none').catch(() => null)) === null) await new Promise((turn) => setTimeout(turn, 20))
  return store
}

describesStateStore(async () => {
  const { url } = await clusterSetup()
  const [store, other] = await Promise.all([opened(url), opened(url)])
  return { store, other, close: async () => void (await Promise.all([store.close(), other.close()])) }
})
