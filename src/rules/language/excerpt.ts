/**
 * Excerpts of the text of a table: some of its routes with all that stands before and behind the list, so that a few routes are
 * edited, parsed and checked without the others, or what stands before them. What depends on other routes is for whoever knows them.
 */
import { MAX_PROBLEMS, type Problem } from '../values/problem.ts'
import { type NumberPlaces, WIDTH } from './numbers.ts'
import { MAX_LEXEMES } from './parse.ts'
import { areInBrackets, type RoutePlaces } from './route-places.ts'
import type { TextFacts } from './text.ts'

/** A part of the routes with all that stands before and behind them. */
export interface Excerpt {
  readonly text: string
  /** The place of the first of its routes in the table. */
  readonly first: number
  /** Behind the last one. */
  readonly end: number
  /** How many routes there are with what stands behind them: in brackets the last one, since it is the one without a comma. */
  readonly behind: number
}

/** @param first of its routes @param end behind the last one */
export function excerptOf(text: string, places: RoutePlaces, first: number, end: number): Excerpt {
  const behind = end < places.length - 1 && areInBrackets(places, text) ? 1 : 0
  const [from, to] = [places[first] as number, places[end] as number]
  return { text: text.slice(0, places[0]) + text.slice(from, to) + restOf(text, places, behind), first, end, behind }
}

function restOf(text: string, places: RoutePlaces, behind: number): string {
  return text.slice(places.at(-1 - behind))
}

/** The text with other routes in the place of those of an excerpt; null where the edit has changed more. */
export function withExcerpt(
  text: string,
  places: RoutePlaces,
  { first, end, behind }: Excerpt,
  edited: string,
): string | null {
  const [head, rest] = [text.slice(0, places[0]), restOf(text, places, behind)]
  if (edited.length < head.length + rest.length || !edited.startsWith(head) || !edited.endsWith(rest)) return null
  const between = edited.slice(head.length, edited.length - rest.length)
  return text.slice(0, places[first]) + between + text.slice(places[end])
}

/** How many characters are compared at once. */
const BLOCK = 4096

/**
 * What differs between two texts, as an excerpt of each; null where more than routes differs. Both have the routes beside it too: without
 * them, wrong indentation, or an end of the list, would not show.
 */
export function excerptBetween(
  before: string,
  places: RoutePlaces,
  after: string,
): { readonly before: Excerpt; readonly after: string } | null {
  const count = places.length - 1
  if (count < 1) return null
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before.slice(head, head + BLOCK) === after.slice(head, head + BLOCK)) head += BLOCK
  head = Math.min(head, shorter)
  while (head < shorter && before.charCodeAt(head) === after.charCodeAt(head)) head++
  const most = shorter - head
  let tail = 0
  while (
    tail < most &&
    before.slice(-tail - BLOCK, before.length - tail) === after.slice(-tail - BLOCK, after.length - tail)
  )
    tail += BLOCK
  tail = Math.min(tail, most)
  while (tail < most && before.charCodeAt(before.length - 1 - tail) === after.charCodeAt(after.length - 1 - tail))
    tail++
  // A line that differs at its start may belong to the route before it.
  let first = 0
  while (first + 1 < count && (places[first + 1] as number) < head) first++
  let end = first + 1
  while (end < count && (places[end] as number) < before.length - tail) end++
  first = Math.max(0, first - 1)
  end = Math.min(count, end + 1)
  const behind = (places[end] as number) + after.length - before.length
  const last = places[count] as number
  if (head < (places[0] as number) || before.length - tail > last || behind < (places[first] as number)) return null
  if (behind < after.length && after[behind - 1] !== '\n' && !areInBrackets(places, before)) return null
  const excerpt = excerptOf(before, places, first, end)
  const rest = restOf(before, places, excerpt.behind)
  return { before: excerpt, after: before.slice(0, places[0]) + after.slice(places[first], behind) + rest }
}

