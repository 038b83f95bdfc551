/** What a table leaves for the next process: the same whether it is written at once or edit by edit. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { TableEdits } from '../../../src/state/caching/table-edits.ts'

const routes = fc.uniqueArray(
  fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    caches: fc.boolean(),
    percent: fc.constantFrom(0, 5, 100),
    to: fc.constantFrom('new', '{ new: 60, next: 40 }'),
  }),
  { selector: ({ id }) => id },
)

const tables = fc.record({ list: routes, port: fc.constantFrom(1, 1, 2) }).map(({ list, port }): Table => {
  const lines = list.map(
    ({ id, caches, percent, to }) =>
      `  - { id: ${id}, match: { path: /${id} }, to: ${to}, percent: ${percent}${caches ? ', cache: {}' : ''} }`,
  )
  const upstreams = `{ main: { servers: [http://a:${port}] }, new: { servers: [http://b] }, next: { servers: [http://c] } }`
  const text = `version: 1\nupstreams: ${upstreams}\ndefault: main\nroutes:${lines.length === 0 ? ' []' : `\n${lines.join('\n')}`}\n`
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
})

test('the note of a table does not tell by which edits it has come about', () => {
  fc.assert(
    fc.property(fc.array(tables, { minLength: 2, maxLength: 6 }), (all) => {
      let last = all[0] as Table
      const edits = new TableEdits(last, () => {})
      for (const made of all) {
        const { upstreams } = last
        // As edits do: what has not changed are the same objects.
        const isAlike = [...upstreams].every(
          ([name, { document }]) => JSON.stringify(document) === JSON.stringify(made.upstreams.get(name)?.document),
        )
        const table = isAlike ? { ...made, upstreams } : made
        edits.apply(table)
        last = table
        expect(edits.written).toEqual(new TableEdits(table, () => {}).written)
      }
    }),
  )
})
