/**
 * What a table says of stored answers, beside the log of purges: a process that starts finds what was in force before it, and
 * purges what an edit from that to its own table would have purged.
 */
import type { PurgeLog } from '../caching/purges.ts'
import type { TableNote, WrittenNote } from '../caching/remote.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { readFields, readInteger } from './replies.ts'

/** What it is made of. */
export interface TableRecordParts {
  readonly client: RedisClient
  readonly key: string
  readonly purges: PurgeLog
  readonly note: TableNote
}

/**
 * Writes the pieces of a note that are others than in the one that lies there. ARGV: the prints of that one, or '' to write over
 * whatever there is, and of the new one; then place and text of each piece, '' for one that is gone. Returns 1, or 0 where another
 * one lies there. Whoever has the same table may have written it already.
 */
const WRITE = `
if ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
else
  local print = redis.pcall('HGET', KEYS[1], 'print')
  if print == ARGV[2] then return 1 end
  if print ~= ARGV[1] then return 0 end
end
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i])
  else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[1], 'print', ARGV[2])
return 1
`

/** A note as the fields and values of a hash. */
export function fieldsOf({ pieces, print }: WrittenNote): string[] {
  return [...pieces.flatMap((text, at) => (text === '' ? [] : [String(at), text])), 'print', print]
}

/** The record, as one process reads and writes it. */
export class TableRecord {
  readonly #parts: TableRecordParts
  #compared = false
  /** What is known to lie there, or null. */
  #written: WrittenNote | null = null

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
    const found = await client.log((redis) => redis.hgetall(key), readFields)
    if (found instanceof Fault && !found.isOtherType) return false
    this.#compared = true
    const { print, ...pieces } = found instanceof Fault ? {} : found
    if (print === note.written.print) this.#written = note.written
    else note.replaces(print === undefined ? null : Object.values(pieces))
    return true
  }

  /** Writes what of it is another, or all where it was lost. To be called now and then, so that a Redis that is short of memory keeps it. */
  async write(): Promise<void> {
    const { client, key, note, purges } = this.#parts
    // A process that ends before others know what it has purged leaves the old one to the next.
    if (purges.unshared.size > 0) return
    const { written } = note
    const before = this.#written
    if (before?.print === written.print && (await client.log((redis) => redis.touch(key), readInteger)) !== 0) return
    const isChanged = before !== null && before.print !== written.print
    if (isChanged && (await this.#put(before, written))) this.#written = written
    else this.#written = (await this.#put(null, written)) ? written : null
  }

  /** @returns whether it lies there */
  async #put(before: WrittenNote | null, { pieces, print }: WrittenNote): Promise<boolean> {
    const { client, key } = this.#parts
    const changed = pieces.flatMap((text, at) => (text === (before?.pieces[at] ?? '') ? [] : [String(at), text]))
    const prints = [before?.print ?? '', print]
    return (await client.log((redis) => redis.eval(WRITE, 1, key, ...prints, ...changed), readInteger)) === 1
  }
}