/** What an excerpt is in its text, and what has become of it. */
interface Moved {
  readonly first: number
  readonly end: number
  /** Routes that there are more. */
  readonly grown: number
  /** From an offset in the new excerpt to that in the new text. */
  readonly into: number
  /** From an offset behind the excerpt to the new one. */
  readonly behind: number
}

/**
 * Problems of routes of an excerpt after an edit of them, at their places in the text with that edit.
 * @param text before
 */
export function problemsWith(
  text: string,
  places: RoutePlaces,
  { first }: Excerpt,
  edited: { readonly text: string; readonly problems: readonly Problem[] },
): Problem[] {
  const [here, there] = [spotOf(edited.text, places[0] as number), spotOf(text, places[first] as number)]
  return edited.problems.map((problem) => ofRoute(spotMoved(problem, here, there), first))
}

/** What is known of an excerpt. */
export type ExcerptFacts = TextFacts & { readonly text: string }

/**
 * What is known of a text in which an excerpt has become another one, but for warnings that name other routes.
 * @param text before, with its facts
 * @param found what is known of the new excerpt
 * @returns null where that does not tell all
 */
export function factsWith(
  text: string,
  facts: TextFacts,
  { first, end, behind }: Excerpt,
  found: ExcerptFacts,
): TextFacts | null {
  const { places } = facts
  const checked = withoutLast(behind, found)
  const lexemes = lexemesWith(facts, found)
  const [head, from, to] = [places[0] as number, places[first] as number, places[end] as number]
  const last = checked.places.at(-1)
  if (lexemes === null || last === undefined || checked.places[0] !== head) return null
  // What stands behind the list must begin where it did: a key in front of it is for the whole text.
  if (checked.text.length - last !== restOf(text, places, behind).length) return null
  const grown = checked.places.length - 1 - (end - first)
  const moved = { first, end, grown, into: from - head, behind: last - head - (to - from) }
  const warnings = warningsWith(text, facts, checked, moved)
  const numbers = numbersWith(facts, checked, moved)
  return { ...warnings, numbers, places: placesWith(places, checked, moved), lexemes }
}

/**
 * How many lexemes a text has at most with an excerpt in it, as if nothing had gone for it. Null where that may be more than a text may
 * have: a table that is in force must be one that can be read again.
 */
function lexemesWith(facts: TextFacts, excerpt: ExcerptFacts): number | null {
  const lexemes = facts.lexemes + excerpt.lexemes
  return lexemes > MAX_LEXEMES ? null : lexemes
}

/** Without the routes that are there for what stands behind the others. */
function withoutLast(behind: number, checked: ExcerptFacts): ExcerptFacts {
  if (behind === 0) return checked
  const places = checked.places.subarray(0, -behind)
  const count = places.length - 1
  const numbers: number[] = []
  for (let at = 0; at < checked.numbers.length; at += WIDTH)
    if ((checked.numbers[at + 2] as number) < count) numbers.push(...checked.numbers.subarray(at, at + WIDTH))
  const warnings = checked.warnings.filter((warning) => (routeOf(warning) ?? -1) < count)
  return { ...checked, places, numbers: Int32Array.from(numbers), warnings }
}

function placesWith(
  before: RoutePlaces,
  { places }: TextFacts,
  { first, end, grown, into, behind }: Moved,
): RoutePlaces {
  const after = new Int32Array(before.length + grown)
  after.set(before.subarray(0, first))
  for (let at = 0; at < places.length - 1; at++) after[first + at] = (places[at] as number) + into
  for (let at = end; at < before.length; at++) after[at + grown] = (before[at] as number) + behind
  return after
}

