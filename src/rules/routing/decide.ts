/**
 * Match -> decision: force, percent, pin, key, bucket, availability; with the reason as one word.
 */

import type { Decision, Reason, RequestView, Side } from '../http/exchange.ts'
import { bucketOf, hashOf, inShare } from '../patterns/draw.ts'
import { keyOf, type StickySource } from '../patterns/sticky.ts'
import { NO_UPSTREAM, type Route, type Table } from '../table/table.ts'
import type { Match } from './match.ts'
import { firstKey, isTarget, targetFor } from './targets.ts'

const REQUEST = 'request'
const TWO_32 = 2 ** 32

/** Whether a target of a route may be asked with such a method: its breaker does not stand in the way. */
export type IsAvailable = (route: Route, method: string, target: string) => boolean

/**
 * Decides which upstream is to answer. Pure: chance comes with the view, health through `isAvailable`.
 *
 * `isAvailable` is asked only where the request lies in the share. `forced` is the upstream that a
 * valid force token names, or null; it stands above everything else. `pinned` is the side that the client has a connection
 * of its own to, or null; where percent leaves nothing to draw it does not count. `written` is the side that took the key's last write,
 * for a read that stays there, or null. `isRefused`: the endpoint of the route has ended, or there is a brownout.
 */
export function decide(
  table: Table,
  match: Match,
  view: RequestView,
  isAvailable: IsAvailable,
  forced: string | null = null,
  pinned: string | null = null,
  written: Side | null = null,
  isRefused: boolean = endedAlready(match.route),
): Decision {
  const { route } = match
  if (forced !== null) return decision(route, forced, 'forced', null, null)
  if (isRefused) return decision(route, NO_UPSTREAM, 'retired', null, null)
  if (route === null) {
    return decision(null, table.default, match.ambiguous ? 'ambiguous' : 'default', null, null)
  }
  if (route.percent === 0) return decision(route, route.from, 'rest', null, null)
  if (pinned !== null && !route.movesAll) return decision(route, pinned, 'pinned', null, null)
  if (written === 'from' && route.from !== NO_UPSTREAM) return decision(route, route.from, 'pinned', null, null)
  if (written === 'to' || route.movesAll) {
    const key = route.targets.length === 1 ? null : firstKey(route, match.params, view)
    const there = toward(route, view, key, null, null, isAvailable)
    return written === 'to' && there.reason === 'percent' ? { ...there, reason: 'pinned' } : there
  }
  return draw(route, match, view, isAvailable)
}

function endedAlready(route: Route | null): boolean {
  return route !== null && route.retire !== null && route.retire.endsMs === Number.NEGATIVE_INFINITY
}

/** The draw of a route on the first key present. Requests without a key go where `noKey` says. */
function draw(route: Route, match: Match, view: RequestView, isAvailable: IsAvailable): Decision {
  const { sticky } = route
  if (sticky.length === 0) return drawOn(view.chance * TWO_32, null, REQUEST, route, view, isAvailable)
  for (let i = 0; i < sticky.length; i++) {
    const source = sticky[i] as StickySource
    if (source.kind === REQUEST) return drawOn(view.chance * TWO_32, null, source.text, route, view, isAvailable)
    const key = keyOf(source, view, match.params)
    if (key !== undefined) return drawOn(hashOf(route.salt, key), key, source.text, route, view, isAvailable)
  }
  switch (route.noKey) {
    case 'from':
      return decision(route, route.from, 'no-key', null, null)
    case 'random':
      return drawOn(view.chance * TWO_32, null, REQUEST, route, view, isAvailable)
    case 'to': {
      const target = targetFor(route, null, view.chance)
      return isAvailable(route, view.method, target)
        ? decision(route, target, 'no-key', null, null)
        : decision(route, route.from, 'unavailable', null, null)
    }
  }
}

/**
 * The hash that a request of a route is drawn on, at whatever percent.
 * @returns null where each request is drawn by itself, undefined where it has no key
 */
export function stickyHashOf(route: Route, match: Match, view: RequestView): number | null | undefined {
  if (route.sticky.length === 0) return null
  for (const source of route.sticky) {
    if (source.kind === REQUEST) return null
    const key = keyOf(source, view, match.params)
    if (key !== undefined) return hashOf(route.salt, key)
  }
  return route.noKey === 'random' ? null : undefined
}

/** @param key null where each request is drawn by itself */
function drawOn(
  hash: number,
  key: string | null,
  sticky: string,
  route: Route,
  view: RequestView,
  isAvailable: IsAvailable,
): Decision {
  const bucket = bucketOf(hash)
  return inShare(hash, route.threshold)
    ? toward(route, view, key, bucket, sticky, isAvailable)
    : decision(route, route.from, 'rest', bucket, sticky)
}

function toward(
  route: Route,
  view: RequestView,
  key: string | null,
  bucket: number | null,
  sticky: string | null,
  isAvailable: IsAvailable,
): Decision {
  const target = targetFor(route, key, view.chance)
  return isAvailable(route, view.method, target)
    ? decision(route, target, 'percent', bucket, sticky)
    : decision(route, route.from, 'unavailable', bucket, sticky)
}

/**
 * The side of its route that was decided for an exchange, whoever answers: where `from` stands in for `to`, it is `to`.
 * @returns null where there is no route, and where somebody was forced to a third upstream
 */
export function sideOf({ reason, upstream }: Pick<Decision, 'reason' | 'upstream'>, route: Route | null): Side | null {
  if (route === null) return null
  switch (reason) {
    case 'percent':
    case 'unavailable':
    case 'fallback':
      return 'to'
    case 'rest':
      return 'from'
    case 'retired':
      return null
    default:
      return isTarget(route, upstream) ? 'to' : upstream === route.from ? 'from' : null
  }
}

/** The side of its route that answers an exchange; null as for `sideOf`. */
export function answeringSide(decision: Pick<Decision, 'reason' | 'upstream'>, route: Route | null): Side | null {
  return decision.reason === 'fallback' || decision.reason === 'unavailable' ? 'from' : sideOf(decision, route)
}

/** The one place that makes the object, so that every decision has the same shape. */
function decision(
  route: Route | null,
  upstream: string,
  reason: Reason,
  bucket: number | null,
  sticky: string | null,
): Decision {
  return {
    routeId: route === null ? null : route.id,
    upstream,
    reason,
    bucket,
    percent: route === null ? null : route.percent,
    sticky,
  }
}
