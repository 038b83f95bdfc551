/**
 * Vary (RFC 9111 section 4.1): which request fields selected an answer, and when two requests have the same ones.
 */
import { fieldValues } from './exchange.ts'

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
 * Lines of a field are combined and white space around them dropped. Lists of codings, languages and character sets lose
 * the white space inside, are lower-cased, and stand in the order of their weights, since no other order means anything.
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
      return knownList(name, combined(lines))
    default:
      return combined(lines)
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

function knownList(name: string, received: string): string {
  // Many servers take the first of two equally wanted languages, so their order stays.
  const alphabetical = name !== 'accept-language'
  if (received.length > MAX_KNOWN_LENGTH) return weightedList(received, alphabetical)
  const asked = (alphabetical ? 'a' : 'r') + received
  const before = known.get(asked)
  if (before !== undefined) return before
  if (known.size >= MAX_KNOWN) known.clear()
  const list = weightedList(received, alphabetical)
  known.set(asked, list)
  return list
}

const WEIGHTED = /^([^\s;]+)[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$/

/**
 * A list of weighted members (RFC 9110 section 12.4.2), heaviest first; equal ones in the order of the alphabet, or as
 * received. A list that is not well formed stays as it is.
 */
function weightedList(received: string, alphabetical: boolean): string {
  const members: { readonly name: string; readonly weight: number }[] = []
  for (const part of received.toLowerCase().split(',')) {
    const text = part.trim()
    if (text === '') continue
    const found = WEIGHTED.exec(text)
    if (!found) return received
    members.push({ name: found[1] as string, weight: found[2] === undefined ? 1 : Number(found[2]) })
  }
  if (alphabetical) members.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  members.sort((a, b) => b.weight - a.weight)
  return members.map(({ name, weight }) => (weight === 1 ? name : `${name};q=${weight}`)).join(',')
}
