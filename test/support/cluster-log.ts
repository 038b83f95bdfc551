/**
 * What the instances of a cluster have in a real Redis, without the instances.
 */
import { onTestFinished } from 'vitest'
import { ClusterLog } from '../../src/state/redis/cluster-log.ts'
import { ClusterLink } from '../../src/state/redis/link.ts'
import { parseRedisUrl, type RedisAddress } from '../../src/state/redis/url.ts'

/** The log of an instance that is connected. */
export async function openedLog(url: string, ...secrets: string[]): Promise<ClusterLog> {
  let link!: ClusterLink
  await new Promise<void>((onReady) => {
    link = new ClusterLink('shop', {
      address: parseRedisUrl(url) as RedisAddress,
      deadlineMs: 5_000,
      chance: Math.random,
      now: () => performance.now(),
      onUnreadable: () => {},
      onFull: () => {},
      secrets,
      onReady,
    })
  })
  onTestFinished(() => link.close())
  return new ClusterLog(link, { revisions: 10, bytes: 1e6 })
}
