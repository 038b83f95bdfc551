/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
 */

/** The length in bits of each octet's code, and last of EOS. The code is canonical, so the lengths define it. */
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
]

const EOS = 256

/** The code of each octet, right-aligned, and how many bits it has. */
const CODE = new Uint32Array(257)
const BITS = Uint8Array.from(LENGTHS)

/** All octets in the order of their codes; then for each code length: the first code, its place in SORTED, and the number of codes. */
const SORTED = new Uint16Array(257)
const FIRST_CODE = new Uint32Array(31)
const FIRST_AT = new Uint16Array(31)
const COUNT = new Uint16Array(31)

/** How many bits are looked up at once: nearly all octets in fields have codes of at most this length. */
const PEEK = 10
const PEEK_MASK = (1 << PEEK) - 1

/** For the next PEEK bits: the octet whose code they begin with, and above it the length of that code; 0 if the code is longer. */
const SHORT = new Uint16Array(1 << PEEK)

for (let length = 5, code = 0, at = 0; length <= 30; length++, code <<= 1) {
  FIRST_CODE[length] = code
  FIRST_AT[length] = at
  for (let octet = 0; octet <= EOS; octet++) {
    if (LENGTHS[octet] !== length) continue
    if (length <= PEEK) SHORT.fill((length << 8) | octet, code << (PEEK - length), (code + 1) << (PEEK - length))
    CODE[octet] = code++
    SORTED[at++] = octet
    COUNT[length] = (COUNT[length] as number) + 1
  }
}

/**
 * Decodes a string.
 * @param from holds it between `start` and `end`
 * @param into takes the octets, as many as it has room for
 * @returns how many octets the string has; -1 if it is not valid: EOS in it, or padding that is
 *   longer than 7 bits or has a 0
 */
export function decodeHuffman(from: Uint8Array, start: number, end: number, into: Uint8Array): number {
  const room = into.length
  let length = 0
  let at = start
  // The last `bits` bits of `held` have been read but not decoded yet; the bits above them are stale.
  let held = 0
  let bits = 0
  for (;;) {
    if (bits < PEEK) {
      if (at + 1 < end) {
        held = (held << 16) | ((from[at] as number) << 8) | (from[at + 1] as number)
        bits += 16
        at += 2
      } else if (at < end) {
        held = (held << 8) | (from[at++] as number)
        bits += 8
      }
    }
    // Pad the end with ones. They can't form a code: only EOS has so many.
    const next =
      bits >= PEEK ? (held >>> (bits - PEEK)) & PEEK_MASK : ((held << (PEEK - bits)) | (PEEK_MASK >>> bits)) & PEEK_MASK
    const found = SHORT[next] as number
    if (found !== 0) {
      bits -= found >>> 8
      if (bits < 0) return -1
      if (length < room) into[length] = found & 0xff
      length++
    } else if (bits < PEEK && at >= end) {
      return bits < 8 && next === PEEK_MASK ? length : -1
    } else {
      const code = longCode(from, at * 8 - bits, end * 8)
      if (code === -1) return -1
      if (length < room) into[length] = SORTED[code] as number
      length++
      // Continues after the code, mostly in the middle of an octet.
      const behind = at * 8 - bits + (BITS[SORTED[code] as number] as number)
      at = (behind + 7) >>> 3
      bits = at * 8 - behind
      held = from[at - 1] as number
    }
  }
}

/** The place in SORTED of the octet whose code begins at a bit; -1 if it is EOS, or ends after `endBit`. */
function longCode(from: Uint8Array, bit: number, endBit: number): number {
  let code = 0
  for (let length = 1; bit < endBit && length <= 30; length++, bit++) {
    code = (code << 1) | (((from[bit >>> 3] as number) >>> (7 - (bit & 7))) & 1)
    const nth = code - (FIRST_CODE[length] as number)
    if (nth >= 0 && nth < (COUNT[length] as number)) {
      const at = (FIRST_AT[length] as number) + nth
      return SORTED[at] === EOS ? -1 : at
    }
  }
  return -1
}

/** How many octets a Latin-1 string takes in this code. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let i = 0; i < text.length; i++) bits += BITS[text.charCodeAt(i) & 0xff] as number
  return (bits + 7) >>> 3
}

/**
 * Encodes a Latin-1 string at `at`; there must be room for `huffmanLength` octets.
 * @returns where it ends
 */
export function encodeHuffman(text: string, into: Uint8Array, at: number): number {
  let held = 0
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const octet = text.charCodeAt(i) & 0xff
    const code = CODE[octet] as number
    let length = BITS[octet] as number
    // At most 7 bits are held, so 24 more fit into 31; longer codes are added in two parts.
    if (length > 24) {
      length -= 16
      held = (held << length) | (code >>> 16)
      bits += length
      while (bits >= 8) into[at++] = held >>> (bits -= 8)
      held = (held << 16) | (code & 0xffff)
      bits += 16
    } else {
      held = (held << length) | code
      bits += length
    }
    while (bits >= 8) into[at++] = held >>> (bits -= 8)
  }
  if (bits > 0) into[at++] = (held << (8 - bits)) | (0xff >>> bits)
  return at
}
