/**
 * The port of a store that processes and instances share. It never throws and never lets anybody wait for long: a store
 * that can't answer answers nothing, and what it can't take is dropped.
 */
import type { Purge } from '../../rules/caching/purge.ts'
import type { PurgeLog } from './purges.ts'
import type { CacheEntry } from './store.ts'

/**
 * How a fill that others wait for has ended.
 *
 * - `stored`: its answer lies in the store
 * - `uncacheable`: it had one that can't be shared, nor can hardly the next one of such an asker
 * - `failed`: it had none for them, and says nothing about the next one
 * - `streaming`: it has one whose body is still coming; who waits does better to ask the upstream than to wait for its end
 */
export type FillOutcome = 'stored' | 'uncacheable' | 'failed' | 'streaming'

/** The right to fill a key, against all other processes. */
export interface FillLock {
  /** Gives it back and wakes those who wait. @param asker of an uncacheable response */
  release(outcome: FillOutcome, asker?: string): void
}

/** Somebody else's fill that is waited for. */
export interface FillWait {
  /** Resolves with the outcome, or with null after so many milliseconds. */
  within(ms: number): Promise<FillOutcome | null>
  /** Ends the waiting. */
  cancel(): void
}

/** Another process has the right to fill a key. */
export interface FillHeld {
  /** If it still fills it by then, it has said so: who waits asks again. Milliseconds. */
  readonly heldForMs: number
}

/** What a remote store has counted since the start of the process, and how it stands. */
export interface RemoteFigures {
  /** `up`; `degraded`: not reachable, its log of purges not read yet, or skipped by its breaker. */
  readonly state: 'up' | 'degraded'
  /** Why it is degraded, in a few words without addresses; null where it is up. */
  readonly why: string | null
  readonly breaker: 'closed' | 'open' | 'half-open'
  readonly hits: number
  readonly misses: number
  readonly writes: number
  /** Operations that had no reply within the deadline. */
  readonly timeouts: number
  /** Replies that were errors, such as those of a full memory, and connections that broke. */
  readonly errors: number
  /** Operations not begun: not connected, breaker open. */
  readonly skipped: number
  /** Writes not begun because too much was on its way already. */
  readonly dropped: number
  /** Values that were no entries of this version: corrupt, cut short, foreign, of another type. */
  readonly unreadable: number
  readonly reconnects: number
  /** Times the breaker opened. */
  readonly opened: number
}

/** What a process leaves for the next one: of its table, what stored answers depend on. */
export interface TableNote {
  /** As it is now. */
  readonly written: WrittenNote
  /**
   * The one that was left last is another one.
   * @param before its pieces; null where they are not known. What is untrue since is known to the purges on return
   */
  replaces(before: Iterable<string> | null): void
}

/** A note in pieces, so that an edit of few routes writes few of them. */
export interface WrittenNote {
  /** By their place, the same number of them for each note; '' for an empty one. Those that stay are the same strings. */
  readonly pieces: readonly string[]
  /** Equal for equal notes, whoever has written them. */
  readonly print: string
}

/** A store outside this process. */
export interface RemoteStore {
  /** Whether it is worth asking right now. */
  readonly usable: boolean
  get(key: string): Promise<CacheEntry | null>
  /**
   * Keeps an entry.
   * @param lastsMs how long it may be of use
   * @returns when it lies there, or won't
   */
  set(key: string, entry: CacheEntry, lastsMs: number): Promise<void>
  delete(key: string): void
  /** Takes the lock of a key, or says that another process has it. `unavailable`: locks can't be had. */
  lock(key: string): Promise<FillLock | FillHeld | 'unavailable'>
  /**
   * Waits for the fill of a key. To miss nothing, begin before asking for its lock.
   * @param asker equal for all to whom it matters that a response is uncacheable; for others the fill has failed
   */
  awaitFill(key: string, asker: string): FillWait
  /** Keeps this process's purges and the shared log the same from now on, and leaves a note. */
  follow(purges: PurgeLog, note: TableNote | null): void
  /** Reads the shared log to its end as it is now. */
  catchUp(): Promise<void>
  /**
   * Shares a purge, which `purges` knows already. What can't be shared now is when it can be.
   * @returns null where all others learn of it, whatever fails from now on; else why they may not yet
   */
  share(purge: Purge): Promise<string | null>
  figures(): RemoteFigures
  close(): Promise<void>
}
