/**
 * What a ramp does to its routes: it takes steps, and takes them back. Each is an edit of the table, and is recorded.
 */
import { percentOf, printStep, type RampStatus, type RampStep } from '../../rules/ramp/plan.ts'
import { type Route, routeWith, type Table } from '../../rules/table/table.ts'
import type { LiveTable } from '../../state/live-table.ts'
import type { ControlLog } from '../control-log.ts'
import type { IfMatch } from '../http/preconditions.ts'
import type { EditOutcome } from '../table/edit-outcome.ts'
import { patchRoutes } from '../table/edits.ts'
import type { Operations } from '../table/operations.ts'
import { nameOf, type RampedRoute, type RampRecord } from './record.ts'
import type { Run } from './run.ts'
import type { RampStore } from './store.ts'

/** The author of its revisions. */
export const AUTHOR = 'ramp'

const MAX_EVENTS = 100
const MAX_REASON = 500

type RampIntent = NonNullable<RampRecord['intent']>

/** Why something can't be done with a ramp now; the message is for the operator. */
export class RampRefusal extends Error {}

/** What has happened to a ramp. */
export interface RampNews {
  readonly name: string
  readonly routes: readonly string[]
  readonly status: RampStatus
  readonly step: RampStep | null
  readonly percent: number
  readonly by: string
  readonly what: string
  /** Epoch milliseconds. */
  readonly atMs: number
}

/** What the steps work with. */
export interface StepParts {
  readonly live: LiveTable
  readonly operations: Pick<Operations, 'commit'>
  readonly log: ControlLog
  /** Told of all that happens; it must not throw. Default: nobody. */
  readonly tell?: (news: RampNews) => void
  /** Epoch milliseconds. */
  now(): number
}

/** Of each route since this process began. */
export interface DoneSteps {
  steps: number
  takeBacks: number
}

/** Takes steps. */
export class RampSteps {
  readonly #parts: StepParts
  readonly #store: RampStore
  readonly #done = new Map<string, DoneSteps>()

  constructor(parts: StepParts, store: RampStore) {
    this.#parts = parts
    this.#store = store
  }

  /** Steps and take-backs of a route since this process began. */
  doneOf(route: string): Readonly<DoneSteps> {
    return this.#done.get(route) ?? { steps: 0, takeBacks: 0 }
  }

  /** @throws {RampRefusal} if the table can't be changed */
  async goTo(run: Run, step: RampStep, by: string, words: string): Promise<void> {
    await this.#edit(run, step, by, `ramp to ${printStep(step)}: ${words}`, [this.#parts.live.current.etag])
    moveTo(run, step)
    this.#count(run, 'steps')
    await this.#made(run, 'running', by, `${printStep(step)}: ${words}`)
  }

  /** @throws {RampRefusal} if the table can't be changed */
  async takeBack(run: Run, words: string): Promise<void> {
    await this.#edit(run, 'back', AUTHOR, `taken back: ${words}`, [this.#parts.live.current.etag])
    this.#count(run, 'takeBacks')
    await this.#made(run, 'rolled-back', AUTHOR, words)
  }

  /** Percent goes back to what it was before the start, by a person's word. @throws {RampRefusal} */
  async undo(run: Run, by: string, reason: string | null): Promise<void> {
    await this.#edit(run, 'abort', by, withReason(`ramp aborted by ${by}`, reason))
    await this.#made(run, 'aborted', by, withReason(`aborted by ${by}, back to ${backText(run.record)}`, reason))
  }

