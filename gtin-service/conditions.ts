/**
 * The conditions that a client may put on an answer (RFC 9110 section 13).
 */

/** Conditions of a request as received; absent is undefined. */
export interface Conditions {
  readonly ifMatch: string | undefined
  readonly ifNoneMatch: string | undefined
}

/**
 * The status that a GET or HEAD gets for a representation with this tag: 412 where If-Match fails, else 304 where
 * If-None-Match holds the tag, else 200 (RFC 9110 section 13.2.2).
 */
export function statusFor(conditions: Conditions, tag: string): 200 | 304 | 412 {
  if (conditions.ifMatch !== undefined && !holdsTag(conditions.ifMatch, tag, 'strong')) return 412
  if (conditions.ifNoneMatch !== undefined && holdsTag(conditions.ifNoneMatch, tag, 'weak')) return 304
  return 200
}

/**
 * Whether a field value is `*` or a list of entity tags that holds the strong `tag`. The weak comparison takes `W/"x"`
 * for `"x"`, the strong one does not (RFC 9110 section 8.8.3.2). What follows a malformed member is not read.
 */
export function holdsTag(list: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (list === tag || list.trim() === '*') return true
  let at = 0
  for (;;) {
    while (list[at] === ' ' || list[at] === '\t' || list[at] === ',') at++
    const isWeak = list.startsWith('W/', at)
    if (isWeak) at += 2
    if (list[at] !== '"') return false
    const end = list.indexOf('"', at + 1)
    if (end < 0) return false
    if ((!isWeak || comparison === 'weak') && list.slice(at, end + 1) === tag) return true
    at = end + 1
  }
}
