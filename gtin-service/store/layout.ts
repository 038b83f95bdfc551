/**
 * The file of a generation: blocks of records in ascending order of key, then an index of the blocks, the dictionary, and
 * a trailer that says where each begins. Written once from front to back, never changed.
 *
 * - head: HEAD_MAGIC
 * - block: u32 CRC-32 of the rest of the block; u16 count; per record u32 key minus the block's first key; per record u16
 *   where it ends, counted from the first record; the records (see codec.ts)
 * - index: per block f64 its first key; then per block f64 its place in the file, and f64 where the last one ends
 * - dictionary: lines as dictionary.ts writes them
 * - trailer: f64 places of index, dictionary and trailer; f64 products; u32 longest block; u32 CRC-32 of index, dictionary
 *   and the trailer's figures before it; TAIL_MAGIC
 *
 * All numbers are little-endian. Blocks are small, so that a lookup reads and checks little, and the index of 18 million
 * products still fits in some megabytes of memory.
 */

export const HEAD_MAGIC = Buffer.from('GTINGEN1')
export const TAIL_MAGIC = Buffer.from('GTINEND1')
export const TRAILER_BYTES = 48

/** A block is closed before it gets longer than this, unless one record alone is longer. */
export const BLOCK_BYTES = 2_048
/** What stands in front of the key differences: CRC and count. */
export const BLOCK_HEAD_BYTES = 6
/** Per record in front of the records: key difference and end. */
export const ENTRY_BYTES = 6
/** Keys of one block differ by less than this. */
export const MAX_KEY_SPAN = 2 ** 32

/** What the trailer says. */
export interface Trailer {
  readonly indexAt: number
  readonly dictionaryAt: number
  readonly trailerAt: number
  readonly products: number
  readonly longestBlock: number
  /** The bytes of the above. */
  readonly figures: Buffer
  /** CRC-32 of index, dictionary and figures. */
  readonly crc: number
}

/** Why a file can't be read: it is no generation, or it is damaged. */
export class DamagedGeneration extends Error {}
