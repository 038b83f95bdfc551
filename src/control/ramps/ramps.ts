/**
 * Ramps: each raises the percent of its route, or of the routes of its group, step by step while the guard's verdict allows it,
 * and takes it back when it fails. They survive restarts: where each stands lies in the state store.
 */

import { compileRamp } from '../../rules/language/compile.ts'
import {
  DEFAULT_GUARD,
  isUnderWay,
  nextAction,
  printStep,
  type RampPlan,
  stepAfter,
  stepReached,
} from '../../rules/ramp/plan.ts'
import type { RouteDocument } from '../../rules/table/schema.ts'
import { type Route, routeWith, type Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import type { RampCounts } from '../../state/evidence/ramp-counts.ts'
import { judgedOf, type RampDelta } from '../../state/evidence/ramp-tally.ts'
import { StateError, type StateStore } from '../../state/store/store.ts'
import { basisOf } from '../figures/basis.ts'
import type { Planes } from '../figures/planes.ts'
import type { Storage } from '../figures/stored.ts'
import { OneByOne } from '../one-by-one.ts'
import type { Ownership } from '../ownership.ts'
import type { History } from '../table/history.ts'
import { RampLook } from './look.ts'
import { nameOf, RAMP_FORMAT, type RampedRoute, type RampRecord } from './record.ts'
import { fieldsSeen, judgeRun, newRun, type Run } from './run.ts'
import { mustHave, noRamp, planIn, plannedIn, plansOf, startable } from './start.ts'
import { RampRefusal, RampSteps, restoreCounts, type StepParts, settle, strayOf, withReason } from './steps.ts'
import { RampStore } from './store.ts'
import { figuresOf, type RampFigures, type RampView, viewOf } from './views.ts'

/** How often a ramp is looked at. */
export const RAMP_TICK_MS = 1000

/** A step of the clock counts for no more: the process may have been asleep, and has counted nothing. */
const MAX_TICK_MS = 5000

/** The start waits so long for what is stored. */
const LOAD_PATIENCE_MS = 2000

/** What the ramps work with. */
export interface RampParts extends StepParts {
  readonly history: History
  readonly planes: Planes
  /** Null keeps them in memory. */
  readonly store: StateStore | null
  /** Of several instances on one state folder, its owner runs the ramps. */
  readonly ownership: Pick<Ownership, 'isOwner'>
  /** Milliseconds of a clock that is never set. */
  monotonic(): number
}

/** All ramps of an instance. Everything that changes one happens one after the other. */
export class Ramps {
  readonly #parts: RampParts
  readonly #store: RampStore
  readonly #steps: RampSteps
  readonly #look: RampLook
  /** By name. */
  readonly #runs = new Map<string, Run>()
  readonly #work = new OneByOne()
  #lookedMs: number
  #timer: NodeJS.Timeout | undefined
  #isLooking = false

  constructor(parts: RampParts) {
    this.#parts = parts
    this.#store = new RampStore(parts.store, parts.log, () => parts.monotonic())
    this.#steps = new RampSteps(parts, this.#store)
    this.#look = new RampLook(parts, this.#store, this.#steps)
    this.#lookedMs = parts.monotonic()
    parts.planes.onRamp = (delta) => this.count(delta)
  }

  /**
   * Goes on with the ramps that are stored, and looks at them from now on. Resolves when they are known, or after a while: a disk
   * may never answer.
   */
  async start(): Promise<void> {
    const loaded = this.#work.run(async () => {
      if (this.#parts.ownership.isOwner) await this.#load()
    })
    let patience: NodeJS.Timeout | undefined
    await Promise.race([loaded, new Promise((done) => (patience = setTimeout(done, LOAD_PATIENCE_MS)))])
    clearTimeout(patience)
    this.#timer = setInterval(() => this.#tick(), RAMP_TICK_MS)
    this.#timer.unref()
  }

  /** Takes over from the instance that has run them before. What a store has lost is stored again. @throws {StateError} where it can't be read */
  takeOver(): Promise<void> {
    return this.#work.run(async () => {
      const { stored, older } = (await this.#load()) ?? {}
      if (stored === undefined || older === undefined) throw new StateError('failed', this.#store.problem ?? '')
      for (const run of this.#runs.values()) {
        const { name, status } = run.record
        if (older.has(name) || (isUnderWay(status) && !stored.has(name))) await this.#store.save(run)
      }
    })
  }

  /** Shows ramps as they are stored, which another instance runs. */
  follow(): Promise<void> {
    return this.#work.run(async () => void (await this.#load(false)))
  }

  /** Stores what was counted: another instance is to go on. @throws {StateError} as `RampStore.save` */
  save(): Promise<void> {
    return this.#work.run(async () => {
      const underWay = [...this.#runs.values()].filter(({ record }) => isUnderWay(record.status))
      await Promise.all(underWay.map((run) => this.#store.save(run)))
    })
  }

  /** Stops looking, and stores what was counted. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    if (!this.#parts.ownership.isOwner) return
    // What can't be stored is lost, as if it had been killed.
    await this.save().catch(() => {})
  }

  /** @returns null for a route without a plan and without a ramp of its own */
  view(id: string): RampView | null {
    const route = this.#routeOf(id)
    return route === null ? null : viewOf(route, this.#runOf(id), plansOf(this.#table))
  }

  /** All routes with a plan or a ramp, in the order of the table. */
  views(): RampView[] {
    const table = this.#table
    const places = new Set(plannedIn(table).places)
    for (const { record } of this.#runs.values())
      for (const { route } of record.routes) places.add(table.places.get(route) ?? -1)
    const routes = [...places].sort((a, b) => a - b).flatMap((place) => table.routes[place] ?? [])
    return routes.flatMap((route) => viewOf(route, this.#runOf(route.id), plansOf(table)) ?? [])
  }

  /** As `views`. */
  figures(): RampFigures[] {
    return this.views().map((view) => figuresOf(view, this.#steps.doneOf(view.route)))
  }

  get isAnyUnderWay(): boolean {
    return [...this.#runs.values()].some(({ record }) => isUnderWay(record.status))
  }

  /** Where they are kept. */
  get storage(): Storage {
    return this.#store.storage
  }

  /**
   * Begins with the first step above the current percent, as soon as the plan allows it. The routes of a group begin together.
   * @param said the plan; null for that of the table
   * @throws {RampRefusal}
   */
  begin(
    id: string,
    by: string,
    said: NonNullable<RouteDocument['ramp']> | null = null,
    reason: string | null = null,
  ): Promise<void> {
    return this.#work.run(async () => {
      const started = withReason(`started by ${by}`, reason)
      const ownPlan = said === null ? null : compileRamp(said)
      const { plan, route, routes } = startable(this.#table, id, ownPlan, [...this.#runs.values()])
      await this.#parts.planes.evidence.ready()
      const known = this.#runs.get(route.salt)
      const record: RampRecord = {
        ...{ format: RAMP_FORMAT, name: route.salt, plan: said, status: 'waiting', step: null, percent: route.percent },
        ...{ heldMs: 0, controlHeldMs: 0, isApproved: false, intent: null, events: [] },
        changes: this.#runs.get(route.salt)?.record.changes ?? 0,
        ...{ startedAtMs: this.#nextStart(routes), startedBy: by, why: started },
        routes: routes.map((one) => this.#fresh(one)),
      }
      const run = newRun(record, ownPlan, plan.guard)
      const action = nextAction(plan, run.record, null, this.#look.gates(run, plan))
      try {
        await this.#tellJudged([...this.#runs.values(), run])
        if (action.kind === 'step') await this.#steps.goTo(run, action.to, by, started)
        else if (action.kind === 'stay')
          await this.#steps.set(run, action.status, by, withReason(`started by ${by}, ${action.why}`, reason))
      } catch (error) {
        // What was stored before stays, if there was anything.
        await (known === undefined ? this.#store.remove(route.salt) : this.#store.save(known)).catch(() => {})
        throw error
      }
      this.#runs.set(route.salt, run)
      await this.#tellJudged()
    })
  }

  /** @throws {RampRefusal} */
  pause(id: string, by: string, reason: string | null = null): Promise<void> {
    return this.#change(id, (run) => this.#steps.set(run, 'paused', by, withReason(`paused by ${by}`, reason)))
  }

  /** Goes on at the step that its percent has reached. @throws {RampRefusal} */
  resume(id: string, by: string, reason: string | null = null): Promise<void> {
    return this.#change(id, (run, plan, name) => {
      const { record } = run
      if (record.status !== 'paused') throw new RampRefusal(`the ramp of ${name} is ${record.status}, not paused`)
      const { percent, movesAll } = mustHave(this.#table, record.routes[0]!.route)
      if (percent !== record.percent) {
        const step = stepReached(plan, { percent, movesAll })
        if (step === null && record.step !== null)
          throw new RampRefusal(`${name} is at ${percent} %, below the first step: start the ramp again`)
        run.record = { ...record, step, percent, heldMs: 0, isApproved: false }
        if (step !== null) for (const counts of run.counts.values()) counts.step(percent / 100)
        const stray = strayOf(run.record, this.#table)
        if (stray !== null) {
          run.record = record
          throw new RampRefusal(`${stray.id} is at ${stray.percent} %, the other routes of ${name} at ${percent} %`)
        }
      }
      const status = run.record.step === null ? 'waiting' : 'running'
      return this.#steps.set(run, status, by, withReason(`resumed by ${by} at ${percent} %`, reason))
    })
  }

  /** Lets the next step be taken, as soon as the evidence allows it. @throws {RampRefusal} */
  approve(id: string, by: string, reason: string | null = null): Promise<void> {
    return this.#change(id, async (run, plan, name) => {
      const next = stepAfter(plan, run.record)
      if (next === null || !plan.approve.includes(next) || run.record.isApproved)
        throw new RampRefusal(`the ramp of ${name} waits for no approval of its next step`)
      const what = withReason(`step ${printStep(next)} approved by ${by}`, reason)
      await this.#steps.note(run, by, what, { isApproved: true })
    })
  }

  /** Takes the next step on a person's word; the guard goes on. @throws {RampRefusal} */
  step(id: string, by: string, reason: string): Promise<void> {
    return this.#change(id, async (run, plan, name) => {
      const next = stepAfter(plan, run.record)
      if (run.record.status === 'paused') throw new RampRefusal(`the ramp of ${name} is paused: resume it first`)
      if (next === null) throw new RampRefusal(`the ramp of ${name} is at its last step`)
      const stray = strayOf(run.record, this.#table)
      if (stray !== null)
        throw new RampRefusal(`${stray.id} is at ${stray.percent} %, not where its ramp has left it: resume it first`)
      await this.#steps.goTo(run, next, by, `step taken by ${by}, not by evidence: ${reason}`)
    })
  }

  /** Ends it. @param isBack percent goes back to what it was before the start @throws {RampRefusal} */
  abort(id: string, by: string, isBack: boolean, reason: string | null = null): Promise<void> {
    return this.#change(id, async (run) => {
      if (isBack) await this.#steps.undo(run, by, reason)
      else {
        const what = `aborted by ${by}, percent stays at ${run.record.percent} %`
        await this.#steps.set(run, 'aborted', by, withReason(what, reason))
      }
      await this.#tellJudged()
    })
  }

  /** A revision was restored: ramps whose routes it has changed are over. */
  restored(before: Table, after: Table, revision: number, by: string): Promise<void> {
    return this.#work.run(async () => {
      for (const run of this.#runs.values()) {
        const isChanged = run.record.routes.some(
          ({ route }) => !sameValue(rampedIn(before, route), rampedIn(after, route)),
        )
        if (!isUnderWay(run.record.status) || !isChanged) continue
        await this.#steps.set(run, 'aborted', by, `${by} restored revision ${revision}`)
      }
      await this.#tellJudged()
    })
  }

  /** Counts what data planes have seen of a ramped route. */
  count(delta: RampDelta): void {
    const run = this.#runOf(delta.route)
    const counts = run?.counts.get(delta.route)
    if (run === undefined || counts === undefined || run.record.step === null) return
    if (!isUnderWay(run.record.status) || delta.percent !== run.record.percent) return
    if (this.#isLongEnough(run, counts)) return
    for (const judged of judgedOf(delta, this.#parts.monotonic())) counts.count(judged)
  }

  /**
   * With time ever more of the same clients have failed at least once. At 100 % they are compared with what was seen of the other
   * side while it was there, so that no more is counted after as long as that.
   */
  #isLongEnough(run: Run, counts: RampCounts): boolean {
    const { percent, heldMs, controlHeldMs } = run.record
    const plan = this.#look.planOf(run)
    if (percent < 100 || heldMs <= controlHeldMs || plan === null) return false
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
    void this.#work
      .run(async () => {
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
      if (isUnderWay(run.record.status)) await this.#look.look(run)
      run.problem = null
      if (!isUnderWay(run.record.status)) await this.#tellJudged()
    } catch (error) {
      const { message } = error as Error
      if (run.problem === message) return
      run.problem = message
      const name = nameOf(run.record)
      this.#parts.log.error({ event: 'ramp', route: run.record.routes[0]?.route }, `ramp of ${name}: ${message}`)
    }
  }

  /**
   * What is older than here stays as it is here: the store was restored from a backup, or has failed over.
   * @param isRun false: only to be shown
   * @returns the names of those that are stored, and of those among them that are older there; null where the store can't be read
   */
  async #load(
    isRun = true,
  ): Promise<{ readonly stored: ReadonlySet<string>; readonly older: ReadonlySet<string> } | null> {
    const stored = await this.#store.read()
    if (stored === null) return null
    const older = new Set<string>()
    for (const record of stored) {
      if (isOlder(record, this.#runs.get(record.name)?.stored ?? null)) {
        older.add(record.name)
        continue
      }
      const ownPlan = record.plan === null ? null : compileRamp(record.plan)
      const plan = ownPlan ?? this.#routeOf(record.routes[0]?.route ?? '')?.ramp ?? null
      // One that is under way and has lost its plan meanwhile is aborted at the first look.
      if (plan === null && !isUnderWay(record.status)) continue
      const run = newRun(record, ownPlan, plan?.guard ?? DEFAULT_GUARD)
      run.stored = record
      if (!isRun) {
        restoreCounts(run)
        if (plan !== null && isUnderWay(record.status) && record.step !== null)
          run.verdict = judgeRun(run, plan, this.#parts.planes.evidence)
        this.#runs.set(record.name, run)
      } else if (settle(run, this.#table)) this.#runs.set(record.name, run)
      else {
        this.#runs.delete(record.name)
        await this.#store.remove(record.name)
      }
    }
    await this.#tellJudged()
    return { stored: new Set(stored.map(({ name }) => name)), older }
  }

  /** Data planes count only routes with a plan in the table, and those that they are told. */
  async #tellJudged(runs: Iterable<Run> = this.#runs.values()): Promise<void> {
    const judged: string[] = []
    for (const { record } of runs)
      if (isUnderWay(record.status)) judged.push(...record.routes.map(({ route }) => route))
    await this.#parts.planes.setJudged(judged)
  }

  /** Behind all earlier starts of these routes, by whatever clock they were: the newest ramp of a route is told by it. */
  #nextStart(routes: readonly Route[]): number {
    const earlier = routes.map(({ id }) => (this.#runOf(id)?.record.startedAtMs ?? 0) + 1)
    return Math.max(this.#parts.now(), ...earlier)
  }

  #fresh(route: Route): RampedRoute {
    const { id, percent, document } = route
    const { evidence } = this.#parts.planes
    return {
      route: id,
      basis: basisOf(route).route,
      before: { percent, noKey: document.noKey ?? null },
      fields: fieldsSeen({ route: id, fields: [] }, evidence),
      ...{ evidence: [], failedKeys: [] },
    }
  }

  /** @throws {RampRefusal} */
  #change(id: string, change: (run: Run, plan: RampPlan, name: string) => Promise<void>): Promise<void> {
    return this.#work.run(async () => {
      const { salt } = mustHave(this.#table, id)
      const run = this.#runOf(id)
      if (run === undefined && !plansOf(this.#table).has(salt)) throw noRamp(id)
      if (run === undefined) throw new RampRefusal(`the ramp of ${id} has not been started`)
      const name = nameOf(run.record)
      if (!isUnderWay(run.record.status)) throw new RampRefusal(`the ramp of ${name} is over: ${run.record.status}`)
      const plan = this.#look.planOf(run)
      if (plan === null) throw noRamp(id)
      await change(run, plan, name)
    })
  }

  get #table(): Table {
    return this.#parts.live.current.table
  }

  /** The newest ramp of a route. */
  #runOf(id: string): Run | undefined {
    let newest: Run | undefined
    for (const run of this.#runs.values())
      if (run.counts.has(id) && (newest === undefined || run.record.startedAtMs >= newest.record.startedAtMs))
        newest = run
    return newest
  }

  #routeOf(id: string): Route | null {
    return routeWith(this.#table, id)
  }
}

/** Whether a record is from before another one: every event is counted, and between two of them the time that a step is held. */
function isOlder({ changes, heldMs }: RampRecord, known: Pick<RampRecord, 'changes' | 'heldMs'> | null): boolean {
  if (known === null) return false
  return changes === known.changes ? heldMs < known.heldMs : changes < known.changes
}

/** What a ramp needs of a route. */
function rampedIn(table: Table, id: string): Plain {
  const route = routeWith(table, id)
  if (route === null) return null
  return { percent: route.percent, noKey: route.document.noKey ?? null, ramp: planIn(route) }
}
