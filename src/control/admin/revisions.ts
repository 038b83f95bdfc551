/**
 * /revisions: the history of the table, with authors and reasons, and restoring.
 */
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, answerLarge } from '../context.ts'
import { AdminProblem } from '../http/problem.ts'
import { compareApart } from '../table/apart.ts'
import { restoreRevision } from '../table/edits.ts'
import type { RevisionRecord } from '../table/revision-record.ts'
import { readNothing } from './body.ts'
import { answerDone, makeEdit, noSuchRevision } from './write.ts'

/** Adds the resources. */
export function addRevisions(router: AdminRouter, parts: AdminParts): void {
  const { history, live } = parts
  /** The end of the last comparison: one after the other, so that many who ask hold no more than two texts each in turn. */
  let comparing: Promise<void> = Promise.resolve()

  router.get('/revisions', async (ctx) => {
    if (parts.ownership?.isOwner === false) await history.refresh()
    ctx.set('ETag', live.current.etag)
    answerJson(ctx, { current: live.current.number, revisions: history.list().map(stateOf), problem: history.problem })
  })

  router.get('/revisions/:number', async (ctx) => {
    const work = comparing.then(async () => {
      const { record, text } = await revisionOf(ctx, parts)
      const before = await history.textOf(record.number - 1)
      await answerLarge(ctx, {
        ...stateOf(record),
        // Null where the revision before it is not kept.
        ...(before === null ? { changes: null, diff: null } : await compareApart(before, text)),
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
    const done = await makeEdit(ctx, parts, restoreRevision(number, history), `restore of revision ${number}`)
    if (done !== null) await answerDone(ctx, done)
  })
}

function stateOf({ number, etag, atMs, author, reason, forced }: RevisionRecord): object {
  return { revision: number, etag, at: new Date(atMs).toISOString(), author, reason, forced }
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

function numberOf(ctx: AdminContext): number {
  const text = ctx.params.number as string
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new AdminProblem('not-found', 'A revision is an integer from 1.')
  return Number(text)
}
