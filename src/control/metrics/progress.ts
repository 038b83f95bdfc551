/**
 * Metrics of what is left of the old application.
 */
import type { Figures } from '../figures/planes.ts'
import { metric, one } from './format.ts'

/** How many endpoints no route claims, and how far the migration is. */
export function progressMetrics({ discovery }: Pick<Figures, 'discovery'>): string[] {
  return [
    metric(
      'banyan_discovered_endpoints',
      'gauge',
      'Endpoints that were seen without a route in the last 30 days.',
      one(discovery.size),
    ),
  ]
}
