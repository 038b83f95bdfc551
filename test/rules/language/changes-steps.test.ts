/**
 * The changes of a large table are found in small steps, of which none goes through all routes.
 */
import { expect, test } from 'vitest'
import { changesSteps, tableChanges } from '../../../src/rules/language/changes.ts'
import { tableOf } from '../make.ts'

const many = (from: number, percent: number) =>
  tableOf(Array.from({ length: 500 }, (_, n) => ({ id: `r${from + n}`, match: { path: `/p${from + n}` }, percent })))

test('a step for each route that is read, and for each that is compared', () => {
  const [before, after] = [many(0, 5), many(250, 10)]
  const steps = changesSteps(before, after)
  let count = 0
  while (steps.next().done !== true) count++
  expect(count).toBeGreaterThan(4 * 500 - 1)
  const counts = Object.groupBy(tableChanges(before, after), ({ change }) => change)
  expect([counts.removed?.length, counts.changed?.length, counts.added?.length]).toEqual([250, 250, 250])
})
