/**
 * /routes and /routes.yaml: the routes as the table says them, with what is happening on each; PATCH moves a percentage.
 */
import { didYouMean } from '../rules/problem.ts'
import type { Route, Table } from '../rules/table.ts'
import { flawOfPercent, percentMeantBy } from '../rules/units.ts'
import type { Revision } from '../state/live-table.ts'
import { readJson } from './admin-body.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson } from './admin-context.ts'
import { AdminProblem, type FieldError, invalidBody } from './admin-problem.ts'
import type { EditOutcome, EditTerms } from './operations.ts'
import { parseIfMatch } from './preconditions.ts'

const PATCH_TYPES = ['application/merge-patch+json', 'application/json']

/** The keys of a route that the file may have and PATCH leaves alone. */
const FILE_ONLY = ['id', 'match', 'from', 'to', 'group', 'sticky', 'fallback', 'cache', 'ambiguousPaths']

const MAX_REASON_LENGTH = 500

/** Adds the resources. */
export function addRoutes(router: AdminRouter, parts: AdminParts): void {
  router.get('/routes', (ctx) => {
    const revision = parts.live.current
    const { table } = revision
    ctx.set('ETag', revision.etag)
    answerJson(ctx, {
      revision: revision.number,
      default: table.default,
      routes: table.routes.map((route, index) => routeState(route, index, parts)),
      live: { unclaimed: parts.measurements.routeFigures(null) },
    })
  })

  router.get('/routes/:id', (ctx) => {
    const revision = parts.live.current
    answerRoute(ctx, revision, routeOf(revision.table, ctx.params.id as string), parts)
  })

  router.patch('/routes/:id', async (ctx) => {
    const id = ctx.params.id as string
    const terms = termsOf(ctx)
    const percent = readPercent(await readJson(ctx.req, PATCH_TYPES))
    const outcome = await parts.operations.setPercent(id, percent, terms)
    if (outcome.kind !== 'done') throw problemOf(outcome, id)
    const { revision, changed, before } = outcome
    const { requestId } = ctx.state
    const { author, reason } = terms
    parts.log.info(
      {
        event: 'admin-write',
        requestId,
        author,
        reason,
        route: id,
        before,
        percent,
        changed,
        revision: revision.number,
      },
      changed ? `${author} set ${id} from ${before} to ${percent} %` : `${author} set ${id} to ${percent} % as it was`,
    )
    answerRoute(ctx, revision, routeOf(revision.table, id), parts)
  })

  router.get('/routes.yaml', (ctx) => {
    const revision = parts.live.current
    ctx.set('ETag', revision.etag)
    ctx.set('Cache-Control', 'no-cache')
    // Status first: freshness (RFC 9110 section 13.1.2) is a question about a 200.
    ctx.status = 200
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    ctx.body = revision.text
    ctx.set('Content-Type', 'application/yaml')
  })
}

function answerRoute(ctx: AdminContext, revision: Revision, route: Route, parts: AdminParts): void {
  ctx.set('ETag', revision.etag)
  ctx.set('Accept-Patch', PATCH_TYPES.join(', '))
  answerJson(ctx, { revision: revision.number, ...routeState(route, revision.table.routes.indexOf(route), parts) })
}

/** As routes.yaml says it, the percent written out, with its place in the file from 1 and what is happening on it. */
function routeState(route: Route, index: number, parts: AdminParts): object {
  return {
    ...route.document,
    percent: route.percent,
    order: index + 1,
    live: parts.measurements.routeFigures(route.id),
  }
}

function routeOf(table: Table, id: string): Route {
  const route = table.routes.find((one) => one.id === id)
  if (route === undefined) throw noSuchRoute(table, id)
  return route
}

function noSuchRoute(table: Table, id: string): AdminProblem {
  const hint = didYouMean(
    id,
    table.routes.map((route) => route.id),
  )
  return new AdminProblem('no-such-route', `There is no route ${JSON.stringify(id)}${hint ? `: ${hint}` : '.'}`)
}

