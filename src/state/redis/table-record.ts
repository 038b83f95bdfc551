/**
 * What a table says of stored answers, beside the log of purges: a process that starts finds what was in force before it, and
 * purges what an edit from that to its own table would have purged.
 */
import type { PurgeLog } from '../caching/purges.ts'
import type { TableNote } from '../caching/remote.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { readInteger, readSet, readText } from './replies.ts'

/** What it is made of. */
export interface TableRecordParts {
  readonly client: RedisClient
  readonly key: string
  readonly purges: PurgeLog
  readonly note: TableNote
}

/** The record, as one process reads and writes it. */
export class TableRecord {
  readonly #parts: TableRecordParts
  #compared = false
  /** What is known to lie there, or null. */
  #written: string | null = null

  constructor(parts: TableRecordParts) {
    this.#parts = parts
  }

  /** After a new connection, which may lead to another server. */
  begin(): void {
    this.#written = null
  }

  /**
   * Compares it with this process's table, once.
   * @returns whether that has been done: before, nobody knows what of the stored answers is still of use
   */
  async compare(): Promise<boolean> {
    if (this.#compared) return true
    const { client, key, note } = this.#parts
    const found = await client.log((redis) => redis.get(key), readText)
    if (found instanceof Fault && !found.isOtherType) return false
    this.#compared = true
    const text = found instanceof Fault ? null : found.text
    if (text === note.text) this.#written = text
    else note.replaces(text)
    return true
  }

  /** Writes it where it is another one, or was lost. To be called now and then, so that a Redis that is short of memory keeps it. */
  async write(): Promise<void> {
    const { client, key, note, purges } = this.#parts
    const { text } = note
    // A process that ends before others know what it has purged leaves the old one to the next.
    if (purges.unshared.size > 0) return
    if (this.#written === text && (await client.log((redis) => redis.touch(key), readInteger)) !== 0) return
    const set = await client.log((redis) => redis.set(key, text), readSet)
    this.#written = set === 'OK' ? text : null
  }
}
