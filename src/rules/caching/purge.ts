/**
 * What a purge takes away: everything, a route, an upstream, a URL with all its variants, a prefix of URLs, a tag.
 */

import { z } from 'zod'
import { fieldValues } from '../http/exchange.ts'
import type { CacheSettings, Route, Table } from '../table/table.ts'
import { cacheKey, sentTarget } from './key.ts'
import { settingsText } from './settings-text.ts'
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
  readonly target: PurgeTarget
  /** What it covers becomes stale, and stays for validation and failures. */
  readonly soft: boolean
  /** Epoch milliseconds. */
  readonly atMs: number
}

const text = z.string().max(16_384)

const purgeSchema = z.object({
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

/**
 * Reads a purge that another process has written.
 * @param json its text
 * @returns null where it is none
 */
export function readPurge(json: string): Purge | null {
  try {
    return purgeSchema.parse(JSON.parse(json))
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
      const stored = withoutScheme(place.url)
      return matchesUrl(target.url, stored) || matchesUrl(asKeyed(target.url, place), stored)
    }
    case 'prefix': {
      const stored = withoutScheme(place.url)
      const prefix = normalised(target.url)
      return (prefix.startsWith('/') ? stored.slice(stored.indexOf('/')) : stored).startsWith(prefix)
    }
    case 'tag':
      return tagsOf(rawHeaders, place.settings.tags).includes(target.tag)
  }
}

/** What both sides share may have come from either. */
function isOfUpstream(upstream: string, place: PurgePlace): boolean {
  return place.upstream === '' || place.upstream === upstream
}

function matchesUrl(url: string, stored: string): boolean {
  const wanted = normalised(url)
  return wanted.startsWith('/') ? stored.slice(stored.indexOf('/')) === wanted : stored === wanted
}

/** A URL as the route's key rules leave it, with its scheme. */
function asKeyed(url: string, { settings }: PurgePlace): string {
  if (settings.key === null) return url
  const target = sentTarget(url, settings.key)
  const key = cacheKey('', { scheme: 'http', host: '', target }, settings.key)
  return url.startsWith('/') ? key.slice('http://'.length) : key
}

function normalised(url: string): string {
  if (url.startsWith('/')) return url
  const { authority, target } = targetUri({ scheme: 'http', host: '', target: url })
  return authority + target
}

function withoutScheme(url: string): string {
  return url.slice(url.indexOf('://') + 3)
}

/** More purges than this at once become one of everything. */
const MAX_SIDES = 100

/**
 * What must not be served any more after an edit, even if it is taken back later: what the sides have answered that lost
 * requests (the share was lowered, and what the new side has answered so far may be why), and what settings of a route or
 * upstream have made that are no longer in force. Routes that cache only.
 */
export function purgedByEdit(before: Table, after: Table): PurgeTarget[] {
  const next = new Map(after.routes.map((route) => [route.id, route]))
  const lost: PurgeTarget[] = []
  for (const was of before.routes) {
    if (was.cache === null) continue
    const is = next.get(was.id)
    for (const upstream of sidesOf(was)) {
      const stays =
        is !== undefined &&
        sidesOf(is).includes(upstream) &&
        settingsText(before, was, upstream) === settingsText(after, is, upstream)
      const lowered = stays && is.to === was.to && is.percent < was.percent && (upstream === '' || upstream === is.to)
      if (stays && !lowered) continue
      const side = upstream === '' ? (lowered ? was.to : null) : upstream
      lost.push({ what: 'route', route: was.id, upstream: side })
    }
  }
  return lost.length > MAX_SIDES ? [{ what: 'everything' }] : lost
}

/** The upstreams that a route's stored answers lie under; none where it does not cache. */
function sidesOf({ cache, from, to }: Route): readonly string[] {
  if (cache === null) return []
  return cache.shareAcrossUpstreams ? [''] : from === to ? [from] : [from, to]
}

/** The tags of an answer: separated by spaces (Surrogate-Key) or commas (Cache-Tag). */
export function tagsOf(rawHeaders: readonly string[], field: string | null): string[] {
  if (field === null) return []
  return fieldValues(rawHeaders, field)
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((tag) => tag !== '')
}
