/**
 * Work that many ask for: each gets a run of after it asked, and gets its end.
 */
import { expect, test } from 'vitest'
import { FreshRun } from '../../src/state/fresh-run.ts'

interface Begun {
  readonly number: number
  end(): void
  fail(): void
}

function runsOf(): { readonly runs: FreshRun<number>; readonly begun: Begun[] } {
  const begun: Begun[] = []
  const work = (): Promise<number> =>
    new Promise((done, failed) => {
      const number = begun.length + 1
      begun.push({ number, end: () => done(number), fail: () => failed(new Error(`run ${number}`)) })
    })
  return { runs: new FreshRun(work), begun }
}

test('whoever asks while it runs gets the next run, which is one for all of them', async () => {
  const { runs, begun } = runsOf()
  const first = runs.run()
  const others = [runs.run(), runs.run()]
  expect(begun).toHaveLength(1)
  begun[0]!.end()
  expect(await first).toBe(1)
  await expect.poll(() => begun.length).toBe(2)
  begun[1]!.end()
  expect(await Promise.all(others)).toEqual([2, 2])
  const last = runs.run()
  begun[2]!.end()
  expect(await last).toBe(3)
})

test('a run ends for those that asked for it, though somebody asks for another one during each', async () => {
  const { runs, begun } = runsOf()
  const ended: number[] = []
  const ask = (): void => void runs.run().then((number) => ended.push(number))
  ask()
  for (let at = 0; at < 5; at++) {
    await expect.poll(() => begun.length).toBe(at + 1)
    ask()
    begun[at]!.end()
    await expect.poll(() => ended).toEqual(Array.from({ length: at + 1 }, (_, one) => one + 1))
  }
})

test('a run that fails fails for those that asked for it only', async () => {
  const { runs, begun } = runsOf()
  const first = runs.run()
  const second = runs.run()
  begun[0]!.fail()
  await expect(first).rejects.toThrow('run 1')
  await expect.poll(() => begun.length).toBe(2)
  begun[1]!.end()
  expect(await second).toBe(2)
  await runs.ended()
})
