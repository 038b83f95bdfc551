/**
 * The value of Date (RFC 9110 section 6.6.1), formatted once per second.
 */

let second = -1
let text = ''

/** The time as an IMF-fixdate. */
export function dateNow(): string {
  const nowMs = Date.now()
  const now = Math.floor(nowMs / 1000)
  if (second !== now) {
    second = now
    text = new Date(nowMs).toUTCString()
  }
  return text
}
