/**
 * Vary (RFC 9111 section 4.1): which request fields selected an answer, and when two requests have the same ones.
 */
import { fieldValues } from '../http/exchange.ts'
import { lowered, trimmed } from './sent.ts'

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

/**
 * The fields that the Vary lines of an answer name: lower case, sorted, each once. Null where the answer matches no other
 * request: `*` anywhere in any line, or a member that is no field name (RFC 9110 section 12.5.5).
 */
export function varySpec(rawHeaders: readonly string[]): readonly string[] | null {
  const lines = fieldValues(rawHeaders, 'vary')
  if (lines.length === 0) return NO_FIELDS
  const names = new Set<string>()
  for (const member of lines.join(',').split(',')) {
    const name = lowered(trimmed(member))
    if (name === '') continue
    if (name === '*' || !TOKEN.test(name)) return null
    names.add(name)
  }
  return names.size === 0 ? NO_FIELDS : [...names].sort()
}

const NO_FIELDS: readonly string[] = Object.freeze([])

/** The values of a field as it is sent, in their order; `name` is in lower case. */
export type SentValues = (name: string) => readonly string[]

/**
 * The key of the variant that a request selects: equal for two requests exactly where all fields that `spec` names match.
 * Lines of a field are combined, and SP and HTAB around the members of a list are dropped (RFC 9110 section 5.6.1); nothing
 * else is forgiven (RFC 9111 section 4.1). Cookie and Authorization are no lists, and are compared line by line.
 * A field that is absent matches only where it is absent. No field's value can hold the line ends that separate them.
 */
export function varyKey(values: SentValues, spec: readonly string[]): string {
  let key = ''
  for (const name of spec) {
    const lines = values(name)
    if (lines.length === 0) key += `${name}\n`
    else if (name === 'cookie' || name === 'authorization') key += `${name}:${lines.map(trimmed).join('\r')}\n`
    else key += `${name}:${tightList(combined(lines))}\n`
  }
  return key
}

function combined(lines: readonly string[]): string {
  return lines.length === 1 ? trimmed(lines[0] as string) : lines.map(trimmed).join(', ')
}

/** Without the white space around commas, but for those in quotes. A quotation without an end leaves it as it is. */
function tightList(received: string): string {
  if (!received.includes(',')) return received
  if (!received.includes('"')) return received.replace(AROUND_COMMA, ',')
  return QUOTATIONS.test(received)
    ? received.replace(QUOTED_OR_COMMA, (part) => (part[0] === '"' ? part : ','))
    : received
}

const AROUND_COMMA = /[ \t]*,[ \t]*/g
const QUOTED_OR_COMMA = /"(?:[^"\\]|\\.)*"|[ \t]*,[ \t]*/g
const QUOTATIONS = /^[^"]*(?:"(?:[^"\\]|\\.)*"[^"]*)*$/
