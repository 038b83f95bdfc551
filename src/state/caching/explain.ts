/**
 * What the cache would do for a request, told and not done: for explain.
 */
import { type CacheFields, readCacheFields } from '../../rules/caching/fields.ts'
import { formParts } from '../../rules/caching/form.ts'
import { ageOf, ttlOf } from '../../rules/caching/freshness.ts'
import { cacheKey, keyedTarget, keyParts, keyPrefix, sentTarget, targetPart } from '../../rules/caching/key.ts'
import { evaluate, evaluateNothing } from '../../rules/caching/policy.ts'
import { normalizedValues } from '../../rules/caching/sent.ts'
import { type SentValues, varyKey } from '../../rules/caching/vary.ts'
import type { CacheExplanation, ExplainedAnswer } from '../../rules/explain.ts'
import { describedRewrite } from '../../rules/explain-sent.ts'
import type { Decision, RequestView, Side } from '../../rules/http/exchange.ts'
import { readRequestFields, sentValues, unnamedFields } from '../../rules/http/headers.ts'
import { answeringSide } from '../../rules/routing/decide.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import { rewrites, rewrittenTarget, type Sending, sentEdits } from '../../rules/sending/sent.ts'
import type { CacheSettings, NormalizedField, Route, Table } from '../../rules/table/table.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { StoredAnswer } from './store.ts'
import type { CacheTiers, Place } from './tiers.ts'

type CachingRoute = Route & { readonly cache: CacheSettings }

/** Whether a route caches. */
export function isCaching(route: Route | null): route is CachingRoute {
  return route?.cache != null
}

/** Looks for the answer to a request in memory, then in the remote store, as the request itself would. */
export async function explainCache(
  tiers: CacheTiers,
  table: Table,
  route: CachingRoute,
  ...[request, decision, now]: [RequestView, Decision, () => number]
): Promise<CacheExplanation> {
  const said = readRequestFields(request.rawHeaders)
  const asked = readCacheFields(unnamedFields(request.rawHeaders, said))
  const place = placeOf(table, route, request, decision)
  const here = tiers.find(place, now())
  const stored = here ?? (await tiers.findRemote(place, now))
  const nowMs = now()
  return {
    key: place.key.replaceAll('\n', ' '),
    ...verdictOf(asked, stored, nowMs),
    stored: stored === null ? null : explainAnswer(stored, here === null ? 'redis' : 'memory', nowMs),
  }
}

/** As of a client that is not believed. */
function placeOf(table: Table, route: CachingRoute, request: RequestView, decision: Decision): Place {
  const settings = route.cache
  const { key: rules } = settings
  const upstream = settings.shareAcrossUpstreams ? '' : decision.upstream
  const prefix = keyPrefix({ route: route.id, upstream })
  const target = sentTarget(request.target, rules)
  const key = cacheKey(prefix, { ...request, target, scheme: request.scheme ?? 'http' }, rules)
  const sending = { view: request, matched: matchRoute(table, request), id: '' }
  const side = answeringSide(decision, route)
  const sent = rewrites(route, side) ? rewrittenTarget(route.rewrite, target, sending) : null
  const values = valuesOf(table, route, sending, decision, side, sent?.prefix ?? null)
  const rewritten = rewrites(route, side) ? targetPart(route.rewrite, keyedTarget(target, rules), sending) : ''
  const [host = request.host] = values('x-forwarded-host')
  return {
    key,
    print: fingerprintOf(table, route, upstream),
    parts: rewritten + formParts({ host, lower: host.toLowerCase(), trusted: false }, values) + keyParts(values, rules),
    selecting: (vary) => varyKey(values, vary),
    settings,
    route: route.id,
    upstream,
    url: key.slice(prefix.length),
  }
}

const NO_UPSTREAM = { host: 'preserve', via: false, headers: null } as const

function valuesOf(
  table: Table,
  { cache }: CachingRoute,
  sending: Sending,
  ...[decision, side, prefix]: [Decision, Side | null, string | null]
): SentValues {
  const { view: request } = sending
  const said = readRequestFields(request.rawHeaders)
  const fields = unnamedFields(request.rawHeaders, said)
  const upstream = table.upstreams.get(decision.upstream) ?? NO_UPSTREAM
  const edits = sentEdits(upstream, sending, side, { prefix, tellsId: false })
  const rewrite = { ...describedRewrite(request, upstream, decision.upstream), edits }
  return (name) => {
    const values = sentValues(name, fields, said, rewrite)
    return cache.normalize.includes(name as NormalizedField) ? normalizedValues(values) : values
  }
}

function verdictOf(
  asked: CacheFields,
  stored: StoredAnswer | null,
  nowMs: number,
): Pick<CacheExplanation, 'verdict' | 'why'> {
  const { kind, why } = (stored === null ? evaluateNothing(asked) : evaluate(asked, stored.meta, nowMs)) ?? NOTHING
  return { verdict: kind, why }
}

const NOTHING = { kind: 'miss', why: 'nothing-stored' } as const

function explainAnswer({ meta }: StoredAnswer, where: ExplainedAnswer['where'], nowMs: number): ExplainedAnswer {
  return { where, status: meta.status, ageSeconds: ageOf(meta, nowMs), freshForSeconds: ttlOf(meta, nowMs) }
}
