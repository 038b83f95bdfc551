/**
 * The interface of the state that outlives a process and that several instances may share: records with compare-and-set, sums
 * that are added to, leases with a fencing token, and broadcast. `FolderStore` keeps it in a folder.
 */

/** One version of a value. */
export interface StateRecord {
  /** What it belongs to, such as a route; all records and sums of a group can be forgotten at once. */
  readonly group: string
  readonly key: string
  /** Counts up from 1 with each write. */
  readonly version: number
  /** JSON. Whoever reads it checks its shape: another release may have written it. */
  readonly value: string
  /** When it was written, epoch milliseconds. */
  readonly atMs: number
}

/** A record to be written, whatever stood there before. */
export type NewRecord = Pick<StateRecord, 'group' | 'key' | 'value'>

/** A record that is written, or with null removed. */
export type ChangedRecord = Pick<StateRecord, 'group' | 'key'> & { readonly value: string | null }

/** Counts of one hour. */
export interface Sum {
  readonly group: string
  readonly key: string
  /** Hours since the epoch. */
  readonly hour: number
  readonly counts: Readonly<Record<string, number>>
}

/** What a write depends on. */
export interface WriteTerms {
  /** The version that the record must have; 0: there must be none. Default: any. */
  readonly expected?: number
  /** The lease that the writer must still hold. */
  readonly fence?: Fence
}

/**
 * - `done`: written; `version` is the new one, 0 where the record was removed
 * - `changed`: it has another version, that of `record`
 * - `fenced`: the lease has another holder
 */
export type WriteOutcome =
  | { readonly kind: 'done'; readonly version: number }
  | { readonly kind: 'changed'; readonly record: StateRecord | null }
  | { readonly kind: 'fenced' }

/** A lease that was given. */
export interface HeldLease {
  readonly lease: string
  readonly holder: string
  /** Greater for each later holder: what an earlier one still writes is told by it, and refused. */
  readonly token: number
  /** When it ends unless it is renewed, in milliseconds from now. */
  readonly restMs: number
}

/** What tells whoever holds a lease from those who have held it before. */
export type Fence = Pick<HeldLease, 'lease' | 'token' | 'holder'>

/** A message that was told to all. */
export interface Message {
  /** From 1, without a hole. */
  readonly position: number
  readonly text: string
}

/** What there is behind a position. */
export interface Messages {
  readonly messages: readonly Message[]
  /** Messages in between are no longer kept: whoever follows must read the records anew. */
  readonly isGap: boolean
}

/** Bounds of a space; what is beyond them is removed with the next addition. */
export interface SpaceBounds {
  /** Newest records that are kept. */
  readonly records?: number
  /** Age of sums and records. */
  readonly hours?: number
}

/** What is added up. */
export interface TotalsTerms {
  readonly sinceHour: number
  /** Up to the hour before; without it, all that there is. */
  readonly untilHour?: number
  readonly group?: string
}

/** The store. All methods reject with a `StateError`. Spaces tell users of the store apart. */
export interface StateStore {
  /** What it is kept in: a folder, or what the instances of a cluster share. */
  readonly place: 'folder' | 'cluster'
  read(space: string, group: string, key: string): Promise<StateRecord | null>
  /** The records of a space, in the order of their times. */
  list(space: string): Promise<readonly StateRecord[]>
  /** Writes one record, or removes it. @param value JSON; null removes it */
  write(space: string, group: string, key: string, value: string | null, terms?: WriteTerms): Promise<WriteOutcome>
  /**
   * Adds to sums and writes or removes records: all of it, or nothing.
   * @param id of the addition: where it failed it may have been done all the same, and one with the same id counts once for ten minutes
   */
  add(
    space: string,
    sums: readonly Sum[],
    records?: readonly ChangedRecord[],
    bounds?: SpaceBounds,
    id?: string,
  ): Promise<void>
  /** The sums of a space, or of one group of it, from an hour on; the oldest first. */
  sums(space: string, sinceHour?: number, group?: string): Promise<readonly Sum[]>
  /** These sums added up, away from whoever serves: one for each group and key, with the first of its hours. */
  totals(space: string, terms: TotalsTerms): Promise<readonly Sum[]>
  /** Removes the sums and records of a group. */
  forget(space: string, group: string): Promise<void>
  /** Takes a lease, or renews one's own. @returns who holds it now, the holder or another one */
  acquire(lease: string, holder: string, ttlMs: number): Promise<HeldLease>
  /** Gives a lease back, where it is still held. */
  release(held: Fence): Promise<void>
  /** Tells a message to all that follow the topic. @returns its position */
  publish(topic: string, text: string): Promise<number>
  /** Position of the newest message of a topic; 0 where there is none. */
  position(topic: string): Promise<number>
  /** The messages behind a position. */
  messages(topic: string, after: number): Promise<Messages>
  /** Calls `listener` when there is a message of the topic; reading it is up to the listener. @returns what ends that */
  onMessage(topic: string, listener: () => void): () => void
  close(): Promise<void>
}

/**
 * Why the store could not do it.
 *
 * - `not-owner`: another instance owns the folder
 * - `locked`: another program has locked the file
 * - `full`, `read-only`: there is no space, or nothing may be written
 * - `denied`: the user may not do it
 * - `corrupt`: the file is damaged
 * - `newer`: a later release has written it
 * - `busy`: too much is waiting
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

/** Adds up sums of several hours, the oldest first: one for each group and key, with the first of its hours. */
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

/** The hour of a time, from the epoch on. @param ms epoch milliseconds */
export function hourOf(ms: number): number {
  return Math.floor(ms / HOUR_MS)
}
