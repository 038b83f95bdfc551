/**
 * Fingerprints of the settings that make answers.
 */
import { hash } from 'node:crypto'
import { settingsText } from '../../rules/caching/settings-text.ts'
import type { Route, Table, Upstream } from '../../rules/table/table.ts'

interface Known {
  /** Those that the print speaks of. */
  readonly upstreams: readonly (Upstream | undefined)[]
  readonly print: string
}

/** By route, and by upstream: worked out once, as long as the table has the same upstreams under these names. */
const KNOWN = new WeakMap<Route, Map<string, Known>>()

/** The fingerprint of what `settingsText` says. */
export function fingerprintOf(table: Table, route: Route, upstream: string): string {
  let prints = KNOWN.get(route)
  if (prints === undefined) {
    prints = new Map()
    KNOWN.set(route, prints)
  }
  const known = prints.get(upstream)
  if (known !== undefined && isOf(table, route, upstream, known.upstreams)) return known.print
  const upstreams =
    upstream === '' ? sidesOf(route).map((name) => table.upstreams.get(name)) : [table.upstreams.get(upstream)]
  const print = hash('sha256', settingsText(table, route, upstream), 'base64url')
  prints.set(upstream, { upstreams, print })
  return print
}

function isOf(table: Table, route: Route, upstream: string, known: Known['upstreams']): boolean {
  if (upstream !== '') return known[0] === table.upstreams.get(upstream)
  return sidesOf(route).every((name, at) => known[at] === table.upstreams.get(name))
}

function sidesOf({ from, targets }: Route): string[] {
  return [from, ...targets.map((target) => target.upstream)]
}
