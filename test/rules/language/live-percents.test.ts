/** The percents of a file beside those that are live: what is made of their numbers alone is what parses of both texts make. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { withLivePercents } from '../../../src/rules/language/live-percents.ts'
import { checkText } from '../../../src/rules/language/text.ts'

const percents = fc.constantFrom(null, 0, 5, 12.5, 100)

const routes = fc.uniqueArray(
  fc.record({
    ...{ id: fc.integer({ min: 0, max: 8 }), percent: percents, live: percents, isNew: fc.boolean() },
    weight: fc.integer({ min: 1, max: 9 }),
    ramp: fc.constantFrom('', ', ramp: { steps: [5, 50] }'),
    noKey: fc.constantFrom('', ', noKey: to'),
  }),
  { selector: ({ id }) => id, minLength: 1, maxLength: 6 },
)

function known(text: string) {
  const read = checkText(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return { routes: read.document.routes ?? [], numbers: read.numbers }
}

test('numbers alone tell what parses of both texts tell', () => {
  let quick = 0
  fc.assert(
    fc.property(routes, fc.boolean(), fc.constantFrom('', '# live\n'), (list, isLikeFile, comment) => {
      const upstreams =
        'upstreams: { main: { servers: [http://a] }, new: { servers: [http://b] }, next: { servers: [http://c] } }'
      const textOf = (lines: readonly string[]): string =>
        `version: 1\n${upstreams}\ndefault: main\nroutes:\n  - { id: x, match: { path: /x }, to: new }\n${lines.join('')}`
      const line = (id: number, weight: number, percent: number | null, more: string): string =>
        `  - { id: r${id}, match: { path: /p${id} }, to: { new: ${weight}, next: 1 }${percent === null ? '' : `, percent: ${percent}`}${more} } # ${id}\n`
      const file = textOf(list.map(({ id, percent, weight, ramp }) => line(id, weight, percent, ramp)))
      const others = list.flatMap(({ id, live, isNew, ramp, noKey }) =>
        isNew && !isLikeFile ? [] : [line(id, isLikeFile ? 3 : 1, live, isLikeFile ? ramp : ramp + noKey)],
      )
      const live = textOf(others) + comment
      const { routes: all, numbers } = known(file)
      const slow = withLivePercents(file, live, { routes: all, numbers: Int32Array.of() })
      expect(withLivePercents(file, live, { routes: all, numbers })).toEqual(slow)
      if (slow.wanted !== file && isLikeFile && comment === '') quick++
      const now = new Map(known(live).routes.map(({ id, percent = 0 }) => [id, percent]))
      for (const { id, percent = 0 } of known(slow.wanted).routes) expect(percent).toBe(now.get(id) ?? percent)
    }),
  )
  expect(quick).toBeGreaterThan(3)
})
