/**
 * /revisions: the history of the table, with authors and reasons; restoring, reverting and keeping a revision.
 */
import { parseDurationMs } from '../../rules/values/units.ts'
import { KeepUnavailable } from '../cluster/kept-revisions.ts'
import {
  type AdminContext,
  type AdminParts,
  type AdminRouter,
  answerJson,
  answerLarge,
  clientAddressOf,
} from '../context.ts'
import { AdminProblem } from '../http/problem.ts'
import { compareApart } from '../table/apart.ts'
import { restoreRevision, revertRevisions } from '../table/edits.ts'
import type { MarkRefusal } from '../table/history.ts'
import type { KeepMark, RevisionRecord } from '../table/revision-record.ts'
import { readNothing } from './body.ts'
import { answerDone, claimRamps, makeEdit, mustOwn, noPredecessor, noSuchRevision, reasonOf } from './write.ts'

/** Adds the resources. */
export function addRevisions(router: AdminRouter, parts: AdminParts): void {
  const { history, live } = parts
  /** The end of the last comparison: one after the other, so that many who ask hold no more than two texts each in turn. */
  let comparing: Promise<void> = Promise.resolve()

  router.get('/revisions', async (ctx) => {
    const wanted = filterOf(ctx, parts.now())
    if (parts.ownership?.isOwner === false) await history.refresh()
    ctx.set('ETag', live.current.etag)
    const revisions = history.list().filter(wanted).map(stateIn(parts))
    await answerLarge(ctx, { current: live.current.number, revisions, problem: history.problem })
  })

  router.get('/revisions/:number', async (ctx) => {
    const against = againstOf(ctx)
    const work = comparing.then(async () => {
      const { record, text } = await revisionOf(ctx, parts)
      const since = against ?? history.numberBefore(record.number)
      const before = since === null ? null : await history.textOf(since)
      if (against !== null && before === null) throw noSuchRevision(against)
      await answerLarge(ctx, {
        ...stateIn(parts)(record),
        // Null where the revision before it is not kept.
        ...(before === null ? { changes: null, diff: null } : await compareApart(before, text)),
        since: before === null ? null : since,
        text,
      })
    })
    comparing = work.catch(() => {})
    await work
  })

  router.get('/revisions/:number/routes.yaml', async (ctx) => {
    const { record, text } = await revisionOf(ctx, parts)
    ctx.set('ETag', record.etag)
    ctx.body = text
    ctx.set('Content-Type', 'application/yaml')
  })

  router.get('/revisions/:number/overwritten', async (ctx) => {
    const { record } = await revisionOf(ctx, parts)
    const bytes = await history.overwritten(record.number)
    if (bytes === null)
      throw new AdminProblem('not-found', `Revision ${record.number} did not overwrite an invalid file.`)
    ctx.body = bytes
    ctx.set('Content-Type', 'application/octet-stream')
  })

  router.post('/revisions/:number/restore', async (ctx) => {
    await readNothing(ctx.req)
    const number = numberOf(ctx)
    const undoes = (): object => ({ undoes: undoneBy(number, ctx, parts) })
    // As it is before the restore, which is a revision of its own.
    const before = undoes()
    const done = await makeEdit(ctx, parts, restoreRevision(number, history), `restore of revision ${number}`, undoes)
    if (done === null) return
    try {
      if (parts.ramps.isAnyUnderWay) await claimRamps(parts)
      await parts.ramps.restored(done.before.table, done.revision.table, number, ctx.state.author ?? 'anonymous')
    } catch {
      // The table is restored. Whoever runs the ramps finds that somebody has changed their percents, and pauses them.
    }
    await answerDone(ctx, done, before)
  })

  router.post('/revisions/:number/revert', async (ctx) => {
    await readNothing(ctx.req)
    const { first, last } = numbersOf(ctx)
    for (const number of [first, last]) if (history.get(number) === undefined) throw noSuchRevision(number)
    const since = history.numberBefore(first)
    if (since === null) throw noPredecessor(first)
    const what = since === last - 1 ? `revision ${last}` : `revisions ${since + 1} to ${last}`
    const more = { reverted: { first: since + 1, last } }
    const done = await makeEdit(ctx, parts, revertRevisions(first, last, history), `revert of ${what}`, () => more)
    if (done !== null) await answerDone(ctx, done, more)
  })

  router.put('/revisions/:number/keep', async (ctx) => {
    await readNothing(ctx.req)
    await mark(ctx, { by: ctx.state.author ?? 'anonymous', atMs: parts.now(), reason: reasonOf(ctx) })
  })

  router.delete('/revisions/:number/keep', async (ctx) => {
    await readNothing(ctx.req)
    await mark(ctx, null)
  })

  async function mark(ctx: AdminContext, to: KeepMark | null): Promise<void> {
    mustOwn(parts)
    if (ctx.querystring !== '')
      throw new AdminProblem('malformed-query', 'dryRun and force apply only to edits of the table.')
    const number = numberOf(ctx)
    const refusal = await markedBy(parts, number, to)
    if (refusal === 'no-such-revision') throw noSuchRevision(number)
    if (refusal !== null) {
      const why = 'at most 100 are kept, with half of the room of the history'
      throw new AdminProblem('too-many-kept', `Revision ${number} can't be marked: ${why}. Unmark others first.`)
    }
    const { requestId, author } = ctx.state
    const asked = { method: ctx.method, path: ctx.path, client: clientAddressOf(ctx.req) }
    const what = to === null ? 'no longer keeps' : 'keeps'
    parts.log.info(
      { event: 'admin-keep', requestId, author, ...asked, revision: number },
      `${author} ${what} revision ${number}`,
    )
    answerJson(ctx, stateIn(parts)(history.get(number) as RevisionRecord))
  }
}

