/**
 * Ramps: each raises the percent of its route step by step while the guard's verdict allows it, and takes it back when it fails.
 * They survive restarts: where each stands lies in the state store.
 */
import { type GuardTerms, type GuardVerdict, judgeRamp, type StepEvidence } from '../../rules/ramp/guard.ts'
import {
  DEFAULT_GUARD,
  isUnderWay,
  nextAction,
  percentOf,
  printStep,
  type RampPlan,
  type RampStatus,
  type RampStep,
  stepAfter,
  stepReached,
  stepsUpTo,
} from '../../rules/ramp/plan.ts'
import type { Hits } from '../../rules/ramp/rate-bounds.ts'
import type { Route } from '../../rules/table/table.ts'
import { RampCounts } from '../../state/evidence/ramp-counts.ts'
import { judgedOf, type RampDelta } from '../../state/evidence/ramp-tally.ts'
import type { LiveTable } from '../../state/live-table.ts'
import type { StateStore } from '../../state/store/store.ts'
import type { ControlLog } from '../control-log.ts'
import { pathsOf } from '../figures/evidence.ts'
import type { Planes } from '../figures/planes.ts'
import type { IfMatch } from '../http/preconditions.ts'
import type { Ownership } from '../ownership.ts'
import type { EditOutcome } from '../table/edit-outcome.ts'
import { patchRoute } from '../table/edits.ts'
import type { History } from '../table/history.ts'
import type { Operations } from '../table/operations.ts'
import { MAX_FAILED_KEYS, RAMP_FORMAT, type RampRecord, readRampRecord } from './record.ts'

/** The author of its revisions. */
const AUTHOR = 'ramp'

const SPACE = 'ramps'
const KEY = 'ramp'

/** How often a ramp is looked at. */
export const RAMP_TICK_MS = 1000

/** How often its counts are stored. */
const SAVE_EVERY_MS = 10_000

/** A step of the clock counts for no more: the process may have been asleep, and has counted nothing. */
const MAX_TICK_MS = 5000

/** Keys of one ramp that are remembered: about 100 MiB. */
const MAX_KEYS = 1_000_000

const MAX_EVENTS = 100

/** The start waits so long for what is stored. */
const LOAD_PATIENCE_MS = 2000

/** What the ramps work with. */
export interface RampParts {
  readonly live: LiveTable
  readonly operations: Pick<Operations, 'commit'>
  readonly history: History
  readonly planes: Planes
  /** Null keeps them in memory. */
  readonly store: StateStore | null
  /** Of several instances on one state folder, its owner runs the ramps. */
  readonly ownership: Pick<Ownership, 'isOwner'>
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
  /** Milliseconds of a clock that is never set. */
  monotonic(): number
}

/** Why something can't be done with a ramp now; the message is for the operator. */
export class RampRefusal extends Error {}

interface Run {
  record: RampRecord
  counts: RampCounts
  verdict: GuardVerdict | null
  savedMs: number
  /** Why the last look failed, or null. */
  problem: string | null
}

/** One ramp, for people. */
export interface RampView {
  readonly route: string
  readonly plan: RampPlan
  /** Null where it was never started. */
  readonly record: RampRecord | null
  readonly verdict: GuardVerdict | null
  readonly evidence: readonly StepEvidence[]
  /** No more keys can be remembered: nothing is counted any more. */
  readonly isFull: boolean
  /** Why it can't do what it should, or null. */
  readonly problem: string | null
}

/** One ramp, for the metrics. */
export interface RampFigures {
  readonly route: string
  readonly status: RampStatus | 'not-started'
  /** What the ramp has set; null where it was never started. */
  readonly percent: number | null
  /** Which step of the plan it has reached, from 1 on; 0 before the first. */
  readonly step: number
  /** It can't do what it should. */
  readonly hasProblem: boolean
  /** Since this process began. */
  readonly steps: number
  readonly takeBacks: number
}

