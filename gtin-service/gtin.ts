/**
 * GTINs per the GS1 General Specifications: read what a person or a scanner sent, compare by one key, write the customary form.
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

/**
 * The key of the GTIN in `text`, or why it is none. Spaces may stand anywhere and hyphens between digits, as people copy
 * them from labels (`0-12345-67890-5`); a hyphen in front or at the end is a minus sign or a typing error.
 */
export function readGtin(text: string): GtinKey | GtinFault {
  if (/[^\d -]|^ *-|- *$/.test(text)) return 'characters'
  const digits = text.replaceAll(/[ -]/g, '')
  if (!/^(\d{8}|\d{12,14})$/.test(digits)) return 'length'
  return checkDigit(digits.slice(0, -1)) === Number(digits.at(-1)) ? Number(digits) : 'check-digit'
}

/**
 * The check digit, 0 to 9, that follows `digits`: a GTIN without its last digit (section 7.9.1).
 * Throws a RangeError unless there are 7, 11, 12 or 13 digits.
 */
export function checkDigit(digits: string): number {
  if (!/^(\d{7}|\d{11,13})$/.test(digits)) throw new RangeError(`expected 7, 11, 12 or 13 digits, got "${digits}"`)
  let sum = 0
  for (let i = digits.length - 1, weight = 3; i >= 0; i--, weight = 4 - weight) sum += Number(digits[i]) * weight
  return (10 - (sum % 10)) % 10
}

/** The shortest customary form of a key. The inverse of `readGtin` up to zeros in front. */
export function gtinText(key: GtinKey): string {
  const digits = [8, 12, 13, 14].find((digits) => key < 10 ** digits) ?? 14
  return String(key).padStart(digits, '0')
}

/** What a scanner puts before the data, to tell which bar code it was: `]C1`, `]d2`, `]E0`, ... (section 5.1.2). */
const SYMBOLOGY = /^\][A-Za-z][0-9A-Za-z]/

/** Where a text holds a GTIN among other things. */
const WITHIN = [
  // An element string as printed, `(01)09506000134352(10)ABC` (GS1 HRI Implementation Guideline)
  /^(?:\(.*)?\(01\)(?<gtin>\d{14})(?:\(|$)/,
  // and as scanned, `010950600013435210ABC`: first, or behind the character that ends one of variable length (section 7.8.3).
  /(?:^|\u001d)01(?<gtin>\d{14})(?:\u001d|\d{2}|$)/,
  // A GS1 Digital Link, with or without the host: `https://id.gs1.org/01/09506000134352/10/ABC?17=270101` (URI Syntax 1.2).
  /^(?:https?:\/\/[^/?#]+(?:\/[^/?#]+)*)?\/01\/(?<gtin>\d{8}|\d{12,14})(?:[/?#]|$)/i,
]

/**
 * The keys that a client's text may mean, the likeliest first; none where it is no GTIN. Only 8 digits that begin with 0
 * can mean two: a number for use inside a company (RCN-8), or a UPC-E. docs/guides/gtin-service.md lists what is read.
 */
export function readGtins(text: string): readonly GtinKey[] {
  // Almost all of them: nothing to look for.
  if (/^\d{12,14}$/.test(text)) return sound([text])
  const clean = text
    .replaceAll(/[\uff10-\uff19]/g, (fullWidth) => String(fullWidth.charCodeAt(0) - 0xff10))
    .replaceAll(/[\p{Pd}\u2212]/gu, '-')
    // Marks that can't be seen, such as those around right-to-left text, come along where text is copied.
    .replaceAll(/\p{Cf}/gu, '')
    .replace(/^[\s\p{Cc}]+|[\s\p{Cc}]+$/gu, '')
    .replaceAll(/\s/g, ' ')
    .replace(SYMBOLOGY, '')
  const packed = clean.replaceAll(' ', '')
  const within = WITHIN.map((pattern) => pattern.exec(packed)?.groups?.gtin).find((gtin) => gtin !== undefined)
  if (within !== undefined) return sound([within])
  if (readGtin(clean) === 'characters') return []
  const digits = packed.replaceAll('-', '')
  // A spreadsheet has taken the zero of a GTIN-12 for nothing.
  if (digits.length === 11) return sound([`0${digits}`])
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
