/**
 * Whether this Node can ask servers by HTTP/2. That takes what node:http2 has since Node 24.15 and 25.7: names and values of fields as an
 * array, and several values of a field that should have one (`strictSingleValueFields: false`).
 */
import type { Table } from '../rules/table/table.ts'
import type { Finding } from '../rules/values/problem.ts'

/** Why this Node can't, as the end of a message; null where it can. */
export function flawOfHttp2(): string | null {
  const { node } = process.versions
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const can = major > 25 || (major === 25 && minor >= 7) || (major === 24 && minor >= 15)
  return can ? null : `HTTP/2 to servers needs Node >= 24.15 (of Node 25, >= 25.7), and this is ${node}`
}

/** Errors at the upstreams of a table whose servers are to be asked by HTTP/2, where this Node can't. */
export function http2FlawsOf({ upstreams }: Table): Finding[] {
  const message = flawOfHttp2()
  if (message === null) return []
  const those = [...upstreams.values()].filter(({ protocol }) => protocol !== 'http1')
  return those.map(({ name }) => ({ path: ['upstreams', name, 'protocol'], message, severity: 'error' }))
}
