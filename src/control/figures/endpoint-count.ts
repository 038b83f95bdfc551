/**
 * How many endpoints have moved: the paths of routes, and the endpoints that no route claims.
 */
import { hasEnded } from '../../rules/retirement/retirement.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import type { EndpointCount } from './progress.ts'

/** @param table null before it is known @param unclaimed endpoints without a route @param nowMs epoch milliseconds */
export function countEndpoints(table: Pick<Table, 'routes'> | null, unclaimed: number, nowMs: number): EndpointCount {
  const count = { moved: 0, moving: 0, waiting: 0, ended: 0, unclaimed }
  for (const route of table?.routes ?? []) count[stageOf(route, nowMs)] += pathsOf(route)
  return count
}

/** Where a route is. */
export type Stage = 'ended' | 'moved' | 'moving' | 'waiting'

/** @param nowMs epoch milliseconds */
export function stageOf({ movesAll, percent, retire }: Route, nowMs: number): Stage {
  if (retire !== null && hasEnded(retire, nowMs)) return 'ended'
  return movesAll ? 'moved' : percent > 0 ? 'moving' : 'waiting'
}

function pathsOf({ claims }: Route): number {
  return claims.length === 1 ? 1 : new Set(claims.map(({ path }) => path.text)).size
}
