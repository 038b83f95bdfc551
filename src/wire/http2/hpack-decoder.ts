/**
 * Decodes HTTP/2 field sections (HPACK, RFC 7541).
 */
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD, FIRST_DYNAMIC, STATIC_NAMES, STATIC_VALUES } from './hpack-tables.ts'
import { decodeHuffman } from './huffman.ts'

/** A field section that breaks RFC 7541. The connection must end with COMPRESSION_ERROR, because its table is out of step. */
export class CompressionError extends Error {
  override readonly name = 'CompressionError'
}

/** Upper bound for integers: nothing that they count can be as large. */
const MAX_INTEGER = 2 ** 28

/** Huffman-coded strings are decoded into this. Longer ones get memory of their own. */
const SCRATCH = Buffer.allocUnsafeSlow(16_384)

/** Decodes the field sections that one peer sends on a connection. */
export class FieldDecoder {
  readonly #maxTableBytes: number
  /** The table size that the peer has chosen. */
  #tableBytes: number
  /** The current size of the table. */
  #usedBytes = 0
  /** A ring buffer: entry number n has its name at 2 * (n & mask) and its value in the next place. Allocated for the first entry. */
  #ring: string[] = []
  readonly #mask: number
  /** The number of the next entry, and how many entries the table has. */
  #next = 0
  #count = 0
  /** The block being decoded, and the position in it. */
  #block: Buffer = SCRATCH
  #at = 0

  /** @param limits `maxTableBytes`: the SETTINGS_HEADER_TABLE_SIZE sent to the peer; less than 4096 only once the peer has acknowledged it */
  constructor(limits: { maxTableBytes: number }) {
    this.#maxTableBytes = limits.maxTableBytes
    this.#tableBytes = Math.min(limits.maxTableBytes, DEFAULT_TABLE_BYTES)
    this.#mask = 2 ** Math.ceil(Math.log2(Math.max(1, limits.maxTableBytes / ENTRY_OVERHEAD))) - 1
  }

  /**
   * Decodes a field section. A section over its limits is decoded to the end, to keep the table in step, but not returned.
   * @param block the whole section, as carried by HEADERS and its CONTINUATIONs
   * @param maxBytes how large the list may be, as SETTINGS_MAX_HEADER_LIST_SIZE counts: names, values, and 32 bytes a field
   * @param maxFields how many fields it may have
   * @returns name, value, name, value as Latin-1 strings; null if the list is over its limits
   * @throws CompressionError the block breaks RFC 7541; the decoder can't be used afterwards
   */
  decode(block: Buffer, maxBytes: number, maxFields: number): string[] | null {
    this.#block = block
    this.#at = 0
    try {
      return this.#section(maxBytes, maxFields)
    } finally {
      this.#block = SCRATCH
    }
  }

  #section(maxBytes: number, maxFields: number): string[] | null {
    const block = this.#block
    const end = block.length
    const maxStrings = 2 * maxFields
    let fields: string[] | null = []
    let left = maxBytes
    while (this.#at < end && ((block[this.#at] as number) & 0xe0) === 0x20) this.#resize(this.#integer(0x1f))
    while (this.#at < end) {
      const first = block[this.#at] as number
      let name: string | null
      let value: string | null
      if (first >= 0x80) {
        const index = this.#integer(0x7f)
        if (index > 0 && index < FIRST_DYNAMIC) {
          name = STATIC_NAMES[index] as string
          value = STATIC_VALUES[index] as string
        } else {
          const slot = this.#slot(index)
          name = this.#ring[slot] as string
          value = this.#ring[slot + 1] as string
        }
      } else {
        const indexed = first >= 0x40
        if (!indexed && first >= 0x20) throw new CompressionError('a size update after a field')
        const index = this.#integer(indexed ? 0x3f : 0x0f)
        // Longer strings fit neither the table nor the list.
        const longest = Math.max(left, this.#tableBytes)
        if (index === 0) name = this.#string(longest)
        else if (index < FIRST_DYNAMIC) name = STATIC_NAMES[index] as string
        else name = this.#ring[this.#slot(index)] as string
        value = this.#string(longest)
        if (indexed) this.#add(name, value)
      }
      if (fields === null) continue
      if (name !== null && value !== null) left -= name.length + value.length + ENTRY_OVERHEAD
      if (name === null || value === null || left < 0 || fields.length >= maxStrings) fields = null
      else fields.push(name, value)
      if (fields === null) left = 0
    }
    return fields
  }

  /** Reads an integer whose prefix is the bits of `mask` (section 5.1). */
  #integer(mask: number): number {
    const block = this.#block
    const prefix = (block[this.#at++] as number) & mask
    if (prefix < mask) return prefix
    let value = prefix
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at >= block.length) throw new CompressionError('the block ends within an integer')
      const octet = block[this.#at++] as number
      value += (octet & 0x7f) * 2 ** shift
      if (value >= MAX_INTEGER) break
      if (octet < 0x80) return value
    }
    throw new CompressionError('an integer is too large')
  }

  /**
   * Reads a string (section 5.2).
   * @returns null if it is longer than `longest`
   */
  #string(longest: number): string | null {
    const block = this.#block
    if (this.#at >= block.length) throw new CompressionError('the block ends before a string')
    const coded = (block[this.#at] as number) >= 0x80
    const length = this.#integer(0x7f)
    const start = this.#at
    const end = start + length
    if (end > block.length) throw new CompressionError('a string is longer than its block')
    this.#at = end
    if (!coded) return length > longest ? null : block.toString('latin1', start, end)
    // The shortest codes have 5 bits.
    const room = Math.min(Math.ceil(length * 1.6), longest)
    const into = room <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafeSlow(room)
    const octets = decodeHuffman(block, start, end, into)
    if (octets < 0) throw new CompressionError('a string is not valid Huffman code')
    return octets > longest ? null : into.toString('latin1', 0, octets)
  }

  /** Where in the ring the entry with an index is. */
  #slot(index: number): number {
    const age = index - FIRST_DYNAMIC
    if (age < 0 || age >= this.#count) throw new CompressionError(`index ${index} is not in the table`)
    return 2 * ((this.#next - 1 - age) & this.#mask)
  }

  /** Adds a field to the table (section 4.4); null stands for a string that is larger than the table. */
  #add(name: string | null, value: string | null): void {
    const bytes =
      name === null || value === null ? Number.POSITIVE_INFINITY : name.length + value.length + ENTRY_OVERHEAD
    this.#evict(this.#tableBytes - bytes)
    if (name === null || value === null || bytes > this.#tableBytes) return
    if (this.#ring.length === 0) this.#ring = new Array(2 * (this.#mask + 1)).fill('')
    const slot = 2 * (this.#next & this.#mask)
    this.#ring[slot] = name
    this.#ring[slot + 1] = value
    this.#next = (this.#next + 1) | 0
    this.#count++
    this.#usedBytes += bytes
  }

  #resize(bytes: number): void {
    if (bytes > this.#maxTableBytes) throw new CompressionError('a size update is above the limit')
    this.#tableBytes = bytes
    this.#evict(bytes)
  }

  /** Evicts the oldest entries until the table takes no more than `bytes`. */
  #evict(bytes: number): void {
    while (this.#usedBytes > bytes && this.#count > 0) {
      const slot = 2 * ((this.#next - this.#count) & this.#mask)
      this.#usedBytes -= (this.#ring[slot] as string).length + (this.#ring[slot + 1] as string).length + ENTRY_OVERHEAD
      this.#ring[slot] = ''
      this.#ring[slot + 1] = ''
      this.#count--
    }
  }
}
