/**
 * Explains how a request would be routed: the decision with everything that led to it, as one object.
 */
import { isLookedUp } from './caching/key.ts'
import type { Verdict } from './caching/policy.ts'
import { type ExplainedSide, explainSent } from './explain-sent.ts'
import type { Decision, RequestView, Side } from './http/exchange.ts'
import { fieldValue } from './http/exchange.ts'
import { hasBody, readRequestFields } from './http/headers.ts'
import { ownValues, takeOwnCookies } from './http/own-cookies.ts'
import { readAddress } from './patterns/address.ts'
import { patternTakes, readTarget } from './patterns/path.ts'
import { keyOf } from './patterns/sticky.ts'
import { refusedNow } from './retirement/retirement.ts'
import { decide, type IsAvailable } from './routing/decide.ts'
import { type Candidate, explainMatch, type Match, matchRoute } from './routing/match.ts'
import { targetOf } from './routing/targets.ts'
import type { CacheSettings, Route, Table } from './table/table.ts'

/** What banyan would do with a request, and why. */
export interface Explanation {
  /** The request as it was understood. */
  readonly request: RequestView
  /** The object that the access log prints. */
  readonly decision: Decision
  /** What the route says; null where no route claims the request. */
  readonly route: ExplainedRoute | null
  /** The routes that came nearest, the winner first. */
  readonly candidates: readonly Candidate[]
  /** Routes of the table that are not among the candidates. */
  readonly otherRoutes: number
  /** The request as each side of the route would get it. */
  readonly sent: readonly ExplainedSide[]
}

/** What of a route bears on the decision. */
export interface ExplainedRoute {
  readonly id: string
  readonly from: string
  /** The one that this request goes to if it is in the share. */
  readonly to: string
  /** The upstreams of `to`, with their weights. */
  readonly targets: readonly { readonly upstream: string; readonly weight: number }[]
  readonly percent: number
  /** Routes of one group move the same keys together. */
  readonly group: string
  /** The chain of sticky sources in order, and whether the request has each. Empty: each request is drawn by itself. */
  readonly sticky: readonly { readonly source: string; readonly present: boolean; readonly used: boolean }[]
  /** Whether `to` may be asked; its breaker may say no. */
  readonly toIsAvailable: boolean
  /** Whether `from` would answer where `to` fails. */
  readonly fallback: boolean
  /** Whether the cache is asked for this request's answer. */
  readonly cached: boolean
  /** How clients are told which side has responded; null where they are not. */
  readonly tellSide: 'header' | 'cookie' | null
}

/** What the cache would do. */
export interface CacheExplanation {
  /** As Cache-Status tells it: route, upstream ('' where the sides share), method and URL. Null for `pass`. */
  readonly key: string | null
  /** In the words of the policy; `miss` where nothing is stored, `pass` where nothing is looked up. */
  readonly verdict: Verdict['kind'] | 'pass'
  readonly why: Verdict['why'] | PassReason
  /** What is stored; null where nothing is. */
  readonly stored: ExplainedAnswer | null
}

/** Why a request passes the cache of its route by. */
export type PassReason = 'method' | 'body' | 'upgrade' | 'ambiguous-path' | 'forced'

/** A stored answer. */
export interface ExplainedAnswer {
  readonly where: 'memory' | 'redis'
  readonly status: number
  readonly ageSeconds: number
  /** Negative once it is stale. */
  readonly freshForSeconds: number
}

/** Candidates that are told: those of the request's own path and host are what one wants to know of. */
const MAX_CANDIDATES = 20

/** Reads the id of a visitor from the values of the visitor cookie; null if none of them is valid. */
export type ReadVisitor = (values: readonly string[]) => string | null

/** The side that took the last write of the key of a read, or null. */
export type WrittenSide = (match: Match, view: RequestView) => Side | null

/** Without the key that the cookies are made with: believes them. */
const believed: ReadVisitor = ([value]) => value?.split('.', 1)[0] || null

/**
 * Decides as the proxy would. `isAvailable` says whether the breaker of a route lets its `to` be asked.
 * @param nowMs epoch milliseconds, for endpoints that end
 * @param described banyan's own cookies among its headers are read and taken out, as the proxy does
 */
export function explain(
  table: Table,
  described: RequestView,
  isAvailable: IsAvailable,
  forced: string | null = null,
  readVisitor: ReadVisitor = believed,
  writtenSide: WrittenSide = () => null,
  nowMs = 0,
): Explanation {
  const { rawHeaders, own } = takeOwnCookies(described.rawHeaders, table.visitor.name)
  const { visitor: known, ...rest } = described
  const received = known ?? readVisitor(ownValues(own, table.visitor.name))
  const shown: RequestView = { ...rest, rawHeaders }
  // A visitor without the cookie gets a random one.
  const request = { ...shown, visitor: received ?? `new ${described.chance}` }
  const match = matchRoute(table, request)
  const retire = match.route?.retire ?? null
  const isRefused = retire !== null && refusedNow(retire, nowMs, request.chance) !== null
  const written = writtenSide(match, request)
  const decision = decide(table, match, request, isAvailable, forced, null, written, isRefused)
  const candidates = nearest(table, request, explainMatch(table, request))
  const asked = { request, isKnownVisitor: received !== null }
  return {
    request: shown,
    decision,
    route: match.route === null ? null : explainRoute(match.route, match, decision, asked, isAvailable),
    candidates,
    otherRoutes: table.routes.length - candidates.length,
    sent: explainSent(table, request, match, asksCache(match.route, request, decision, match.ambiguous)),
  }
}

