/**
 * The cache-related part of the table, stored beside the log of purges: a starting process finds the table that was in force before, and
 * purges what an edit from that one to its own would have purged.
 */
import type { PurgeLog } from '../caching/purges.ts'
import type { TableNote, WrittenNote } from '../caching/remote.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { readFields, readInteger } from './replies.ts'

/** Dependencies. */
export interface TableRecordParts {
  readonly client: RedisClient
  readonly key: string
  readonly purges: PurgeLog
  readonly note: TableNote
}

/**
 * Writes the pieces of a note that differ from the stored one. ARGV: the expected fingerprint of the stored note, or '' to overwrite
 * anything, and that of the new one; then position and text of each piece, '' to remove it. Returns 1, also if the new note is stored
 * already, or 0 if a different one is.
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
  /** The note known to be stored, or null. */
  #written: WrittenNote | null = null

  constructor(parts: TableRecordParts) {
    this.#parts = parts
  }

  /** After a reconnect, possibly to another server. */
  begin(): void {
    this.#written = null
  }

  /**
   * Compares the stored note with this process's table, once.
   * @returns whether that has been done: before, it is unknown which stored answers are still valid
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

  /** Writes what differs, or everything if it was lost. Call it periodically, so that a Redis short of memory doesn't evict it. */
  async write(): Promise<void> {
    const { client, key, note, purges } = this.#parts
    // If this process ends before the others know its purges, the next one must find the old note.
    if (purges.unshared.size > 0) return
    const { written } = note
    const before = this.#written
    if (before?.print === written.print && (await client.log((redis) => redis.touch(key), readInteger)) !== 0) return
    const isChanged = before !== null && before.print !== written.print
    if (isChanged && (await this.#put(before, written))) this.#written = written
    else this.#written = (await this.#put(null, written)) ? written : null
  }

  /** @returns whether it is stored now */
  async #put(before: WrittenNote | null, { pieces, print }: WrittenNote): Promise<boolean> {
    const { client, key } = this.#parts
    const changed = pieces.flatMap((text, at) => (text === (before?.pieces[at] ?? '') ? [] : [String(at), text]))
    const prints = [before?.print ?? '', print]
    return (await client.log((redis) => redis.eval(WRITE, 1, key, ...prints, ...changed), readInteger)) === 1
  }
}
