/**
 * Work in turns, and JSON that is written so.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inTurns, jsonSteps, linesSteps, onePerTurnOf } from '../../src/control/turns.ts'
import { allOf, type Steps } from '../../src/rules/values/steps.ts'

const jsonText = (value: unknown): string =>
  Buffer.concat(allOf(jsonSteps(value)))
    .toString()
    .replace(/\n$/, '')

test('it writes what JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.object({ maxDepth: 4, withNullPrototype: true }), (value) => {
      expect(jsonText(value)).toBe(JSON.stringify(value, null, 2))
    }),
  )
  expect(jsonText({ none: undefined, list: [undefined, null, []], empty: {} })).toBe(
    JSON.stringify({ none: undefined, list: [undefined, null, []], empty: {} }, null, 2),
  )
})

test('a long text is written in slices, and no character is cut', () => {
  const texts = fc
    .array(fc.constantFrom('a', '\n', '"', 'ż', '😀', '\ud83d', '\ude00'), { minLength: 1, maxLength: 20 })
    .map((piece) => piece.join('').repeat(20_000 / piece.length))
  fc.assert(
    fc.property(texts, (text) => {
      expect(jsonText({ text })).toBe(JSON.stringify({ text }, null, 2))
    }),
    { numRuns: 30 },
  )
})

test('an iterator is a list whose entries are made as they are written', () => {
  expect(jsonText({ routes: [1, 2].values().map((n) => ({ n })) })).toBe(
    JSON.stringify({ routes: [{ n: 1 }, { n: 2 }] }, null, 2),
  )
})

test('what is large comes in chunks, none of which takes long to make or to send', () => {
  const routes = Array.from({ length: 5_000 }, (_, at) => ({ id: `r${at}`, note: 'ż'.repeat(50) }))
  const chunks = allOf(jsonSteps({ routes, text: 'a'.repeat(500_000) }))
  expect(chunks.length).toBeGreaterThan(10)
  expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThan(200_000)
})

test('work without an end lets others have their turn', async () => {
  let over = false
  function* endless(): Steps<string> {
    while (!over) yield
    return 'over'
  }
  const work = inTurns(endless())
  setTimeout(() => {
    over = true
  }, 1)
  expect(await work).toBe('over')
})

test('what a step throws is what the work rejects with', async () => {
  function* failing(): Steps<never> {
    yield
    throw new Error('broken')
  }
  await expect(inTurns(failing())).rejects.toThrow('broken')
})

test('lines are written in chunks, and others have turns between them', async () => {
  const lines = Array.from({ length: 20_000 }, (_, at) => `line ${at}\n`)
  const chunks = await inTurns(linesSteps(lines))
  expect(chunks.length).toBeGreaterThan(2)
  expect(Buffer.concat(chunks).toString()).toBe(lines.join(''))
})

test('chunks leave one per turn of the event loop', async () => {
  let turns = 0
  const count = (): void => {
    turns++
    next = setImmediate(count)
  }
  let next = setImmediate(count)
  const left: [chunk: number, turns: number][] = []
  for await (const chunk of onePerTurnOf([1, 2, 3, 4])) left.push([chunk, turns])
  clearImmediate(next)
  expect(left.map(([chunk]) => chunk)).toEqual([1, 2, 3, 4])
  expect(new Set(left.map(([, at]) => at)).size).toBe(4)
})
