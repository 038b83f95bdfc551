/**
 * Host patterns: an exact name, or `*.example.test` for one or more labels before a name, with an optional port to match.
 */

import type { Flaw } from '../values/units.ts'
import { splitHost } from './request-parts.ts'

/** A compiled host pattern. */
export interface HostPattern {
  /** As the table writes it. */
  readonly text: string
  /** The name in lower case; `.example.test` for a wildcard. */
  readonly name: string
  readonly wildcard: boolean
  /** The port that the request must have, or '' for any or none. */
  readonly port: string
  /** Identifies the pattern: the name, with its port if it has one. */
  readonly key: string
}

const LABELS = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/
const IPV6 = /^\[[0-9a-f:.]+\]$/

/** Parses a host pattern. Case and a trailing dot are ignored. */
export function parseHost(text: string): HostPattern | Flaw {
  const lower = text.toLowerCase()
  const scheme = /^[a-z]+:\/\//.exec(lower)
  if (scheme)
    return {
      message: 'a host must not include a scheme',
      hint: `write ${text.slice(scheme[0].length).replace(/\/.*/, '')}`,
    }
  if (lower === '*') return { message: 'invalid host pattern *', hint: 'omit hosts to match any host' }
  const { name, port } = splitHost(lower)
  if (port !== '' && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    return { message: `invalid port ${JSON.stringify(port)}: must be 1 to 65535` }
  }
  const wildcard = name.startsWith('*.')
  const bare = wildcard ? name.slice(2) : name
  if (bare.includes('*')) return { message: '* is only allowed as the first label', hint: 'write *.example.test' }
  if (/[^\x00-\x7f]/.test(bare)) return { message: 'host names must be ASCII', hint: 'write it as xn--...' }
  if (bare.length > 253 || !(LABELS.test(bare) || (!wildcard && IPV6.test(bare)))) {
    return { message: `invalid host name ${JSON.stringify(text)}` }
  }
  const suffix = wildcard ? `.${bare}` : bare
  return { text, name: suffix, wildcard, port, key: port === '' ? suffix : `${suffix}:${port}` }
}

/** Why a text is not a valid host name (RFC 6066 section 3: no address, no trailing dot, ASCII), or null if it is. */
export function flawOfHostName(text: string): Flaw | null {
  const lower = text.toLowerCase()
  const what = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
  if (/^[0-9.]+$|:.*:/.test(lower)) return { message: `expected a host name, not the address ${what}` }
  if (/[^\x00-\x7f]/.test(lower)) return { message: 'host names must be ASCII', hint: 'write it as xn--...' }
  if (lower.length > 254 || !LABELS.test(lower.replace(/\.$/, ''))) return { message: `invalid host name ${what}` }
  if (!lower.endsWith('.')) return null
  return { message: 'a host name must not end with a dot', hint: `write ${text.slice(0, -1)}` }
}

/** Whether a pattern matches a host, given in lower case with its port. */
export function hostTakes(pattern: HostPattern, host: string): boolean {
  const { name, port } = splitHost(host)
  if (pattern.port !== '' && pattern.port !== port) return false
  // A name that is only the suffix has no label before it.
  return pattern.wildcard ? name.length > pattern.name.length && name.endsWith(pattern.name) : name === pattern.name
}

/** Whether `wider` matches every host that `pattern` matches. */
export function coversHost(wider: HostPattern, pattern: HostPattern): boolean {
  if (wider.port !== '' && wider.port !== pattern.port) return false
  if (!wider.wildcard) return !pattern.wildcard && pattern.name === wider.name
  return pattern.wildcard
    ? pattern.name.endsWith(wider.name)
    : pattern.name.length > wider.name.length && pattern.name.endsWith(wider.name)
}
