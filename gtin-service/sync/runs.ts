/**
 * Changes on disk, waiting to be merged: runs, each a file of entries in ascending order of key.
 *
 * Changes come in the feed's order. They are gathered in memory in batches, each batch is sorted and appended to the last
 * run where it goes on behind its end, and to a new run where it doesn't: a feed that is in order makes one run.
 *
 * An entry: u48 key, u8 what is to be done, u16 length of the record, the record (see store/codec.ts).
 */
import { closeSync, openSync, readSync } from 'node:fs'
import type { GtinKey } from '../gtin.ts'
import { ByteWriter } from '../store/bytes.ts'

/** What an entry is for: hold the product, hold it no longer, or leave it as it was. */
export const PUT = 0
export const REMOVE = 1
export const KEEP = 2
export type Action = typeof PUT | typeof REMOVE | typeof KEEP

const ENTRY_HEAD_BYTES = 9
const WINDOW_BYTES = 262_144
const HIGH = 2 ** 32

/** Changes in memory, in the order they came. */
export class Batch {
  readonly records = new ByteWriter(1_048_576)
  readonly #keys: number[] = []
  readonly #actions: Action[] = []
  readonly #ends: number[] = []

  get size(): number {
    return this.#keys.length
  }

  get bytes(): number {
    return this.records.length + this.size * ENTRY_HEAD_BYTES
  }

  /** Adds the change whose record has been written to the end of `records` (nothing, but for PUT). */
  add(key: GtinKey, action: Action): void {
    this.#keys.push(key)
    this.#actions.push(action)
    this.#ends.push(this.records.length)
  }

  /** Forgets all but the first `size` changes. */
  cutTo(size: number): void {
    this.#keys.length = size
    this.#actions.length = size
    this.#ends.length = size
    this.records.length = size === 0 ? 0 : (this.#ends[size - 1] as number)
  }

  /**
   * Moves the first `size` changes out, as entries in ascending order of key, one per key: the last to come, where KEEP
   * gives way to the others. `onDuplicate` is told the key of each PUT or REMOVE that another one has replaced.
   */
  takeSorted(size: number, onDuplicate: (key: GtinKey) => void): SortedEntries {
    const keys = this.#keys
    const order = Uint32Array.from({ length: size }, (_, i) => i)
    if (!isAscending(keys, size)) order.sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b)
    const out = new ByteWriter(this.bytes)
    let lastKey = -1
    for (let i = 0; i < size; ) {
      let chosen = order[i] as number
      const key = keys[chosen] as number
      for (i++; i < size && keys[order[i] as number] === key; i++) {
        const later = order[i] as number
        if (this.#actions[later] === KEEP) continue
        if (this.#actions[chosen] !== KEEP) onDuplicate(key)
        chosen = later
      }
      this.#writeEntry(out, chosen)
      lastKey = key
    }
    const firstKey = size === 0 ? -1 : (keys[order[0] as number] as number)
    this.#dropFirst(size)
    return { bytes: out.bytes.subarray(0, out.length), firstKey, lastKey }
  }

  #writeEntry(out: ByteWriter, at: number): void {
    const key = this.#keys[at] as number
    const start = at === 0 ? 0 : (this.#ends[at - 1] as number)
    const end = this.#ends[at] as number
    out.reserve(ENTRY_HEAD_BYTES)
    out.bytes.writeUInt32LE(key % HIGH, out.length)
    out.bytes.writeUInt16LE(Math.floor(key / HIGH), out.length + 4)
    out.bytes[out.length + 6] = this.#actions[at] as Action
    out.bytes.writeUInt16LE(end - start, out.length + 7)
    out.length += ENTRY_HEAD_BYTES
    out.copy(this.records.bytes, start, end)
  }

  #dropFirst(size: number): void {
    const cut = size === 0 ? 0 : (this.#ends[size - 1] as number)
    this.records.bytes.copyWithin(0, cut, this.records.length)
    this.records.length -= cut
    this.#keys.splice(0, size)
    this.#actions.splice(0, size)
    this.#ends.splice(0, size)
    for (let i = 0; i < this.#ends.length; i++) this.#ends[i] = (this.#ends[i] as number) - cut
  }
}

/** Entries in ascending order of key; -1 for the keys where there are none. */
export interface SortedEntries {
  readonly bytes: Buffer
  readonly firstKey: number
  readonly lastKey: number
}

function isAscending(keys: readonly number[], size: number): boolean {
  for (let i = 1; i < size; i++) if ((keys[i] as number) <= (keys[i - 1] as number)) return false
  return true
}

/** Walks over the entries of a run: `next`, then the entry's own members. */
export class RunCursor {
  /** The key of the entry; -1 before the first `next`, and Infinity behind the last entry. */
  key = -1
  action: Action = KEEP
  /** Where the entry's record stands. The bytes are valid until the next `next`. */
  bytes: Buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  start = 0
  end = 0
  readonly #fd: number
  readonly #length: number
  #place = 0
  #filled = 0

  /** Reads the first `length` bytes of the file. Throws node's system error. */
  constructor(path: string, length: number) {
    this.#fd = openSync(path, 'r')
    this.#length = length
  }

  /** Moves on to the next entry; false behind the last one. Throws node's system error, or an Error where the file is cut. */
  next(): boolean {
    if (!this.#has(this.end + ENTRY_HEAD_BYTES)) {
      this.key = Number.POSITIVE_INFINITY
      return false
    }
    const at = this.end
    const size = this.bytes.readUInt16LE(at + 7)
    // The window may move while it fills, and `end` with it.
    if (!this.#has(at + ENTRY_HEAD_BYTES + size)) throw new Error('a run ends inside an entry')
    const head = this.end
    this.key = this.bytes.readUInt16LE(head + 4) * HIGH + this.bytes.readUInt32LE(head)
    this.action = this.bytes[head + 6] as Action
    this.start = head + ENTRY_HEAD_BYTES
    this.end = this.start + size
    return true
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** Makes sure that the window holds the bytes up to `to`; moves what is left of it to the front where it must read on. */
  #has(to: number): boolean {
    if (to <= this.#filled) return true
    const needed = to - this.end
    this.bytes.copyWithin(0, this.end, this.#filled)
    this.#filled -= this.end
    this.end = 0
    while (this.#filled < needed) {
      const room = Math.min(this.bytes.length - this.#filled, this.#length - this.#place)
      const read = room === 0 ? 0 : readSync(this.#fd, this.bytes, this.#filled, room, this.#place)
      if (read === 0) return false
      this.#filled += read
      this.#place += read
    }
    return true
  }
}
