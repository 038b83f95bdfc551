/**
 * Host patterns: an exact name, or `*.example.test` for one or more labels before a name; with a port where it must match.
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
  /** The port that the request must name, or '' for any or none. */
  readonly port: string
  /** What tells the pattern from others: the name, with its port if it has one. */
  readonly key: string
}

const LABELS = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/
const IPV6 = /^\[[0-9a-f:.]+\]$/

/** Reads a host pattern. Case and a trailing dot do not count. */
export function parseHost(text: string): HostPattern | Flaw {
  const lower = text.toLowerCase()
  const scheme = /^[a-z]+:\/\//.exec(lower)
  if (scheme)
    return { message: 'a host has no scheme', hint: `write ${text.slice(scheme[0].length).replace(/\/.*/, '')}` }
  if (lower === '*') return { message: '* is no host pattern', hint: 'leave hosts out for any host' }
  const { name, port } = splitHost(lower)
  if (port !== '' && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    return { message: `${JSON.stringify(port)} is no port` }
  }
  const wildcard = name.startsWith('*.')
  const bare = wildcard ? name.slice(2) : name
  if (bare.includes('*')) return { message: 'expected * only as the first label', hint: 'write *.example.test' }
  if (/[^\x00-\x7f]/.test(bare)) return { message: 'expected the ASCII form of the name', hint: 'write it as xn--...' }
  if (bare.length > 253 || !(LABELS.test(bare) || (!wildcard && IPV6.test(bare)))) {
    return { message: `${JSON.stringify(text)} is no host name` }
  }
  const suffix = wildcard ? `.${bare}` : bare
  return { text, name: suffix, wildcard, port, key: port === '' ? suffix : `${suffix}:${port}` }
}

/** What is wrong with a text as a host name (RFC 6066 section 3: no address, no dot at its end, in ASCII), or null. */
export function flawOfHostName(text: string): Flaw | null {
  const lower = text.toLowerCase()
  const what = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
  if (/^[0-9.]+$|:.*:/.test(lower)) return { message: `expected a host name, not the address ${what}` }
  if (/[^\x00-\x7f]/.test(lower)) return { message: 'expected the ASCII form of the name', hint: 'write it as xn--...' }
  if (lower.length > 254 || !LABELS.test(lower.replace(/\.$/, ''))) return { message: `${what} is no host name` }
  if (!lower.endsWith('.')) return null
  return { message: 'expected a host name without a dot at its end', hint: `write ${text.slice(0, -1)}` }
}

/** Whether a pattern takes a host, given in lower case with its port. */
export function hostTakes(pattern: HostPattern, host: string): boolean {
  const { name, port } = splitHost(host)
  if (pattern.port !== '' && pattern.port !== port) return false
  // A name that is only the suffix has no label before it.
  return pattern.wildcard ? name.length > pattern.name.length && name.endsWith(pattern.name) : name === pattern.name
}
