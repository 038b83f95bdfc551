/**
 * The state in a folder, worked on by a thread of its own, which is started by the first call that needs it.
 */
import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { DatabaseBounds, StateDatabase } from './database.ts'
import {
  type ChangedRecord,
  type HeldLease,
  type Messages,
  type SpaceBounds,
  StateError,
  type StateFault,
  type StateRecord,
  type StateStore,
  type Sum,
  type TotalsTerms,
  type WriteOutcome,
  type WriteTerms,
} from './store.ts'

/** What the thread is asked for. */
export type DatabaseCalls = Omit<StateDatabase, 'close'>

/** What the thread is started with. */
export interface ThreadStart {
  readonly file: string
  readonly lockFile: string
  readonly bounds: Partial<DatabaseBounds>
  readonly lockPollMs: number
}

export interface Call {
  readonly id: number
  readonly name: keyof DatabaseCalls
  readonly args: readonly unknown[]
}

/** What the thread sends. */
export type Answer =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly fault: StateFault; readonly message: string }
  | { readonly kind: 'damage'; readonly message: string }
  | { readonly kind: 'locked' }

interface Asked {
  resolve(value: unknown): void
  reject(error: StateError): void
}

/** Calls that may wait for the disk. Nobody has so many under way unless it does not answer. */
const MAX_WAITING = 200

/** The thread is given so long to finish when it is closed. */
const CLOSE_MS = 5_000

/** Several times what the largest space holds. */
const MEMORY_MB = 256

/** How often it is tried to take a lock that another instance has. */
const LOCK_POLL_MS = 300

export interface FolderStoreOptions {
  readonly bounds?: Partial<DatabaseBounds>
  readonly lockPollMs?: number
  /** Called with what an operator should know, in one line. */
  onDamage?(message: string): void
}

/** The store. Neither it nor what waits for it keeps the process alive. */
export class FolderStore implements StateStore {
  readonly place = 'folder'
  readonly #folder: string
  readonly #options: FolderStoreOptions
  readonly #asked = new Map<number, Asked>()
  readonly #topics = new EventEmitter().setMaxListeners(0)
  /** Whether the folder is owned by another instance, or why it can't be used; null where it can. */
  readonly #obstacle: () => StateError | null
  #worker: Worker | null = null
  #nextId = 1
  #isClosed = false
  #onLocked: (() => void) | null = null
  /** The thread has the lock of the folder. */
  #holdsLock = false
  /** The thread that had the lock has ended. */
  onLockLost: () => void = () => {}

  /** @param obstacle why the folder must not be used at present, or null */
  constructor(folder: string, obstacle: () => StateError | null, options: FolderStoreOptions = {}) {
    this.#folder = folder
    this.#obstacle = obstacle
    this.#options = options
  }

  read(space: string, group: string, key: string): Promise<StateRecord | null> {
    return this.#ask('read', space, group, key)
  }

  list(space: string): Promise<readonly StateRecord[]> {
    return this.#ask('list', space)
  }

  write(
    space: string,
    group: string,
    key: string,
    value: string | null,
    terms: WriteTerms = {},
  ): Promise<WriteOutcome> {
    return this.#ask('write', space, group, key, value, terms)
  }

  add(
    space: string,
    sums: readonly Sum[],
    records: readonly ChangedRecord[] = [],
    bounds: SpaceBounds = {},
  ): Promise<void> {
    return this.#ask('add', space, sums, records, bounds)
  }

  sums(space: string, sinceHour = 0, group?: string): Promise<readonly Sum[]> {
    return this.#ask('sums', space, sinceHour, group)
  }

  totals(space: string, terms: TotalsTerms): Promise<readonly Sum[]> {
    return this.#ask('totals', space, terms)
  }

  forget(space: string, group: string): Promise<void> {
    return this.#ask('forget', space, group)
  }