/** All ramps of an instance. Everything that changes one happens one after the other. */
export class Ramps {
  readonly #parts: RampParts
  readonly #runs = new Map<string, Run>()
  /** Steps and take-backs of each route since this process began. */
  readonly #done = new Map<string, { steps: number; takeBacks: number }>()
  #last: Promise<unknown> = Promise.resolve()
  #lookedMs: number
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  /** Why ramps are in memory only though there is a store, or null. */
  problem: string | null = null

  constructor(parts: RampParts) {
    this.#parts = parts
    this.#lookedMs = parts.monotonic()
    parts.planes.onRamp = (delta) => this.#count(delta)
  }

  /**
   * Goes on with the ramps that are stored, and looks at them from now on. Resolves when they are known, or after a while: a disk
   * may never answer.
   */
  async start(): Promise<void> {
    const loaded = this.#alone(async () => {
      if (this.#parts.ownership.isOwner) await this.#load()
    })
    let patience: NodeJS.Timeout | undefined
    await Promise.race([loaded, new Promise((done) => (patience = setTimeout(done, LOAD_PATIENCE_MS)))])
    clearTimeout(patience)
    this.#timer = setInterval(() => this.#tick(), RAMP_TICK_MS)
    this.#timer.unref()
  }

  /** Takes over from the instance that has owned the state folder before. */
  takeOver(): Promise<void> {
    return this.#alone(async () => {
      this.#runs.clear()
      await this.#load()
    })
  }

  /** Stops looking, and stores what was counted. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    if (!this.#parts.ownership.isOwner) return
    await this.#alone(async () => {
      for (const run of this.#runs.values()) if (isUnderWay(run.record.status)) await this.#save(run)
    })
  }

  /** @returns null for a route without a plan and without a ramp */
  view(route: string): RampView | null {
    const plan = this.#routeOf(route)?.ramp ?? null
    const run = this.#runs.get(route)
    if (plan === null) return null
    return {
      ...{ route, plan },
      record: run?.record ?? null,
      verdict: run?.verdict ?? null,
      evidence: run?.counts.evidence().steps ?? [],
      isFull: run?.counts.isFull ?? false,
      problem: run?.problem ?? null,
    }
  }

  /** All routes with a plan. */
  views(): RampView[] {
    return this.#parts.live.current.table.routes.flatMap(({ id }) => this.view(id) ?? [])
  }

  /** All routes with a plan, in the order of the table. */
  figures(): RampFigures[] {
    return this.#parts.live.current.table.routes.flatMap(({ id, ramp }) => {
      if (ramp === null) return []
      const run = this.#runs.get(id)
      const { status = 'not-started', percent = null, step = null } = run?.record ?? {}
      return {
        ...{ route: id, status, percent },
        step: step === null ? 0 : stepsUpTo(ramp, step),
        hasProblem: run !== undefined && isUnderWay(run.record.status) && (run.problem !== null || run.counts.isFull),
        ...{ steps: 0, takeBacks: 0, ...this.#done.get(id) },
      }
    })
  }

  /** Where they are kept. */
  get storage(): 'folder' | 'memory' {
    return this.#parts.store === null || this.problem !== null ? 'memory' : 'folder'
  }

  /** Begins with the first step above the current percent. @throws {RampRefusal} */
  begin(route: string, by: string): Promise<void> {
    return this.#alone(async () => {
      const { plan, percent, movesAll, document } = this.#planned(route)
      const known = this.#runs.get(route)
      if (known !== undefined && isUnderWay(known.record.status))
        throw new RampRefusal(`the ramp of ${route} is ${known.record.status} already`)
      const step = stepAfter(plan, { step: movesAll ? 'all' : percent, percent })
      if (step === null) throw new RampRefusal(`${route} is at ${percent} % already: no step of its ramp is above that`)
      const nowMs = this.#parts.now()
      const record: RampRecord = {
        ...{ format: RAMP_FORMAT, route, status: 'running', step, percent, heldMs: 0, isApproved: false },
        ...{ startedAtMs: nowMs, startedBy: by, why: '', events: [], evidence: [], failedKeys: [], controlHeldMs: 0 },
        before: { percent, noKey: document.noKey ?? null },
        compared: this.#comparedOf(route),
        intent: null,
      }
      const run: Run = {
        record,
        counts: new RampCounts(MAX_KEYS, plan.guard.hardStop.of),
        verdict: null,
        savedMs: 0,
        problem: null,
      }
      try {
        await this.#goTo(run, step, by, `started by ${by}`)
      } catch (error) {
        await this.#forget(route, known)
        throw error
      }
      this.#runs.set(route, run)
    })
  }

  /** @throws {RampRefusal} */
  pause(route: string, by: string): Promise<void> {
    return this.#change(route, (run) => this.#set(run, 'paused', by, `paused by ${by}`))
  }

  /** Goes on at the step that its percent has reached. @throws {RampRefusal} */
  resume(route: string, by: string): Promise<void> {
    return this.#change(route, (run, plan) => {
      const { record } = run
      if (record.status !== 'paused') throw new RampRefusal(`the ramp of ${route} is ${record.status}, not paused`)
      const { percent, movesAll } = this.#planned(route)
      if (percent !== record.percent) {
        const reached = stepReached(plan, { percent, movesAll })
        if (reached === null)
          throw new RampRefusal(`${route} is at ${percent} %, below the first step: start the ramp again`)
        run.record = { ...record, step: reached, percent, heldMs: 0, isApproved: false }
        run.counts.step(percent / 100)
      }
      return this.#set(run, 'running', by, `resumed by ${by} at ${percent} %`)
    })
  }

  /** Lets the next step be taken, as soon as the evidence allows it. @throws {RampRefusal} */
  approve(route: string, by: string): Promise<void> {
    return this.#change(route, async (run, plan) => {
      const next = stepAfter(plan, run.record)
      if (next === null || !plan.approve.includes(next) || run.record.isApproved)
        throw new RampRefusal(`the ramp of ${route} waits for no approval of its next step`)
      run.record = { ...run.record, isApproved: true }
      await this.#note(run, by, `step ${printStep(next)} approved by ${by}`)
    })
  }

  /** Takes the next step on a person's word; the guard goes on. @throws {RampRefusal} */
  step(route: string, by: string, reason: string): Promise<void> {
    return this.#change(route, async (run, plan) => {
      const { percent } = this.#planned(route)
      const next = stepAfter(plan, run.record)
      if (run.record.status === 'paused') throw new RampRefusal(`the ramp of ${route} is paused: resume it first`)
      if (next === null) throw new RampRefusal(`the ramp of ${route} is at its last step`)
      if (percent !== run.record.percent)
        throw new RampRefusal(`${route} is at ${percent} %, not where its ramp has left it: resume it first`)
      await this.#goTo(run, next, by, `step taken by ${by}, not by evidence: ${reason}`)
    })
  }

  /** Ends it. @param isBack percent goes back to what it was before the start @throws {RampRefusal} */
  abort(route: string, by: string, isBack: boolean): Promise<void> {
    return this.#change(route, async (run) => {
      if (isBack) await this.#edit(run, 'back', run.record.before, by, `ramp aborted by ${by}`)
      const where = isBack ? `back to ${run.record.before.percent} %` : `percent stays at ${run.record.percent}`
      await this.#set(run, 'aborted', by, `aborted by ${by}, ${where}`)
    })
  }

  #count(delta: RampDelta): void {
    const run = this.#runs.get(delta.route)
    if (run === undefined || !isUnderWay(run.record.status) || delta.percent !== run.record.percent) return
    if (this.#isLongEnough(run)) return
    for (const judged of judgedOf(delta, this.#parts.now())) run.counts.count(judged)
  }

  /**
   * With time ever more of the same clients have failed at least once. At 100 % they are compared with what was seen of the other
   * side while it was there, so that no more is counted after as long as that.
   */
  #isLongEnough({ record, counts }: Run): boolean {
    const plan = this.#routeOf(record.route)?.ramp
    if (record.percent < 100 || record.heldMs <= record.controlHeldMs || plan == null) return false
    return counts.keysAtStep.to >= plan.guard.minKeys
  }

  #tick(): void {
    const nowMs = this.#parts.monotonic()
    const passedMs = Math.min(nowMs - this.#lookedMs, MAX_TICK_MS)
    this.#lookedMs = nowMs
    const runs = [...this.#runs.values()].filter(({ record }) => isUnderWay(record.status))
    // A look that takes longer than a tick counts for all of them.
    for (const run of runs) {
      const { status, heldMs } = run.record
      if (status !== 'paused') run.record = { ...run.record, heldMs: heldMs + passedMs }
    }
    if (runs.length === 0 || this.#isLooking || !this.#parts.ownership.isOwner) return
    this.#isLooking = true
    void this.#alone(async () => {
      await this.#parts.planes.figures()
      for (const run of runs) await this.#tryToLook(run)
    })
      .catch((error: Error) => this.#parts.log.error({ event: 'ramp', error: error.stack }, error.message))
      .finally(() => {
        this.#isLooking = false
      })
  }

  /** What fails is tried again at the next look. */
  async #tryToLook(run: Run): Promise<void> {
    try {
      await this.#look(run)
      run.problem = null
    } catch (error) {
      const { message } = error as Error
      if (run.problem === message) return
      run.problem = message
      this.#parts.log.error({ event: 'ramp', route: run.record.route }, `ramp of ${run.record.route}: ${message}`)
    }
  }

  async #look(run: Run): Promise<void> {
    const { record } = run
    if (!isUnderWay(record.status)) return
    const route = this.#routeOf(record.route)
    const plan = route?.ramp ?? null
    if (route === null || plan === null) {
      await this.#set(run, 'aborted', AUTHOR, route === null ? 'its route was removed' : 'its plan was removed')
      return
    }
    if (route.percent !== record.percent) {
      await this.#othersChanged(run, route)
      return
    }
    const next = stepAfter(plan, record)
    const evidence = { ...run.counts.evidence(), comparisons: this.#comparedSince(record) }
    run.verdict = judgeRamp(evidence, plan.guard, plan.steps.length, next === null ? null : percentOf(next))
    const action = nextAction(plan, record, run.verdict)
    const { words } = run.verdict
    switch (action.kind) {
      case 'take-back':
        return await this.#takeBack(run, words)
      case 'step':
        return await this.#goTo(run, action.to, AUTHOR, words)
      case 'finish':
        return await this.#set(run, 'done', AUTHOR, words)
      case 'stay':
        if (action.status !== record.status) await this.#set(run, action.status, AUTHOR, words)
        else if (this.#parts.monotonic() - run.savedMs >= SAVE_EVERY_MS) await this.#save(run)
    }
  }

  async #othersChanged(run: Run, { percent }: Route): Promise<void> {
    if (run.record.status === 'paused') return
    const { number } = this.#parts.live.current
    const author = this.#parts.history.get(number)?.author ?? 'somebody'
    await this.#set(
      run,
      'paused',
      author,
      `${author} set ${percent} % in revision ${number}, the ramp had ${run.record.percent} %`,
    )
  }

  async #takeBack(run: Run, words: string): Promise<void> {
    const { etag } = this.#parts.live.current
    await this.#edit(run, 'back', run.record.before, AUTHOR, `taken back: ${words}`, [etag])
    this.#doneOf(run).takeBacks++
    await this.#set(run, 'rolled-back', AUTHOR, words)
  }

  #doneOf({ record: { route } }: Run): { steps: number; takeBacks: number } {
    const done = this.#done.get(route) ?? { steps: 0, takeBacks: 0 }
    this.#done.set(route, done)
    return done
  }

  async #goTo(run: Run, step: RampStep, by: string, words: string): Promise<void> {
    const target = targetOf(step, run.record.before)
    const { percent } = target
    const { etag } = this.#parts.live.current
    await this.#edit(run, step, target, by, `ramp to ${printStep(step)}: ${words}`, [etag])
    const controlHeldMs = run.record.percent < 100 ? run.record.heldMs : run.record.controlHeldMs
    run.record = { ...run.record, step, percent, controlHeldMs, heldMs: 0, isApproved: false }
    run.counts.step(percent / 100)
    run.verdict = null
    this.#doneOf(run).steps++
    await this.#set(run, 'running', by, `${printStep(step)}: ${words}`)
  }

  /**
   * Sets percent. What it is for is stored first: after a crash in between the table tells whether it was done.
   * @param ifMatch the revision that it was decided by: what a person has set meanwhile is not overwritten
   * @throws {RampRefusal} if the table can't be changed
   */
  async #edit(
    run: Run,
    intent: RampStep | 'back',
    to: RampRecord['before'],
    author: string,
    reason: string,
    ifMatch: IfMatch | null = null,
  ): Promise<void> {
    run.record = { ...run.record, intent }
    await this.#save(run)
    const change = patchRoute(run.record.route, to)
    const outcome = await this.#parts.operations.commit(change, { ifMatch, author, reason: reason.slice(0, 500) })
    run.record = { ...run.record, intent: null }
    if (outcome.kind === 'done') return
    // After a restart, the same edit by somebody else must not pass for this one.
    await this.#save(run)
    throw new RampRefusal(`the table can't be changed: ${whyNot(outcome)}`)
  }

  async #set(run: Run, status: RampRecord['status'], by: string, why: string): Promise<void> {
    run.record = { ...run.record, status, why }
    await this.#note(run, by, why)
  }

  async #note(run: Run, by: string, what: string): Promise<void> {
    const { record } = run
    const events = [...record.events, { atMs: this.#parts.now(), by, what }].slice(-MAX_EVENTS)
    run.record = { ...record, events }
    const { route, status, percent } = record
    const level = status === 'rolled-back' ? 'warn' : 'info'
    this.#parts.log[level]({ event: 'ramp', route, status, percent, by }, `ramp of ${route}: ${status}, ${what}`)
    await this.#save(run)
  }

  async #save(run: Run): Promise<void> {
    run.savedMs = this.#parts.monotonic()
    const failedKeys = run.counts.failedKeys(MAX_FAILED_KEYS)
    await this.#write(run.record.route, { ...run.record, evidence: run.counts.evidence().steps, failedKeys })
  }

  /** Of a start that came to nothing: what was stored before stays, if there was anything. */
  async #forget(route: string, before: Run | undefined): Promise<void> {
    if (before !== undefined) return await this.#save(before)
    await this.#write(route, null)
  }

  /** Never rejects: without a store that can be written, ramps go on in memory. */
  async #write(route: string, record: object | null): Promise<void> {
    const { store, log } = this.#parts
    if (store === null) return
    try {
      await store.write(SPACE, route, KEY, record === null ? null : JSON.stringify(record))
      this.problem = null
    } catch (error) {
      if (this.problem === null)
        log.warn({ event: 'ramp' }, `ramps are kept in memory only: ${(error as Error).message}`)
      this.problem = `ramps are kept in memory only: ${(error as Error).message}`
    }
  }

  async #load(): Promise<void> {
    const { store, log } = this.#parts
    if (store === null) return
    try {
      for (const { group, value } of await store.list(SPACE)) {
        const record = readRampRecord(value)
        const plan = this.#routeOf(group)?.ramp ?? null
        if (record === null)
          log.warn({ event: 'ramp', route: group }, `the stored ramp of ${group} is unreadable: it is not continued`)
        if (record === null || this.#runs.has(group)) continue
        // One that is under way and has lost its plan meanwhile is aborted at the first look.
        if (plan === null && !isUnderWay(record.status)) continue
        await this.#continue(record, plan?.guard ?? DEFAULT_GUARD)
      }
    } catch (error) {
      this.problem = `ramps are kept in memory only: ${(error as Error).message}`
      log.warn({ event: 'ramp' }, this.problem)
    }
  }

  /** After a restart. An edit that was being made is found in the table, or was not made. */
  async #continue(stored: RampRecord, { hardStop }: GuardTerms): Promise<void> {
    const { route, intent, before, evidence } = stored
    const counts = new RampCounts(MAX_KEYS, hardStop.of)
    counts.restore(evidence, stored.failedKeys)
    const found = this.#routeOf(route)
    const isAt = ({ percent, noKey }: RampRecord['before']): boolean =>
      found?.percent === percent && (found.document.noKey ?? null) === noKey
    let record: RampRecord = { ...stored, intent: null }
    if (intent === 'back' && isAt(before)) {
      record = { ...record, status: 'rolled-back', why: 'taken back before a restart' }
    } else if (intent !== null && intent !== 'back' && isAt(targetOf(intent, before))) {
      const percent = percentOf(intent)
      record = { ...record, step: intent, percent, heldMs: 0, isApproved: false, status: 'running' }
      counts.step(percent / 100)
    } else if (evidence.length === 0) return await this.#forget(route, undefined)
    this.#runs.set(route, { record, counts, verdict: null, savedMs: 0, problem: null })
  }

  #comparedSince({ route, compared }: RampRecord): Hits {
    const { of, hits } = this.#comparedOf(route)
    return { of: Math.max(0, of - compared.of), hits: Math.max(0, hits - compared.hits) }
  }

  /** Comparisons of a route, and those that differed at its worst path that is no noise. */
  #comparedOf(route: string): Hits {
    const known = this.#parts.planes.evidence.of(route)
    if (known === null) return { of: 0, hits: 0 }
    const mismatches = pathsOf(known).filter(({ verdict }) => verdict === 'mismatch')
    return { of: known.comparisons, hits: Math.max(0, ...mismatches.map(({ count }) => count)) }
  }

  /** @throws {RampRefusal} */
  #change(route: string, change: (run: Run, plan: RampPlan) => Promise<void>): Promise<void> {
    return this.#alone(async () => {
      const { plan } = this.#planned(route)
      const run = this.#runs.get(route)
      if (run === undefined) throw new RampRefusal(`the ramp of ${route} has not been started`)
      if (!isUnderWay(run.record.status)) throw new RampRefusal(`the ramp of ${route} is over: ${run.record.status}`)
      await change(run, plan)
    })
  }

  /** @throws {RampRefusal} */
  #planned(id: string): Route & { readonly plan: RampPlan } {
    const route = this.#routeOf(id)
    if (route === null) throw new RampRefusal(`unknown route ${id}`)
    if (route.ramp === null) throw new RampRefusal(`route ${id} has no ramp: add "ramp: {}" to it`)
    return { ...route, plan: route.ramp }
  }

  #routeOf(id: string): Route | null {
    return this.#parts.live.current.table.routes.find((route) => route.id === id) ?? null
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

/** What a step writes: at 100, requests without a key stay where they were before the start; at `all` nothing may keep them. */
function targetOf(step: RampStep, { noKey }: RampRecord['before']): RampRecord['before'] {
  if (step === 'all') return { percent: 100, noKey: noKey === 'from' ? null : noKey }
  return { percent: step, noKey: step === 100 ? (noKey ?? 'from') : noKey }
}

function whyNot(outcome: Exclude<EditOutcome, { kind: 'done' }>): string {
  if ('message' in outcome) return outcome.message
  if (outcome.kind === 'outdated') return 'it was changed at the same time; try again'
  return outcome.kind
}