/** In a cluster it is marked at all instances. @throws {AdminProblem} cluster-unavailable */
async function markedBy(
  { cluster, history }: AdminParts,
  number: number,
  to: KeepMark | null,
): Promise<MarkRefusal | null> {
  if (cluster === undefined) return await history.mark(number, to)
  try {
    return await cluster.kept.mark(number, to)
  } catch (error) {
    if (!(error instanceof KeepUnavailable)) throw error
    const why = `Revisions of cluster ${cluster.name} can't be kept: ${error.message}; nothing was changed.`
    throw new AdminProblem('cluster-unavailable', why)
  }
}

/** The revisions that restoring an earlier one takes back, newest first. */
function undoneBy(number: number, ctx: AdminContext, { history }: AdminParts): object[] {
  const { author: you } = ctx.state
  const later = history.list().filter((record) => record.number > number)
  return later.map(({ number, atMs, author, reason, summary }) => {
    const yours = author === you && author !== 'anonymous'
    return { revision: number, at: new Date(atMs).toISOString(), author, yours, reason, summary }
  })
}

/** What the query asks of the list. @throws {AdminProblem} malformed-query */
function filterOf(ctx: AdminContext, nowMs: number): (record: RevisionRecord) => boolean {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => !FILTERS.includes(name))
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const [since, author, route] = FILTERS.map((name) => said.get(name))
  const sinceMs = typeof since === 'string' ? timeOf(since, nowMs) : null
  return (record) => {
    const isOfRoute = record.summary?.changes.some(({ what, name }) => what === 'route' && name === route)
    return (
      (sinceMs === null || record.atMs >= sinceMs) &&
      (typeof author !== 'string' || record.author === author) &&
      // What is not known may be about it.
      (typeof route !== 'string' || isOfRoute !== false || (record.summary?.more ?? 0) > 0)
    )
  }
}

const FILTERS = ['since', 'author', 'route']

/** A duration back from now, or a time. @throws {AdminProblem} malformed-query */
function timeOf(text: string, nowMs: number): number {
  const ms = parseDurationMs(text)
  if (ms !== null) return nowMs - ms
  const atMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(atMs)) return atMs
  throw new AdminProblem(
    'malformed-query',
    'since must be a duration such as 24h, or a time such as 2026-11-29T00:00:00Z.',
  )
}

/** The revision that one is compared with, or null for the one before it. @throws {AdminProblem} malformed-query */
function againstOf(ctx: AdminContext): number | null {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => name !== 'against')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const text = said.get('against')
  if (text === null) return null
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new AdminProblem('malformed-query', 'against must be the number of a revision.')
}

function stateIn({ history }: AdminParts): (record: RevisionRecord) => object {
  return ({ number, etag, atMs, author, reason, forced, summary, run }) => {
    const mark = history.markOf(number)
    const kept = mark === null ? null : { by: mark.by, at: new Date(mark.atMs).toISOString(), reason: mark.reason }
    return { revision: number, etag, at: new Date(atMs).toISOString(), author, reason, forced, summary, run, kept }
  }
}

/** @throws {AdminProblem} no-such-revision */
async function revisionOf(
  ctx: AdminContext,
  { history }: AdminParts,
): Promise<{ record: RevisionRecord; text: string }> {
  const record = history.get(numberOf(ctx))
  const text = record === undefined ? null : await history.textOf(record.number)
  if (record === undefined || text === null) throw noSuchRevision(numberOf(ctx))
  return { record, text }
}

/** One revision, or those from one to another: `3-5`. */
function numbersOf(ctx: AdminContext): { first: number; last: number } {
  const [, first, last] = /^([1-9][0-9]{0,14})-([1-9][0-9]{0,14})$/.exec(ctx.params.number as string) ?? []
  if (first === undefined || last === undefined) {
    const number = numberOf(ctx)
    return { first: number, last: number }
  }
  if (Number(first) > Number(last)) throw new AdminProblem('not-found', 'Of two revisions the earlier one comes first.')
  return { first: Number(first), last: Number(last) }
}

function numberOf(ctx: AdminContext): number {
  const text = ctx.params.number as string
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new AdminProblem('not-found', 'A revision is an integer from 1.')
  return Number(text)
}