  acquire(lease: string, holder: string, ttlMs: number): Promise<HeldLease> {
    return this.#ask('acquire', lease, holder, ttlMs)
  }

  release({ lease, token }: Pick<HeldLease, 'lease' | 'token'>): Promise<void> {
    return this.#ask('release', { lease, token })
  }

  async publish(topic: string, text: string): Promise<number> {
    const position = await this.#ask('publish', topic, text)
    this.#topics.emit(topic)
    return position
  }

  position(topic: string): Promise<number> {
    return this.#ask('position', topic)
  }

  messages(topic: string, after: number): Promise<Messages> {
    return this.#ask('messages', topic, after)
  }

  onMessage(topic: string, listener: () => void): () => void {
    this.#topics.on(topic, listener)
    return () => this.#topics.off(topic, listener)
  }

  /** Waits for the lock of the folder on the thread, which keeps it. */
  awaitLock(onLocked: () => void): void {
    this.#onLocked = onLocked
    this.#started().postMessage('await-lock')
  }

  /** Ends the thread when it has done what it was asked for, or after a few seconds. */
  async close(): Promise<void> {
    this.#isClosed = true
    const worker = this.#worker
    if (worker === null) return
    const ended = new Promise<void>((done) => worker.once('exit', () => done()))
    worker.postMessage('close')
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((done) => {
      timer = setTimeout(done, CLOSE_MS)
    })
    await Promise.race([ended, patience])
    clearTimeout(timer)
    this.#ended(worker, new StateError('closed', 'the state is closed'))
    await worker.terminate()
  }

  #ask<Name extends keyof DatabaseCalls>(
    name: Name,
    ...args: Parameters<DatabaseCalls[Name]>
  ): Promise<ReturnType<DatabaseCalls[Name]>> {
    const obstacle = this.#isClosed ? new StateError('closed', 'the state is closed') : this.#obstacle()
    if (obstacle !== null) return Promise.reject(obstacle)
    if (this.#asked.size >= MAX_WAITING) {
      return Promise.reject(new StateError('busy', `${this.#folder}: the disk does not answer`))
    }
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#started().postMessage({ id, name, args } satisfies Call)
    })
  }

  #started(): Worker {
    if (this.#worker !== null) return this.#worker
    // Compiled, the thread is a file of JavaScript beside this one.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
    const { bounds = {}, lockPollMs = LOCK_POLL_MS } = this.#options
    const worker = new Worker(new URL(`./store-thread${extension}`, import.meta.url), {
      workerData: {
        ...{ file: join(this.#folder, 'state.db'), lockFile: join(this.#folder, 'lock') },
        ...{ bounds, lockPollMs },
      } satisfies ThreadStart,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
      // What the process was started with (a module to preload, an inspector) is not for this thread.
      execArgv: [],
    })
    worker.on('message', (answer: Answer) => this.#hear(answer))
    worker.on('error', ({ message }: Error) => this.#ended(worker, new StateError('failed', message)))
    worker.on('exit', () => this.#ended(worker, new StateError('failed', 'the thread of the state has ended')))
    // Only now: a listener for messages holds the process again.
    worker.unref()
    this.#worker = worker
    return worker
  }

  #hear(answer: Answer): void {
    if (answer.kind === 'damage') this.#options.onDamage?.(answer.message)
    else if (answer.kind === 'locked') {
      this.#holdsLock = true
      this.#onLocked?.()
    } else {
      const asked = this.#asked.get(answer.id)
      this.#asked.delete(answer.id)
      if (answer.kind === 'done') asked?.resolve(answer.value)
      else asked?.reject(new StateError(answer.fault, answer.message))
    }
  }

  #ended(worker: Worker, error: StateError): void {
    if (worker !== this.#worker) return
    this.#worker = null
    for (const { reject } of this.#asked.values()) reject(error)
    this.#asked.clear()
    const lost = this.#holdsLock && !this.#isClosed
    this.#holdsLock = false
    if (lost) this.onLockLost()
  }
}
