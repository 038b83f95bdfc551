/**
 * The request that is sent, as the cache looks at it: what of a request's fields goes upstream on a caching route, and in
 * which form. Values are bytes: white space is SP and HTAB (RFC 9110 section 5.6.3), case is that of ASCII.
 */
import { kindOf } from '../http/field-kinds.ts'
import type { CacheSettings, NormalizedField } from '../table/table.ts'

/** Without the white space around it. */
export function trimmed(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return start === 0 && end === text.length ? text : text.slice(start, end)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** In lower case, ASCII letters only. */
export function lowered(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Fields that the cache sets when it asks by itself. */
const OWN: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since', 'if-range'])

const PLAIN = /^[A-Za-z0-9-]+$/

/**
 * The fields of a request as a caching route passes them on; the same array where none changes. A field whose name an
 * application may take for one that banyan sets, or that counts, does not go on (CGI and its heirs write `X-A` and `X_A` the
 * same: RFC 3875 section 4.1.18); what the route normalises goes on in its normal form.
 * @param vary more fields that are known to count, lower case
 */
export function passedFields(
  rawHeaders: readonly string[],
  settings: Pick<CacheSettings, 'key' | 'normalize'>,
  vary: readonly string[],
): readonly string[] {
  const { normalize } = settings
  let fields = rawHeaders
  if (hasOddName(rawHeaders)) {
    const counts = new Set([...(settings.key?.headers ?? []), ...normalize, ...vary])
    fields = filtered(rawHeaders, (name) => !isAlias(name, counts))
  }
  for (const name of normalize) fields = withNormalized(fields, name)
  return fields
}

/** Whether a request has a field that may be taken for one of these, besides them. */
export function hasAliasOf(rawHeaders: readonly string[], names: readonly string[]): boolean {
  if (names.length === 0) return false
  const counts = new Set(names)
  const dashed = new Set(names.map(dashedName))
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] as string).toLowerCase()
    if (!counts.has(lower) && dashed.has(dashedName(lower))) return true
  }
  return false
}

function hasOddName(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) if (!PLAIN.test(rawHeaders[i] as string)) return true
  return false
}

function isAlias(name: string, counts: ReadonlySet<string>): boolean {
  const lower = name.toLowerCase()
  if (counts.has(lower)) return false
  const dashed = dashedName(lower)
  if (dashed !== lower && (OWN.has(dashed) || kindOf(dashed) !== 'end-to-end')) return true
  for (const each of counts) if (dashedName(each) === dashed) return true
  return false
}

function dashedName(lower: string): string {
  return lower.replace(/[^a-z0-9]/g, '-')
}

function filtered(rawHeaders: readonly string[], keeps: (name: string) => boolean): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (keeps(rawHeaders[i] as string)) fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }
  return fields
}

/** All lines of a field become one in its normal form, at the place of the first; a list that can't be read stays. */
function withNormalized(rawHeaders: readonly string[], name: NormalizedField): readonly string[] {
  const lines: string[] = []
  let first = -1
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() !== name) continue
    if (first === -1) first = i
    lines.push(rawHeaders[i + 1] as string)
  }
  if (first === -1) return rawHeaders
  const [value] = normalizedValues(lines)
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() !== name)
      fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
    else if (i === first) fields.push(rawHeaders[i] as string, value as string)
  }
  return fields
}

/**
 * The lines of a list of weighted members (RFC 9110 section 12.4.2) in normal form, as one: lower case, heaviest first, equal
 * ones in the order of the alphabet, weights in their shortest form. What can't be read is joined as it is.
 */
export function normalizedValues(lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return lines
  const received = lines.length === 1 ? (lines[0] as string) : lines.join(', ')
  if (received.length > MAX_KNOWN_LENGTH) return [weightedList(received)]
  const before = known.get(received)
  if (before !== undefined) return before
  if (known.size >= MAX_KNOWN) known.clear()
  const list = [weightedList(received)]
  known.set(received, list)
  return list
}

/**
 * Lists worked out before. Browsers send the same few, and to take one apart costs as much as a tenth of a hit. Emptied
 * when full, so that made-up values neither fill the memory nor stay.
 */
const known = new Map<string, readonly string[]>()
const MAX_KNOWN = 1000
const MAX_KNOWN_LENGTH = 200

const WEIGHTED = /^([A-Za-z0-9*._+-]+)[ \t]*(?:;[ \t]*[Qq]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$/

function weightedList(received: string): string {
  const members: { readonly name: string; readonly weight: number }[] = []
  for (const part of received.split(',')) {
    const text = trimmed(part)
    if (text === '') continue
    const found = WEIGHTED.exec(text)
    if (!found) return received
    members.push({ name: lowered(found[1] as string), weight: found[2] === undefined ? 1 : Number(found[2]) })
  }
  members.sort((a, b) => b.weight - a.weight || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return members.map(({ name, weight }) => (weight === 1 ? name : `${name};q=${weight}`)).join(',')
}
