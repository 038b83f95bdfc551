/**
 * The operations on ramps in the OpenAPI document.
 */
import { z } from 'zod'
import type { RampAnswer } from '../../answers/ramps.ts'
import { RAMP_STATUSES } from '../../rules/ramp/plan.ts'
import { object } from '../../rules/values/schema-blocks.ts'
import { storage } from './api-schemas.ts'
import { JSON_TYPE, nothing, type Operation } from './openapi-operation.ts'
import { abortBody, startBody, stepBody } from './ramps.ts'

const count = z.int().min(0)
const time = z.string().meta({ format: 'date-time' })
const step = z.union([z.number(), z.literal('all')]).describe('Percent, or all requests with a key or without.')
const ofSides = object({ to: count, rest: count })
const failed = object({ error: ofSides, 'client-error': ofSides, redirect: ofSides })

/** A ramp, as `rampState` writes it. */
export const rampAnswer = object({
  route: z.string(),
  routes: z.array(z.string()).describe('All routes that move together: those of its group.'),
  steps: z.array(step),
  hold: z.string(),
  approve: z.array(step),
  window: z.string().nullable().describe('When steps are taken; null for always.'),
  requires: z.array(z.string()),
  target: z.number().describe('Percent of the last step.'),
  storage,
  status: z.enum(['not-started', ...RAMP_STATUSES]),
  why: z.string().nullable().describe('Why it has this status.'),
  step: step.nullable().describe('The current step.'),
  percent: z.number().nullable().describe('What the ramp has set.'),
  next: step.nullable(),
  heldSeconds: count.nullable().describe('How long it has been at the current step.'),
  isApproved: z.boolean().describe('The next step has been approved.'),
  startedAt: time.nullable(),
  startedBy: z.string().nullable(),
  before: object({ percent: z.number(), noKey: z.enum(['from', 'random', 'to']).nullable() })
    .nullable()
    .describe('What a take-back restores.'),
  verdict: object({
    verdict: z.enum(['pass', 'fail', 'not-enough']),
    ground: z.string().nullable(),
    words: z.string(),
  })
    .nullable()
    .describe('What the guard said last.'),
  isFull: z.boolean().describe('No more keys can be remembered: nothing is counted any more.'),
  problem: z.string().nullable().describe('Why it can not do what it should; it is tried again every second.'),
  evidence: z.array(
    object({
      percent: z.number(),
      keys: ofSides.describe('Different keys.'),
      failed: failed.describe('Keys that failed for the first time in this ramp.'),
      withoutKey: object({ seen: ofSides, failed }).describe(
        'Requests without a key, at most one for each client and minute. They are judged apart.',
      ),
    }),
  ),
  events: z.array(object({ at: time, by: z.string(), what: z.string() })),
}).meta({ id: 'RampState' }) satisfies z.ZodType<RampAnswer>

const startAnswer = rampAnswer
  .extend({
    withoutKey: object({
      exchanges: count.describe('Recent requests of the routes that have sticky keys.'),
      withoutKey: count.describe('Those of them without a key.'),
      moveAt: step.nullable().describe('The step at which these move all at once; null if they do not.'),
    }),
  })
  .meta({ id: 'RampStarted' })

/** The operations. */
export const RAMP_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/ramps',
    id: 'listRamps',
    summary: 'List the routes that have a ramp',
    answers: { 200: object({ ramps: z.array(rampAnswer) }) },
  },
  { method: 'get', path: '/routes/{id}/ramp', id: 'getRamp', summary: 'Get a ramp', answers: { 200: rampAnswer } },
  {
    ...act('start', 'startRamp', 'Start a ramp at its first step above the current percent'),
    body: { types: [JSON_TYPE], schema: startBody, optional: true },
    answers: { 200: startAnswer },
  },
  act('pause', 'pauseRamp', 'Pause a ramp; its guard goes on'),
  act('resume', 'resumeRamp', 'Resume a paused ramp'),
  act('approve', 'approveRamp', 'Approve the next step'),
  { ...act('step', 'stepRamp', 'Take the next step without evidence'), body: { types: [JSON_TYPE], schema: stepBody } },
  {
    ...act('abort', 'abortRamp', 'End a ramp; percent stays, or goes back'),
    body: { types: [JSON_TYPE], schema: abortBody, optional: true },
  },
]

function act(name: string, id: string, summary: string): Operation {
  const path = `/routes/{id}/ramp/${name}`
  return { method: 'post', path, id, summary, reasoned: true, body: nothing, answers: { 200: rampAnswer } }
}
