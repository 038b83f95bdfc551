/**
 * What the instances of a cluster have in a real Redis, without the instances.
 */
import { onTestFinished } from 'vitest'
import { ClusterLog } from '../../src/state/redis/cluster-log.ts'
import { ClusterLink, type LinkOptions } from '../../src/state/redis/link.ts'
import { parseRedisUrl, type RedisAddress } from '../../src/state/redis/url.ts'

/** The link of an instance, which may not be connected yet. */
export function linkTo(cluster: string, url: string, options: Partial<LinkOptions> = {}): ClusterLink {
  return new ClusterLink(cluster, {
    address: parseRedisUrl(url) as RedisAddress,
    deadlineMs: 5_000,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onFull: () => {},
    ...options,
  })
}

/** The link of an instance that is connected. */
export async function connectedLink(
  cluster: string,
  url: string,
  options: Partial<LinkOptions> = {},
): Promise<ClusterLink> {
  let link!: ClusterLink
  await new Promise<void>((onReady) => {
    link = linkTo(cluster, url, { ...options, onReady })
  })
  return link
}

/** The log of an instance that is connected. */
export async function openedLog(url: string, ...secrets: string[]): Promise<ClusterLog> {
  const link = await connectedLink('shop', url, { secrets })
  onTestFinished(() => link.close())
  return new ClusterLog(link, { revisions: 10, bytes: 1e6 })
}
