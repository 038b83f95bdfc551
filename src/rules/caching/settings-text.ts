/**
 * The settings that make answers, as texts to compare: what other settings have made is not served.
 */
import type { Route, Table } from '../table/table.ts'

/**
 * A caching route's settings with its `rewrite`, and the servers, `host`, `publicOrigin`, `headers` and `cookies` of an upstream.
 * @param upstream its name, or '' where the sides of the route share their answers
 */
export function settingsText(table: Table, route: Route, upstream: string): string {
  const names = upstream === '' ? [route.from, ...route.targets.map((target) => target.upstream)] : [upstream]
  // How long requests wait makes no other responses.
  const made = { ...route.cache, collapseWaitMs: null }
  const { rewrite } = route.document
  const rewritten = rewrite === undefined ? [] : [rewrite]
  return JSON.stringify([made, names.map((name) => originOf(table, name)), ...rewritten], plain)
}

function originOf(table: Table, name: string): unknown {
  const upstream = table.upstreams.get(name)
  if (upstream === undefined) return null
  const { servers, host, publicOrigin, document } = upstream
  const { headers, cookies } = document
  const more = headers === undefined && cookies === undefined ? [] : [headers ?? null, cookies ?? null]
  return [name, servers.map(({ url }) => url).sort(), host, publicOrigin, ...more]
}

function plain(_: string, value: unknown): unknown {
  return value instanceof Set ? [...value].sort() : value
}
