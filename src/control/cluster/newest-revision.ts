/**
 * The newest revision in the Redis of a cluster, for an instance that has nothing else to start with: its table file can't be used.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { ClusterLog } from '../../state/redis/cluster-log.ts'
import type { RecordedRevision } from '../table/revision-record.ts'
import { SharedRevisions } from './shared-revisions.ts'

const LOOK_MS = 50

/**
 * Reads it, and closes the connections.
 * @param patienceMs how long the connections are waited for
 * @throws {Error} if it can't be had, with a message for the operator
 */
export async function newestRevision(shared: ClusterLog, patienceMs: number): Promise<RecordedRevision> {
  const { link } = shared
  try {
    const untilMs = performance.now() + patienceMs
    while (!link.isConnected && performance.now() < untilMs) await wait(LOOK_MS)
    if (link.down !== null) throw new Error(link.down)
    const head = await shared.head(null)
    if (head === null) throw new Error('its Redis has no table')
    if (typeof head === 'string') throw new Error('what its Redis has there is no table, or one of a later release')
    return new SharedRevisions(shared).opened(head)
  } finally {
    await link.close()
  }
}
