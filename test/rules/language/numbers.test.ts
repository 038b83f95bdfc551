/** Numbers that are changed without a parse: what comes out is what a parse of the edited text makes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editTable, type TableEdit, withEdit } from '../../../src/rules/language/edit.ts'
import {
  type NumberChange,
  numbersBetween,
  numbersElsewhere,
  numbersOfEdit,
  numbersOfTables,
  tableWithNumbers,
  withNumbers,
} from '../../../src/rules/language/numbers.ts'
import { type ReadTable, readTable } from '../../../src/rules/language/text.ts'
import type { RouteDocument, TableDocument } from '../../../src/rules/table/schema.ts'
import { replaced } from '../../../src/rules/values/replaced.ts'

function read(text: string): Extract<ReadTable, { ok: true }> {
  const found = readTable(text, 'routes.yaml')
  if (!found.ok) throw new Error(JSON.stringify(found.problems))
  return found
}

/** A table without the functions that it is made of. */
function plain(table: unknown): string {
  return JSON.stringify(table, (_, value) => (value instanceof Map || value instanceof Set ? [...value] : value))
}

const percents = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 0, max: 1_000_000 }).map((units) => units / 10_000),
)
const weights = fc.integer({ min: 1, max: 1000 })
const routes = fc.record(
  {
    percent: percents,
    to: fc.oneof(
      fc.constant('new'),
      fc.record({ new: weights, next: weights }),
      fc.record({ next: weights, 7: weights }),
    ),
    noKey: fc.constant('to' as const),
  },
  { requiredKeys: ['to'] },
)

const layouts: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.replaceAll('\n', '\r\n'),
  (text) => `\uFEFF# Ü & so on\n${text.replaceAll(' }', '   }   # 5 of it')}`,
  (text) => text.replaceAll('percent:', '"percent" :').replaceAll('weight:', 'weight:   '),
]

interface Sample {
  readonly text: string
  readonly list: readonly object[]
}

const samples: fc.Arbitrary<Sample> = fc
  .tuple(fc.array(routes, { minLength: 1, maxLength: 5 }), weights, fc.constantFrom(...layouts), fc.boolean())
  .map(([made, weight, layout, isJson]) => {
    const list = made.map((one, at) => ({ id: `r${at}`, match: { path: `/p${at}/:x` }, ...one }))
    const servers = ['http://a', { url: 'http://b', weight }]
    const upstreams = { main: { servers }, new: { servers: ['http://c'] }, next: { servers }, 7: { servers } }
    const table = { version: 1, upstreams, default: 'main', routes: list }
    if (isJson) return { text: JSON.stringify(table, null, 2), list }
    const line = (value: object) =>
      JSON.stringify(value).replaceAll(/[{},]|"(\w+)":/g, (all, key) => (key === undefined ? `${all} ` : `${key}: `))
    const named = Object.entries(upstreams).map(([name, said]) => `  ${name}:\n    servers: ${line(said.servers)}\n`)
    const blocks = list.map((one, at) =>
      at % 2 === 0
        ? `  - ${line(one)}\n`
        : `  - ${Object.entries(one)
            .map(([key, value]) => `${key}: ${typeof value === 'object' ? line(value) : value}`)
            .join('\n    ')}\n`,
    )
    return { text: layout(`version: 1\nupstreams:\n${named.join('')}default: main\nroutes:\n${blocks.join('')}`), list }
  })

const edits = fc.record({
  at: fc.nat(),
  percent: percents,
  weight: weights,
  what: fc.constantFrom('percent', 'to', 'server'),
})

type Wanted = typeof edits extends fc.Arbitrary<infer Value> ? Value : never

function editOf({ list }: Sample, { at, percent, weight, what }: Wanted): TableEdit {
  const place = at % list.length
  const route = list[place] as RouteDocument
  if (what === 'server')
    return { kind: 'servers', upstream: 'next', servers: ['http://a', { url: 'http://b', weight }] }
  if (what === 'percent') return { kind: 'route', at: place, route: { ...route, percent } }
  const to = typeof route.to === 'string' ? route.to : { ...route.to, next: weight }
  return { kind: 'route', at: place, route: { ...route, to } }
}

test('is what a parse of the edited text makes of it', () => {
  let quick = 0
  fc.assert(
    fc.property(samples, edits, (sample, wanted) => {
      const { text } = sample
      const before = read(text)
      const edit = editOf(sample, wanted)
      const changes = numbersOfEdit(edit, before.table)
      // A percent that the text has not said so far is more than a number.
      if (changes === null) return
      const changed = withNumbers(text, before.numbers, changes)
      const table = tableWithNumbers(before.table, changes)
      const parsed = read(editTable(text, (document) => withEdit(document, edit)))
      expect(changed).not.toBeNull()
      expect(table).not.toBeNull()
      expect(changed?.text).toBe(editTable(text, (document) => withEdit(document, edit)))
      expect(changed?.places).toEqual(parsed.numbers)
      expect(plain(table)).toBe(plain(parsed.table))
      const list = table?.routes ?? []
      // A copy of the list is compared, and nothing is remembered of it.
      expect(replaced(before.table.routes, list)).toEqual(replaced(before.table.routes, [...list]))
      const between = numbersBetween(before.numbers, text, changed?.text ?? '')
      expect(between).toEqual(numbersOfTables(before.table, parsed.table))
      expect(plain(tableWithNumbers(before.table, between ?? []))).toBe(plain(parsed.table))
      quick++
    }),
  )
  expect(quick).toBeGreaterThan(20)
})

