/**
 * A ramp as the state store keeps it.
 */
import { z } from 'zod'
import { RAMP_STATUSES } from '../../rules/ramp/plan.ts'
import { rampPlan } from '../../rules/table/schema.ts'

/** Of this module. A record of a later release has a greater one, and is left alone. */
export const RAMP_FORMAT = 4

/** Those beyond are forgotten, and count once more after a restart. */
export const MAX_FAILED_KEYS = 10_000

/** Fields with mismatches that are remembered of a route. */
export const MAX_FIELDS = 500

const rampStep = z.union([z.number().min(0).max(100), z.literal('all')])
const noKey = z.enum(['from', 'random', 'to']).nullable()
const sides = z.object({ to: z.number().min(0), rest: z.number().min(0) })
const fine = z.array(z.number().min(0)).max(4000)
const failed = z.object({ error: sides, 'client-error': sides, redirect: sides })
const none = { to: 0, rest: 0 }
const stepEvidence = z.object({
  share: z.number().min(0).max(1),
  keys: sides,
  failed,
  /** Default: of a release that did not count them. */
  withoutKey: z
    .object({ seen: sides, failed })
    .default({ seen: none, failed: { error: none, 'client-error': none, redirect: none } }),
  latency: z.object({ to: fine, rest: fine }),
})

/** What people and the ramp itself did, the oldest first. */
const rampEvent = z.object({ atMs: z.number(), by: z.string(), what: z.string() })
export type RampEvent = z.output<typeof rampEvent>

/** Comparisons of a route, and those that differed at a field, when that was first seen. */
const fieldSeen = z.object({ field: z.string(), of: z.number().min(0), hits: z.number().min(0) })

const rampedRoute = z.object({
  route: z.string(),
  /** Hash of the sides and the requests that it has counted. Default: of a release that did not tell. */
  basis: z.string().nullable().default(null),
  /** What a take-back restores; null where noKey was not written. */
  before: z.object({ percent: z.number(), noKey }),
  /** In the order in which they were first seen: what is counted beyond these is judged. */
  fields: z.array(fieldSeen).max(MAX_FIELDS),
  evidence: z.array(stepEvidence).max(200),
  /** Keys that have failed: each counts once. */
  failedKeys: z.array(z.tuple([z.number(), z.number()])).max(MAX_FAILED_KEYS),
})
export type RampedRoute = z.output<typeof rampedRoute>

const rampRecord = z.object({
  format: z.literal(RAMP_FORMAT),
  /** The name of the group, or the id of a route without one. */
  name: z.string(),
  /** The routes of the group, which move together. */
  routes: z.array(rampedRoute).min(1).max(1000),
  /** The plan that it was started with; null for that of the table. */
  plan: rampPlan.nullable(),
  status: z.enum(RAMP_STATUSES),
  /** The current step, null before the first one. The plan may have been edited since it was taken. */
  step: rampStep.nullable(),
  /** Percent of the routes while it is there. */
  percent: z.number(),
  /** How long it has been there, milliseconds. */
  heldMs: z.number().min(0),
  /** How long the last step below 100 % was held: what it tells of the other side is of so long. */
  controlHeldMs: z.number().min(0),
  isApproved: z.boolean(),
  startedAtMs: z.number(),
  startedBy: z.string(),
  /** The edit that is being made: a step, or the way back by the guard or a person. It tells after a crash who made it. */
  intent: z.union([rampStep, z.literal('back'), z.literal('abort')]).nullable(),
  /** Why it has its status, for people. */
  why: z.string(),
  events: z.array(rampEvent).max(200),
  /** Counts the events, also those of earlier ramps of this name: which of two records is the later one. Default: of a release that did not count. */
  changes: z.number().min(0).default(0),
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

/** What it is called in messages. */
export function nameOf({ name, routes }: Pick<RampRecord, 'name' | 'routes'>): string {
  return routes.length === 1 ? (routes[0] as RampedRoute).route : `group ${name}`
}
