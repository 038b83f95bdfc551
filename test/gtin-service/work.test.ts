/**
 * The state of a run on disk: what a crash wrote beyond the last commit does not count, and what can't be trusted is begun
 * anew.
 */
import { appendFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Dictionary } from '../../gtin-service/store/dictionary.ts'
import { Batch, PUT } from '../../gtin-service/sync/runs.ts'
import { emptyTally } from '../../gtin-service/sync/tally.ts'
import { type Plan, Work } from '../../gtin-service/sync/work.ts'
import { folder } from './feed.ts'

const PLAN: Plan = { from: 'http://catalog.test/', since: null, base: null }

function commit(work: Work, keys: readonly number[], cursor: string): void {
  const batch = new Batch()
  for (const key of keys) {
    batch.records.number(work.dictionary.codeOf('color', `color ${key}`))
    batch.add(key, PUT)
  }
  work.commit(batch, keys.length, { cursor, asOf: null, tally: { ...emptyTally(), records: keys.length } })
}

/** All keys of all runs, run by run. */
function keysOf(work: Work): number[][] {
  return work.cursors().map((cursor) => {
    const keys: number[] = []
    while (cursor.next()) keys.push(cursor.key)
    cursor.close()
    return keys
  })
}

test('changes in order make one run, others one more', () => {
  const work = Work.begin(folder(), PLAN, 1, new Dictionary())
  commit(work, [1, 2, 3], 'a')
  commit(work, [9, 4], 'b')
  commit(work, [5, 20], 'c')
  commit(work, [21], 'd')
  expect(keysOf(work)).toEqual([
    [1, 2, 3, 4, 9],
    [5, 20, 21],
  ])
})

test('a crash in the middle of a commit leaves the commit before it', () => {
  const data = folder()
  const work = Work.begin(data, PLAN, 7, new Dictionary())
  commit(work, [1, 2], 'a')
  for (const file of readdirSync(join(data, 'sync')).filter((name) => name !== 'state.json')) {
    appendFileSync(join(data, 'sync', file), 'half of what was to come')
  }
  writeFileSync(join(data, 'sync', 'run-0002'), 'a run that nobody knows of')
  const resumed = Work.resume(data, PLAN) as Work
  expect(resumed.state).toMatchObject({ cursor: 'a', startedAtMs: 7, tally: { records: 2 } })
  expect(resumed.dictionary.textsOf('color')).toEqual(['color 1', 'color 2'])
  commit(resumed, [3], 'b')
  commit(resumed, [2], 'c')
  expect(keysOf(resumed)).toEqual([[1, 2, 3], [2]])
  expect((Work.resume(data, PLAN) as Work).dictionary.textsOf('color')).toEqual(['color 1', 'color 2', 'color 3'])
})

test.each([
  ['another feed', (plan: Plan) => ({ ...plan, from: 'http://other.test/' })],
  ['another day', (plan: Plan) => ({ ...plan, since: '2026-01-01' })],
  ['other data', (plan: Plan) => ({ ...plan, base: 'gen-000001.gtin' })],
])('%s begins anew', (_, change) => {
  const data = folder()
  commit(Work.begin(data, PLAN, 1, new Dictionary()), [1], 'a')
  expect(Work.resume(data, change(PLAN))).toBeNull()
  expect(Work.resume(data, PLAN)).not.toBeNull()
})

test('a run that lost some of its end begins anew', () => {
  const data = folder()
  commit(Work.begin(data, PLAN, 1, new Dictionary()), [1, 2], 'a')
  truncateSync(join(data, 'sync', 'run-0001'), 5)
  expect(Work.resume(data, PLAN)).toBeNull()
})

test.each(['state.json', 'dictionary', 'run-0001'])('a state without its %s begins anew', (file) => {
  const data = folder()
  commit(Work.begin(data, PLAN, 1, new Dictionary()), [1], 'a')
  rmSync(join(data, 'sync', file))
  expect(Work.resume(data, PLAN)).toBeNull()
})
