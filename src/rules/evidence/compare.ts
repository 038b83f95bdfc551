/**
 * Compares two answers to one request, as their client would get them: status, chosen header fields, names of cookies, body.
 */
import { fieldValues } from '../http/exchange.ts'
import { addBodyDifferences, areSaidToBeBytes, areSameBytes, isBodyIgnored, looksLikeJson } from './body.ts'
import { type ComparedAnswer, type CompareSettings, type Comparison, Differences } from './difference.ts'
import { isDataKey } from './pointers.ts'
import { shortened } from './rendering.ts'
import { shownField } from './shown-fields.ts'

export * from './difference.ts'

/**
 * Takes one content coding (RFC 9110 section 8.4.1) off a body: `gzip`, `br` and so on, in lower case. Returns why not where
 * the coding is not known, the body not in it, or larger than the bounds without it.
 */
export type Decode = (coding: string, body: Uint8Array) => Uint8Array | 'unknown' | 'broken' | 'too large'

/**
 * The differences between two answers, and never an exception, whatever they are. Where the statuses differ nothing else is
 * compared: an error page differs in everything from what should be there, which says nothing about any field.
 */
export function compare(
  from: ComparedAnswer,
  to: ComparedAnswer,
  settings: CompareSettings,
  decode: Decode = () => 'unknown',
): Comparison {
  const found = new Differences()
  const notes: (string | null)[] = []
  let bodyCompared = false
  if (isOtherStatus(from, to, settings)) {
    found.add(
      'status',
      'value',
      () => `${from.status}`,
      () => `${to.status}`,
    )
    notes.push('nothing but the status compared')
  } else {
    addHeaderDifferences(from, to, settings, found)
    const bodies = isBodyIgnored(settings) ? NOT_ASKED_FOR : decodedBodies(from, to, decode)
    // What fails on both sides tells nothing of what was asked for.
    bodyCompared = bodies.isCompared && from.status < 500
    notes.push(bodies.note)
    if (!isBodyIgnored(settings)) addOtherLength(from, to, found)
    if (bodies.broken !== null) addBroken(bodies.broken, found)
    else if (bodies.pair !== null) notes.push(addBodyDifferences(...bodies.pair, settings, found))
  }
  if (found.isCut) notes.push('more than 100 differences')
  const said = notes.filter((note) => note !== null)
  bodyCompared &&= !found.isWhole
  return { differences: found.list, bodyCompared, isCut: found.isCut, note: said.length === 0 ? null : said.join('; ') }
}

/** Whether comparing two answers takes no look into their bodies: it is done at once then, wherever it is done. */
export function isQuick(from: ComparedAnswer, to: ComparedAnswer, settings: CompareSettings): boolean {
  return isOtherStatus(from, to, settings) || from.body === null || to.body === null || isSameBody(from, to)
}

const isOtherStatus = (from: ComparedAnswer, to: ComparedAnswer, { ignore }: CompareSettings): boolean =>
  from.status !== to.status && !ignore.includes('status')

/** The same bytes, read in the same way. */
function isSameBody(from: ComparedAnswer, to: ComparedAnswer): boolean {
  if (from.body === null || to.body === null || !areSameBytes(from.body, to.body)) return false
  return from.body.length === 0 || `${codingsOf(from)}` === `${codingsOf(to)}`
}

function addHeaderDifferences(
  from: ComparedAnswer,
  to: ComparedAnswer,
  { headers, ignore }: CompareSettings,
  found: Differences,
): void {
  const ignored = new Set(ignore.map((one) => one.toLowerCase()))
  for (const name of headers) {
    // Of cookies the names are compared, and the values never shown.
    if (name === 'set-cookie' || ignored.has(`header:${name}`)) continue
    const [old, young] = [fieldOf(from, name), fieldOf(to, name)]
    if (normalised(name, old) === normalised(name, young)) continue
    const kind = old === null ? 'extra' : young === null ? 'missing' : 'value'
    found.add(
      `header:${name}`,
      kind,
      () => shownField(name, old),
      () => shownField(name, young),
    )
  }
  const [old, young] = [cookieNames(from), cookieNames(to)]
  for (const name of new Set([...old, ...young])) {
    if ((old.has(name) && young.has(name)) || ignored.has(`cookie:${name}`.toLowerCase())) continue
    const path = `cookie:${isDataKey(name) ? '*' : name}`
    if (ignored.has(path)) continue
    found.add(
      path,
      old.has(name) ? 'missing' : 'extra',
      () => (old.has(name) ? 'set' : null),
      () => (young.has(name) ? 'set' : null),
    )
  }
}

/** All lines of a field as one value (RFC 9110 section 5.3), or null. */
function fieldOf({ rawHeaders }: ComparedAnswer, name: string): string | null {
  const values = fieldValues(rawHeaders, name)
  return values.length === 0 ? null : values.map((value) => value.trim()).join(', ')
}

/**
 * A value as it is compared: case and white space do not count in a media type and its charset (RFC 9110 section 8.3.1), nor
 * does the order of cache directives.
 */