function termsOf(ctx: AdminContext): EditTerms {
  const field = ctx.get('If-Match')
  const ifMatch = field === '' ? null : parseIfMatch(field)
  if (field !== '' && ifMatch === null) {
    throw new AdminProblem('malformed-field', 'If-Match is * or a list of entity tags, each with its quotes.')
  }
  return { ifMatch, reason: readReason(ctx.get('Banyan-Reason')), author: ctx.state.author ?? 'anonymous' }
}

function readReason(field: string): string | null {
  const reason = Buffer.from(field, 'latin1').toString('utf8').trim()
  if (reason.length <= MAX_REASON_LENGTH) return reason === '' ? null : reason
  throw new AdminProblem('malformed-field', `Banyan-Reason has at most ${MAX_REASON_LENGTH} characters.`)
}

/** @throws {AdminProblem} invalid: with every error and its JSON pointer */
function readPercent(body: unknown): number {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidBody([{ pointer: '', detail: 'expected an object such as {"percent": 25}' }])
  }
  const { percent, ...others } = body as Record<string, unknown>
  const errors = Object.keys(others).map(strangeMember)
  const error = errorOfPercent(percent)
  if (error !== null) errors.push(error)
  if (errors.length > 0) throw invalidBody(errors)
  return percent as number
}

function errorOfPercent(percent: unknown): FieldError | null {
  if (percent === undefined) return { pointer: '', detail: 'expected the member percent' }
  const pointer = '/percent'
  if (typeof percent === 'number') {
    const flaw = flawOfPercent(percent)
    return flaw === null ? null : { pointer, detail: flaw.message, ...(flaw.hint ? { hint: flaw.hint } : {}) }
  }
  const meant = typeof percent === 'string' ? percentMeantBy(percent) : null
  return { pointer, detail: 'expected a number', ...(meant === null ? {} : { hint: `write ${meant}` }) }
}

function strangeMember(name: string): FieldError {
  const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  if (FILE_ONLY.includes(name))
    return { pointer, detail: 'only percent can be changed here', hint: 'edit the table file' }
  const hint = didYouMean(name, ['percent'])
  return { pointer, detail: 'unknown member', ...(hint === undefined ? {} : { hint }) }
}

/** What an edit that was not made is answered with. */
function problemOf(outcome: Exclude<EditOutcome, { kind: 'done' }>, id: string): AdminProblem {
  switch (outcome.kind) {
    case 'no-such-route':
      return noSuchRoute(outcome.revision.table, id)
    case 'outdated':
      return outdated(outcome.revision, id)
    case 'file-refused':
      return new AdminProblem('table-refused', 'What is in the file is not written over: mend it there first.', {
        members: { problems: outcome.problems },
      })
    case 'file-busy':
      return new AdminProblem('table-busy', 'Somebody is writing to the table file; nothing was changed. Try again.')
    case 'refused':
      return new AdminProblem('invalid', 'The table with this edit can not be put in force; nothing was changed.', {
        members: { problems: outcome.problems },
      })
    case 'not-written':
      return new AdminProblem(WRITE_PROBLEMS[outcome.flaw], `${outcome.message}; nothing was changed.`)
  }
}

const WRITE_PROBLEMS = {
  changed: 'table-busy',
  'read-only': 'table-read-only',
  'no-space': 'no-space',
  failed: 'table-unwritable',
} as const

/** RFC 9110 section 15.5.13, with what the route says now. */
function outdated(revision: Revision, id: string): AdminProblem {
  const { percent } = routeOf(revision.table, id)
  return new AdminProblem('outdated', `Revision ${revision.number} is in force, and If-Match names another.`, {
    members: { revision: revision.number, etag: revision.etag, percent },
    fields: { ETag: revision.etag },
  })
}
