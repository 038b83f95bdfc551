/** Edits of large texts one after the other: each goes on from what was parsed for the one before, and is what it is without that. */
import { expect, test } from 'vitest'
import { JOBS } from '../../../src/control/table/apart-jobs.ts'
import { editTable, type TableEdit, withEdit } from '../../../src/rules/language/edit.ts'
import { checkText } from '../../../src/rules/language/text.ts'
import { errorsOf } from '../../../src/rules/values/problem.ts'

const COUNT = 620

const routes = Array.from({ length: COUNT }, (_, at) => ({
  ...{ id: `r${at}`, match: { path: `/r${at}/:id`, methods: ['GET', 'HEAD'] }, to: 'new', percent: 5 },
}))
const upstreams = { main: { servers: ['http://a'] }, new: { servers: ['http://b'] } }

const EDITS: readonly TableEdit[] = [
  { kind: 'route', at: 3, route: { ...routes[3], sticky: ['cookie:sid', 'ip'] } },
  { kind: 'route', at: 3, route: { ...routes[3], sticky: 'ip' } },
  { kind: 'route', at: 8, route: null },
  { kind: 'servers', upstream: 'new', servers: ['http://b', { url: 'http://c', weight: 3 }] },
  { kind: 'route', at: 40, route: { ...routes[41], percent: 101 } },
  { kind: 'route', at: COUNT - 1, route: { id: 'last', match: { path: '/last' }, to: 'new' } },
  { kind: 'route', at: 0, route: { ...routes[0], noKey: 'to' } },
]

test.each([
  ['JSON', `${JSON.stringify({ version: 1, upstreams, default: 'main', routes }, null, 1)}\n`],
  [
    'YAML with aliases and warnings',
    `version: 1 # one
upstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }
default: main
routes:
  - { id: r0, match: &first { path: /r0/:id, methods: [GET, HEAD] }, to: new, percent: 5, priority: 2 }
  - { id: again, match: *first, to: new } # hidden
${routes
  .slice(1)
  .map(
    ({ id }) =>
      `  - id: ${id}   # a comment\n    match: { path: /${id}/:id }\n    to: new\n    percent: 5\n    noKey: to\n`,
  )
  .join('')}`,
  ],
])('%s', (_, start) => {
  let text = start
  expect(JOBS.check(text, 'routes.yaml').ok).toBe(true)
  for (const edit of EDITS) {
    const made = JOBS.edit(text, JSON.stringify(edit), 'routes.yaml')
    const wanted = editTable(text, (document) => withEdit(document, edit))
    const checked = checkText(wanted, 'routes.yaml')
    if (!made.ok) throw new Error(made.message)
    if (!checked.ok) {
      if (made.checked.ok) throw new Error('is accepted')
      const [told, all] = [made.checked, checked].map((one) => {
        return errorsOf(one).problems.map(({ pointer, message }) => ({ pointer, message }))
      })
      // What the schema does not know is told once it accepts the edit.
      expect(told?.length).toBeGreaterThan(0)
      expect(all).toEqual(expect.arrayContaining(told ?? []))
      expect(errorsOf(made.checked).more).toBe(0)
      continue
    }
    expect(made).toMatchObject({ text: wanted, checked: { ok: true } })
    if (!made.checked.ok) continue
    const { numbers, places, warnings, more, lexemes } = made.checked
    expect({ numbers, places, warnings, more, lexemes }).toEqual({
      ...{ numbers: checked.numbers, places: checked.places, warnings: checked.warnings, more: checked.more },
      lexemes: checked.lexemes,
    })
    text = wanted
  }
  expect(text).not.toBe(start)
})
