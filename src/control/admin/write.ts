/**
 * Shared by all writes of the admin API: preconditions, audit log and errors.
 */

import { changesSteps } from '../../rules/language/changes.ts'
import type { Table } from '../../rules/table/table.ts'
import { andMore, didYouMean, nameHint } from '../../rules/values/problem.ts'
import type { Revision } from '../../state/live-table.ts'
import type { InForce } from '../cluster/members.ts'
import { type AdminContext, type AdminParts, answerLarge, clientAddressOf } from '../context.ts'
import { parseIfMatch } from '../http/preconditions.ts'
import { AdminProblem, invalidBody, listed } from '../http/problem.ts'
import { SOLE_OWNER } from '../ownership.ts'
import { compareApart, diffApart } from '../table/apart.ts'
import type { Change, EditOutcome, EditTerms } from '../table/edit-outcome.ts'
import { simulationSteps } from '../table/simulation.ts'
import { inTurns } from '../turns.ts'

type Done = Extract<EditOutcome, { kind: 'done' }>
type Would = Extract<EditOutcome, { kind: 'would' }>

const MAX_REASON_LENGTH = 500
/** Changes that one line of the log names. */
const MAX_LOGGED_CHANGES = 20
const FLAGS = ['dryRun', 'force']
/** Whose percents count where a whole table is put in place: with either, they may move after the revision of If-Match. */
const PERCENTS = ['live', 'file']

/**
 * Makes an edit with the preconditions of the request. Returns null for a dry run, which it responds to itself.
 * @param more further members of that response
 * @throws {AdminProblem} if the edit is refused
 */
export async function makeEdit(
  ctx: AdminContext,
  parts: AdminParts,
  change: Change,
  reason: string | null = null,
  more: () => object = () => ({}),
): Promise<Done | null> {
  const terms = termsOf(ctx, parts, reason)
  const outcome = await parts.operations.commit(change, terms)
  if (outcome.kind === 'would') {
    await answerDryRun(ctx, parts, outcome, more())
    return null
  }
  if (outcome.kind !== 'done') throw await problemOf(outcome, terms, parts)
  audit(ctx, parts, outcome, terms)
  ctx.set('ETag', outcome.revision.etag)
  const { replicas } = outcome
  if (replicas !== null) ctx.set('Banyan-Replicas', `${replicas.confirmed}/${replicas.wanted}`)
  if (parts.cluster !== undefined) tellInForce(ctx, await parts.cluster.whereInForce())
  return outcome
}

/** How many instances of the cluster have it in force. */
export function tellInForce(ctx: AdminContext, { inForce, instances }: InForce): void {
  ctx.set('Banyan-Instances', `${inForce}/${instances}`)
}

/** What an edit of the whole table is answered with. */
export function answerDone(ctx: AdminContext, done: Done, more: object = {}): Promise<void> {
  const { revision, changed, changes } = done
  return answerLarge(ctx, { revision: revision.number, etag: revision.etag, changed, changes, ...more })
}

/** @throws {AdminProblem} malformed-field, malformed-query, if-match-needed */
function termsOf(ctx: AdminContext, parts: AdminParts, reason: string | null): EditTerms {
  const { dryRun, force, percentsMayMove } = readFlags(ctx)
  const field = ctx.req.headers['if-match']
  const ifMatch = field === undefined ? null : parseIfMatch(field)
  if (field !== undefined && ifMatch === null) {
    throw new AdminProblem('malformed-field', 'If-Match must be * or a list of quoted ETags.')
  }
  const isNew = readIfNoneMatch(ctx)
  if (ifMatch === null && !isNew && parts.requireIfMatch === true && !dryRun) {
    const { etag } = parts.live.current
    throw new AdminProblem('if-match-needed', 'Send the ETag of the revision that you read as If-Match.', {
      fields: { ETag: etag },
    })
  }
  const author = ctx.state.author ?? 'anonymous'
  return { ifMatch, reason: readReason(ctx.get('Banyan-Reason')) ?? reason, author, dryRun, force, percentsMayMove }
}

