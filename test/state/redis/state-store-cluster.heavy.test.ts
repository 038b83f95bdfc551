/**
 * The state in a Redis Cluster of three masters: all keys of one script are at one of them.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import { RedisStateStore } from '../../../src/state/redis/state-store.ts'
import { clusterSetup } from '../../proxy/caching/setups.ts'
import { linkTo } from '../../support/cluster-log.ts'
import { describesStateStore, KEPT_MESSAGES } from '../store/contract.ts'

async function opened(url: string): Promise<RedisStateStore> {
  const store = new RedisStateStore(linkTo('of-the-test', url), KEPT_MESSAGES)
  // Where the nodes are is found out with the first commands.
  while ((await store.position('none').catch(() => null)) === null) await new Promise((turn) => setTimeout(turn, 20))
  return store
}

const ends: (() => Promise<void>)[] = []
let cluster: Awaited<ReturnType<typeof clusterSetup>>
beforeAll(async () => {
  cluster = await clusterSetup((end) => ends.push(end))
})
afterAll(async () => {
  for (const end of ends) await end()
})

describesStateStore(async () => {
  const { url, nodes } = cluster
  for (const node of nodes) expect(await node.command('FLUSHALL')).toBe('+OK\r\n')
  const [store, other] = await Promise.all([opened(url), opened(url)])
  return { store, other, close: async () => void (await Promise.all([store.close(), other.close()])) }
})
