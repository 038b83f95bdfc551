/**
 * What is another object in a list than it was, and which ids that has changed.
 */
import { expect, test } from 'vitest'
import { goneIds, newIds, replaced } from '../../../src/rules/values/replaced.ts'

const list = (...ids: string[]) => ids.map((id) => ({ id }))

test.each([
  ['others by the same ids', list('a', 'b', 'c'), list('a', 'b', 'c'), [], []],
  ['others in another order', list('a', 'b', 'c'), list('c', 'a', 'b'), [], []],
  ['one in the place of another', list('a', 'b', 'c'), list('a', 'x', 'c'), ['b'], ['x']],
  ['one less', list('a', 'b', 'c'), list('a', 'c'), ['b'], []],
  ['one more', list('a', 'c'), list('a', 'b', 'c'), [], ['b']],
  ['nothing', list(), list(), [], []],
])('the ids that go and come: %s', (_, before, after, gone, come) => {
  const found = replaced(before, after)
  expect([goneIds(found), newIds(found)]).toEqual([gone, come])
})

test('differences are found once for all who ask at the same time, also thousands of them', () => {
  const ids = Array.from({ length: 5000 }, (_, n) => `r${n}`)
  const [before, after] = [list(...ids), list(...ids)]
  expect(replaced(before, after)).toBe(replaced(before, after))
  expect(replaced(list(...ids), after).gone).toHaveLength(5000)
})
