/**
 * The service's own data as a source: the current generation of a data folder, followed as syncs replace it.
 *
 * It only reads, so any number of services may follow one folder. A lookup never waits for a switch: the next generation
 * is opened aside, and then one pointer changes between two lookups.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { GtinKey } from './gtin.ts'
import type { DataFacts, GtinSource, Product } from './source.ts'
import { type Current, currentPath, readCurrent } from './store/current.ts'
import { Generation } from './store/generation.ts'

/** How to follow a data folder. */
export interface StoreOptions {
  /** The data folder; it need not exist yet. */
  readonly folder: string
  /** Data older than this makes the service unready; null for no limit. */
  readonly staleAfterMs?: number | null
  /** How much of the data is kept in memory at most, in bytes, beside its index; 1 GiB by default. */
  readonly memoryBytes?: number
  /** How often to look for a new generation; 1,000 by default. */
  readonly pollMs?: number
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number
  /** Told of a generation that can't be opened, once per series; the one before it goes on serving. */
  readonly report?: (error: unknown) => void
}

/** The blocks of 18 million products take 0.8 GiB. */
export const DEFAULT_MEMORY_BYTES = 1_073_741_824

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

/** Lookups from a data folder. */
export class StoreSource implements GtinSource {
  readonly #options: StoreOptions
  #current: Current | null = null
  #generation: Generation | null = null
  #seen = ''
  #failing: string | null = null
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  #closed = false

  private constructor(options: StoreOptions) {
    this.#options = options
  }

  /**
   * Opens the folder's current generation, if there is one yet, and follows the folder from then on. What is wrong with
   * the folder shows in `trouble`, and lookups throw, until it is mended.
   */
  static async open(options: StoreOptions): Promise<StoreSource> {
    const source = new StoreSource(options)
    await source.look()
    source.#timer = setInterval(() => void source.look(), options.pollMs ?? 1_000).unref()
    return source
  }

  lookup(key: GtinKey): Product | null {
    if (this.#generation === null) throw new Error(this.#missing())
    return this.#generation.find(key)
  }

  trouble(): string | null {
    if (this.#current === null) return this.#missing()
    const { staleAfterMs } = this.#options
    const ageMs = this.#now() - this.#current.syncedAtMs
    if (staleAfterMs == null || ageMs <= staleAfterMs) return null
    return `stale: data as of ${this.#current.asOf} was synced ${spoken(ageMs)} ago, the limit is ${spoken(staleAfterMs)}`
  }

  facts(): DataFacts | null {
    if (this.#current === null) return null
    const { file, asOf, syncedAtMs, products, bytes } = this.#current
    return { generation: file, asOf, products, bytes, ageMs: Math.max(0, this.#now() - syncedAtMs) }
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#looking
    await this.#generation?.close()
    this.#generation = null
  }

  /** Looks once whether there is a new generation, and switches to it. Never rejects. */
  look(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#looking ??= this.#follow().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #follow(): Promise<void> {
    try {
      const seen = await this.#stampOf()
      if (seen === this.#seen) return
      const current = readCurrent(this.#options.folder)
      if (current !== null) await this.#switchTo(current)
      this.#seen = seen
      this.#failing = null
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (this.#failing !== why) this.#options.report?.(error)
      this.#failing = why
    }
  }

  async #switchTo(current: Current): Promise<void> {
    const path = join(this.#options.folder, current.file)
    const before = this.#generation
    if (before?.path !== path) {
      const next = await Generation.open(path, this.#options.memoryBytes ?? DEFAULT_MEMORY_BYTES)
      // Changed over when it comes from the page cache, but filled after that: so no lookup waits for the disk, and memory
      // holds one generation. A process that begins has nothing better to answer from meanwhile.
      if (before !== null) await next.warm().catch(() => {})
      this.#generation = next
      await before?.close()
      // What can't be read now is told by the lookups that need it.
      void next.fill().catch(() => {})
    }
    this.#current = current
  }

  /** Changes whenever `current.json` is replaced; empty where there is none. */
  async #stampOf(): Promise<string> {
    try {
      const { ino, mtimeMs, size } = await stat(currentPath(this.#options.folder))
      return `${ino} ${mtimeMs} ${size}`
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
      throw error
    }
  }

  #missing(): string {
    return this.#failing === null ? 'no data yet: run a sync' : `no data: ${this.#failing.replaceAll(/\s+/g, ' ')}`
  }

  #now(): number {
    return (this.#options.nowMs ?? Date.now)()
  }
}

/** A time in one unit: `3 days`, `25 hours`, `90 minutes`. */
function spoken(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`
  if (ms >= 2 * HOUR_MS) return `${Math.floor(ms / HOUR_MS)} hours`
  if (ms >= 120_000) return `${Math.floor(ms / 60_000)} minutes`
  return `${Math.floor(ms / 1_000)} seconds`
}
