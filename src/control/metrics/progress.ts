/**
 * Metrics of what is left of the old application.
 */

import type { Figures } from '../figures/planes.ts'
import { movedShares } from '../figures/progress-view.ts'
import { type Metric, metric, one } from './format.ts'

/** How many endpoints no route claims, and how far the migration is. */
export function progressMetrics({ discovery, progress }: Pick<Figures, 'discovery' | 'progress'>): Metric[] {
  const { requests, endpoints } = movedShares(progress)
  return [
    metric(
      'banyan_discovered_endpoints',
      'gauge',
      'Endpoints that were seen without a route in the last 30 days.',
      one(discovery.open),
    ),
    metric(
      'banyan_moved_requests_ratio',
      'gauge',
      'Share of the requests of the last 7 days that new services have answered.',
      requests === null ? [] : one(requests),
    ),
    metric(
      'banyan_moved_endpoints_ratio',
      'gauge',
      'Share of the endpoints whose requests all go to new services, or that have ended.',
      endpoints === null ? [] : one(endpoints),
    ),
  ]
}