function normalised(name: string, value: string | null): string | null {
  if (value === null) return null
  const parts = (separator: string): string[] => value.split(separator).map((part) => part.trim())
  if (name === 'cache-control') return parts(',').sort().join().toLowerCase()
  if (name !== 'content-type') return value
  const [type = '', ...parameters] = parts(';')
  return [
    type.toLowerCase(),
    ...parameters.map((parameter) => {
      const bare = parameter.replace(/^([^\s=]+)="([^"\\]*)"$/, '$1=$2')
      return /^charset=/i.test(bare) ? bare.toLowerCase() : bare.replace(/^[^=]*/, (key) => key.toLowerCase())
    }),
  ].join(';')
}

/** The names of the cookies that are set (RFC 6265bis section 5.6): without `=` all is the value, and the name is empty. */
function cookieNames({ rawHeaders }: ComparedAnswer): Set<string> {
  const pairs = fieldValues(rawHeaders, 'set-cookie').map((line) => (line.split(';', 1)[0] as string).trim())
  const named = pairs.filter((pair) => pair !== '' && pair !== '=')
  return new Set(named.map((pair) => pair.slice(0, Math.max(0, pair.indexOf('='))).trim()))
}

/** The content codings of a body, in the order in which they were applied. */
function codingsOf(answer: ComparedAnswer): string[] {
  return (fieldOf(answer, 'content-encoding') ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
}

type Side = 'from' | 'to'
type Bodies = readonly [from: Body, to: Body]
type Body = Parameters<typeof addBodyDifferences>[0]

interface DecodedBodies {
  /** The bodies to look into; null where there is no need to, or no way. */
  readonly pair: Bodies | null
  readonly isCompared: boolean
  /** The side whose body is not in the coding that it says, where only one is. */
  readonly broken: Side | null
  readonly note: string | null
}

const NOT_ASKED_FOR: DecodedBodies = { pair: null, isCompared: true, broken: null, note: null }

function decodedBodies(from: ComparedAnswer, to: ComparedAnswer, decode: Decode): DecodedBodies {
  const nothing = { pair: null, isCompared: false, broken: null }
  if (from.body === null || to.body === null) {
    const isHead = from.tooLarge === undefined && to.tooLarge === undefined
    return { ...nothing, note: isHead ? 'HEAD: no bodies' : 'body larger than maxBody: raise shadow.maxBody' }
  }
  if (isSameBody(from, to)) return { ...nothing, isCompared: true, note: null }
  const [old, young] = [decoded(from, from.body, decode), decoded(to, to.body, decode)]
  if (old.body !== null && young.body !== null) {
    return { pair: [old.body, young.body], isCompared: true, broken: null, note: null }
  }
  const isOneBroken = old.isBroken ? young.body !== null : young.isBroken && old.body !== null
  const broken = isOneBroken ? (old.isBroken ? 'from' : 'to') : null
  return { pair: null, isCompared: isOneBroken, broken, note: old.fault ?? young.fault }
}

/** Of bodies of which one is too large to be compared: their lengths, where these can't differ by white space or coding only. */
function addOtherLength(from: ComparedAnswer, to: ComparedAnswer, found: Differences): void {
  if (from.tooLarge === undefined && to.tooLarge === undefined) return
  const sides = [from, to]
  const isOfBytes = areSaidToBeBytes(...sides.map((side) => fieldOf(side, 'content-type')))
  const isPlain = sides.every((side) => codingsOf(side).length === 0)
  if (!isOfBytes || !isPlain || sides.some(({ body }) => body !== null && looksLikeJson({ bytes: body }))) return
  const [old, young] = [lengthOf(from), lengthOf(to)]
  // Two of which the length is not known may be alike.
  if (from.body === null && to.body === null && (old === null || young === null || old === young)) return
  const shown = (length: number | null) => (): string => (length === null ? 'larger than maxBody' : `${length} bytes`)
  found.addWhole('length', shown(old), shown(young))
}

const lengthOf = ({ body, tooLarge = null }: ComparedAnswer): number | null => body?.length ?? tooLarge

interface Decoded {
  readonly body: Body | null
  readonly fault: string | null
  readonly isBroken: boolean
}

/** An answer's body without its content codings, the last one taken off first. */
function decoded(answer: ComparedAnswer, coded: Uint8Array, decode: Decode): Decoded {
  let bytes = coded
  // A HEAD or 204 has none, whatever its Content-Encoding says.
  for (const coding of coded.length === 0 ? [] : codingsOf(answer).reverse()) {
    const next = decode(coding, bytes)
    if (typeof next === 'string') {
      const fault = shortened(`content-encoding ${coding} not decoded: ${next}`)
      return { body: null, fault, isBroken: next === 'broken' }
    }
    bytes = next
  }
  return { body: { bytes, contentType: fieldOf(answer, 'content-type') ?? '' }, fault: null, isBroken: false }
}

/** A client can read one body, and not the other. */
function addBroken(side: Side, found: Differences): void {
  const shown = (one: Side) => (): string => (one === side ? 'not in its content-encoding' : 'decoded')
  found.addWhole('type', shown('from'), shown('to'))
}
