/**
 * What belongs to the history of a cluster, over the epochs in which its Redis was filled again.
 */
import { expect, test } from 'vitest'
import { comesBefore, markBehind, markOfRefill } from '../../src/control/cluster/positions.ts'
import { byFile } from '../../src/control/table/history.ts'
import type { ClusterMark, RevisionRecord } from '../../src/control/table/revision-record.ts'

const recordOf = (number: number, cluster: ClusterMark): RevisionRecord => ({ ...byFile(number, '', 0), cluster })

const founded = markBehind(undefined)

test('what was made in an epoch comes before what was made there later, and in later epochs, up to where these began', () => {
  const second = markOfRefill(markBehind(founded), 2, 5)
  // The third one was of an instance that nobody has heard of since.
  const fourth = markBehind(markOfRefill(markBehind(second), 4, 9))
  const newest = recordOf(12, fourth)
  const before: Record<string, number[]> = {}
  for (const [name, mark] of Object.entries({ founded, second, third: { ...second, epoch: 3 }, fourth }))
    before[name] = Array.from({ length: 14 }, (_, n) => n).filter((n) => comesBefore(recordOf(n, mark), newest))
  expect(before).toEqual({ founded: [1, 2, 3, 4], second: [5, 6, 7, 8], third: [], fourth: [9, 10, 11] })
})

test('nothing of another cluster, and of none, comes before one', () => {
  const newest = recordOf(12, markBehind(founded))
  expect(comesBefore(recordOf(3, markBehind(undefined)), newest)).toBe(false)
  expect(comesBefore(byFile(3, '', 0), newest)).toBe(false)
})

test('where the epochs are not known, as of a record of before they were written, only its own is', () => {
  const { epochs: _, ...mark } = markOfRefill(founded, 2, 5)
  const newest = recordOf(8, markBehind(mark))
  expect([comesBefore(recordOf(4, founded), newest), comesBefore(recordOf(6, mark), newest)]).toEqual([false, true])
})

test('a Redis that is emptied all the time makes no record that grows without end', () => {
  let mark = founded
  for (let epoch = 2; epoch < 1000; epoch++) mark = markOfRefill(mark, epoch, epoch)
  expect(JSON.stringify(mark).length).toBeLessThan(500)
  expect(comesBefore(recordOf(998, { ...mark, epoch: 998 }), recordOf(1000, mark))).toBe(true)
})
