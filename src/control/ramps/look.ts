/**
 * One look at a ramp: what the guard and the plan say now, and what follows.
 */
import { isUnderWay, nextAction, type RampGates, type RampPlan } from '../../rules/ramp/plan.ts'
import { isWithin } from '../../rules/ramp/window.ts'
import { type Route, routeWith, type Table } from '../../rules/table/table.ts'
import type { LiveTable } from '../../state/live-table.ts'
import { basisOf } from '../figures/basis.ts'
import type { Planes } from '../figures/planes.ts'
import type { History } from '../table/history.ts'
import { countAnew, fieldsSeen, judgeRun, type Run, unmetOf } from './run.ts'
import { AUTHOR, type RampSteps, strayOf } from './steps.ts'
import type { RampStore } from './store.ts'

/** How often what was counted is stored. */
const SAVE_EVERY_MS = 10_000

/** What a look needs. */
export interface LookParts {
  readonly live: LiveTable
  readonly history: History
  readonly planes: Pick<Planes, 'evidence'>
  /** Epoch milliseconds. */
  now(): number
}

/** Looks at ramps. */
export class RampLook {
  readonly #parts: LookParts
  readonly #store: RampStore
  readonly #steps: RampSteps

  constructor(parts: LookParts, store: RampStore, steps: RampSteps) {
    this.#parts = parts
    this.#store = store
    this.#steps = steps
  }

  /** Judges a ramp that is under way, and does what is next. @throws {RampRefusal} if the table can't be changed */
  async look(run: Run): Promise<void> {
    await this.#steps.adopt(run)
    const { record } = run
    if (!isUnderWay(record.status)) return
    const plan = this.planOf(run)
    const gone = record.routes.find(({ route }) => this.#routeOf(route)?.salt !== record.name)
    if (gone !== undefined || plan === null)
      return await this.#steps.set(run, 'aborted', AUTHOR, this.#whyOver(run, gone?.route ?? null))
    const stray = strayOf(record, this.#table)
    if (stray !== null) return await this.#othersChanged(run, stray)
    await this.#compareBasis(run, plan)
    const { evidence } = this.#parts.planes
    const routes = run.record.routes.map((one) => ({ ...one, fields: fieldsSeen(one, evidence) }))
    run.record = { ...run.record, routes }
    run.verdict = record.step === null ? null : judgeRun(run, plan, evidence)
    await this.#act(run, plan)
  }

  async #act(run: Run, plan: RampPlan): Promise<void> {
    const { record, verdict } = run
    const words = verdict?.words ?? `started by ${record.startedBy}`
    const action = nextAction(plan, record, verdict?.verdict ?? null, this.gates(run, plan))
    switch (action.kind) {
      case 'take-back':
        return await this.#steps.takeBack(run, words)
      case 'step':
        return await this.#steps.goTo(run, action.to, AUTHOR, words)
      case 'finish':
        return await this.#steps.set(run, 'done', AUTHOR, words)
      case 'stay':
        if (action.status !== record.status)
          return await this.#steps.set(run, action.status, AUTHOR, action.why ?? words)
        return await this.#stay(run, action.why ?? (action.status === 'holding' ? words : record.why))
    }
  }

  async #stay(run: Run, why: string): Promise<void> {
    run.record = { ...run.record, why }
    if (this.#store.isDue(run, SAVE_EVERY_MS)) await this.#store.save(run)
  }

  /** What stands in the way of a step besides the guard. */
  gates({ record }: Run, plan: RampPlan): RampGates {
    const isOpen = plan.window === null || isWithin(plan.window, this.#parts.now())
    return { isOpen, unmet: unmetOf(record, plan, this.#table, this.#parts.planes.evidence) }
  }

  /** The plan of a ramp: its own, or that of the first route of its group that has one. */
  planOf({ ownPlan, record }: Run): RampPlan | null {
    if (ownPlan !== null) return ownPlan
    for (const { route } of record.routes) {
      const plan = this.#routeOf(route)?.ramp ?? null
      if (plan !== null) return plan
    }
    return null
  }

  #whyOver({ record }: Run, gone: string | null): string {
    if (gone === null) return 'its plan was removed'
    if (this.#routeOf(gone) !== null) return `${gone} has another group`
    return record.routes.length === 1 ? 'its route was removed' : `route ${gone} was removed`
  }

  /** What was counted of other sides, or of other requests, is no evidence of those that the route has now. */
  async #compareBasis(run: Run, plan: RampPlan): Promise<void> {
    const routes = run.record.routes.map((one) => ({ ...one, basis: this.#basisOf(one.route) }))
    const changed = run.record.routes
      .filter(({ basis }, at) => basis !== null && basis !== routes[at]?.basis)
      .map(({ route }) => route)
    run.record = { ...run.record, routes }
    if (changed.length === 0) return
    countAnew(run, changed, plan.guard)
    const { status, step } = run.record
    const { number } = this.#parts.live.current
    const author = this.#parts.history.get(number)?.author ?? 'somebody'
    const why = `${author} changed the sides or the requests of ${changed.join(', ')} in revision ${number}: counting begins anew`
    await this.#steps.set(run, status === 'paused' || step === null ? status : 'running', author, why)
  }

  #basisOf(id: string): string | null {
    const route = this.#routeOf(id)
    return route === null ? null : basisOf(route).route
  }

  async #othersChanged(run: Run, { id, percent }: Route): Promise<void> {
    const { record } = run
    if (record.status === 'paused') return
    const { number } = this.#parts.live.current
    const author = this.#parts.history.get(number)?.author ?? 'somebody'
    const what = record.routes.length === 1 ? '' : `${id} to `
    const why = `${author} set ${what}${percent} % in revision ${number}, the ramp had ${record.percent} %`
    await this.#steps.set(run, 'paused', author, why)
  }

  get #table(): Table {
    return this.#parts.live.current.table
  }

  #routeOf(id: string): Route | null {
    return routeWith(this.#table, id)
  }
}
