/** A list that is composed a part at a time is the one that is composed at once: values, places and errors. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isNode, LineCounter, visit } from 'yaml'
import { parse } from '../../../src/rules/language/parse.ts'

const entry = fc.constantFrom(
  '  - id: a\n    match: { path: /a }\n    to: new\n',
  '  - id: a # said\n    # of what comes\n    percent: 1\n\n',
  '  - { id: a, match: { path: "/a", methods: [GET, POST] } }\n',
  '  # of the next\n  - id: a\n    sticky:\n      - cookie:x\n      - header:y\n    # behind\n',
  '  - |\n    - text\n    - more\n',
  '  -\n    id: a\n',
  '  -\n',
  '  - - a\n    - b\n',
  '  - "a\n     b"\n',
  '  - id: &x a\n',
  '  - *x\n',
  '  - !tag a\n',
  '      # far\n  # near\n',
)
/** What follows the list, if anything. */
const end = fc.constantFrom('', 'default: old\n', '# end\n', '...\n', '---\nb: 1\n', '  - last', '  ')
const damage = fc.option(
  fc.tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.constantFrom(' ', ': ', '{', '"', '\n', '\t', '- ', '*', '&x '),
  ),
  { freq: 3 },
)

test('a long list', () => {
  let sound = 0
  fc.assert(
    fc.property(
      fc.constantFrom('version: 1\nroutes:\n', '# of it\nroutes: # these\n', ''),
      fc.array(entry, { minLength: 1, maxLength: 12, size: 'max' }),
      fc.integer({ min: 20, max: 60 }),
      end,
      damage,
      (head, entries, times, tail, harm) => {
        const whole = `${head}${entries.join('').repeat(times)}${tail}`
        const at = harm === null ? 0 : Math.floor(harm[0] * whole.length)
        const text = harm === null ? whole : `${whole.slice(0, at)}${harm[1]}${whole.slice(at)}`
        const [inParts, atOnce] = [told(text, false), told(text, true)]
        expect(inParts).toEqual(atOnce)
        if (atOnce.errors.length === 0) sound++
      },
    ),
    { numRuns: 80 },
  )
  expect(sound).toBeGreaterThan(10)
})

function told(text: string, atOnce: boolean) {
  const lines = new LineCounter()
  const size = { lexemes: 0 }
  const parsed = parse(text, lines, size, atOnce)
  const nodes: unknown[] = []
  visit(parsed, (_, node) => {
    if (isNode(node)) nodes.push([node.range, node.tag])
  })
  const errors = [...parsed.errors, ...parsed.warnings].map(({ code, pos }) => [code, pos])
  let value: unknown
  try {
    value = parsed.toJS({ maxAliasCount: -1 })
  } catch (error) {
    value = (error as Error).message
  }
  return { value, nodes, errors, lines: lines.lineStarts, size }
}
