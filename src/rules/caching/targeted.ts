/**
 * Targeted cache control (RFC 9213): the fields that speak to this cache, and which of them decides.
 */

import { type BareItem, type Dictionary, type Member, parseDictionary } from '../http/structured-fields.ts'
import { MAX_DELTA_SECONDS, noResponseDirectives, parseFieldNames, type ResponseDirectives } from './directives.ts'

/** The target list, most applicable first (RFC 9213 section 2.2). Lower case. */
export const TARGET_LIST = ['banyan-cache-control', 'cdn-cache-control'] as const

/**
 * The directives of the first targeted field that is valid and not empty, or null where none is: then Cache-Control and
 * Expires decide; else they are ignored. A field that is no dictionary is ignored whole (RFC 9213 section 2.1).
 * @param linesOf the lines of a field, by its name in lower case
 */
export function targetedDirectives(linesOf: (name: string) => readonly string[]): ResponseDirectives | null {
  for (const name of TARGET_LIST) {
    const lines = linesOf(name)
    const dictionary = lines.length > 0 ? parseDictionary(lines) : null
    if (dictionary !== null && dictionary.size > 0) return directivesOf(dictionary)
  }
  return null
}

/**
 * A value of a type that its directive does not have is not consumed (RFC 9213 section 2.1): no lifetime, no permission.
 * A restriction holds unless it says `?0`.
 */
function directivesOf(dictionary: Dictionary): ResponseDirectives {
  const restricts = (name: string) => isSaid(dictionary.get(name))
  const permits = (name: string) => isTrue(itemOf(dictionary.get(name)))
  const seconds = (name: string) => secondsOf(itemOf(dictionary.get(name)))
  const noCache = fieldNames(dictionary.get('no-cache'))
  const privateTo = fieldNames(dictionary.get('private'))
  const sMaxAge = seconds('s-maxage')
  return {
    ...noResponseDirectives(),
    noStore: restricts('no-store'),
    noCache: restricts('no-cache') && noCache === null,
    noCacheFields: noCache ?? [],
    private: restricts('private') && privateTo === null,
    privateFields: privateTo ?? [],
    public: permits('public'),
    mustRevalidate: restricts('must-revalidate'),
    proxyRevalidate: restricts('proxy-revalidate'),
    mustUnderstand: permits('must-understand'),
    noTransform: restricts('no-transform'),
    immutable: permits('immutable'),
    maxAge: seconds('max-age'),
    sMaxAge,
    staleWhileRevalidate: seconds('stale-while-revalidate'),
    staleIfError: seconds('stale-if-error'),
    allowsAuthorization: permits('public') || permits('must-revalidate') || sMaxAge !== null,
  }
}

function itemOf(member: Member | undefined): BareItem | null {
  return member?.kind === 'item' ? member.item : null
}

function isTrue(item: BareItem | null): boolean {
  return item?.type === 'boolean' && item.value
}

function isSaid(member: Member | undefined): boolean {
  const item = itemOf(member)
  return member !== undefined && !(item?.type === 'boolean' && !item.value)
}

function secondsOf(item: BareItem | null): number | null {
  return item?.type === 'integer' && item.value >= 0 ? Math.min(item.value, MAX_DELTA_SECONDS) : null
}

function fieldNames(member: Member | undefined): string[] | null {
  const item = itemOf(member)
  return item?.type === 'string' ? parseFieldNames(item.value) : null
}