  /** Goes on with an edit that was made though that could not be stored, or was not known when it was asked for. */
  async adopt(run: Run): Promise<void> {
    const { intent } = run.record
    if (intent === null || !isMade(run.record, intent, this.#parts.live.current.table)) return
    if (intent === 'back') return await this.set(run, 'rolled-back', AUTHOR, 'taken back')
    if (intent === 'abort') return await this.set(run, 'aborted', AUTHOR, `aborted, back to ${backText(run.record)}`)
    if (run.record.step !== intent) moveTo(run, intent)
    await this.set(run, 'running', AUTHOR, `${printStep(intent)}: taken`)
  }

  /** Sets its status, and tells it. @throws {StateError} where that can't be stored: then it has not happened */
  set(run: Run, status: RampStatus, by: string, why: string): Promise<void> {
    return this.note(run, by, why, { status, why })
  }

  /** Tells what somebody did. @param change what that makes of the record @throws {StateError} as `set` */
  async note(run: Run, by: string, what: string, change: Partial<RampRecord> = {}): Promise<void> {
    const before = run.record
    const atMs = this.#parts.now()
    const events = [...before.events, { atMs, by, what }].slice(-MAX_EVENTS)
    run.record = { ...before, ...change, intent: null, events, changes: before.changes + 1 }
    try {
      await this.#store.save(run)
    } catch (error) {
      run.record = before
      throw error
    }
    const { name, status, step, percent } = run.record
    const routes = before.routes.map(({ route }) => route)
    const level = status === 'rolled-back' ? 'warn' : 'info'
    const fields = { event: 'ramp', route: routes.join(','), status, percent, by }
    this.#parts.log[level](fields, `ramp of ${nameOf(before)}: ${status}, ${what}`)
    this.#parts.tell?.({ ...{ name, routes, status, step, percent, by, what, atMs } })
  }

  /** An edit was made. Where that can't be stored, what it was for is: whoever looks next finds it in the table. */
  async #made(run: Run, status: RampStatus, by: string, why: string): Promise<void> {
    await this.set(run, status, by, why).catch(() => {})
  }

  /**
   * Sets percent. What it is for is stored first: after a crash in between the table tells whether it was done.
   * @param ifMatch the revision that it was decided by: what a person has set meanwhile is not overwritten
   * @throws {StateError} where that can't be stored: nothing is changed then
   */
  async #edit(
    run: Run,
    intent: RampIntent,
    author: string,
    reason: string,
    ifMatch: IfMatch | null = null,
  ): Promise<void> {
    const before = run.record
    run.record = { ...before, intent }
    try {
      await this.#store.save(run)
    } catch (error) {
      run.record = before
      throw error
    }
    const change = patchRoutes(run.record.routes.map((one) => ({ id: one.route, patch: targetOf(intent, one) })))
    const outcome = await this.#parts.operations.commit(change, {
      ifMatch,
      author,
      reason: reason.slice(0, MAX_REASON),
    })
    if (outcome.kind === 'done') return
    const refusal = new RampRefusal(`the table can't be changed: ${whyNot(outcome)}`)
    // It may come into force yet.
    if (outcome.kind === 'not-written' && outcome.flaw === 'unknown') throw refusal
    run.record = { ...run.record, intent: null }
    // After a restart, the same edit by somebody else must not pass for this one.
    await this.#store.save(run)
    throw refusal
  }

  #count({ record }: Run, what: keyof DoneSteps): void {
    for (const { route } of record.routes) {
      const done = this.doneOf(route)
      this.#done.set(route, { ...done, [what]: done[what] + 1 })
    }
  }
}

/** The table is at a step: what is counted from now on is counted there. */
function moveTo(run: Run, step: RampStep): void {
  const { record, counts } = run
  const percent = percentOf(step)
  const controlHeldMs = record.step !== null && record.percent < 100 ? record.heldMs : record.controlHeldMs
  run.record = { ...record, step, percent, controlHeldMs, heldMs: 0, isApproved: false }
  for (const one of counts.values()) one.step(percent / 100)
  run.verdict = null
}

/** Goes on counting from what is stored. */
export function restoreCounts({ record, counts }: Run): void {
  for (const { route, evidence, failedKeys } of record.routes) counts.get(route)?.restore(evidence, failedKeys)
}

/**
 * A ramp after a restart: an edit that was being made is found in the table, or was not made.
 * @returns false for a start that came to nothing
 */
export function settle(run: Run, table: Table): boolean {
  const { record } = run
  restoreCounts(run)
  const { intent } = record
  run.record = { ...record, intent: null }
  if (intent === null) return true
  if (!isMade(record, intent, table)) return record.step !== null || record.events.length > 0
  if (intent === 'back') run.record = { ...run.record, status: 'rolled-back', why: 'taken back before a restart' }
  else if (intent === 'abort')
    run.record = { ...run.record, status: 'aborted', why: `aborted before a restart, back to ${backText(record)}` }
  else {
    moveTo(run, intent)
    run.record = { ...run.record, status: 'running' }
  }
  return true
}

/** Whether the table is as an edit makes it. */
function isMade({ routes }: RampRecord, intent: RampIntent, table: Table): boolean {
  return routes.every((one) => {
    const { percent, noKey } = targetOf(intent, one)
    const found = routeWith(table, one.route)
    return found?.percent === percent && (found.document.noKey ?? null) === noKey
  })
}

/** What an edit writes: at 100, requests without a key stay where they were before the start; at `all` nothing may keep them. */
function targetOf(intent: RampIntent, { before }: RampedRoute): RampedRoute['before'] {
  const { noKey } = before
  if (intent === 'back' || intent === 'abort') return before
  if (intent === 'all') return { percent: 100, noKey: noKey === 'from' ? null : noKey }
  return { percent: intent, noKey: intent === 100 ? (noKey ?? 'from') : noKey }
}

function backText({ routes }: RampRecord): string {
  return [...new Set(routes.map(({ before }) => `${before.percent} %`))].join(', ')
}

/** What a start or an edit of a person finds: percent of routes that are not where the ramp has left them. */
export function strayOf({ percent, routes }: RampRecord, table: Table): Route | null {
  for (const { route } of routes) {
    const found = routeWith(table, route)
    if (found !== null && found.percent !== percent) return found
  }
  return null
}

function whyNot(outcome: Exclude<EditOutcome, { kind: 'done' }>): string {
  if ('message' in outcome) return outcome.message
  if (outcome.kind === 'outdated') return 'it was changed at the same time; try again'
  return outcome.kind
}

/** What somebody did, and why where they have said it. */
export function withReason(what: string, reason: string | null): string {
  return reason === null ? what : `${what}: ${reason}`
}
