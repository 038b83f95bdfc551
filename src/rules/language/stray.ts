/**
 * What does not belong in a table and is not seen, or comes from another tool: invisible characters, markers of a merge.
 */

/** A stray piece of the text. */
export interface Stray {
  readonly offset: number
  readonly message: string
  readonly hint: string
}

/** Characters that are shown as a space or not at all, with their names. */
const INVISIBLE = /[\u00a0\u00ad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff]/g

const NAMES: Readonly<Record<string, string>> = {
  '00A0': 'no-break space',
  '00AD': 'soft hyphen',
  '200B': 'zero-width space',
  '200C': 'zero-width non-joiner',
  '200D': 'zero-width joiner',
  '200E': 'left-to-right mark',
  '200F': 'right-to-left mark',
  '202F': 'narrow no-break space',
  '2028': 'line separator',
  '2029': 'paragraph separator',
  '2060': 'word joiner',
  '3000': 'ideographic space',
  FEFF: 'byte order mark',
}

/** `no-break space (U+00A0)`. */
export function nameOf(character: string): string {
  const code = codeOf(character)
  return `${NAMES[code] ?? 'invisible character'} (U+${code})`
}

/** `00A0`. */
export function codeOf(character: string): string {
  return (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')
}

/** The first invisible character between two offsets, or null. A byte order mark at the start of the text is none. */
export function invisibleIn(text: string, start: number, end: number): Stray | null {
  for (const { 0: character, index } of text.slice(start, end).matchAll(INVISIBLE)) {
    const offset = start + index
    if (offset === 0 && character === '\ufeff') continue
    const isSpace = /[\u00a0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/.test(character)
    const hint = isSpace ? 'write a space, or remove it' : 'remove it'
    return { offset, message: `invisible character: ${nameOf(character)}`, hint }
  }
  return null
}

/** The first line that a merge has left where it could not decide. */
export function conflictMarker(text: string): Stray | null {
  const found = /^(?:<{7}|>{7}|\|{7})(?:[ \r].*)?$|^={7}\r?$/m.exec(text)
  if (found === null) return null
  return { offset: found.index, message: 'conflict marker of a merge', hint: 'keep one side, and remove the markers' }
}
