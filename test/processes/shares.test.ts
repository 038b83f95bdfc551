/**
 * The records that workers share: what one writes the others read, and whatever they hold somebody accepts connections.
 */
import { closeSync } from 'node:fs'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { Shares } from '../../src/processes/shares.ts'

function shared(workers: number): { primary: Shares; worker(): Shares } {
  const primary = Shares.create(workers)
  onTestFinished(() => closeSync(primary.fd))
  return { primary, worker: () => new Shares(primary.fd, workers) }
}

test('a new worker is paused and counts for nothing until the primary says so', () => {
  const { primary, worker } = shared(2)
  const [one, two] = [primary.take(), primary.take()]
  const own = worker()
  own.read()
  expect([own.isPaused(one), own.isPaused(two), own.due(), own.lowest]).toEqual([
    true,
    true,
    [],
    Number.POSITIVE_INFINITY,
  ])
  primary.setCounts(one, true)
  own.read()
  expect([own.due(), own.lowest]).toEqual([[one], 0])
  primary.setSent(one, true)
  own.read()
  expect([own.due(), own.isSent(one)]).toEqual([[], true])
})

test('whoever has the fewest connections is due; one without descriptors only where all are', () => {
  const { primary, worker } = shared(2)
  const records = [primary.take(), primary.take(), primary.take()] as [number, number, number]
  for (const record of records) primary.setCounts(record, true)
  const [one, two, three] = records
  const own = worker()
  own.write(one, 5, false, 3)
  own.write(two, 4, false, 3)
  own.write(three, 1, true, 3)
  primary.read()
  expect([primary.due(), primary.connections(three)]).toEqual([[two], 1])
  own.write(one, 5, true, 3)
  own.write(two, 4, true, 3)
  primary.read()
  expect(primary.due()).toEqual([one, two, three])
})

test('the record of a worker that has exited is free for the next one', () => {
  const { primary, worker } = shared(1)
  const first = primary.take()
  primary.take()
  expect(() => primary.take()).toThrow('more than two workers')
  worker().write(first, 7, false, 4)
  primary.read()
  primary.free(first)
  expect(primary.take()).toBe(first)
  expect(primary.connections(first)).toBe(0)
})

test('whatever workers write, one with the least load accepts, is due, or has the socket on its way', () => {
  const record = fc.record({
    connections: fc.nat(5),
    isFull: fc.boolean(),
    turn: fc.integer({ min: 1, max: 6 }),
    counts: fc.boolean(),
    sent: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 6 }), (records) => {
      const primary = Shares.create(3)
      try {
        const own = new Shares(primary.fd, 3)
        for (const { connections, isFull, turn, counts, sent } of records) {
          const at = primary.take()
          own.write(at, connections, isFull, turn)
          primary.read()
          primary.setCounts(at, counts)
          primary.setSent(at, sent)
        }
        own.read()
        const due = own.due()
        const counting = records.flatMap(({ counts }, at) => (counts ? [at] : []))
        const ready = (at: number): boolean => !own.isPaused(at) || own.isSent(at) || due.includes(at)
        const least = counting.filter((at) => own.load(at) === own.lowest)
        expect(least.every(ready)).toBe(true)
        expect(least.length > 0).toBe(counting.length > 0)
      } finally {
        closeSync(primary.fd)
      }
    }),
  )
})