/** Whether what is put must be new. Anything else that the field may ask is refused: passed over, it would be an edit lost. */
function readIfNoneMatch(ctx: AdminContext): boolean {
  const field = ctx.req.headers['if-none-match']?.trim()
  if (field === undefined) return false
  const isRoute = ctx.method === 'PUT' && ctx.path.startsWith('/routes/')
  if (field === '*' && isRoute) return true
  throw new AdminProblem(
    'malformed-field',
    'If-None-Match must be *, and only with PUT of a route; use If-Match for a revision.',
  )
}

/** A misspelled `dryRun` must not make a real edit: unknown parameters are refused. */
function readFlags(ctx: AdminContext): { dryRun: boolean; force: boolean; percentsMayMove: boolean } {
  const said = new URLSearchParams(ctx.querystring)
  for (const [name, value] of said) {
    if (name === 'percents' && ctx.path === '/routes.yaml') {
      if (PERCENTS.includes(value)) continue
      throw new AdminProblem('malformed-query', 'percents must be live or file.')
    }
    if (!FLAGS.includes(name)) {
      const hint = didYouMean(name, FLAGS)
      throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(name)}${hint ? `: ${hint}` : '.'}`)
    }
    if (value !== 'true' && value !== 'false') {
      throw new AdminProblem('malformed-query', `${name} must be true or false.`)
    }
  }
  return {
    dryRun: said.get('dryRun') === 'true',
    force: said.get('force') === 'true',
    percentsMayMove: said.has('percents'),
  }
}

/** The reason of a write that is no edit of the table. @throws {AdminProblem} malformed-field */
export function reasonOf(ctx: AdminContext): string | null {
  return readReason(ctx.get('Banyan-Reason'))
}

function readReason(field: string): string | null {
  const reason = Buffer.from(field, 'latin1').toString('utf8').trim()
  if (reason.length <= MAX_REASON_LENGTH) return reason === '' ? null : reason
  throw new AdminProblem('malformed-field', `Banyan-Reason must not exceed ${MAX_REASON_LENGTH} characters.`)
}

function audit(ctx: AdminContext, parts: AdminParts, outcome: Done, terms: EditTerms): void {
  const { revision, changed } = outcome
  const changes = outcome.changes.slice(0, MAX_LOGGED_CHANGES)
  const { requestId } = ctx.state
  const { author, reason, force } = terms
  const asked = { method: ctx.method, path: ctx.path, client: clientAddressOf(ctx.req), force }
  parts.log.info(
    { event: 'admin-write', requestId, author, reason, ...asked, changed, changes, revision: revision.number },
    changed ? `${author} made revision ${revision.number}` : `${author} made an edit without changes`,
  )
}

async function answerDryRun(ctx: AdminContext, parts: AdminParts, outcome: Would, more: object): Promise<void> {
  const { before, proposal, changed } = outcome
  ctx.set('ETag', before.etag)
  const { warnings, more: unlisted } = proposal.facts
  await answerLarge(ctx, {
    dryRun: true,
    revision: before.number,
    changed,
    changes: await inTurns(changesSteps(before.table, proposal.table)),
    diff: await diffApart(before.text, proposal.text),
    ...listed({ warnings, more: unlisted }),
    ...more,
    simulation: await inTurns(simulationSteps(before.table, proposal.table, await parts.planes.recent())),
  })
}

type Refused = Exclude<EditOutcome, { kind: 'done' | 'would' }>

/** What an edit that was not made is answered with. */
async function problemOf(outcome: Refused, terms: EditTerms, parts: AdminParts): Promise<AdminProblem> {
  switch (outcome.kind) {
    case 'not-owner':
      return notOwner(parts)
    case 'no-such-route':
      return noSuchRoute(outcome.revision.table, outcome.id)
    case 'route-exists':
      return new AdminProblem(
        'route-exists',
        `Route ${JSON.stringify(outcome.id)} already exists: use PUT to replace it.`,
      )
    case 'no-such-upstream':
      return noSuchUpstream(outcome.revision.table, outcome.name)
    case 'no-such-server':
      return noSuchServer(outcome.revision.table, outcome.upstream, outcome.id)
    case 'last-server':
      return new AdminProblem(
        'last-server',
        `${outcome.id} is the only server of ${outcome.upstream} in the table: add another one first, or drain it.`,
      )
    case 'unmet':
      return unmet(outcome.id, outcome.known)
    case 'no-such-revision':
      return noSuchRevision(outcome.number)
    case 'no-predecessor':
      return noPredecessor(outcome.number)
    case 'conflict':
      return conflictOf(outcome, parts)
    case 'not-revertible':
      return new AdminProblem('revert-conflict', `Revision ${outcome.number} can't be undone: ${outcome.message}.`)
    case 'outdated':
      return outdated(outcome.revision, terms, parts)
    case 'file-refused':
      return new AdminProblem('table-refused', 'The file is invalid and is not overwritten: fix the file first.', {
        members: {
          ...listed({ problems: outcome.problems, more: outcome.more }),
          hint: 'force=true overwrites it and keeps its content in the history',
        },
      })
    case 'file-busy':
      return new AdminProblem(
        'table-busy',
        'Another process is writing to the table file; nothing was changed. Try again.',
      )
    case 'invalid':
      return invalidBody(outcome.errors, outcome.more)
    case 'refused':
      return new AdminProblem('invalid', 'The edited table is invalid; nothing was changed.', {
        members: listed({ problems: outcome.problems, more: outcome.more }),
      })
    case 'late':
      return new AdminProblem(
        'table-late',
        `${outcome.message}; nothing was changed. The machine is busy: try again when it is less so. A change of a percent or weight alone needs no parse.`,
      )
    case 'not-written':
      return new AdminProblem(
        WRITE_PROBLEMS[outcome.flaw],
        outcome.flaw === 'unknown'
          ? `${outcome.message}: the edit may come into force. See banyan revisions.`
          : `${outcome.message}; nothing was changed.`,
      )
  }
}

