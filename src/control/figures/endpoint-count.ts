/**
 * How many endpoints have moved: the paths of routes, and the endpoints that no route claims.
 */
import type { Route, Table } from '../../rules/table/table.ts'
import type { EndpointCount } from './progress.ts'

/** @param table null before it is known @param unclaimed endpoints without a route */
export function countEndpoints(table: Pick<Table, 'routes'> | null, unclaimed: number): EndpointCount {
  const count = { moved: 0, moving: 0, waiting: 0, ended: 0, unclaimed }
  for (const route of table?.routes ?? []) count[stageOf(route)] += pathsOf(route)
  return count
}

/** Where a route is. */
export function stageOf({ movesAll, percent }: Route): 'moved' | 'moving' | 'waiting' {
  return movesAll ? 'moved' : percent > 0 ? 'moving' : 'waiting'
}

function pathsOf({ claims }: Route): number {
  return new Set(claims.map(({ path }) => path.text)).size
}
