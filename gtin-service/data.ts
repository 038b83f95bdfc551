/**
 * The data that lookups are answered from: the newest store of a folder, followed while syncs replace and change it.
 */
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { GtinKey } from './gtin.ts'
import type { Product } from './product.ts'
import { bytesOf, type Facts, newestStore, Store } from './store.ts'

/** Where products come from. The service knows nothing else about them. */
export type ProductSource = Pick<Data, 'find' | 'trouble' | 'facts' | 'close'>

export interface DataFacts extends Facts {
  /** The file in force; it changes with each full load. */
  readonly generation: string
  readonly bytes: number
  /** How long ago the data was read from the application it comes from. */
  readonly ageMs: number
  /** Products whose lookup failed since this file was opened. */
  readonly damaged: number
}

/** How to follow a data folder. */
export interface DataOptions {
  readonly folder: string
  /** Older data than this is trouble; null, the default, for no limit. */
  readonly staleAfterMs?: number | null
  /** How often to look for new data; 1,000 by default. */
  readonly pollMs?: number
  /** Told once of each store that can't be opened; the one before it goes on serving. */
  readonly report?: (error: unknown) => void
}

/** The file in the data folder that tells the next sync to replace a damaged store. */
export const DAMAGE_NOTE = 'damaged'

const PROBES = 3
/** So many are remembered, so that each is counted once. */
const MAX_DAMAGED = 1_000

export class Data {
  readonly #options: DataOptions
  readonly #timer: NodeJS.Timeout
  #store: Store | null = null
  #damaged = new Set<GtinKey>()
  #problem: string | null = null

  /** Opens the newest store, if there is one yet, and follows the folder from then on. */
  constructor(options: DataOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.look(), options.pollMs ?? 1_000).unref()
    this.look()
  }

  /** The product with this key, or null where there is none. A throw means "can't tell", never "none". */
  find(key: GtinKey): Product | null {
    if (this.#store === null) throw new Error(this.#missing())
    try {
      return this.#store.find(key)
    } catch (error) {
      this.#noteDamage(key, error)
      throw error
    }
  }

  /** Null while lookups can be answered, else the reason why not, in one line for the health answer. */
  trouble(): string | null {
    if (this.#store === null) return this.#missing()
    const limitMs = this.#options.staleAfterMs ?? Number.POSITIVE_INFINITY
    const facts = this.facts()
    if (facts !== null && facts.ageMs > limitMs) {
      return `stale: data as of ${facts.asOf} was synced ${hours(facts.ageMs)} ago, the limit is ${hours(limitMs)}`
    }
    // Some products may be damaged: where not one of several can be read, lookups can't be answered.
    let why = ''
    for (let i = 0; i < PROBES; i++) {
      try {
        this.#store.checkLength()
        this.#store.probe()
        return null
      } catch (error) {
        why = messageOf(error)
      }
    }
    return `the data can't be read: ${why}`
  }

  /** What is known of the data; null where there is none yet, or it can't be read. */
  facts(): DataFacts | null {
    if (this.#store === null) return null
    const { path } = this.#store
    try {
      const facts = this.#store.facts()
      const ageMs = Math.max(0, Date.now() - facts.syncedAtMs)
      return { ...facts, generation: basename(path), bytes: bytesOf(path), ageMs, damaged: this.#damaged.size }
    } catch {
      // Then nothing else can be read either, and `trouble` tells.
      return null
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#store?.close()
    this.#store = null
  }

  /** Looks for a newer store, and for changes of the one it has. Never throws. */
  look(): void {
    try {
      const path = newestStore(this.#options.folder)
      if (path !== null && path !== this.#store?.path) {
        const next = new Store(path)
        this.#store?.close()
        this.#store = next
        this.#damaged = new Set()
      } else this.#store?.refresh()
      this.#problem = null
    } catch (error) {
      const why = messageOf(error)
      if (this.#problem !== why) this.#options.report?.(error)
      this.#problem = why
    }
  }

  /** Leaves a note for the next sync, which then replaces the store as a whole. */
  #noteDamage(key: GtinKey, error: unknown): void {
    if (this.#damaged.has(key) || this.#damaged.size >= MAX_DAMAGED) return
    this.#damaged.add(key)
    try {
      writeFileSync(join(this.#options.folder, DAMAGE_NOTE), `${messageOf(error)}\n`)
    } catch {
      // A folder that can't be written: the log and the metrics tell.
    }
  }

  #missing(): string {
    return this.#problem === null ? 'no data yet: run a sync' : `no data: ${this.#problem}`
  }
}

function messageOf(error: unknown): string {
  return (error as Error).message.replaceAll(/\s+/g, ' ')
}

function hours(ms: number): string {
  return `${(ms / 3_600_000).toFixed(1)} h`
}
