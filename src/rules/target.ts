/**
 * Request targets and Host values as they may be written (RFC 9112 section 3.2, RFC 3986 section 3.2.2).
 */

const ABSOLUTE = /^https?:\/\/([^/?#]*)/i

/**
 * The authority of a target in absolute form, or null where the target has another form.
 * User information is no part of an http authority (RFC 9110 section 4.2.4): such a target gives null too.
 */
export function authorityOf(target: string): string | null {
  const authority = ABSOLUTE.exec(target)?.[1]
  return authority === undefined || !isHost(authority) ? null : authority
}

/** Characters of a registered name, an IPv4 address and a port; `[`, `]` for IPv6 literals. Percent-encoding included. */
const HOST_CHARACTERS = new Uint8Array(128)
for (const c of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]") {
  HOST_CHARACTERS[c.charCodeAt(0)] = 1
}

/** Whether a text can stand as the value of Host: not empty, and of no characters that mean something elsewhere. */
export function isHost(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c >= 128 || HOST_CHARACTERS[c] === 0) return false
  }
  return true
}
