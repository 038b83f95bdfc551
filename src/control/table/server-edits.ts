/**
 * Changes of servers in a large table: what stands before the routes is edited, parsed and checked with the first of them, and all
 * others are taken over, since they name upstreams only. Any other change there is left to a parse of the whole text.
 */
import { withRoutesSteps } from '../../rules/language/compile.ts'
import type { TableEdit } from '../../rules/language/edit.ts'
import { excerptOf, withHead } from '../../rules/language/excerpt.ts'
import type { TextFacts } from '../../rules/language/text.ts'
import type { UpstreamDocument } from '../../rules/table/schema.ts'
import { NO_UPSTREAM, type Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import type { Revision } from '../../state/live-table.ts'
import { inTurns } from '../turns.ts'
import { excerptApart, type ReadExcerpt, type RefusedExcerpt } from './apart.ts'
import type { PackedDocument } from './apart-jobs.ts'
import type { ReadText } from './read-text.ts'
import { MAX_SHARE } from './route-edits.ts'

/** The result of an edit of servers; null where only the whole text tells it. @throws {Error} on a bug in banyan */
export async function editServers(
  before: Revision,
  facts: TextFacts,
  edit: Extract<TableEdit, { kind: 'servers' }>,
  fileName: string,
): Promise<ReadText | null> {
  const { text } = before
  if (facts.places.length < 2) return null
  const excerpt = excerptOf(text, facts.places, 0, 1).text
  if (excerpt.length > text.length * MAX_SHARE) return null
  const read = await excerptApart(excerpt, edit, fileName)
  return read?.ok === false ? refusedHead(before, facts, excerpt, read) : await readHead(before, facts, read)
}

/** An edit that makes servers wrong which stand before the routes: their places are those in the whole text. */
function refusedHead(
  { text }: Revision,
  { places }: TextFacts,
  excerpt: string,
  { text: edited, problems, more }: RefusedExcerpt,
): ReadText | null {
  const rest = excerpt.slice(places[0])
  if (!edited.endsWith(rest)) return null
  return { ok: false, text: edited.slice(0, -rest.length) + text.slice(places[0]), problems, more }
}

/** What another text says; null where only the whole text tells it. @throws {Error} on a bug in banyan */
export async function readServers(
  before: Revision,
  { places, ...facts }: TextFacts,
  text: string,
  fileName: string,
): Promise<ReadText | null> {
  const [from, to] = places
  if (from === undefined || to === undefined) return null
  const same = before.text.slice(from)
  if (!text.endsWith(same)) return null
  const excerpt = text.slice(0, text.length - same.length) + excerptOf(before.text, places, 0, 1).text.slice(from)
  if (excerpt.length > text.length * MAX_SHARE) return null
  return await readHead(before, { places, ...facts }, await excerptApart(excerpt, null, fileName))
}

async function readHead(
  before: Revision,
  facts: TextFacts,
  read: ReadExcerpt | RefusedExcerpt | null,
): Promise<ReadText | null> {
  if (!read?.ok) return null
  const upstreams = serversIn(before.table, read.document)
  const known = withHead(before.text, facts, { ...read.facts, text: read.text })
  if (upstreams === null || known === null) return null
  const table = await inTurns(withRoutesSteps(before.table, [], upstreams))
  return { ok: true, ...known, table, move: { kind: 'routes', base: before.etag, splices: [], upstreams } }
}

/** The upstreams with other servers; null where anything else is another. */
function serversIn(
  { default: name, defaultStatus, upstreams, visitor }: Table,
  document: PackedDocument,
): Record<string, UpstreamDocument> | null {
  const fallback = name === NO_UPSTREAM ? { status: defaultStatus } : name
  if (!sameValue(fallback, document.default as Plain)) return null
  if (!sameValue(visitor.document as Plain, (document.visitor ?? {}) as Plain)) return null
  const entries = document.upstreams.flatMap((piece) => JSON.parse(piece) as [string, UpstreamDocument][])
  const names = entries.map(([upstream]) => upstream)
  if (!sameValue(names, [...upstreams.keys()])) return null
  const changed: [string, UpstreamDocument][] = []
  for (const [upstream, said] of entries) {
    const known = upstreams.get(upstream)?.document
    if (known === undefined) return null
    if (JSON.stringify(known) === JSON.stringify(said)) continue
    if (JSON.stringify({ ...known, servers: [] }) !== JSON.stringify({ ...said, servers: [] })) return null
    changed.push([upstream, said])
  }
  return Object.fromEntries(changed)
}
