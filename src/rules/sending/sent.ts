/**
 * A request as one side of its route gets it, and what an answer of that side is mapped by.
 */
import type { RequestView, Side } from '../http/exchange.ts'
import { type DoneEdits, dashedName, editedFields } from '../http/field-edits.ts'
import { rawSegmentsOf } from '../patterns/path.ts'
import { editsFor, type FieldEdits, mergedEdits } from '../rewriting/field-edits.ts'
import type { RewrittenPath } from '../rewriting/map-back.ts'
import { type PathPlan, rewritePath, type SentPath } from '../rewriting/path.ts'
import { rewriteQuery } from '../rewriting/query.ts'
import type { Match } from '../routing/match.ts'
import type { Route, RouteRewrite, Upstream } from '../table/table.ts'

/** A request that is sent, or described. */
export interface Sending {
  readonly view: RequestView
  readonly matched: Match
  /** Of the request. */
  readonly id: string
}

/** Whether a side gets another request than the one that came. */
export function rewrites(route: Route | null, side: Side | null): route is Route & { readonly rewrite: RouteRewrite } {
  return route !== null && route.rewrite !== null && side === 'to'
}

function planFor(rewrite: RouteRewrite, { path }: Match): PathPlan | null {
  return (path === null ? null : rewrite.paths?.get(path.text)) ?? null
}

/**
 * The target for a side that `rewrites`.
 * @param target as it would go without the rewrite
 * @returns null for a path that the new side could read as another one
 */
export function rewrittenTarget(rewrite: RouteRewrite, target: string, sending: Sending): SentPath | null {
  const plan = planFor(rewrite, sending.matched)
  const sent = plan === null ? { target, prefix: null } : rewritePath(plan, target, sending.matched.ambiguous)
  if (sent === null || rewrite.query === null) return sent
  return { target: rewriteQuery(rewrite.query, sent.target, sending, 'to'), prefix: sent.prefix }
}

/** Merged once: by the edits of the route, and those of the upstream. */
const MERGED = new WeakMap<FieldEdits, WeakMap<FieldEdits, FieldEdits>>()

function editsOfBoth(upstream: FieldEdits | null, route: FieldEdits | null): FieldEdits | null {
  if (upstream === null || route === null) return upstream ?? route
  let known = MERGED.get(route)
  if (known === undefined) {
    known = new WeakMap()
    MERGED.set(route, known)
  }
  let merged = known.get(upstream)
  if (merged === undefined) {
    merged = mergedEdits(upstream, route)
    known.set(upstream, merged)
  }
  return merged
}

/** What banyan says of a request in fields of its own, where it does. */
export interface OwnWords {
  /** The beginning of the path that was left out, or null. */
  readonly prefix: string | null
  /** The request's id is sent. */
  readonly tellsId: boolean
}

/** The edits of a request to an upstream, by the table and by what banyan says of it; null where there are none. */
export function sentEdits(
  { headers }: Pick<Upstream, 'headers'>,
  sending: Sending,
  side: Side | null,
  { prefix, tellsId }: OwnWords,
): DoneEdits | null {
  const { route } = sending.matched
  const edits = editsOfBoth(headers, rewrites(route, side) ? route.rewrite.headers : null)
  let done = edits === null ? null : editsFor(edits, sending, side)
  if (prefix !== null) done = withOwn(done, 'X-Forwarded-Prefix', prefix)
  if (tellsId) done = withOwn(done, 'X-Request-Id', sending.id)
  return done
}

/** The trailer fields of a request that may go on: what the table says of a header holds for a trailer of that name (RFC 9110 section 6.5.1). */
export function sentTrailers(fields: readonly string[], ...args: Parameters<typeof sentEdits>): readonly string[] {
  return withoutEdited(fields, sentEdits(...args))
}

/** No server and no client is to take a field for one that was set or removed, if it merges trailers into headers. */
function withoutEdited(fields: readonly string[], edits: DoneEdits | null): readonly string[] {
  return edits === null ? fields : editedFields(fields, { drops: edits.drops, added: [] })
}

const NOTHING: DoneEdits = { drops: new Set(), added: [] }

/** What the table says of a field counts. */
function withOwn(done: DoneEdits | null, name: string, value: string): DoneEdits {
  const { drops, added } = done ?? NOTHING
  const dashed = dashedName(name)
  return drops.has(dashed) ? { drops, added } : { drops: new Set([...drops, dashed]), added: [...added, name, value] }
}

/** How the path of a request was rewritten, for its answer; null where it was not. */
export function rewrittenPath(rewrite: RouteRewrite, sending: Sending, hosts: readonly string[]): RewrittenPath | null {
  const { view, matched } = sending
  const plan = planFor(rewrite, matched)
  const sent = plan === null ? null : rewritePath(plan, view.target, matched.ambiguous)
  if (plan === null || sent === null) return null
  const path = view.target.split(/[?#]/, 1)[0] as string
  const requested = rawSegmentsOf(path, matched.ambiguous, plan.from.reading)
  return { plan, requested, clientTarget: view.target, sentTarget: sent.target, hosts }
}

/** The fields of an answer of a side, with what the route sets and removes in those of `to`, and with the id where it is told. */
export function answerFields(
  fields: readonly string[],
  ...[sending, side, tellsId]: [Sending, Side | null, boolean]
): readonly string[] {
  const done = answerEdits(sending, side, tellsId)
  return done === null ? fields : editedFields(fields, done)
}

/** The trailer fields of an answer, as `answerFields`: nothing is set there. */
export function answerTrailers(
  fields: readonly string[],
  ...[sending, side, tellsId]: [Sending, Side | null, boolean]
): readonly string[] {
  return withoutEdited(fields, answerEdits(sending, side, tellsId))
}

function answerEdits(sending: Sending, side: Side | null, tellsId: boolean): DoneEdits | null {
  const edits = side === 'to' ? (sending.matched.route?.answer ?? null) : null
  const done = edits === null ? null : editsFor(edits, sending, side)
  return tellsId ? withOwn(done, 'X-Request-Id', sending.id) : done
}
