/** Buckets of durations: what is told by milliseconds comes back to its bucket. */
import { expect, test } from 'vitest'
import { FINE_BUCKETS, fineBound, fineByMs, fineFrom } from '../../../src/rules/values/duration-buckets.ts'

test('each bucket is told by milliseconds inside it', () => {
  const fine = Array.from({ length: FINE_BUCKETS }, (_, bucket) => [bucket, bucket + 1]).flat()
  const told = fineByMs(fine)
  expect([...fineFrom(told)].sort(([one], [other]) => one - other).flat()).toEqual(fine)
  const ms = Object.keys(told).map(Number)
  expect(ms.every((value) => value >= fineBound(0) && value < fineBound(FINE_BUCKETS))).toBe(true)
})
