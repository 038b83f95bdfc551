/**
 * Paths that the new side has elsewhere: a request's path as that side gets it, and its paths as clients know them.
 */
import { decodePart, type PathPattern, rawSegmentsOf, whyAmbiguous } from '../patterns/path.ts'
import { nearestWord } from '../values/problem.ts'
import type { Flaw } from '../values/units.ts'

/** How a path that `from` matches becomes one that `to` matches, and back. */
export interface PathPlan {
  readonly from: PathPattern
  readonly to: PathPattern
  /** For each segment of `to`: what is sent, or the place of the segment of `from` whose bytes stand there. */
  readonly forth: readonly (string | number)[]
  /** For each segment of `from`: its bytes, or the place in `to`; null where `to` does not have it. */
  readonly back: readonly (string | number | null)[]
  /** So many segments at the beginning of `from` are left out, and the others stay; 0 where it is no such change. */
  readonly prefixLength: number
}

/** Why a path can't be rewritten to another one, or null: it may have the parameters of the first, and its `*`. */
export function flawOfRewrite(from: PathPattern, to: PathPattern): Flaw | null {
  const stray = to.params.find((name) => !from.params.includes(name))
  if (stray !== undefined) {
    const near = nearestWord(stray, from.params)
    const all = from.params.length === 0 ? 'it has none' : `it has ${from.params.map((name) => `:${name}`).join(', ')}`
    const hint = near === undefined ? all : `did you mean :${near}?`
    return { message: `the path ${from.text} has no parameter :${stray}`, hint }
  }
  if (to.rest && !from.rest) return { message: `the path ${from.text} has no * at its end`, hint: 'leave /* out' }
  return null
}

/** Both must be without a flaw. */
export function planOf(from: PathPattern, to: PathPattern): PathPlan {
  const [own, other] = [namesOf(from), namesOf(to)]
  const forth = other.map((name, at) => (name === null ? literalOf(to, at) : own.indexOf(name)))
  const back = own.map((name, at) => {
    if (name === null) return literalOf(from, at)
    const place = other.indexOf(name)
    return place === -1 ? null : place
  })
  const shorter = own.length - other.length
  const keepsTail = other.every((name, at) => {
    const before = shorter + at
    return name === null ? own[before] === null && literalOf(from, before) === literalOf(to, at) : own[before] === name
  })
  const prefixLength = shorter > 0 && from.rest === to.rest && keepsTail ? shorter : 0
  return { from, to, forth, back, prefixLength }
}

/** By segment, the name of its parameter, or null for a literal. */
function namesOf({ segments, params }: PathPattern): (string | null)[] {
  let next = 0
  return segments.map((literal) => (literal === null ? (params[next++] as string) : null))
}

/** The bytes of a literal segment: as written, with what no path may hold percent-encoded. */
function literalOf({ text }: PathPattern, at: number): string {
  const written = text.split('/')[at + 1] ?? ''
  return written.replace(/[^\x21-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()))
}

/** A request as the new side gets it. */
export interface SentPath {
  /** The whole target: path and query. */
  readonly target: string
  /** The beginning of the client's path that was left out, byte for byte; null where none was. */
  readonly prefix: string | null
}

/**
 * Rewrites the path of a target that `plan.from` matches. Parameters and the rest keep their bytes.
 * @param ambiguous the path has more than one reading (`ambiguousPaths: allow`)
 * @returns null for a value that could be read as another path: `.`, `..`, or one that holds `/`, `\` or NUL
 */
export function rewritePath(plan: PathPlan, target: string, ambiguous: boolean): SentPath | null {
  const end = endOfPath(target)
  const segments = rawSegmentsOf(target.slice(0, end), ambiguous, plan.from.reading)
  const { from, to, forth, prefixLength } = plan
  const own = from.segments.length
  const rest = from.rest && !to.rest ? [] : segments.slice(own)
  if (ambiguous && !areSafe(plan, segments)) return null
  const sent = forth.map((piece) => (typeof piece === 'string' ? piece : paramBytes(segments[piece] as string, from)))
  // A final slash that the route ignores goes on.
  if (rest.length > 0 && !(sent.at(-1) === '' && !to.rest)) sent.push(...rest)
  const prefix = prefixLength === 0 ? null : `/${segments.slice(0, prefixLength).join('/')}`
  return { target: `/${sent.join('/')}${target.slice(end)}`, prefix }
}

