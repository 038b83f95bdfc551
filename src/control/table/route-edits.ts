/**
 * Changes of a few routes of a large table: these are edited, parsed and checked in an excerpt of the text, and all others are taken
 * over. What an excerpt does not tell is left to a parse of the whole text.
 */
import { isMatchedAlike, type RouteSplice, withRoutesSteps } from '../../rules/language/compile.ts'
import type { TableEdit } from '../../rules/language/edit.ts'
import {
  type Excerpt,
  excerptBetween,
  excerptOf,
  factsWith,
  gathered,
  isOfOthers,
  listed,
  problemsWith,
  withExcerpt,
} from '../../rules/language/excerpt.ts'
import type { Problems, TextFacts } from '../../rules/language/text.ts'
import { clashSteps, hiddenSteps, type PlacedRoute } from '../../rules/routing/overlap.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { MAX_PROBLEMS } from '../../rules/values/problem.ts'
import { replaced } from '../../rules/values/replaced.ts'
import type { Revision } from '../../state/live-table.ts'
import { inTurns } from '../turns.ts'
import { excerptApart, placeApart } from './apart.ts'
import type { ReadText } from './read-text.ts'

/** An excerpt with more of the text than this is not worth it. */
export const MAX_SHARE = 1 / 4

/** A text with what is known of it, and how its routes are got at. */
interface Known {
  readonly text: string
  readonly facts: TextFacts
  readonly splices: readonly RouteSplice[]
}

/** A text with routes that are wrong. */
interface Refused extends Problems {
  readonly text: string
}

/** The result of an edit of routes; null where only the whole text tells it. @throws {Error} on a bug in banyan */
export async function editRoutes(
  before: Revision,
  facts: TextFacts,
  edit: Exclude<TableEdit, { kind: 'servers' }>,
  fileName: string,
): Promise<ReadText | null> {
  let known: Known = { text: before.text, facts, splices: [] }
  const refused: Refused[] = []
  for (const { at, route } of edit.kind === 'routes' ? edit.routes : [edit]) {
    const excerpt = excerptAround(known, at, route === null)
    if (excerpt === null) return null
    const wanted = { kind: 'route', at: at - excerpt.first, route } as const
    const next = await withEdited(known, excerpt, fileName, { text: excerpt.text, edit: wanted })
    if (next === null) return null
    if ('problems' in next) refused.push(next)
    else known = next
  }
  const last = refused.at(-1)
  if (last !== undefined) return { ok: false, text: last.text, ...problemsOf(refused) }
  return await readKnown(before, facts, known, fileName)
}

/** What another text says; null where only the whole text tells it. @throws {Error} on a bug in banyan */
export async function readRoutes(
  before: Revision,
  facts: TextFacts,
  text: string,
  fileName: string,
): Promise<ReadText | null> {
  const found = excerptBetween(before.text, facts.places, text)
  if (found === null || found.after.length > text.length * MAX_SHARE) return null
  const known = { text: before.text, facts, splices: [] }
  const next = await withEdited(known, found.before, fileName, { text: found.after, edit: null })
  if (next === null || 'problems' in next || next.text !== text || !endsAlike(known, found.before, next)) return null
  return await readKnown(before, facts, next, fileName)
}

/** Whether the last route of an excerpt, which has not been changed, is still one of its own: it may have become part of another. */
function endsAlike(before: Known, { end }: Excerpt, after: Known): boolean {
  const { places } = before.facts
  if (end === places.length - 1) return true
  const last = end - 1
  return (
    after.facts.places.at(last - places.length) === (places[last] as number) + after.text.length - before.text.length
  )
}

/** The route at a place, or the last ones where it is behind them; beside one that goes, some that stay. */
function excerptAround({ text, facts: { places } }: Known, at: number, isRemoved: boolean): Excerpt | null {
  const count = places.length - 1
  if (count < 1 || at > count || (isRemoved && count === 1)) return null
  if (at === count) return excerptOf(text, places, Math.max(0, at - 2), at)
  return isRemoved
    ? excerptOf(text, places, Math.max(0, at - 1), Math.min(count, at + 2))
    : excerptOf(text, places, at, at + 1)
}

async function withEdited(
  { text, facts, splices }: Known,
  excerpt: Excerpt,
  fileName: string,
  change: { readonly text: string; readonly edit: TableEdit | null },
): Promise<Known | Refused | null> {
  const read = await excerptApart(change.text, change.edit, fileName)
  const edited = read === null ? null : withExcerpt(text, facts.places, excerpt, read.text)
  if (read === null || edited === null) return null
  if (!read.ok) return { text: edited, problems: problemsWith(text, facts.places, excerpt, read), more: read.more }
  const known = factsWith(text, facts, excerpt, { ...read.facts, text: read.text })
  const { first: at, end, behind } = excerpt
  const come = read.routes.slice(0, read.routes.length - behind)
  return known && { text: edited, facts: known, splices: [...splices, { at, gone: end - at, come }] }
}

/** The problems of several routes, each of which was edited without the others that are wrong. */
function problemsOf(refused: readonly Refused[]): Problems {
  const more = refused.reduce((sum, one) => sum + one.more, 0)
  const { warnings: problems, more: unlisted } = listed(
    refused.flatMap(({ problems }) => problems),
    more,
  )
  return { problems, more: unlisted }
}

async function readKnown(
  { table: old, etag: base }: Revision,
  earlier: TextFacts,
  { text, facts, splices }: Known,
  fileName: string,
): Promise<ReadText | null> {
  const table = await inTurns(withRoutesSteps(old, splices))
  if (table.places.size < table.routes.length || old.routes.some(keysVisitors) !== table.routes.some(keysVisitors))
    return null
  const moved = replaced(old.routes, table.routes).come.filter((route) => {
    return !isMatchedAlike(old.routes[old.places.get(route.id) ?? -1], route)
  })
  const clash = await inTurns(clashSteps(moved, table.routes))
  if (clash === 'tied') return null
  const isHidden = clash === 'hidden' || earlier.warnings.some(isOfOthers)
  const own = isHidden ? { ...facts, ...(await withHidden(text, facts, table, fileName)) } : facts
  return { ok: true, text, table, facts: own, move: { kind: 'routes', base, splices } }
}

/** The warnings with those about routes that never match. */
async function withHidden(
  text: string,
  { warnings, more, places }: TextFacts,
  { routes }: Table,
  fileName: string,
): Promise<Pick<TextFacts, 'warnings' | 'more'>> {
  const findings = await inTurns(hiddenSteps(routes.map((route, at) => ({ ...claimingOf(route), at }))))
  // Those about single routes are listed first.
  const told = findings.slice(0, MAX_PROBLEMS - warnings.length)
  if (told.length === 0) return { warnings, more: more + findings.length }
  const { text: few, inWhole } = gathered(
    text,
    places,
    told.map(({ path }) => path[1] as number),
  )
  const here = told.map((finding, nth) => ({ ...finding, path: ['routes', nth, 'match'] }))
  const placed = (await placeApart(here, few, fileName)).map(inWhole)
  return listed([...warnings, ...placed], more + findings.length - told.length)
}

/** A route with what it is compared by: a list of copies of thousands of whole routes takes longer than to compare them. */
function claimingOf({ id, priority, takesAmbiguousPaths, claims }: Route): Omit<PlacedRoute, 'at'> {
  return { id, priority, takesAmbiguousPaths, claims }
}

function keysVisitors(route: Route): boolean {
  return route.keysVisitors
}
