/** What a table leaves of its stored answers in a real Redis: an edit of a large table sends what it has changed. */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { compileTable, withEntries } from '../../../src/rules/language/compile.ts'
import type { RouteDocument, TableDocument } from '../../../src/rules/table/schema.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { PurgeLog } from '../../../src/state/caching/purges.ts'
import { TableEdits } from '../../../src/state/caching/table-edits.ts'
import { fieldsOf } from '../../../src/state/redis/table-record.ts'
import { startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

const KEY = 'banyan:{log}table'
const ROUTES = 2_000

const routeOf = (at: number, percent: number): RouteDocument => ({
  id: `route-${at}`,
  match: { path: `/items${at}` },
  to: 'new',
  percent,
  cache: {},
})
const document: TableDocument = {
  version: 1,
  upstreams: { old: { servers: ['http://a'] }, new: { servers: ['http://b'] } },
  default: 'old',
  routes: Array.from({ length: ROUTES }, (_, at) => routeOf(at, 50)),
}
const edited = (table: Table, at: number, percent: number): Table =>
  withEntries(table, new Map([[at, routeOf(at, percent)]]), new Map())

/** A process with this table. */
function start(table: Table): { readonly edits: TableEdits; readonly purged: unknown[] } {
  const purged: unknown[] = []
  const edits = new TableEdits(table, (target) => purged.push(target))
  const store = storeAt(redis.url, { deadlineMs: 5_000 })
  store.follow(new PurgeLog(true), edits)
  return { edits, purged }
}

const lies = async (table: Table): Promise<void> => {
  const { written } = new TableEdits(table, () => {})
  await expect.poll(() => redis.command('HGET', KEY, 'print')).toContain(written.print)
  expect(Number((await redis.command('HLEN', KEY)).slice(1))).toBe(fieldsOf(written).length / 2)
  for (const [at, piece] of written.pieces.entries())
    if (piece !== '') expect(await redis.command('HGET', KEY, String(at))).toContain(piece)
}
const received = async (): Promise<number> =>
  Number(/total_net_input_bytes:(\d+)/.exec(await redis.command('INFO', 'stats'))?.[1])

test('an edit sends what it has changed, once for all processes', async () => {
  const first = compileTable(document)
  const [one, other] = [start(first), start(first)]
  await lies(first)
  const whole = fieldsOf(one.edits.written).join().length
  const second = edited(first, 7, 20)
  const before = await received()
  one.edits.apply(second)
  other.edits.apply(second)
  await expect.poll(() => redis.command('HGET', KEY, 'print')).toContain(one.edits.written.print)
  expect((await received()) - before).toBeLessThan(whole / 10)
  await lies(second)
  expect(one.purged).toEqual([{ what: 'route', route: 'route-7', upstream: 'new' }])
})

test('where another one lies there, or none, the whole is written', async () => {
  const first = compileTable(document)
  const one = start(first)
  await lies(first)
  await redis.command('HSET', KEY, 'print', 'of-another-table', '3', 'of another table')
  const second = edited(first, 7, 20)
  one.edits.apply(second)
  await lies(second)
  await redis.command('DEL', KEY)
  await lies(second)
})

test('the next process finds what was lowered meanwhile, of one route among thousands', async () => {
  const first = compileTable(document)
  start(first)
  await lies(first)
  const second = edited(first, 7, 20)
  const next = start(second)
  await lies(second)
  expect(next.purged).toEqual([{ what: 'route', route: 'route-7', upstream: 'new' }])
})
