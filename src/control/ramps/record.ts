/**
 * A ramp as the state store keeps it.
 */
import { z } from 'zod'
import { RAMP_STATUSES } from '../../rules/ramp/plan.ts'

/** Of this module. A record of a later release has a greater one, and is left alone. */
export const RAMP_FORMAT = 3

/** Those beyond are forgotten, and count once more after a restart. */
export const MAX_FAILED_KEYS = 10_000

const rampStep = z.union([z.number().min(0).max(100), z.literal('all')])
const noKey = z.enum(['from', 'random', 'to']).nullable()
const sides = z.object({ to: z.number().min(0), rest: z.number().min(0) })
const fine = z.array(z.number().min(0)).max(4000)
const stepEvidence = z.object({
  share: z.number().min(0).max(1),
  keys: sides,
  failed: z.object({ error: sides, 'client-error': sides, redirect: sides }),
  latency: z.object({ to: fine, rest: fine }),
})

/** What people and the ramp itself did, the oldest first. */
const rampEvent = z.object({ atMs: z.number(), by: z.string(), what: z.string() })
export type RampEvent = z.output<typeof rampEvent>

const rampRecord = z.object({
  format: z.literal(RAMP_FORMAT),
  route: z.string(),
  status: z.enum(RAMP_STATUSES),
  /** The current step. The plan may have been edited since it was taken. */
  step: rampStep,
  /** Percent of the route while it is there. */
  percent: z.number(),
  /** How long it has been there, milliseconds. */
  heldMs: z.number().min(0),
  /** How long the last step below 100 % was held: what it tells of the other side is of so long. */
  controlHeldMs: z.number().min(0),
  isApproved: z.boolean(),
  startedAtMs: z.number(),
  startedBy: z.string(),
  /** The edit that is being made: a step, or the way back. It tells after a crash who made it. */
  intent: z.union([rampStep, z.literal('back')]).nullable(),
  /** What a take-back restores; null where noKey was not written. */
  before: z.object({ percent: z.number(), noKey }),
  /** Comparisons, and those with a mismatch, before the start. */
  compared: z.object({ of: z.number(), hits: z.number() }),
  /** Why it has its status, for people. */
  why: z.string(),
  events: z.array(rampEvent).max(200),
  evidence: z.array(stepEvidence).max(200),
  /** Keys that have failed: each counts once. */
  failedKeys: z.array(z.tuple([z.number(), z.number()])).max(MAX_FAILED_KEYS),
})
export type RampRecord = z.output<typeof rampRecord>

/** @returns null for what this release did not write */
export function readRampRecord(json: string): RampRecord | null {
  try {
    return rampRecord.safeParse(JSON.parse(json)).data ?? null
  } catch {
    return null
  }
}
