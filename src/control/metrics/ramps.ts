/**
 * Metrics of the routes with a ramp.
 */
import { RAMP_STATUSES } from '../../rules/ramp/plan.ts'
import type { RampFigures } from '../ramps/views.ts'
import { type Metric, metric, type Sample } from './format.ts'

const STATUSES = ['not-started', ...RAMP_STATUSES] as const

/** Of each route with a plan where its ramp stands, and what it has done. */
export function rampMetrics(ramps: readonly RampFigures[]): Metric[] {
  const of = (value: (ramp: RampFigures) => number | null): Sample[] =>
    ramps.flatMap((ramp): Sample[] => {
      const one = value(ramp)
      return one === null ? [] : [[{ route: ramp.route }, one]]
    })
  const statuses = ramps.flatMap(({ route, status }) =>
    STATUSES.map((one): Sample => [{ route, status: one }, one === status ? 1 : 0]),
  )
  return [
    metric('banyan_ramp_status', 'gauge', '1 for the status that the ramp of a route has.', statuses),
    metric(
      'banyan_ramp_step',
      'gauge',
      'Step that the ramp has reached, from 1 on; 0 before its start.',
      of(({ step }) => step),
    ),
    metric(
      'banyan_ramp_percent',
      'gauge',
      'Percent that the ramp has set last.',
      of(({ percent }) => percent),
    ),
    metric(
      'banyan_ramp_problem',
      'gauge',
      '1 while a ramp can not do what it should.',
      of(({ hasProblem }) => (hasProblem ? 1 : 0)),
    ),
    metric(
      'banyan_ramp_steps_total',
      'counter',
      'Steps taken by ramps.',
      of(({ steps }) => steps),
    ),
    metric(
      'banyan_ramp_take_backs_total',
      'counter',
      'Ramps that the guard took back.',
      of(({ takeBacks }) => takeBacks),
    ),
  ]
}
