/**
 * The port of a cache store, and the memory store: bounded in bytes, least recently used first out.
 */
import { LRUCache } from 'lru-cache'
import type { StoredMeta } from '../rules/cache-meta.ts'

/** A stored answer. */
export interface StoredAnswer {
  readonly meta: StoredMeta
  readonly reason: string
  /** Name, value, name, value. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

/** What lies under a key: an answer, or the request fields that tell the variants of one apart (RFC 9111 section 4.1). */
export type CacheEntry = StoredAnswer | { readonly vary: readonly string[] }

/** A place where answers are kept. It never throws: a store that can't answer answers nothing. */
export interface CacheStore {
  get(key: string): CacheEntry | undefined
  set(key: string, entry: CacheEntry): void
  delete(key: string): void
}

/** What an entry costs beside its texts and body: objects, map slots, list links. Measured on Node 26, rounded up. */
const ENTRY_OVERHEAD_BYTES = 1024

/** A store in this process's memory. */
export class MemoryStore implements CacheStore {
  readonly #entries: LRUCache<string, CacheEntry>

  /** @param maxBytes bound of all entries together, keys and heads included */
  constructor(maxBytes: number) {
    this.#entries = new LRUCache<string, CacheEntry>({ maxSize: maxBytes, sizeCalculation: sizeOf })
  }

  get bytes(): number {
    return this.#entries.calculatedSize
  }

  get(key: string): CacheEntry | undefined {
    return this.#entries.get(key)
  }

  set(key: string, entry: CacheEntry): void {
    this.#entries.set(key, entry)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}

function sizeOf(entry: CacheEntry, key: string): number {
  let bytes = ENTRY_OVERHEAD_BYTES + key.length
  if ('vary' in entry) return bytes
  for (const text of entry.rawHeaders) bytes += text.length
  return bytes + entry.body.length
}