function numbersWith(
  { numbers: before, places }: TextFacts,
  { numbers }: TextFacts,
  { first, end, grown, into, behind }: Moved,
): NumberPlaces {
  const [from, to] = [places[first] as number, places[end] as number]
  const after = new Int32Array(before.length + numbers.length)
  let count = 0
  const add = (of: NumberPlaces, at: number, shift: number, routes: number): void => {
    const owner = of[at + 2] as number
    after[count] = (of[at] as number) + shift
    after[count + 1] = (of[at + 1] as number) + shift
    after[count + 2] = owner < 0 ? owner : owner + routes
    after[count + 3] = of[at + 3] as number
    count += WIDTH
  }
  let at = 0
  for (; at < before.length && (before[at] as number) < from; at += WIDTH) add(before, at, 0, 0)
  for (let own = 0; own < numbers.length; own += WIDTH)
    if ((numbers[own + 2] as number) >= 0) add(numbers, own, into, first)
  for (; at < before.length && (before[at] as number) < to; at += WIDTH);
  for (; at < before.length; at += WIDTH) add(before, at, behind, grown)
  return after.slice(0, count)
}

/** The warnings that are listed, and how many there are besides. Where there are such, which of them are listed is known after the next parse of the whole text only. */
type Warnings = Pick<TextFacts, 'warnings' | 'more'>

/** Warnings of routes come of themselves and of what stands around the list; those that come of other routes are left out. */
function warningsWith(
  text: string,
  { warnings: before, more, places }: TextFacts,
  checked: ExcerptFacts,
  { first, end, grown }: Moved,
): Warnings {
  if (before.length + checked.warnings.length === 0) return { warnings: before, more }
  const [head, from, to] = [places[0] as number, places[first] as number, places[end] as number]
  const last = checked.places.at(-1) as number
  const start = spotOf(text, from)
  const stop = spotOf(text, to, { offset: from, line: start.line })
  const ownStart = spotOf(checked.text, head)
  const newStop = spotMoved(spotOf(checked.text, last), ownStart, start)
  const kept = before.flatMap((warning) => {
    const at = routeOf(warning)
    if (isOfOthers(warning) || (at !== null && at >= first && at < end)) return []
    return ofRoute(spotMoved(warning, stop, newStop), at === null || at < first ? 0 : grown)
  })
  const own = checked.warnings
    .filter((warning) => routeOf(warning) !== null && !isOfOthers(warning))
    .map((warning) => ofRoute(spotMoved(warning, ownStart, start), first))
  return listed([...kept, ...own], more + checked.more)
}

/** A place in a text, as a person counts. */
interface Spot {
  readonly line: number
  readonly column: number
}

/** @param near an earlier offset and its line, so that lines are counted from there */
function spotOf(text: string, offset: number, near = { offset: 0, line: 1 }): Spot {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const mark = start === 0 && text.startsWith('\uFEFF') ? 1 : 0
  return { line: near.line + linesIn(text, near.offset, offset), column: 1 + offset - start - mark }
}

function isBefore(one: Spot, other: Spot): boolean {
  return one.line < other.line || (one.line === other.line && one.column < other.column)
}

/** What stands at a spot or behind it goes with it. */
function spotMoved<Here extends Spot>(here: Here, from: Spot, to: Spot): Here {
  if (isBefore(here, from)) return here
  const column = here.line === from.line ? here.column + to.column - from.column : here.column
  return { ...here, line: here.line + to.line - from.line, column }
}

/** The first of these warnings in the order of their text. */
export function listed(warnings: readonly Problem[], more: number): Warnings {
  const all = [...warnings].sort((a, b) => a.line - b.line || a.column - b.column)
  return { warnings: all.slice(0, MAX_PROBLEMS), more: more + Math.max(0, all.length - MAX_PROBLEMS) }
}

/** A text whose part before the routes has become another one, and what is known of it. */
export interface TextWithHead {
  readonly text: string
  readonly facts: TextFacts
}

/**
 * What is known of a text in which servers of upstreams have changed, before the routes.
 * @param found what is known of the excerpt with the first route, after the change
 * @returns null where more has changed, or that does not tell all
 */