const WRITE_PROBLEMS = {
  changed: 'table-busy',
  'read-only': 'table-read-only',
  'no-space': 'no-space',
  'no-file': 'table-not-a-file',
  cluster: 'cluster-unavailable',
  unknown: 'cluster-unknown',
  failed: 'table-unwritable',
} as const

/** Of several instances on one state folder, its owner makes all changes. @throws {AdminProblem} not-owner, by another one */
export function mustOwn(parts: AdminParts): void {
  if (parts.ownership?.isOwner === false) throw notOwner(parts)
}

/** In a cluster, ramps are changed by the instance that runs them: that is this one from now on. @throws {AdminProblem} cluster-unavailable */
export async function claimRamps({ cluster }: AdminParts): Promise<void> {
  if (cluster === undefined) return
  if (cluster.problem !== null) throw rampsUnavailable(cluster.problem)
  try {
    await cluster.rampLease.claim()
  } catch (error) {
    throw rampsUnavailable((error as Error).message)
  }
}

/** What was asked of a ramp can't be stored, and so was not done. */
export function rampsUnavailable(why: string): AdminProblem {
  return new AdminProblem('cluster-unavailable', `The ramps can't be changed: ${why}; nothing was changed.`)
}

function notOwner({ ownership }: AdminParts): AdminProblem {
  const { owner } = ownership ?? SOLE_OWNER
  return new AdminProblem(
    'not-owner',
    `Nothing was changed: the state folder is owned by ${owner}. Make changes there.`,
  )
}

/** The 404 for a route, with the one that was probably meant. */
export function noSuchRoute(table: Table, id: string): AdminProblem {
  const known = table.routes.map((route) => route.id)
  return new AdminProblem('no-such-route', unknownName(`route ${JSON.stringify(id)}`, nameHint(id, known)))
}

/** The 404 for an upstream, with the one that was probably meant. */
export function noSuchUpstream(table: Table, name: string): AdminProblem {
  const hint = nameHint(name, table.upstreams.keys())
  return new AdminProblem('no-such-upstream', unknownName(`upstream ${JSON.stringify(name)}`, hint))
}

