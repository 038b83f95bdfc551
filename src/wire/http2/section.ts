/**
 * Validates field sections from clients (RFC 9113 sections 8.1 to 8.3): requests and their trailers.
 */

/**
 * - reset: it is malformed, so its stream is reset
 * - refused: a name or value is invalid in HTTP/1.1 too, so it is answered with an error
 */
export type SectionFlaw = 'reset' | 'refused'

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
/** Control characters, or leading or trailing blanks (section 8.2.1, RFC 9110 section 5.5). */
const NO_VALUE = /[\0-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/
const PATH = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/
/** Only the characters are checked here; whether it is a valid host is checked elsewhere. */
const AUTHORITY = /^[\x21-\x7e\x80-\xff]*$/
const UPPER = /[A-Z]/

const COLON = 58

/**
 * Checks the field section of a request.
 * @param fields name, value, name, value
 * @returns null if it is valid
 */
export function flawOfRequest(fields: readonly string[]): SectionFlaw | null {
  let method: string | null = null
  let scheme: string | null = null
  let path: string | null = null
  let authority: string | null = null
  let protocol: string | null = null
  let i = 0
  for (; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (name.charCodeAt(0) !== COLON) break
    const value = fields[i + 1] as string
    switch (name) {
      case ':method':
        if (method !== null || !METHOD.test(value)) return 'reset'
        method = value
        break
      case ':scheme':
        if (scheme !== null || !SCHEME.test(value)) return 'reset'
        scheme = value
        break
      case ':path':
        if (path !== null || !PATH.test(value)) return 'reset'
        path = value
        break
      case ':authority':
        if (authority !== null || !AUTHORITY.test(value)) return 'reset'
        authority = value
        break
      case ':protocol':
        if (protocol !== null || !METHOD.test(value)) return 'reset'
        protocol = value
        break
      default:
        return 'reset'
    }
  }
  const flaw = flawOfFields(fields, i)
  if (flaw === 'reset' || method === null) return 'reset'
  // Section 8.5, RFC 8441 section 4.
  const isPlainConnect = method === 'CONNECT' && protocol === null
  if (isPlainConnect ? scheme !== null || path !== null || authority === null : scheme === null || path === null)
    return 'reset'
  if (protocol !== null && (method !== 'CONNECT' || authority === null)) return 'reset'
  if (path === '*' && method !== 'OPTIONS') return 'reset'
  return flaw
}

/** Whether a trailer section is valid. Any flaw counts, because by then it may be too late to answer with an error. */
export function isTrailerSection(fields: readonly string[]): boolean {
  return flawOfFields(fields, 0) === null
}

function flawOfFields(fields: readonly string[], from: number): SectionFlaw | null {
  let flaw: SectionFlaw | null = null
  let hasLength = false
  for (let i = from; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    if (!NAME.test(name)) {
      // A pseudo-header field after a regular one, or in trailers (section 8.3).
      if (name.charCodeAt(0) === COLON || UPPER.test(name)) return 'reset'
      flaw = 'refused'
    }
    if (NO_VALUE.test(value)) flaw = 'refused'
    switch (name) {
      case 'connection':
      case 'keep-alive':
      case 'proxy-connection':
      case 'transfer-encoding':
      case 'upgrade':
        return 'reset'
      case 'te':
        if (value.toLowerCase() !== 'trailers') return 'reset'
        break
      case 'content-length':
        if (hasLength || !/^[0-9]{1,15}$/.test(value)) return 'reset'
        hasLength = true
        break
      case 'host':
        if (!AUTHORITY.test(value)) return 'reset'
    }
  }
  return flaw
}
