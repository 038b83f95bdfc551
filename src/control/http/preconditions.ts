/**
 * Preconditions: If-Match and If-None-Match (RFC 9110 section 13.1).
 */

/** What a PUT asks of the route itself: that there is none of its id yet, that there is one, or neither. */
export type Existence = 'new' | 'known' | 'either'

/**
 * What the preconditions of a PUT ask of the thing itself: `If-None-Match: *` that there is none, `If-Match: *` that there is
 * one (RFC 9110 sections 13.1.1 and 13.1.2). A tag is the table's, and asks nothing of the thing.
 */
export function existenceOf(ifMatch: string, ifNoneMatch: string): Existence {
  if (ifNoneMatch.trim() === '*') return 'new'
  return ifMatch.trim() === '*' ? 'known' : 'either'
}

/** `*` for any revision, else the entity tags of which one must be the current one's, each as sent. */
export type IfMatch = '*' | readonly string[]

/** An entity tag, weak or strong (RFC 9110 section 8.8.3). */
const TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/

/** Reads the value of an If-Match field: `*` or a list of entity tags. Returns null where it is malformed. */
export function parseIfMatch(value: string): IfMatch | null {
  if (value.trim() === '*') return '*'
  const tags: string[] = []
  let rest = value.trim()
  for (;;) {
    // Empty members of a list are skipped (RFC 9110 section 5.6.1).
    rest = rest.replace(/^[ \t,]+/, '')
    if (rest === '') return tags.length > 0 ? tags : null
    const tag = TAG.exec(rest)?.[0]
    if (tag === undefined) return null
    tags.push(tag)
    rest = rest.slice(tag.length)
    if (rest !== '' && !/^[ \t]*(?:,|$)/.test(rest)) return null
  }
}

/** Whether an edit for `ifMatch` may be made on the revision with this entity tag. Strong comparison: a weak tag never matches. */
export function mayEdit(ifMatch: IfMatch, etag: string): boolean {
  return ifMatch === '*' || ifMatch.includes(etag)
}