/** The 404 for a server, with the one that was probably meant. */
export function noSuchServer(table: Table, upstream: string, id: string, more: readonly string[] = []): AdminProblem {
  const known = table.upstreams.get(upstream)?.servers.map((server) => server.id) ?? []
  const hint = nameHint(id, [...known, ...more])
  return new AdminProblem('no-such-server', unknownName(`server ${JSON.stringify(id)} of ${upstream}`, hint))
}

function unknownName(what: string, hint: string | undefined): string {
  if (hint === undefined) return `Unknown ${what}.`
  return `Unknown ${what}: ${hint}${hint.endsWith('?') ? '' : '.'}`
}

function unmet(id: string, known: boolean): AdminProblem {
  const route = `Route ${JSON.stringify(id)}`
  const why = known ? `${route} exists, and If-None-Match is *` : `${route} does not exist, and If-Match is *`
  return new AdminProblem('unmet', `${why}; nothing was changed.`)
}

/** The 404 for a revision. */
export function noSuchRevision(number: number): AdminProblem {
  return new AdminProblem('no-such-revision', `Revision ${number} does not exist or is no longer stored.`)
}

/** The 409 for a revision whose changes can't be told. */
export function noPredecessor(number: number): AdminProblem {
  const why = number === 1 ? 'it is the first one' : 'the revision before it is no longer stored'
  return new AdminProblem('no-predecessor', `What revision ${number} changed is not known: ${why}.`)
}

/** The 409 for a revert, with both sides of each conflict, and who made the other one. */
function conflictOf({ number, conflicts }: Extract<Refused, { kind: 'conflict' }>, parts: AdminParts): AdminProblem {
  const told = conflicts.map((conflict) => ({ ...conflict, since: changedSince(conflict.path, number, parts) }))
  const [first] = told
  if (first === undefined) {
    const lines = `Revision ${number} changed no values, and its lines have changed since`
    return new AdminProblem('revert-conflict', `${lines}: edit the file instead.`, { members: { conflicts: [] } })
  }
  const { place, before, made, now, since } = first
  const who = since === null ? 'since' : `by ${since.author} in revision ${since.revision}`
  const others = told.length === 1 ? '' : `, ${andMore(told.length - 1)}`
  const detail = `Revision ${number} made ${place} ${made ?? 'none'} (before: ${before ?? 'none'}), and it was made ${now ?? 'none'} ${who}${others}; nothing was changed.`
  return new AdminProblem('revert-conflict', detail, { members: { conflicts: told } })
}

/** The newest revision after a number that changed a place, as far as the summaries tell. */
function changedSince(
  [kind, name, key]: readonly string[],
  number: number,
  { history }: AdminParts,
): { revision: number; author: string } | null {
  const what = { routes: 'route', upstreams: 'upstream' }[kind ?? ''] ?? kind
  const found = history.list().find((record) => {
    if (record.number <= number) return false
    return record.summary?.changes.some((change) => {
      if (change.what !== what) return false
      if (what !== 'route' && what !== 'upstream') return true
      return (
        change.name === name &&
        (change.change !== 'changed' || key === undefined || change.keys.some((one) => one.key === key))
      )
    })
  })
  return found === undefined ? null : { revision: found.number, author: found.author }
}

/** RFC 9110 section 15.5.13, with what has changed since the revision that the edit was made for. */
async function outdated(revision: Revision, terms: EditTerms, parts: AdminParts): Promise<AdminProblem> {
  const { number, etag, text } = revision
  const tags = terms.ifMatch === null || terms.ifMatch === '*' ? [] : terms.ifMatch
  const yours = tags.map((tag) => parts.history.find(tag)).find((record) => record !== undefined)
  const old = yours === undefined ? null : await parts.history.textOf(yours.number)
  const found = old === null ? null : await compareApart(old, text)
  const difference = found && { since: yours?.number, ...found, changes: found.changes ?? [] }
  return new AdminProblem('outdated', `The current revision is ${number}, and If-Match names another.`, {
    members: { revision: number, etag, difference },
    fields: { ETag: etag },
  })
}
