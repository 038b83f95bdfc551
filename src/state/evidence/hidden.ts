/**
 * Values in a form that can be kept: nobody can read them, but whoever looks sees whether two are the same.
 */
import { createHmac } from 'node:crypto'
import type { Difference } from '../../rules/evidence/compare.ts'

const KINDS: readonly (readonly [kind: string, begin: RegExp])[] = [
  ['string', /^"/],
  // Not `17 bytes, 1c9a0f3b`.
  ['number', /^-?\d[\d.eE+-]*(?:$|… )/],
  ['boolean', /^(?:true|false)$/],
  ['null', /^null$/],
  ['object', /^\{/],
  ['list', /^\[/],
]

/** Paths whose values are never a client's: they may be read. No pointer into a body is one of them. */
const CLEAR = /^(?:status|charset|cookie:.*|header:(?:content-type|cache-control))$/s

/** A difference with its values hidden, but for those that anybody may read. */
export function hideDifference({ path, kind, from, to, isSummary }: Difference, key: Uint8Array): Difference {
  const hide = (value: string | null): string | null => {
    if (value === null || CLEAR.test(path)) return value
    // Without a key the hash of a body that is one of few could be found by trying.
    return isSummary ? value.replace(/(?<=bytes, )[\da-f]{8}$/, () => hashOf(value, key)) : hideValue(value, key)
  }
  return { path, kind, from: hide(from), to: hide(to) }
}

/**
 * The type, length and HMAC of a value as a difference shows it, such as `string, 5 characters, 1c9a0f3b7d52e648`. The key
 * is secret: without it, few values could be tried until one fits. The hash is cut to 64 bits.
 */
export function hideValue(value: string, key: Uint8Array): string {
  const kind = KINDS.find(([, begin]) => begin.test(value))?.[0] ?? 'text'
  if (kind === 'null') return kind
  return `${kind}, ${lengthOf(value)} characters, ${hashOf(value, key)}`
}

const hashOf = (value: string, key: Uint8Array): string =>
  createHmac('sha256', key).update(value).digest('hex').slice(0, 16)

/** What was shortened says how long it was; quotes do not count. */
function lengthOf(value: string): number {
  const whole = Number(/… \((\d+) characters, [\da-f]{8}\)$/.exec(value)?.[1] ?? value.length)
  return value.startsWith('"') ? whole - 2 : whole
}