export function withHead(text: string, facts: TextFacts, found: ExcerptFacts): TextWithHead | null {
  const [from = 0, to = 0] = facts.places
  const { behind } = excerptOf(text, facts.places, 0, 1)
  const checked = withoutLast(behind, found)
  const [start, end, ...more] = checked.places
  if (start === undefined || end === undefined || more.length > 0) return null
  if (checked.text.slice(start) !== text.slice(from, to) + restOf(text, facts.places, behind)) return null
  const head = checked.text.slice(0, start)
  const moved = start - from
  const numbers: number[] = []
  for (let at = 0; at < checked.numbers.length; at += WIDTH) {
    const number = checked.numbers.subarray(at, at + WIDTH)
    if ((number[2] as number) >= 0) continue
    // Upstreams that stand behind the routes.
    if ((number[0] as number) >= start) return null
    numbers.push(...number)
  }
  for (let at = 0; at < facts.numbers.length; at += WIDTH) {
    const [first, last, owner, part] = facts.numbers.subarray(at, at + WIDTH) as unknown as [
      number,
      number,
      number,
      number,
    ]
    if (owner >= 0) numbers.push(first + moved, last + moved, owner, part)
  }
  const warnings = warningsWithHead(text, facts, checked)
  const lexemes = lexemesWith(facts, found)
  if (warnings === null || lexemes === null) return null
  const places = facts.places.map((place) => place + moved)
  return { text: head + text.slice(from), facts: { ...warnings, numbers: Int32Array.from(numbers), places, lexemes } }
}

/** Warnings of upstreams come of these alone; null where others stand among them. */
function warningsWithHead(text: string, facts: TextFacts, checked: ExcerptFacts): Warnings | null {
  const [start, newStart] = [spotOf(text, facts.places[0] as number), spotOf(checked.text, checked.places[0] as number)]
  const own = checked.warnings.filter(isOfUpstream)
  const kept = facts.warnings.filter((warning) => !isOfUpstream(warning))
  if (!own.every((warning) => isBefore(warning, newStart)) || kept.some((warning) => isBefore(warning, start)))
    return null
  return listed([...own, ...kept.map((warning) => spotMoved(warning, start, newStart))], facts.more)
}

function isOfUpstream({ pointer }: Problem): boolean {
  return pointer.startsWith('/upstreams/')
}

/** Routes of a text by themselves, so that findings in them are placed without a parse of the others. */
export interface Gathered {
  readonly text: string
  /** The place of the problem in the whole text, with the route where it is there. */
  inWhole(problem: Problem): Problem
}

/** @param routes in the order of the text */
export function gathered(text: string, places: RoutePlaces, routes: readonly number[]): Gathered {
  const head = text.slice(0, places[0])
  const pieces = routes.map((at) => text.slice(places[at], places[at + 1]))
  // Where each begins, here and there.
  const starts: { readonly here: Spot; readonly there: Spot }[] = []
  let here = spotOf(head, head.length)
  let near = { offset: 0, line: 1 }
  for (const [nth, at] of routes.entries()) {
    const offset = places[at] as number
    const there = spotOf(text, offset, near)
    near = { offset, line: there.line }
    starts.push({ here, there })
    here = spotMoved(spotOf(text, offset + (pieces[nth] as string).length, near), there, here)
  }
  const inWhole = (problem: Problem): Problem => {
    const nth = routeOf(problem) ?? 0
    const start = starts[nth]
    const placed = start === undefined ? problem : spotMoved(problem, start.here, start.there)
    return ofRoute(placed, (routes[nth] ?? 0) - nth)
  }
  return { text: head + pieces.join('') + text.slice(places.at(-1)), inWhole }
}

/** Whether it names other routes. */
export function isOfOthers({ message }: Problem): boolean {
  return message.startsWith('can never match')
}

/** The place of the route that a problem is about. */
function routeOf({ pointer }: Problem): number | null {
  const at = /^\/routes\/(\d+)(?:\/|$)/.exec(pointer)?.[1]
  return at === undefined ? null : Number(at)
}

/** The problem for a route so many places later. */
function ofRoute(problem: Problem, later: number): Problem {
  const at = routeOf(problem)
  if (at === null || later === 0) return problem
  return { ...problem, pointer: problem.pointer.replace(/^\/routes\/\d+/, `/routes/${at + later}`) }
}

function linesIn(text: string, from: number, to: number): number {
  let lines = 0
  for (let at = text.indexOf('\n', from); at !== -1 && at < to; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
