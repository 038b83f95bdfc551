/**
 * What is kept of answers, and the memory that keeps it: bounded in bytes, least recently used first out.
 */
import { LRUCache } from 'lru-cache'
import type { StoredMeta } from '../../rules/caching/meta.ts'
import type { Content } from './content.ts'
import type { Position } from './log-order.ts'

/** A stored answer. */
export interface StoredAnswer {
  readonly kind: 'answer'
  readonly meta: StoredMeta
  readonly reason: string
  /** Name, value, name, value; Content-Length and Via among them, Age not. */
  readonly rawHeaders: readonly string[]
  readonly content: Content
  /** How far the shared log of purges had been read when the answer was asked for. */
  readonly position: Position
  /** Purges of this process that it has been compared with. */
  checked: number
  /** Epoch milliseconds: no refresh behind it before then. It is set when one has failed. */
  refreshAfterMs: number
  /** Its head as it is written to clients, once it has been; null before. */
  written: WrittenHead | null
}

/** The bytes of a stored head, Latin-1. */
export interface WrittenHead {
  /** The fields that it was made of: another array of them is another head. */
  readonly of: readonly string[]
  /** Null where the head is none that can be written as a text. */
  readonly text: string | null
}

/** What lies under a key whose answers differ by request fields (RFC 9111 section 4.1). */
export interface Variants {
  readonly kind: 'variants'
  /** The key that it lies under. */
  readonly key: string
  /** The fields that tell them apart, lower case, sorted. */
  readonly vary: readonly string[]
  /** Epoch milliseconds until which one of them may be of use. */
  readonly untilMs: number
}

export type CacheEntry = StoredAnswer | Variants

/** What an entry costs beside its texts and body: objects, map slots, list links. Measured on Node 26, rounded up. */
const ENTRY_OVERHEAD_BYTES = 1536

/** A store in this process's memory. */
export class MemoryStore {
  readonly #entries: LRUCache<string, CacheEntry>
  readonly maxBytes: number

  /** @param maxBytes bound of all entries together, keys and heads included */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
    this.#entries = new LRUCache<string, CacheEntry>({ maxSize: maxBytes, sizeCalculation: sizeOf })
  }

  /** Bytes of all entries together. */
  get bytes(): number {
    return this.#entries.calculatedSize
  }

  /** Number of entries. */
  get entries(): number {
    return this.#entries.size
  }

  get(key: string): CacheEntry | undefined {
    return this.#entries.get(key)
  }

  /** Keeps an entry; one that alone is larger than the memory is not kept. */
  set(key: string, entry: CacheEntry): void {
    this.#entries.set(key, entry)
  }

  /** All entries, without making use of any. */
  all(): Iterable<CacheEntry> {
    return this.#entries.values()
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }
}

function sizeOf(entry: CacheEntry, key: string): number {
  let bytes = ENTRY_OVERHEAD_BYTES + key.length
  if (entry.kind === 'variants') return bytes
  // Once as fields, and once as the text that hits are written with.
  for (const text of entry.rawHeaders) bytes += 2 * text.length + 2
  const { parts, selected } = entry.content.madeFor
  return bytes + parts.length + selected.length + entry.content.length
}
