/**
 * Positions in the history of a cluster: cluster id, an epoch that counts refills of Redis, revision number, and a nonce.
 */
import { randomBytes } from 'node:crypto'
import type { Position } from '../../state/redis/cluster-log.ts'
import { CLUSTER_FORMAT, type ClusterMark, type EpochStart, type RevisionRecord } from '../table/revision-record.ts'

/** The position of a revision; null if it is not of a cluster. */
export function positionOf({ number, cluster }: RevisionRecord): Position | null {
  return cluster === undefined ? null : { id: cluster.id, epoch: cluster.epoch, number, nonce: cluster.nonce }
}

/** A position as a string. */
export function identityOf({ id, epoch, number, nonce }: Position): string {
  return `${id} ${epoch} ${number} ${nonce}`
}

/** Of the epochs of a history so many are known: of revisions before them it is not known whether they belong to it. */
const MAX_EPOCHS = 20

/** The mark that makes a revision part of a cluster. @param before the mark of the previous revision; undefined founds a cluster */
export function markBehind(before: ClusterMark | undefined): ClusterMark {
  const { id, epoch } = before ?? { id: newId(), epoch: 1 }
  return { format: CLUSTER_FORMAT, id, epoch, nonce: newId(), epochs: epochsOf(before) }
}

/** The mark for filling an empty or outdated Redis. @param before the revision's previous mark @param epoch the new epoch */
export function markOfRefill(before: ClusterMark, epoch: number, number: number): ClusterMark {
  const epochs = [...epochsOf(before), [epoch, number] as const].slice(-MAX_EPOCHS)
  return { ...markBehind(before), epoch, refillOf: before.epoch, epochs }
}

/**
 * Whether a revision is one of those before another one. An instance may have some that are not: of an epoch in which Redis was filled
 * by one that had less, and of which the cluster has made others since.
 */
export function comesBefore({ number, cluster }: RevisionRecord, newest: RevisionRecord): boolean {
  const epochs = epochsOf(newest.cluster)
  const at = epochs.findIndex(([epoch]) => epoch === cluster?.epoch)
  const [own, next] = [epochs[at], epochs[at + 1]]
  if (own === undefined || cluster?.id !== newest.cluster?.id) return false
  return number >= own[1] && number < (next?.[1] ?? newest.number)
}

function epochsOf(mark: ClusterMark | undefined): readonly EpochStart[] {
  return mark?.epochs ?? [[mark?.epoch ?? 1, 1]]
}

function newId(): string {
  return randomBytes(8).toString('hex')
}

/** Whether a position is before another one of the same cluster. */
export function isBefore(one: Position, other: Position): boolean {
  return one.epoch === other.epoch ? one.number < other.number : one.epoch < other.epoch
}
