/**
 * What the cache would do for a request, told and not done: for explain.
 */
import { type CacheFields, readCacheFields } from '../../rules/caching/fields.ts'
import { ageOf, ttlOf } from '../../rules/caching/freshness.ts'
import { cacheKey, isLookedUp, keyPrefix } from '../../rules/caching/key.ts'
import { evaluate, evaluateNothing } from '../../rules/caching/policy.ts'
import type { CacheLook, StoredLook } from '../../rules/explain.ts'
import type { Decision, RequestView } from '../../rules/http/exchange.ts'
import type { CacheSettings, Route } from '../../rules/table/table.ts'
import type { StoredAnswer } from './store.ts'
import type { CacheTiers, Place } from './tiers.ts'

/** Whether the cache is asked for the answer to a request that was decided so. */
export function isAsked(route: Route | null, request: RequestView, { reason }: Decision): route is CachingRoute {
  return route !== null && route.cache !== null && isLookedUp(request.method) && reason !== 'forced'
}

type CachingRoute = Route & { readonly cache: CacheSettings }

/** Looks for the answer to a request in memory, then in the remote store, as the request itself would. */
export async function lookFor(
  tiers: CacheTiers,
  route: CachingRoute,
  request: RequestView,
  ...[decision, now]: [Decision, () => number]
): Promise<CacheLook> {
  const asked = readCacheFields(request.rawHeaders)
  const place = placeOf(route, request, decision)
  const here = tiers.find(place, now())
  const stored = here ?? (await tiers.seek(place, now))
  const nowMs = now()
  return {
    key: place.key.replaceAll('\n', ' '),
    ...verdictOf(asked, stored, nowMs),
    stored: stored === null ? null : storedLook(stored, here === null ? 'redis' : 'memory', nowMs),
  }
}

function placeOf(route: CachingRoute, request: RequestView, decision: Decision): Place {
  const settings = route.cache
  const upstream = settings.shareAcrossUpstreams ? '' : decision.upstream
  const prefix = keyPrefix({ route: route.id, upstream })
  const key = cacheKey(prefix, { ...request, scheme: 'http' }, settings.key)
  return { key, settings, rawHeaders: request.rawHeaders, route: route.id, upstream, url: key.slice(prefix.length) }
}

function verdictOf(asked: CacheFields, stored: StoredAnswer | null, nowMs: number): Pick<CacheLook, 'verdict' | 'why'> {
  const { kind, why } = (stored === null ? evaluateNothing(asked) : evaluate(asked, stored.meta, nowMs)) ?? NOTHING
  return { verdict: kind, why }
}

const NOTHING = { kind: 'miss', why: 'nothing-stored' } as const

function storedLook({ meta }: StoredAnswer, where: StoredLook['where'], nowMs: number): StoredLook {
  return { where, status: meta.status, ageSeconds: ageOf(meta, nowMs), freshForSeconds: ttlOf(meta, nowMs) }
}
