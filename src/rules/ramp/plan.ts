/**
 * The plan of a ramp, and what is next by it.
 */
import type { Flaw } from '../values/units.ts'
import type { GuardTerms, GuardVerdict } from './guard.ts'

/** A percent of the requests with a key, or all requests, with a key or without. */
export type RampStep = number | 'all'

/** `ramp` of a route. */
export interface RampPlan {
  /** Ascending, at least one. */
  readonly steps: readonly RampStep[]
  /** How long each step is held at least. */
  readonly holdMs: number
  /** Steps that wait for a person. */
  readonly approve: readonly RampStep[]
  readonly guard: GuardTerms
}

export const DEFAULT_STEPS: readonly RampStep[] = [1, 5, 25, 50, 100, 'all']
export const DEFAULT_HOLD_MS = 600_000
export const DEFAULT_GUARD: GuardTerms = {
  alpha: 0.01,
  minKeys: 50,
  tolerate: { ratio: 1.5, harm: 0.5, latency: 1.25, mismatch: 0.1 },
  hardStop: { percent: 20, of: 50 },
}

/** Percent of the requests with a key that go to `to` at a step. */
export function percentOf(step: RampStep): number {
  return step === 'all' ? 100 : step
}

export function printStep(step: RampStep): string {
  return step === 'all' ? 'all' : `${step} %`
}

/** Why steps are no plan, or null. */
export function flawOfPlan(given: {
  readonly steps?: readonly RampStep[] | undefined
  readonly approve?: readonly RampStep[] | undefined
}): Flaw | null {
  const steps = given.steps ?? DEFAULT_STEPS
  const wrong = steps.findIndex((step, at) => at > 0 && !isAbove(step, steps[at - 1] as RampStep))
  if (wrong > 0) {
    const [before, step] = [steps[wrong - 1] as RampStep, steps[wrong] as RampStep]
    return { message: `invalid steps: ${step} after ${before}: each must be above the one before, and all comes last` }
  }
  const unknown = given.approve?.find((step) => !steps.includes(step))
  if (unknown === undefined) return null
  return { message: `invalid approve: ${unknown} is no step`, hint: `steps are ${steps.join(', ')}` }
}

function isAbove(step: RampStep, before: RampStep): boolean {
  if (before === 'all') return false
  return step === 'all' || step > before
}

/**
 * - `running`: within `hold`
 * - `waiting`: for a person's approval of the next step
 * - `holding`: there is not enough evidence for the next step yet
 * - `paused`: by a person, or since somebody else changed percent
 * - `done`, `rolled-back`, `aborted`: over
 */
export const RAMP_STATUSES = ['running', 'waiting', 'holding', 'paused', 'done', 'rolled-back', 'aborted'] as const
export type RampStatus = (typeof RAMP_STATUSES)[number]

/** Whether a ramp in this status is watched. */
export function isUnderWay(status: RampStatus): boolean {
  return status !== 'done' && status !== 'rolled-back' && status !== 'aborted'
}

/** Where a ramp stands. */
export interface RampPosition {
  readonly status: RampStatus
  /** The current step. */
  readonly step: RampStep
  /** Of the route: the one of the step, or above it where a person has set it. */
  readonly percent: number
  /** For how long it has been there. */
  readonly heldMs: number
  /** The next step has been approved. */
  readonly isApproved: boolean
}

export type RampAction =
  | { readonly kind: 'stay'; readonly status: RampStatus }
  | { readonly kind: 'step'; readonly to: RampStep }
  | { readonly kind: 'finish' }
  | { readonly kind: 'take-back' }

/**
 * What is next. A failed ramp is taken back in whatever status it is: the guard goes on while it is paused.
 */
export function nextAction(plan: RampPlan, position: RampPosition, { verdict }: GuardVerdict): RampAction {
  const { status, heldMs, isApproved } = position
  if (!isUnderWay(status)) return { kind: 'stay', status }
  if (verdict === 'fail') return { kind: 'take-back' }
  if (status === 'paused') return { kind: 'stay', status }
  if (heldMs < plan.holdMs) return { kind: 'stay', status: 'running' }
  if (verdict === 'not-enough') return { kind: 'stay', status: 'holding' }
  const next = stepAfter(plan, position)
  if (next === null) return { kind: 'finish' }
  if (plan.approve.includes(next) && !isApproved) return { kind: 'stay', status: 'waiting' }
  return { kind: 'step', to: next }
}

/**
 * The first step of a plan above a position, or null. It depends on the percent, not on how many steps were taken: the plan may
 * be edited while a ramp runs.
 */
export function stepAfter(plan: Pick<RampPlan, 'steps'>, at: Pick<RampPosition, 'step' | 'percent'>): RampStep | null {
  return plan.steps.find((step) => isAbove(step, at.step === 'all' ? 'all' : at.percent)) ?? null
}

/** How many steps of a plan are not above one. */
export function stepsUpTo({ steps }: Pick<RampPlan, 'steps'>, step: RampStep): number {
  return steps.filter((one) => !isAbove(one, step)).length
}

/** The last step of a plan that a route has reached, or null. @param movesAll requests without a key go to `to` as well */
export function stepReached(
  plan: Pick<RampPlan, 'steps'>,
  { percent, movesAll }: { readonly percent: number; readonly movesAll: boolean },
): RampStep | null {
  return plan.steps.findLast((step) => !isAbove(step, movesAll ? 'all' : percent)) ?? null
}
