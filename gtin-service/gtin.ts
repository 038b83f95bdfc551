/**
 * GTINs per the GS1 General Specifications: read what a person typed, compare by one key, write the customary form.
 *
 * A GTIN-8, -12, -13 and -14 are one number space: stored in a field of 14 digits, right-justified, with zeros in front
 * (section 3.3, AI 01). Zeros in front never change the check digit (section 7.9), so the integer value of the 14 digits
 * is the key of the trade item, whatever the length it was written in.
 *
 * Three cases that look alike and are not:
 * - A GTIN-14 that begins with 1 to 8 (the indicator digit) is a carton or pallet of the unit, and one that begins with
 *   9 is of variable measure: other trade items, with a check digit of their own. They never find the unit.
 * - A GTIN-14 that begins with 0 has no indicator: the 0 only fills the field, so it is the unit itself.
 * - Six zeros in front always mean a GTIN-8: the GS1 prefixes 0000001 to 0000099 are kept unused, so that no GTIN-12 or
 *   -13 can have that value, and 0000000 is for numbers inside one company. A GTIN-8 keeps its own zeros.
 *
 * What scanners and people send beside plain digits is read by `readGtins`: docs/guides/gtin-service.md lists it with its sources.
 */

/** The integer value of the GTIN-14, 0 to 99,999,999,999,999: exact in a double, and a compact key for a store. */
export type GtinKey = number

/**
 * Why a text is no GTIN:
 *
 * - `characters`: something else than digits, spaces, and hyphens between digits
 * - `length`: not 8, 12, 13 or 14 digits
 * - `check-digit`: the last digit does not follow from the others
 */
export type GtinFault = 'characters' | 'length' | 'check-digit'

const ZERO = 0x30
const SPACE = 0x20
const HYPHEN = 0x2d

/**
 * The key of the GTIN in `text`, or why it is none. Spaces may stand anywhere and hyphens between digits, as people copy
 * them from labels (`0-12345-67890-5`); a hyphen in front or at the end is a minus sign or a typing error.
 */
export function readGtin(text: string): GtinKey | GtinFault {
  let value = 0
  let digits = 0
  let evenPlaces = 0
  let oddPlaces = 0
  let endsInHyphen = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const digit = code - ZERO
    if (digit >= 0 && digit <= 9) {
      if (digits === 14) return 'length'
      value = value * 10 + digit
      if (digits % 2 === 0) evenPlaces += digit
      else oddPlaces += digit
      digits++
      endsInHyphen = false
    } else if (code === HYPHEN && digits > 0) endsInHyphen = true
    else if (code !== SPACE) return 'characters'
  }
  if (endsInHyphen) return 'characters'
  if (digits !== 8 && digits !== 12 && digits !== 13 && digits !== 14) return 'length'
  // The check digit itself has weight 1, and weights alternate from there to the left (section 7.9.1).
  const sum = digits % 2 === 0 ? oddPlaces + evenPlaces * 3 : evenPlaces + oddPlaces * 3
  return sum % 10 === 0 ? value : 'check-digit'
}

const FULL_WIDTH = /[\uff10-\uff19]/g
/** What a scanner puts before the data, to tell which bar code it was: `]C1`, `]d2`, `]E0`, ... (section 5.1.2). */
const SYMBOLOGY = /^\][A-Za-z][0-9A-Za-z]/

/** Where a text holds a GTIN among other things. */
const WITHIN = [
  // An element string as printed, `(01)09506000134352(10)ABC` (section 4.14)
  /^\(.*\(01\)(\d{14})(?:\(|$)|^\(01\)(\d{14})(?:\(|$)/,
  // and as scanned, `010950600013435210ABC`: first, or behind the character that ends one of variable length (section 7.8).
  /(?:^|\u001d)01(\d{14})(?:\u001d|\d{2}|$)/,
  // A GS1 Digital Link, with or without the host: `https://id.gs1.org/01/09506000134352/10/ABC?17=270101` (URI Syntax 1.2).
  /^(?:https?:\/\/[^/?#]+(?:\/[^/?#]+)*)?\/01\/(\d{8}|\d{12,14})(?:[/?#]|$)/i,
]

/**
 * The keys that a client's text may mean, the likeliest first; none where it is no GTIN. Only 8 digits that begin with 0
 * can mean two: a number for use inside a company (RCN-8), or a UPC-E.
 */
export function readGtins(text: string): readonly GtinKey[] {
  if (/^\d{12,14}$/.test(text)) return sound([text])
  const clean = text
    .replaceAll(FULL_WIDTH, (digit) => String.fromCharCode(digit.charCodeAt(0) - 0xff10 + ZERO))
    .replace(/^[\s\p{Cc}]+|[\s\p{Cc}]+$/gu, '')
    .replaceAll(/\s/g, ' ')
    .replace(SYMBOLOGY, '')
  for (const pattern of WITHIN) {
    const found = pattern
      .exec(clean.replaceAll(' ', ''))
      ?.slice(1)
      .find((digits) => digits !== undefined)
    if (found !== undefined) return sound([found])
  }
  if (readGtin(clean) === 'characters') return []
  const digits = clean.replaceAll(/[ -]/g, '')
  // A spreadsheet has taken the zero of a GTIN-12 for nothing.
  if (/^\d{11}$/.test(digits)) return sound([`0${digits}`])
  return sound(/^0\d{7}$/.test(digits) ? [digits, expandUpcE(digits)] : [digits])
}

/** The keys of those that are GTINs. */
function sound(texts: readonly string[]): GtinKey[] {
  return texts.map(readGtin).filter((key) => typeof key === 'number')
}

/**
 * The GTIN-12 behind a UPC-E, given its 8 digits as printed: it leaves out four or five zeros, and its sixth digit after
 * the first 0 says where (section 7.10). Bar code readers or applications put them back (section 2.1.3.3).
 */
export function expandUpcE(digits: string): string {
  const [a, b, c, d, e, last, check] = digits.slice(1)
  if (last === '0' || last === '1' || last === '2') return `0${a}${b}${last}0000${c}${d}${e}${check}`
  if (last === '3') return `0${a}${b}${c}00000${d}${e}${check}`
  if (last === '4') return `0${a}${b}${c}${d}00000${e}${check}`
  return `0${a}${b}${c}${d}${e}0000${last}${check}`
}

/**
 * The check digit, 0 to 9, that follows `digits`: a GTIN without its last digit (section 7.9.1).
 * Throws a RangeError unless there are 7, 11, 12 or 13 digits.
 */
export function checkDigit(digits: string): number {
  if (!/^(\d{7}|\d{11,13})$/.test(digits)) throw new RangeError(`expected 7, 11, 12 or 13 digits, got "${digits}"`)
  let sum = 0
  for (let i = digits.length - 1, weight = 3; i >= 0; i--, weight = 4 - weight) {
    sum += (digits.charCodeAt(i) - ZERO) * weight
  }
  return (10 - (sum % 10)) % 10
}

/** The shortest customary form of a key. The inverse of `readGtin` up to zeros in front. */
export function gtinText(key: GtinKey): string {
  const digits = [8, 12, 13, 14].find((digits) => key < 10 ** digits) ?? 14
  return String(key).padStart(digits, '0')
}