function explainRoute(
  route: Route,
  match: Match,
  decision: Decision,
  ...[{ request, isKnownVisitor }, isAvailable]: [
    { readonly request: RequestView; readonly isKnownVisitor: boolean },
    IsAvailable,
  ]
): ExplainedRoute {
  const { id, from, percent, salt, targets } = route
  const to = targetOf(route, match.params, request)
  return {
    id,
    from,
    to,
    targets: targets.map(({ upstream, weight }) => ({ upstream, weight })),
    percent,
    group: salt,
    sticky: route.sticky.map((source) => ({
      source: source.text,
      present:
        source.kind === 'visitor'
          ? isKnownVisitor
          : source.kind === 'request' || keyOf(source, request, match.params) !== undefined,
      used: source.text === decision.sticky,
    })),
    toIsAvailable: isAvailable(route, request.method, to),
    fallback: route.fallback !== null,
    cached: asksCache(route, request, decision, match.ambiguous),
    tellSide: route.tellSide,
  }
}

/** Whether the cache is asked for the answer to a request: not for one with a body, or that offers an upgrade. */
export function asksCache(
  route: Route | null,
  request: RequestView,
  decision: Decision,
  ambiguous: boolean,
): route is Route & { readonly cache: CacheSettings } {
  return route !== null && route.cache !== null && passReasonOf(request, decision, ambiguous) === null
}

/** Why a request passes the cache of its route by; null where it is looked up. */
export function passReasonOf(request: RequestView, { reason }: Decision, ambiguous: boolean): PassReason | null {
  const said = readRequestFields(request.rawHeaders)
  if (said.upgrade !== null && !/^h2c\b/i.test(said.upgrade)) return 'upgrade'
  if (ambiguous) return 'ambiguous-path'
  if (!isLookedUp(request.method)) return 'method'
  if (hasBody(said)) return 'body'
  return reason === 'forced' ? 'forced' : null
}

/** The winner, then the routes whose conditions are all met, then those of the same path, then those that lack least. */
function nearest(table: Table, request: RequestView, candidates: readonly Candidate[]): Candidate[] {
  const rankOf = (candidate: Candidate, at: number): number => {
    if (candidate.won) return 0
    if (candidate.matched) return 1
    const { claims, reading } = table.routes[at] as Route
    const { segments } = readTarget(request.target, reading)
    const isOfPath = segments !== null && claims.some(({ path }) => path.text !== '/*' && patternTakes(path, segments))
    return (isOfPath ? 2 : 1000) + candidate.lost.length
  }
  return candidates
    .map((candidate, at) => ({ candidate, rank: rankOf(candidate, at) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, MAX_CANDIDATES)
    .map(({ candidate }) => candidate)
}

/** A request as a person describes it. */
export interface RequestDescription {
  readonly method: string
  /** A path with its query, or an http URL. */
  readonly url: string
  /** Name, value, name, value. */
  readonly headers: readonly string[]
  readonly clientAddress: string
  /** In [0, 1). */
  readonly chance: number
}

/**
 * What the proxy would see of the described request. Texts beyond ASCII become the UTF-8 bytes that a client would send; the
 * URL is taken byte for byte, never normalised. A Host field wins over the host of the URL.
 */
export function viewOf({ method, url, headers, clientAddress, chance }: RequestDescription): RequestView {
  const { authority, target, scheme } = splitUrl(bytesOf(url))
  const rawHeaders = headers.map(bytesOf)
  const host = (fieldValue(rawHeaders, 'host') ?? authority).toLowerCase()
  const view = { method, target, host, rawHeaders, clientAddress: readAddress(clientAddress) ?? clientAddress, chance }
  return scheme === null ? view : { ...view, scheme }
}

/** Whether a text can be the `url` of a description. */
export function isUrl(text: string): boolean {
  return /^(?:\/|https?:\/\/[^/?#])/i.test(text) && !/[\x00-\x20\x7f]/.test(text)
}

const utf8 = new TextEncoder()

/** The UTF-8 bytes of a text, each as the Latin-1 character of its number. */
function bytesOf(text: string): string {
  let bytes = ''
  for (const byte of utf8.encode(text)) bytes += String.fromCharCode(byte)
  return bytes
}

/** What a client makes of a URL: user information and fragment are never sent, and an empty path is `/`. */
function splitUrl(url: string): { authority: string; target: string; scheme: 'https' | null } {
  const [, origin, rest] = /^(https?:\/\/[^/?#]*)?([^#]*)/i.exec(url) as unknown as [string, string | undefined, string]
  const authority = origin === undefined ? '' : origin.replace(/^https?:\/\/(?:.*@)?/i, '')
  const scheme = /^https:/i.test(url) ? 'https' : null
  return { authority, target: rest.startsWith('/') ? rest : `/${rest}`, scheme }
}