/** The bytes of a segment that stand for a parameter: less the path parameters, where the route ignores them. */
function paramBytes(segment: string, { reading }: PathPattern): string {
  return reading.ignoresParameters ? (segment.split(';', 1)[0] as string) : segment
}

function areSafe({ from, forth, to }: PathPlan, segments: readonly string[]): boolean {
  const isSafe = (segment: string): boolean => whyAmbiguous(decodePart(segment) ?? segment) === null
  if (!forth.every((piece) => typeof piece === 'string' || isSafe(segments[piece] as string))) return false
  return !to.rest || segments.slice(from.segments.length).every(isSafe)
}

/** Where the path of a target ends: at its query or fragment. */
function endOfPath(target: string): number {
  const end = target.search(/[?#]/)
  return end === -1 ? target.length : end
}

/**
 * The client's path for a path of the new side: the inverse of `rewritePath`. Parameters that the new side's path does not
 * have keep the value of the request.
 * @param path absolute, without query; its dot segments are resolved
 * @param requested the segments of the client's request, byte for byte
 * @returns null where no path of the route becomes this one
 */
export function clientPath(plan: PathPlan, path: string, requested: readonly string[]): string | null {
  const segments = path.slice(1).split('/')
  const { from, to } = plan
  const length = to.segments.length
  // `/app` may stand for what is below `/app/`.
  if (to.rest ? segments.length < length : segments.length !== length) return null
  if (!to.segments.every((literal, at) => takes(literal, segments[at] as string))) return null
  return joined(
    plan,
    segments,
    requested,
    from.rest ? (to.rest ? segments.slice(length) : restOf(plan, requested)) : [],
  )
}

function restOf({ from }: PathPlan, requested: readonly string[]): readonly string[] {
  return requested.slice(from.segments.length)
}

function takes(literal: string | null, segment: string): boolean {
  return literal === null ? segment !== '' : (decodePart(segment) ?? segment) === literal
}

function joined(
  { back, from }: PathPlan,
  segments: readonly string[],
  requested: readonly string[],
  rest: readonly string[],
): string {
  const own = back.map((piece, at) =>
    typeof piece === 'string'
      ? piece
      : piece === null
        ? paramBytes(requested[at] as string, from)
        : (segments[piece] as string),
  )
  return `/${[...own, ...rest].join('/')}`
}

/**
 * The Path of a cookie as clients know it. One that is above what is rewritten becomes the narrowest that covers all of the
 * route's paths below it; `/` stays, unless the new side has its root in the place of a prefix.
 * @returns null where the path has nothing to do with the rewrite
 */
export function clientCookiePath(plan: PathPlan, path: string, requested: readonly string[]): string | null {
  if (!path.startsWith('/')) return null
  const exact = clientPath(plan, path, requested)
  const { to, from, back } = plan
  if (exact !== null && (path !== '/' || to.segments.length === 0)) return exact
  if (path === '/') return null
  const given = path.replace(/\/$/, '').slice(1).split('/')
  const known = to.segments.slice(0, given.length)
  if (given.length > to.segments.length) return null
  if (!known.every((literal, at) => takes(literal, given[at] as string))) return null
  const covering: string[] = []
  for (const piece of back) {
    if (typeof piece === 'string') covering.push(piece)
    else if (piece !== null && piece < given.length) covering.push(given[piece] as string)
    else return `/${covering.join('/')}`
  }
  // The last segment of a path without a rest is a page, not a folder.
  return `/${(from.rest ? covering : covering.slice(0, -1)).join('/')}`
}
