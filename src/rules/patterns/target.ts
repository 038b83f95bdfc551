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

/**
 * An IPv6 literal, or a registered name or IPv4 address, with or without a port. RFC 3986 would allow a comma in a name:
 * none has one, and two Host lines that somebody has joined into one do.
 */
const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._~%!$&'()*+;=-]+)(?::[0-9]*)?$/i

/** Whether a text can stand as the value of Host: not empty, and with one reading only. */
export function isHost(text: string): boolean {
  return HOST.test(text)
}
