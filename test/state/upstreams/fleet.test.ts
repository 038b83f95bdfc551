/**
 * Which servers an upstream has: those of the table, leased ones, and the addresses that a name stands for.
 */
import { expect, test } from 'vitest'
import { compileServer } from '../../../src/rules/language/compile.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import { EMPTY_FLEET, membersOf } from '../../../src/state/upstreams/fleet.ts'

const read = readTable(
  'version: 1\nupstreams:\n  main: { servers: [http://127.0.0.1:1, http://name.test:2] }\ndefault: main\n',
  'routes.yaml',
)
if (!read.ok) throw new Error(JSON.stringify(read.problems))
const main = read.table.upstreams.get('main')!
const nothing = { leased: [], drained: [], unhealthy: [] }
const ids = (fleet: Parameters<typeof membersOf>[1]): string[] => membersOf(main, fleet).map(({ id }) => id)

test('those of the table where nothing else is known', () => {
  expect(membersOf(main, EMPTY_FLEET)).toBe(main.servers)
  expect(ids({ other: { ...nothing, leased: [compileServer('http://127.0.0.1:3')] } })).toEqual([
    '127.0.0.1:1',
    'name.test:2',
  ])
})

test('leased servers beside them, but never two of one id', () => {
  const leased = [compileServer('http://127.0.0.1:3'), compileServer('http://127.0.0.1:1')]
  expect(ids({ main: { ...nothing, leased } })).toEqual(['127.0.0.1:1', 'name.test:2', '127.0.0.1:3'])
})

test('a name is one server with one address, and several with several', () => {
  const at = (addresses: string[]) => ({ main: { ...nothing, addresses: { 'name.test:2': addresses } } })
  expect(membersOf(main, at(['10.0.0.1']))[1]).toMatchObject({ id: 'name.test:2', address: '10.0.0.1' })
  expect(ids(at(['10.0.0.1', '10.0.0.2']))).toEqual(['127.0.0.1:1', 'name.test:2@10.0.0.1', 'name.test:2@10.0.0.2'])
  expect(membersOf(main, at(['10.0.0.1', '10.0.0.2']))[2]).toMatchObject({ hostname: 'name.test', address: '10.0.0.2' })
})
