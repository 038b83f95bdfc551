/** What the tests of the rules are made of: a table from routes, and a request view from what differs. */
import type { RequestView } from '../../src/rules/http/exchange.ts'
import { checkTable } from '../../src/rules/language/check.ts'
import { compileTable } from '../../src/rules/language/compile.ts'
import type { RouteDocument, TableDocument } from '../../src/rules/table/schema.ts'
import type { Table } from '../../src/rules/table/table.ts'

/** A GET of `target` from one client, with nothing else said. */
export function view(target: string, rest: Partial<RequestView> = {}): RequestView {
  return { method: 'GET', target, host: '', rawHeaders: [], clientAddress: '192.0.2.1', chance: 0.5, ...rest }
}

/** A document with the upstreams `legacy` (the default) and `gtin`. */
export function documentOf(
  routes: readonly (Partial<RouteDocument> & Pick<RouteDocument, 'id' | 'match'>)[],
): TableDocument {
  return {
    version: 1,
    upstreams: { legacy: { servers: ['http://127.0.0.1:4001'] }, gtin: { servers: ['http://127.0.0.1:4002'] } },
    default: 'legacy',
    routes: routes.map((route) => ({ to: 'gtin', ...route })),
  }
}

/** The compiled table of these routes. Throws where they are no valid table. */
export function tableOf(routes: Parameters<typeof documentOf>[0]): Table {
  const document = documentOf(routes)
  const error = checkTable(document).find((finding) => finding.severity === 'error')
  if (error) throw new Error(`${error.path.join('.')}: ${error.message}`)
  return compileTable(document)
}
