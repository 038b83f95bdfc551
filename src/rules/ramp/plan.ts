/**
 * The plan of a ramp, and what is next by it.
 */
import type { Flaw } from '../values/units.ts'
import type { GuardTerms, GuardVerdict } from './guard.ts'
import { flawOfRequirement, type Requirement } from './requirement.ts'
import { flawOfWindow, type StepWindow } from './window.ts'

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
  /** When steps may be taken; null for always. */
  readonly window: StepWindow | null
  /** What must be met before a step is taken. */
  readonly requires: readonly Requirement[]
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

/** What a plan is written with. */
interface WrittenPlan {
  readonly steps?: readonly RampStep[] | undefined
  readonly approve?: readonly RampStep[] | undefined
  readonly window?: string | undefined
  readonly requires?: readonly string[] | undefined
}

/** Why this is no plan, or null. */
export function flawOfPlan(given: WrittenPlan): Flaw | null {
  const steps = given.steps ?? DEFAULT_STEPS
  const wrong = steps.findIndex((step, at) => at > 0 && !isAbove(step, steps[at - 1] as RampStep))
  if (wrong > 0) {
    const [before, step] = [steps[wrong - 1] as RampStep, steps[wrong] as RampStep]
    return { message: `invalid steps: ${step} after ${before}: each must be above the one before, and all comes last` }
  }
  const unknown = given.approve?.find((step) => !steps.includes(step))
  if (unknown !== undefined)
    return { message: `invalid approve: ${unknown} is no step`, hint: `steps are ${steps.join(', ')}` }
  const ofRequires = given.requires?.map(flawOfRequirement).find((flaw) => flaw !== null)
  return (given.window === undefined ? null : flawOfWindow(given.window)) ?? ofRequires ?? null
}

/**
 * The steps of a plan that keeps a part of the keys on `from`: one more at which it stays until a person lets it go on.
 * @param holdback percent that is kept; 0 for none
 */
export function withHoldback(
  plan: Pick<RampPlan, 'steps' | 'approve'>,
  holdback: number,
): Pick<RampPlan, 'steps' | 'approve'> {
  if (holdback === 0) return plan
  const kept = Math.round((100 - holdback) * 10_000) / 10_000
  const below = plan.steps.filter((step) => isAbove(kept, step))
  const above = plan.steps.filter((step) => isAbove(step, kept))
  const [first] = above
  if (first === undefined) return plan
  return {
    steps: [...below, kept, ...above],
    approve: plan.approve.includes(first) ? plan.approve : [...plan.approve, first],
  }
}

function isAbove(step: RampStep, before: RampStep): boolean {
  if (before === 'all') return false
  return step === 'all' || step > before
}

/**
 * - `running`: within `hold`
 * - `waiting`: for a person's approval of the next step, or for the hours in which steps are taken
 * - `holding`: there is not enough evidence for the next step yet, or what the plan requires is not met
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
  /** The current step; null before the first one. */
  readonly step: RampStep | null
  /** Of the route: the one of the step, or above it where a person has set it. */
  readonly percent: number
  /** For how long it has been there. */
  readonly heldMs: number
  /** The next step has been approved. */
  readonly isApproved: boolean
}

/** What stands in the way of a step besides the guard. */
export interface RampGates {
  /** Steps may be taken at this time. */
  readonly isOpen: boolean
  /** What the plan requires and does not have, for people; null where all is met. */
  readonly unmet: string | null
}

export type RampAction =
  /** `why` is null where the guard says it. */
  | { readonly kind: 'stay'; readonly status: RampStatus; readonly why: string | null }
  | { readonly kind: 'step'; readonly to: RampStep }
  | { readonly kind: 'finish' }
  | { readonly kind: 'take-back' }

/**
 * What is next. A failed ramp is taken back in whatever status it is: the guard goes on while it is paused.
 * @param verdict null before the first step, where there is nothing to judge
 */
export function nextAction(
  plan: RampPlan,
  position: RampPosition,
  verdict: GuardVerdict['verdict'] | null,
  gates: RampGates,
): RampAction {
  const { status, heldMs, isApproved } = position
  const stay = (now: RampStatus, why: string | null = null): RampAction => ({ kind: 'stay', status: now, why })
  if (!isUnderWay(status)) return stay(status)
  if (verdict === 'fail') return { kind: 'take-back' }
  if (status === 'paused') return stay(status)
  if (verdict !== null && heldMs < plan.holdMs) return stay('running')
  if (verdict === 'not-enough') return stay('holding')
  const next = stepAfter(plan, position)
  if (next === null) return { kind: 'finish' }
  if (gates.unmet !== null) return stay('holding', gates.unmet)
  if (plan.approve.includes(next) && !isApproved)
    return stay('waiting', `for approval of the step to ${printStep(next)}`)
  if (!gates.isOpen) return stay('waiting', `for ${plan.window?.text}, when steps are taken`)
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