const TEXT = `version: 1
upstreams:
  main: { servers: [http://a] }
  new: { servers: [http://b] }
  next: { servers: [http://c] }
default: main
routes:
  - { id: one, match: { path: /one }, to: new, percent: 5 }
  - { id: two, match: { path: /two }, to: { new: 60, next: 40 } }
  - { id: same, match: { path: /same }, from: new, to: new, percent: 0 }
`

const percent = (owner: number, value: number): NumberChange => ({ owner, part: -1, value })

test('a number is not told from a text that differs in more, or is written otherwise', () => {
  const text = TEXT
  const { numbers } = read(text)
  const between = (after: string) => numbersBetween(numbers, text, after)
  expect(between(text)).toEqual([])
  expect(between(text.replace('percent: 5', 'percent: 50'))).toEqual([percent(0, 50)])
  expect(between(text.replace('percent: 5', 'percent: 16').replace('60', '161'))).toEqual([
    percent(0, 16),
    { owner: 1, part: 0, value: 161 },
  ])
  for (const after of [
    text.replace('percent: 5', 'percent:  5'),
    text.replace('percent: 5', 'percent: 05'),
    text.replace('percent: 5', 'percent: .5'),
    text.replace('percent: 5', 'percent: 5e1'),
    text.replace('percent: 5', 'percent: 5 #'),
    text.replace('percent: 5', 'percent: '),
    text.replace('percent: 5', 'percent: 6').replace('/two', '/2'),
    text.replace('percent: 5', 'percent: 6.'),
    text.replace('percent: 5', 'percent: -6'),
    text.replace('/one', '/1'),
    `${text}#`,
  ])
    expect(between(after)).toBeNull()
})

test('what would be told about a number is left to a parse', () => {
  const { table } = read(TEXT)
  expect(tableWithNumbers(table, [percent(0, 50)])?.routes[0]?.percent).toBe(50)
  expect(tableWithNumbers(table, [percent(0, 101)])).toBeNull()
  expect(tableWithNumbers(table, [percent(0, 0.00001)])).toBeNull()
  // A percent between a side and itself has no effect, which is a warning.
  expect(tableWithNumbers(table, [percent(2, 5)])).toBeNull()
  const none = [0, 1].map((part) => ({ owner: 1, part, value: 0 }))
  expect(tableWithNumbers(table, none)).toBeNull()
})

test('has no numbers where one may stand in several places', () => {
  const { numbers } = read(
    TEXT.replace('percent: 5', 'percent: &wave 5').replace('{ new: 60, next: 40 }', 'new, percent: *wave'),
  )
  expect([...numbers]).toEqual([])
})

test('an entry that stays the same stays the same object, and so does the matcher', () => {
  const before = read(TEXT)
  const after = tableWithNumbers(before.table, [percent(0, 6)])
  expect(after?.routes.map((route, at) => route === before.table.routes[at])).toEqual([false, true, true])
  expect(after?.matcher).toBe(before.table.matcher)
  expect(numbersOfEdit({ kind: 'route', at: 0, route: null }, before.table)).toBeNull()
  const document = { ...(before.table.routes[0]?.document as object), cache: {} } as unknown as TableDocument
  expect(numbersOfEdit({ kind: 'route', at: 0, route: document }, before.table)).toBeNull()
})

test('numbers are the same in a table with other routes, but for entries that have changed there', () => {
  const { table } = read(TEXT)
  const after = tableWithNumbers(table, [percent(0, 50), { owner: 1, part: 1, value: 41 }])
  const changes = after && numbersOfTables(table, after)
  expect(changes).toEqual([percent(0, 50), { owner: 1, part: 1, value: 41 }])
  const other = (text: string) => numbersElsewhere(changes ?? [], table, read(text).table)
  const first = '  - { id: zero, match: { path: /zero }, to: new }\n  - { id: one,'
  expect(other(TEXT.replace('  - { id: one,', first))).toEqual([percent(1, 50), { owner: 2, part: 1, value: 41 }])
  expect(other(TEXT.replace('/one', '/1'))).toBeNull()
  expect(other(TEXT.replace(/ {2}- \{ id: one.*\n/, ''))).toBeNull()
  for (const [from, to] of [
    ['/one', '/1'],
    ['default: main', 'default: main\nvisitor: { name: v }'],
    ['http://c', 'http://d'],
    ['id: one', 'id: none'],
  ] as const)
    expect(numbersOfTables(table, read(TEXT.replace(from, to)).table)).toBeNull()
})
