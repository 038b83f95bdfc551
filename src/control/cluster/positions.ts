/**
 * Positions in the history of a cluster: its id, an epoch that counts the refills of Redis, the number of the revision, and a nonce.
 */
import { randomBytes } from 'node:crypto'
import type { Position } from '../../state/redis/cluster-log.ts'
import { CLUSTER_FORMAT, type ClusterMark, type RevisionRecord } from '../table/revision-record.ts'

/** The position of a revision; null for one of no cluster. */
export function positionOf({ number, cluster }: RevisionRecord): Position | null {
  return cluster === undefined ? null : { id: cluster.id, epoch: cluster.epoch, number, nonce: cluster.nonce }
}

/** A position as one text. */
export function identityOf({ id, epoch, number, nonce }: Position): string {
  return `${id} ${epoch} ${number} ${nonce}`
}

/** What makes a revision one of a cluster. */
export function markOf(id: string, epoch: number): ClusterMark {
  return { format: CLUSTER_FORMAT, id, epoch, nonce: newId() }
}

export function newId(): string {
  return randomBytes(8).toString('hex')
}

/** Whether a position comes before another one of the same cluster. */
export function isBefore(one: Position, other: Position): boolean {
  return one.epoch === other.epoch ? one.number < other.number : one.epoch < other.epoch
}
