/**
 * The conditions that a client may put on an answer (RFC 9110 section 13).
 */

/**
 * The status that a GET or HEAD gets for a representation with this tag: 412 where If-Match fails, else 304 where
 * If-None-Match holds the tag, else 200 (RFC 9110 section 13.2.2).
 */
export function statusFor(ifMatch: string | undefined, ifNoneMatch: string | undefined, tag: string): 200 | 304 | 412 {
  if (ifMatch !== undefined && !holdsTag(ifMatch, tag, 'strong')) return 412
  if (ifNoneMatch !== undefined && holdsTag(ifNoneMatch, tag, 'weak')) return 304
  return 200
}

const MEMBER = /[ \t,]*(W\/)?("[^"]*")/y

/**
 * Whether a field value is `*` or a list of entity tags that holds the strong `tag`. The weak comparison takes `W/"x"`
 * for `"x"`, the strong one does not (RFC 9110 section 8.8.3.2). What follows a malformed member is not read.
 */
export function holdsTag(list: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true
  MEMBER.lastIndex = 0
  for (let member = MEMBER.exec(list); member !== null; member = MEMBER.exec(list)) {
    const [, weak, opaque] = member
    if (opaque === tag && (weak === undefined || comparison === 'weak')) return true
  }
  return false
}
