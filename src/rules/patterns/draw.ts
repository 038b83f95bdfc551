/**
 * The draw: hashes salt and key to a position in [0, 100), the same in every process; 0 and 100 percent are exact.
 */
import { percentUnits } from '../values/units.ts'

const TWO_32 = 2 ** 32
/** Between what is hashed together. */
export const SEPARATOR = '\x1f'
const utf8 = new TextEncoder()

/** The 32-bit hash that a unit is drawn on: murmur3 of salt, the unit separator and key. A whole number in [0, 2^32). */
export function hashOf(salt: string, key: string): number {
  return murmur3(salt + SEPARATOR + key)
}

/** A hash's place in [0, 100). */
export function bucketOf(hash: number): number {
  return (hash / TWO_32) * 100
}

/** floor(percent / 100 * 2^32), exact for every percent with up to 4 decimals; 2^32 at 100, above every hash. */
export function thresholdOf(percent: number): number {
  // 10^6 ten-thousandths times 2^32 stays below 2^53, so the product and the remainder are exact.
  const product = percentUnits(percent) * TWO_32
  return (product - (product % 1_000_000)) / 1_000_000
}

/** Whether a hash lies in the share below a threshold. */
export function inShare(hash: number, threshold: number): boolean {
  return hash < threshold
}

/**
 * MurmurHash3_x86_32 with seed 0 over the UTF-8 bytes of `text`; a lone surrogate counts as U+FFFD.
 * Returns a whole number in [0, 2^32). ASCII texts are hashed in place, without a byte array.
 */
export function murmur3(text: string): number {
  const length = text.length
  const aligned = length & ~3
  let hash = 0
  for (let i = 0; i < aligned; i += 4) {
    const a = text.charCodeAt(i)
    const b = text.charCodeAt(i + 1)
    const c = text.charCodeAt(i + 2)
    const d = text.charCodeAt(i + 3)
    if ((a | b | c | d) > 0x7f) return murmur3Bytes(utf8.encode(text))
    hash = mixBlock(hash, a | (b << 8) | (c << 16) | (d << 24))
  }
  let tail = 0
  for (let i = length - 1; i >= aligned; i--) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) return murmur3Bytes(utf8.encode(text))
    tail = (tail << 8) | unit
  }
  return finish(hash, tail, length)
}

function murmur3Bytes(bytes: Uint8Array): number {
  const length = bytes.length
  const aligned = length & ~3
  let hash = 0
  for (let i = 0; i < aligned; i += 4) {
    const block =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    hash = mixBlock(hash, block)
  }
  let tail = 0
  for (let i = length - 1; i >= aligned; i--) tail = (tail << 8) | (bytes[i] as number)
  return finish(hash, tail, length)
}

function mixBlock(hash: number, block: number): number {
  const mixed = hash ^ scramble(block)
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0
}

function scramble(block: number): number {
  const k = Math.imul(block, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}

/** Mixes the last 0 to 3 bytes and the length in. An empty tail is 0, and 0 scrambles to 0. */
function finish(hash: number, tail: number, length: number): number {
  let h = hash ^ scramble(tail) ^ length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
