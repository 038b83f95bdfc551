/**
 * Entity tags (RFC 9110 section 8.8.3): their syntax, lists of them, strong and weak comparison.
 */

const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/
const NEXT_TAG = /[ \t]*(?:,|((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)|([^,]*))/y

/** Whether a text, without white space around it, is an entity tag: `"abc"` or `W/"abc"`. */
export function isEntityTag(text: string): boolean {
  return ENTITY_TAG.test(text)
}

/** Whether a well-formed entity tag is weak. */
export function isWeak(tag: string): boolean {
  return tag.startsWith('W/')
}

/** Strong comparison (RFC 9110 section 8.8.3.2): both are strong, and the same byte for byte. */
export function matchesStrongly(a: string, b: string): boolean {
  return a === b && !isWeak(a)
}

/** Weak comparison (RFC 9110 section 8.8.3.2): the same but for the weakness of either. */
export function matchesWeakly(a: string, b: string): boolean {
  return opaquePart(a) === opaquePart(b)
}

function opaquePart(tag: string): string {
  return isWeak(tag) ? tag.slice(2) : tag
}

/**
 * Whether one member of an If-None-Match value matches a tag weakly, or the value is `*` (RFC 9110 section 13.1.2).
 * A member that is no entity tag matches nothing, and `*` among others is none; a stray quote ends the reading.
 */
export function listMatches(list: string, tag: string | null): boolean {
  if (list.trim() === '*') return true
  if (tag === null) return false
  NEXT_TAG.lastIndex = 0
  while (NEXT_TAG.lastIndex < list.length) {
    const found = NEXT_TAG.exec(list)
    if (!found) return false
    if (found[1] !== undefined && matchesWeakly(found[1], tag)) return true
    if (found[2] === undefined) continue
    // A tag may hold commas: past a stray quote nobody can tell where the next member begins.
    if (found[2].includes('"')) return false
    NEXT_TAG.lastIndex++
  }
  return false
}
