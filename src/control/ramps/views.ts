/**
 * Where ramps stand, for people and for the metrics.
 */
import type { GuardVerdict, StepEvidence } from '../../rules/ramp/guard.ts'
import { isUnderWay, type RampPlan, type RampStatus, stepsUpTo } from '../../rules/ramp/plan.ts'
import type { Route } from '../../rules/table/table.ts'
import type { RampRecord } from './record.ts'
import { isFull, type Run } from './run.ts'
import type { DoneSteps } from './steps.ts'

/** One ramp, for people. */
export interface RampView {
  readonly route: string
  /** All routes that move together. */
  readonly routes: readonly string[]
  readonly plan: RampPlan
  /** Null where it was never started. */
  readonly record: RampRecord | null
  readonly verdict: GuardVerdict | null
  /** Of this route. */
  readonly evidence: readonly StepEvidence[]
  /** What a take-back restores. */
  readonly before: RampRecord['routes'][number]['before'] | null
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

/**
 * @param run its newest ramp
 * @param plans of the table, by group
 * @returns null where there is neither a plan nor a ramp
 */
export function viewOf(
  { id, salt }: Route,
  run: Run | undefined,
  plans: ReadonlyMap<string, RampPlan>,
): RampView | null {
  const plan = run?.ownPlan ?? plans.get(salt) ?? null
  if (plan === null) return null
  return {
    ...{ route: id, plan },
    routes: run?.record.routes.map(({ route }) => route) ?? [id],
    record: run?.record ?? null,
    verdict: run?.verdict ?? null,
    evidence: run?.counts.get(id)?.evidence().steps ?? [],
    before: run?.record.routes.find(({ route }) => route === id)?.before ?? null,
    isFull: run !== undefined && isFull(run),
    problem: run?.problem ?? null,
  }
}

export function figuresOf({ route, plan, record, problem, isFull: full }: RampView, done: DoneSteps): RampFigures {
  const { status = 'not-started', percent = null, step = null } = record ?? {}
  return {
    ...{ route, status, percent },
    step: step === null ? 0 : stepsUpTo(plan, step),
    hasProblem: record !== null && isUnderWay(record.status) && (problem !== null || full),
    ...done,
  }
}
