/**
 * Encodes HTTP/2 field sections (HPACK, RFC 7541).
 */
import {
  DEFAULT_TABLE_BYTES,
  ENTRY_OVERHEAD,
  FIRST_DYNAMIC,
  hashOfName,
  STATIC_NAMES,
  STATIC_VALUES,
  staticIndexOf,
} from './hpack-tables.ts'
import { encodeHuffman, huffmanLength } from './huffman.ts'

/** Never put into a table, here or by later hops: others who share the connection could guess the values (section 7.1.3). */
const NEVER_INDEXED: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie'])

/** Fields whose values usually differ each time: put into the table only if they repeat. */
const CHANGING: ReadonlySet<string> = new Set([
  ...['age', 'content-length', 'content-location', 'content-range', 'date', 'etag', 'expires', 'if-modified-since'],
  ...['if-none-match', 'last-modified', 'link', 'location', 'referer', ':path'],
])

const isOf = (names: ReadonlySet<string>): readonly boolean[] => STATIC_NAMES.map((name) => names.has(name))
const STATIC_NEVER_INDEXED = isOf(NEVER_INDEXED)
const STATIC_CHANGING = isOf(CHANGING)

/** Larger fields would displace too many others. */
const MAX_ENTRY_BYTES = DEFAULT_TABLE_BYTES / 4

/** Size of the ring: each entry takes at least ENTRY_OVERHEAD bytes. */
const RING = DEFAULT_TABLE_BYTES / ENTRY_OVERHEAD
const BUCKETS = 64
const SEEN = 32

/** Offsets of the lists in an encoder's memory. */
const BY_NAME = 0
const BY_FIELD = BY_NAME + BUCKETS
const NEXT_OF_NAME = BY_FIELD + BUCKETS
const NEXT_OF_FIELD = NEXT_OF_NAME + RING
const RECENT = NEXT_OF_FIELD + RING
const MEMORY = RECENT + SEEN

/** Shorter strings are written byte by byte, which is faster than a native call. */
const SHORT = 24

/** The most that a literal takes besides name and value: its first octet, the index or length of its name, and the length of its value. */
const LITERAL_OVERHEAD = 11

/** Encodes the field sections that are sent on a connection. */
export class FieldEncoder {
  /** The table size now, the one last announced to the peer, and the smallest one since then. */
  #tableBytes = DEFAULT_TABLE_BYTES
  #told = DEFAULT_TABLE_BYTES
  #least = DEFAULT_TABLE_BYTES
  #usedBytes = 0
  /** Ring buffers by entry number; allocated for the first section. */
  #names: string[] = []
  #values: string[] = []
  /**
   * Entry numbers: the newest one by hash of name and by hash of field, and for each entry the previous one with the same hash;
   * then hashes of fields sent recently as literals.
   */
  #memory = new Int32Array(0)
  /** The number of the next entry, from 1, and how many entries the table has. */
  #next = 1
  #count = 0

  /**
   * Applies the peer's SETTINGS_HEADER_TABLE_SIZE; the next section begins with the size update. More than 4096 is never
   * used.
   */
  setMaxTableBytes(bytes: number): void {
    this.#tableBytes = Math.min(bytes, DEFAULT_TABLE_BYTES)
    this.#least = Math.min(this.#least, this.#tableBytes)
    this.#evict(this.#tableBytes)
  }

