/**
 * What a purge takes away: everything, a route, an upstream, a URL with all its variants, a prefix of URLs, a tag.
 */

import { z } from 'zod'
import { fieldValues } from '../http/exchange.ts'
import type { CacheSettings, KeyRules } from '../table/table.ts'
import { cacheKey, sentTarget } from './key.ts'
import { targetUri } from './uri.ts'

/**
 * What is purged. A URL or prefix is `https://host/path?query`, or `/path` for every host; its scheme does not count. Tags
 * are those of the answer field that the route's `tags` names.
 */
export type PurgeTarget =
  | { readonly what: 'everything' }
  | { readonly what: 'route'; readonly route: string; readonly upstream: string | null }
  | { readonly what: 'upstream'; readonly upstream: string }
  | { readonly what: 'url'; readonly url: string }
  | { readonly what: 'prefix'; readonly url: string }
  | { readonly what: 'tag'; readonly tag: string }

/** One purge. */
export interface Purge {
  /** Unlike that of any other purge. Whoever hears of one again knows it by this. */
  readonly id: string
  readonly target: PurgeTarget
  /** What it covers becomes stale, and stays for validation and failures. */
  readonly soft: boolean
  /** Epoch milliseconds. */
  readonly atMs: number
}

const text = z.string().max(16_384)

const unnamedPurge = z.object({
  target: z.discriminatedUnion('what', [
    z.object({ what: z.literal('everything') }),
    z.object({ what: z.literal('route'), route: text, upstream: text.nullable() }),
    z.object({ what: z.literal('upstream'), upstream: text }),
    z.object({ what: z.literal('url'), url: text }),
    z.object({ what: z.literal('prefix'), url: text }),
    z.object({ what: z.literal('tag'), tag: text }),
  ]),
  soft: z.boolean(),
  atMs: z.number(),
})

const FORMAT = 1
const id = z.string().min(1).max(100)
const purgeRecord = unnamedPurge.extend({ format: z.literal(FORMAT), id })
const laterRecord = z.object({ format: z.int().gt(FORMAT), id })

/** A purge as other processes read it. */
export function writePurge(purge: Purge): string {
  return JSON.stringify({ format: FORMAT, ...purge })
}

/**
 * Reads a purge that another process has written. One in the form of a later release may cover anything, and so counts as one of
 * everything.
 * @param json its text
 * @returns null where it is none
 */
export function readPurge(json: string): Purge | null {
  const value = parsed(json)
  const record = purgeRecord.safeParse(value)
  if (record.success) {
    const { format: _, ...purge } = record.data
    return purge
  }
  const later = laterRecord.safeParse(value)
  return later.success ? { id: later.data.id, target: { what: 'everything' }, soft: false, atMs: 0 } : null
}

/** Reads a purge as the release before wrote it, which has no id of its own. */
export function readEarlierPurge(json: string, ownId: string): Purge | null {
  const purge = unnamedPurge.safeParse(parsed(json))
  return purge.success ? { id: ownId, ...purge.data } : null
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}

/** Where a stored answer lies. */
export interface PurgePlace {
  readonly route: string
  /** '' where the sides of a split share their answers. */
  readonly upstream: string
  /** `scheme://host/path?query` as the key has it. */
  readonly url: string
  readonly settings: Pick<CacheSettings, 'key' | 'tags'>
}

/**
 * Whether a purge covers a stored answer.
 * @param rawHeaders the stored fields, for its tags
 */
export function isPurged(target: PurgeTarget, place: PurgePlace, rawHeaders: readonly string[]): boolean {
  switch (target.what) {
    case 'everything':
      return true
    case 'route':
      return target.route === place.route && (target.upstream === null || isOfUpstream(target.upstream, place))
    case 'upstream':
      return isOfUpstream(target.upstream, place)
    case 'url': {
      const stored = urlForm(place.url)
      const { key } = place.settings
      return [urlForm(target.url), keyedForm(target.url, key)].some(
        (form) => form === stored || form === pathOf(stored),
      )
    }
    case 'prefix':
      return beginsWith(urlForm(place.url), target.url, place.settings.key)
    case 'tag':
      return tagsOf(rawHeaders, place.settings.tags).includes(target.tag)
  }
}

/** What both sides share may have come from either. */
function isOfUpstream(upstream: string, place: PurgePlace): boolean {
  return place.upstream === '' || place.upstream === upstream
}

/**
 * The form that all spellings of a URL have in common: `host/path?query` or `/path?query`, without fragment and default port,
 * letters of the host in lower case, escapes as RFC 3986 section 6.2.2 has them.
 */
export function urlForm(url: string): string {
  const hash = url.indexOf('#')
  const whole = hash === -1 ? url : url.slice(0, hash)
  if (whole.startsWith('/')) return plainEscapes(whole)
  const { authority, target } = targetUri({ scheme: 'http', host: '', target: whole })
  return authority.replace(DEFAULT_PORT, '') + plainEscapes(target)
}

/** The form of a URL as a route with these rules for its key stores it. */
export function keyedForm(url: string, rules: KeyRules | null): string {
  if (rules === null) return urlForm(url)
  const key = cacheKey('', { scheme: 'http', host: '', target: sentTarget(url, rules) }, rules)
  return urlForm(url.startsWith('/') ? key.slice('http://'.length) : key)
}

/** Of a form with a host, the part that counts for every host. */
export function pathOf(form: string): string {
  return form.slice(form.indexOf('/'))
}

const DEFAULT_PORT = /:(?:80|443)?$/

function plainEscapes(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const letter = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(letter) ? letter : encoded.toUpperCase()
  })
}

/** Whether a stored form begins with a prefix, as written or as the route's rules for its key leave it. */
function beginsWith(stored: string, prefix: string, rules: KeyRules | null): boolean {
  const form = urlForm(prefix)
  const from = form.startsWith('/') ? pathOf(stored) : stored
  if (from.startsWith(form)) return true
  const mark = form.indexOf('?')
  if (rules === null || mark === -1 || !from.startsWith(form.slice(0, mark))) return false
  // Parameters may lie in another order, or not count: those that are whole have to be there, and one that begins as the last.
  const pairs = from.slice(mark + 1).split('&')
  const last = form
    .slice(mark + 1)
    .split('&')
    .pop() as string
  const kept = keyedForm(form.slice(0, form.length - last.length), rules)
  const whole = kept.includes('?') ? kept.slice(kept.indexOf('?') + 1).split('&') : []
  const counts = !last.includes('=') || keyedForm(`/?${last}`, rules).includes('?')
  return (
    whole.every((pair) => pair === '' || pairs.includes(pair)) &&
    (!counts || pairs.some((pair) => pair.startsWith(last)))
  )
}

/** What every stored URL without escapes that a purge covers contains, for a quick look; '' where that can be anything. */
export function literalOf(target: PurgeTarget): string {
  if (target.what !== 'url' && target.what !== 'prefix') return ''
  const form = urlForm(target.url)
  return /^[a-z0-9/]*/i.exec(pathOf(form))?.[0] ?? ''
}

/** The tags of an answer: separated by spaces (Surrogate-Key) or commas (Cache-Tag). */
export function tagsOf(rawHeaders: readonly string[], field: string | null): string[] {
  if (field === null) return []
  return fieldValues(rawHeaders, field)
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((tag) => tag !== '')
}
