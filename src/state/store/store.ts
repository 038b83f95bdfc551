/**
 * The interface of the persistent state store, which several instances may share: records with compare-and-set, sums, leases with
 * fencing tokens, and broadcast. `FolderStore` implements it in a folder.
 */

/** One version of a value. */
export interface StateRecord {
  /** What it belongs to, such as a route; all records and sums of a group can be removed at once. */
  readonly group: string
  readonly key: string
  /** Incremented from 1 with each write. */
  readonly version: number
  /** JSON. Readers must check its shape: another release may have written it. */
  readonly value: string
  /** When it was written, epoch milliseconds. */
  readonly atMs: number
}

/** A record to write unconditionally. */
export type NewRecord = Pick<StateRecord, 'group' | 'key' | 'value'>

/** A record to write, or with null to remove. */
export type ChangedRecord = Pick<StateRecord, 'group' | 'key'> & { readonly value: string | null }

/** Counts of one hour. */
export interface Sum {
  readonly group: string
  readonly key: string
  /** Hours since the epoch. */
  readonly hour: number
  readonly counts: Readonly<Record<string, number>>
}

/** Conditions of a write. */
export interface WriteTerms {
  /** The version that the record must have; 0: there must be none. Default: any. */
  readonly expected?: number
  /** The lease that the writer must still hold. */
  readonly fence?: Fence
}

/**
 * - `done`: written; `version` is the new one, 0 if the record was removed
 * - `changed`: the record has another version, which is in `record`
 * - `fenced`: the lease has another holder
 */
export type WriteOutcome =
  | { readonly kind: 'done'; readonly version: number }
  | { readonly kind: 'changed'; readonly record: StateRecord | null }
  | { readonly kind: 'fenced' }

/** A lease that was granted. */
export interface HeldLease {
  readonly lease: string
  readonly holder: string
  /** Fencing token, greater for each later holder: late writes of earlier holders are recognized by it and refused. */
  readonly token: number
  /** When it expires unless renewed, in milliseconds from now. */
  readonly restMs: number
}

/** Identifies the current holder of a lease, as opposed to earlier ones. */
export type Fence = Pick<HeldLease, 'lease' | 'token' | 'holder'>

/** A broadcast message. */
export interface Message {
  /** From 1, without gaps. */
  readonly position: number
  readonly text: string
}

/** The messages after a position. */
export interface Messages {
  readonly messages: readonly Message[]
  /** Some messages in between are no longer kept: followers must read the records again. */
  readonly isGap: boolean
}

/** Limits of a space; what exceeds them is removed with the next addition. */
export interface SpaceBounds {
  /** How many of the newest records are kept. */
  readonly records?: number
  /** Maximum age of sums and records. */
  readonly hours?: number
}

/** Which sums to add up. */
export interface TotalsTerms {
  readonly sinceHour: number
  /** Exclusive end; without it, no end. */
  readonly untilHour?: number
  readonly group?: string
}

/** The store. All methods reject with a `StateError`. Spaces separate the users of the store. */
export interface StateStore {
  /** Where it is stored: in a folder, or in the shared store of a cluster. */
  readonly place: 'folder' | 'cluster'
  read(space: string, group: string, key: string): Promise<StateRecord | null>
  /** The records of a space, ordered by time. */
  list(space: string): Promise<readonly StateRecord[]>
  /** Writes one record, or removes it. @param value JSON; null removes it */
  write(space: string, group: string, key: string, value: string | null, terms?: WriteTerms): Promise<WriteOutcome>
  /**
   * Adds to sums and writes or removes records, atomically.
   * @param id of the addition: one that has failed may have been applied all the same, so a retry with the same id within ten minutes
   *   counts once
   */
  add(
    space: string,
    sums: readonly Sum[],
    records?: readonly ChangedRecord[],
    bounds?: SpaceBounds,
    id?: string,
  ): Promise<void>
  /** The sums of a space, or of one group in it, from an hour on; oldest first. */
  sums(space: string, sinceHour?: number, group?: string): Promise<readonly Sum[]>
  /** These sums added up, off the main thread: one for each group and key, with its first hour. */
  totals(space: string, terms: TotalsTerms): Promise<readonly Sum[]>
  /** Removes the sums and records of a group. */
  forget(space: string, group: string): Promise<void>
  /** Takes a lease, or renews it for its holder. @returns the lease as it is now, possibly held by another holder */
  acquire(lease: string, holder: string, ttlMs: number): Promise<HeldLease>
  /** Releases a lease if it is still held. */
  release(held: Fence): Promise<void>
  /** Broadcasts a message to all followers of a topic. @returns its position */
  publish(topic: string, text: string): Promise<number>
  /** Position of the newest message of a topic; 0 for none. */
  position(topic: string): Promise<number>
  /** The messages after a position. */
  messages(topic: string, after: number): Promise<Messages>
  /** Calls `listener` when there is a message on the topic, which the listener has to read. @returns a function that removes it */
  onMessage(topic: string, listener: () => void): () => void
  close(): Promise<void>
}

/**
 * Why a store operation failed.
 *
 * - `not-owner`: another instance owns the folder
 * - `locked`: another program has locked the file
 * - `full`, `read-only`: no space is left, or writes are refused
 * - `denied`: the user lacks permission
 * - `corrupt`: the file is damaged
 * - `newer`: a later release has written it
 * - `busy`: too many operations are queued
 * - `closed`, `failed`: anything else
 */
export type StateFault =
  | 'not-owner'
  | 'locked'
  | 'full'
  | 'read-only'
  | 'denied'
  | 'corrupt'
  | 'newer'
  | 'busy'
  | 'closed'
  | 'failed'

/** A failure of the store; the message is for the operator. */
export class StateError extends Error {
  readonly fault: StateFault

  constructor(fault: StateFault, message: string) {
    super(message)
    this.fault = fault
  }
}

/** Adds up the sums of several hours, oldest first: one for each group and key, with its first hour. */
export class Totals {
  readonly #groups = new Map<string, Map<string, Sum & { readonly counts: Record<string, number> }>>()

  add({ group, key, hour, counts }: Sum): void {
    let keys = this.#groups.get(group)
    if (keys === undefined) {
      keys = new Map()
      this.#groups.set(group, keys)
    }
    const known = keys.get(key)
    if (known === undefined) keys.set(key, { group, key, hour, counts: { ...counts } })
    else for (const [name, count] of Object.entries(counts)) known.counts[name] = (known.counts[name] ?? 0) + count
  }

  get all(): Sum[] {
    return [...this.#groups.values()].flatMap((keys) => [...keys.values()])
  }
}

export const HOUR_MS = 3_600_000

/** Hours since the epoch. @param ms epoch milliseconds */
export function hourOf(ms: number): number {
  return Math.floor(ms / HOUR_MS)
}