  /**
   * Writes a field section to `out` at `at`, in the given order.
   * @param fields name, value, name, value: Latin-1 strings, names in lower case
   * @returns where it ends; -1, without any change, if `out` may be too small: it must have room for all fields as literals
   *   (names, values and 11 bytes per field) and 6 bytes
   */
  encode(fields: readonly string[], out: Buffer, at: number): number {
    let most = at + 6 + (fields.length >> 1) * LITERAL_OVERHEAD
    for (let i = 0; i < fields.length; i++) most += (fields[i] as string).length
    if (most > out.length) return -1
    if (this.#memory.length === 0) {
      this.#memory = new Int32Array(MEMORY)
      this.#names = new Array(RING).fill('')
      this.#values = new Array(RING).fill('')
    }
    if (this.#least < this.#told || this.#tableBytes !== this.#told) at = this.#tellSize(out, at)
    for (let i = 0; i + 1 < fields.length; i += 2)
      at = this.#field(fields[i] as string, fields[i + 1] as string, out, at)
    return at
  }

  /** Size updates (section 4.2): the smallest size since the last section, and the current one. */
  #tellSize(out: Buffer, at: number): number {
    if (this.#least < this.#tableBytes) at = writeInteger(out, at, 0x20, 0x1f, this.#least)
    this.#told = this.#least = this.#tableBytes
    return writeInteger(out, at, 0x20, 0x1f, this.#tableBytes)
  }

  #field(name: string, value: string, out: Buffer, at: number): number {
    const nameHash = hashOfName(name)
    let index = staticIndexOf(name, nameHash)
    for (let i = index; i !== 0 && i < FIRST_DYNAMIC && STATIC_NAMES[i] === name; i++) {
      if (STATIC_VALUES[i] === value) return writeInteger(out, at, 0x80, 0x7f, i)
    }
    if (STATIC_NEVER_INDEXED[index]) return writeString(value, out, writeInteger(out, at, 0x10, 0x0f, index))
    const hash = hashOfField(nameHash, value)
    const entry = this.#find(BY_FIELD, NEXT_OF_FIELD, hash, name, value)
    if (entry !== 0) return writeInteger(out, at, 0x80, 0x7f, FIRST_DYNAMIC + this.#next - 1 - entry)

    const sameName = this.#find(BY_NAME, NEXT_OF_NAME, nameHash, name, null)
    if (index === 0 && sameName !== 0) index = FIRST_DYNAMIC + this.#next - 1 - sameName
    const bytes = name.length + value.length + ENTRY_OVERHEAD
    const worth = (sameName === 0 && !STATIC_CHANGING[index]) || this.#isRecent(thoroughHash(nameHash, value))
    if (!worth || bytes > MAX_ENTRY_BYTES || bytes > this.#tableBytes) {
      at = writeInteger(out, at, 0, 0x0f, index)
      if (index === 0) at = writeString(name, out, at)
      return writeString(value, out, at)
    }
    at = writeInteger(out, at, 0x40, 0x3f, index)
    if (index === 0) at = writeCoded(name, out, at)
    at = writeCoded(value, out, at)
    this.#add(name, nameHash, value, hash)
    return at
  }

  /** The newest entry with this name, and this value unless it is null; 0 for none. */
  #find(heads: number, nexts: number, hash: number, name: string, value: string | null): number {
    const memory = this.#memory
    const oldest = this.#next - this.#count
    let entry = memory[heads + (hash & (BUCKETS - 1))] as number
    while (entry >= oldest) {
      const slot = entry & (RING - 1)
      if ((value === null || this.#values[slot] === value) && this.#names[slot] === name) return entry
      entry = memory[nexts + slot] as number
    }
    return 0
  }

  /** Whether a field with this hash was seen recently; also remembers it. */
  #isRecent(hash: number): boolean {
    const at = RECENT + (hash & (SEEN - 1))
    const recent = this.#memory[at] === hash
    this.#memory[at] = hash
    return recent
  }

  #add(name: string, nameHash: number, value: string, hash: number): void {
    this.#evict(this.#tableBytes - name.length - value.length - ENTRY_OVERHEAD)
    const entry = this.#next++
    const slot = entry & (RING - 1)
    // Copies: the given strings may be slices, which would keep their whole parent strings in memory.
    this.#names[slot] = copyOf(name)
    this.#values[slot] = copyOf(value)
    this.#link(BY_NAME + (nameHash & (BUCKETS - 1)), NEXT_OF_NAME + slot, entry)
    this.#link(BY_FIELD + (hash & (BUCKETS - 1)), NEXT_OF_FIELD + slot, entry)
    this.#count++
    this.#usedBytes += name.length + value.length + ENTRY_OVERHEAD
  }

  #link(head: number, next: number, entry: number): void {
    this.#memory[next] = this.#memory[head] as number
    this.#memory[head] = entry
  }

  /** Evicts the oldest entries until the table takes no more than `bytes`. */
  #evict(bytes: number): void {
    while (this.#usedBytes > bytes) {
      const slot = (this.#next - this.#count) & (RING - 1)
      this.#usedBytes -= (this.#names[slot] as string).length + (this.#values[slot] as string).length + ENTRY_OVERHEAD
      this.#names[slot] = ''
      this.#values[slot] = ''
      this.#count--
    }
  }
}

/** A cheap hash of a field for lookups, over a few octets of its value; in a date, the last digit of the seconds is among them. */
function hashOfField(nameHash: number, value: string): number {
  const length = value.length
  let hash = nameHash ^ (length * 7)
  if (length === 0) return hash
  hash += value.charCodeAt(0) + value.charCodeAt(length >> 1) * 3 + value.charCodeAt(length - 1) * 5
  return length < 5 ? hash : hash + value.charCodeAt(length - 2) * 7 + value.charCodeAt(length - 5) * 13
}

/** A better hash of a field, over the last 64 octets of its value. */
function thoroughHash(nameHash: number, value: string): number {
  const length = value.length
  let hash = nameHash ^ length
  for (let i = Math.max(0, length - 64); i < length; i++) hash = (Math.imul(hash, 31) + value.charCodeAt(i)) | 0
  return hash ^ (hash >>> 15)
}

const copyOf = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/** Writes an integer with a prefix (section 5.1); `mask` is the bits of the first octet available to it. */
function writeInteger(out: Buffer, at: number, first: number, mask: number, value: number): number {
  if (value < mask) {
    out[at] = first | value
    return at + 1
  }
  out[at++] = first | mask
  value -= mask
  for (; value >= 0x80; value >>>= 7) out[at++] = 0x80 | (value & 0x7f)
  out[at] = value
  return at + 1
}

/** Writes a string uncoded: the Huffman code would save a fifth of the bytes, but takes several times as long. */
function writeString(text: string, out: Buffer, at: number): number {
  const length = text.length
  at = writeInteger(out, at, 0, 0x7f, length)
  if (length > SHORT) return at + out.write(text, at, length, 'latin1')
  for (let i = 0; i < length; i++) out[at++] = text.charCodeAt(i)
  return at
}

/** Writes a string, with the Huffman code if that is shorter. */
function writeCoded(text: string, out: Buffer, at: number): number {
  const length = huffmanLength(text)
  if (length >= text.length) return writeString(text, out, at)
  return encodeHuffman(text, out, writeInteger(out, at, 0x80, 0x7f, length))
}
