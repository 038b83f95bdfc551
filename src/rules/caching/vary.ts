/**
 * Vary (RFC 9111 section 4.1): which request fields selected an answer, and when two requests have the same ones.
 */
import { fieldValues } from '../http/exchange.ts'

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
    const name = member.trim().toLowerCase()
    if (name === '') continue
    if (name === '*' || !TOKEN.test(name)) return null
    names.add(name)
  }
  return names.size === 0 ? NO_FIELDS : [...names].sort()
}

const NO_FIELDS: readonly string[] = Object.freeze([])

/**
 * The key of the variant that a request selects: equal for two requests exactly where all fields that `spec` names match.
 * Lines of a field are combined, and white space around the members of a list is dropped (RFC 9110 section 5.6.1). Lists of
 * codings, languages and character sets are lower-cased as well, and stand in the order of their weights, since no other
 * order means anything (RFC 9110 section 12.5). Cookie and Authorization are compared as they are.
 * A field that is absent matches only where it is absent. No field's value can hold the line feeds that separate them.
 */
export function varyKey(rawHeaders: readonly string[], spec: readonly string[]): string {
  let key = ''
  for (const name of spec) {
    const lines = fieldValues(rawHeaders, name)
    key += lines.length === 0 ? `${name}\n` : `${name}:${normalised(name, lines)}\n`
  }
  return key
}

function normalised(name: string, lines: readonly string[]): string {
  switch (name) {
    case 'accept-encoding':
    case 'accept-charset':
    case 'accept-language':
      return knownList(combined(lines))
    case 'cookie':
    case 'authorization':
      return combined(lines)
    default:
      return tightList(combined(lines))
  }
}

function combined(lines: readonly string[]): string {
  return lines.length === 1 ? (lines[0] as string).trim() : lines.map((line) => line.trim()).join(', ')
}

/**
 * Lists worked out before. Browsers send the same few, and to take one apart costs as much as a tenth of a hit. Emptied
 * when full, so that made-up values neither fill the memory nor stay.
 */
const known = new Map<string, string>()
const MAX_KNOWN = 1000
const MAX_KNOWN_LENGTH = 200

function knownList(received: string): string {
  if (received.length > MAX_KNOWN_LENGTH) return weightedList(received)
  const before = known.get(received)
  if (before !== undefined) return before
  if (known.size >= MAX_KNOWN) known.clear()
  const list = weightedList(received)
  known.set(received, list)
  return list
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

const WEIGHTED = /^([^\s;]+)[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$/

/**
 * A list of weighted members (RFC 9110 section 12.4.2), heaviest first; equal ones in the order of the alphabet. A list
 * that is not well formed stays as it is.
 */
function weightedList(received: string): string {
  const members: { readonly name: string; readonly weight: number }[] = []
  for (const part of received.toLowerCase().split(',')) {
    const text = part.trim()
    if (text === '') continue
    const found = WEIGHTED.exec(text)
    if (!found) return received
    members.push({ name: found[1] as string, weight: found[2] === undefined ? 1 : Number(found[2]) })
  }
  members.sort((a, b) => b.weight - a.weight || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return members.map(({ name, weight }) => (weight === 1 ? name : `${name};q=${weight}`)).join(',')
}
