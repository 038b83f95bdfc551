/**
 * Fingerprints of the settings that make answers.
 */
import { hash } from 'node:crypto'
import { settingsText } from '../../rules/caching/settings-text.ts'
import type { Route, Table } from '../../rules/table/table.ts'

/** By route of one table, and by upstream: worked out once. */
const KNOWN = new WeakMap<Table, Map<Route, Map<string, string>>>()

/** The fingerprint of what `settingsText` says. */
export function fingerprintOf(table: Table, route: Route, upstream: string): string {
  let routes = KNOWN.get(table)
  if (routes === undefined) {
    routes = new Map()
    KNOWN.set(table, routes)
  }
  let prints = routes.get(route)
  if (prints === undefined) {
    prints = new Map()
    routes.set(route, prints)
  }
  let print = prints.get(upstream)
  if (print === undefined) {
    print = hash('sha256', settingsText(table, route, upstream), 'base64url')
    prints.set(upstream, print)
  }
  return print
}
