/**
 * Reverting a revision among later ones: what it set goes back, what others have set since stays, and what both have set is told.
 */
import { expect, test } from 'vitest'
import { revertText } from '../../../src/rules/language/revert.ts'

const TABLE = `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:4001] }
  gtin:
    servers:
      - http://127.0.0.1:4002
      - { url: http://127.0.0.1:4003, weight: 2 }
default: legacy

routes:
  - id: one            # the first
    match: { path: /one }
    to: gtin
    percent: 5

  - id: two            # the second
    match: { path: /two }
    to: gtin
    percent: 5
    sticky: [cookie:sid, ip]
`

const put = (text: string, from: string, to: string): string => {
  expect(text).toContain(from)
  return text.replace(from, to)
}
const reverted = (before: string, made: string, now: string): string => {
  const found = revertText(before, made, now)
  if (!found.ok) throw new Error(JSON.stringify(found.conflicts))
  return found.text
}
const ONE = 'path: /one }\n    to: gtin\n    percent: '
const TWO = 'path: /two }\n    to: gtin\n    percent: '

test('one of three changes goes back, the two others stay, byte for byte', () => {
  const first = put(TABLE, `${ONE}5`, `${ONE}25`)
  const second = put(first, `${TWO}5`, `${TWO}50`)
  const third = put(second, 'weight: 2', 'weight: 3')
  expect(reverted(first, second, third)).toBe(put(third, `${TWO}50`, `${TWO}5`))
  expect(reverted(TABLE, first, third)).toBe(put(third, `${ONE}25`, `${ONE}5`))
  expect(reverted(second, third, third)).toBe(second)
})

test('a change beside one on the next line goes back too', () => {
  const made = put(TABLE, `${TWO}5`, `${TWO}50`)
  const now = put(made, 'sticky: [cookie:sid, ip]', 'sticky: ip')
  expect(reverted(TABLE, made, now)).toBe(put(TABLE, 'sticky: [cookie:sid, ip]', 'sticky: ip'))
})

test('equal lines of another route are not taken for those of its own', () => {
  // Somebody removed route two since: the lines of its change stand in route one alike.
  const made = put(TABLE, `${TWO}5`, `${TWO}50`)
  const now = put(
    made,
    `  - id: two            # the second\n    match: { path: /two }\n    to: gtin\n    percent: 50\n    sticky: [cookie:sid, ip]\n`,
    '',
  )
  const found = revertText(TABLE, made, now)
  expect(found).toMatchObject({ ok: false, conflicts: [{ place: 'routes.two', now: null }] })
})

test('what has been changed since is a conflict that names what it was, what it was made and what it is', () => {
  const made = put(TABLE, `${TWO}5`, `${TWO}50`)
  const now = put(made, `${TWO}50`, `${TWO}60`)
  expect(revertText(TABLE, made, now)).toEqual({
    ok: false,
    conflicts: [
      { path: ['routes', 'two', 'percent'], place: 'routes.two.percent', before: '5', made: '50', now: '60' },
    ],
  })
})

test('what is back already changes nothing', () => {
  const made = put(TABLE, `${TWO}5`, `${TWO}50`)
  expect(reverted(TABLE, made, TABLE)).toBe(TABLE)
})

test('a route that was removed comes back in its place, with its comments where the lines fit', () => {
  const removed = put(
    TABLE,
    '  - id: one            # the first\n    match: { path: /one }\n    to: gtin\n    percent: 5\n\n',
    '',
  )
  expect(reverted(TABLE, removed, removed)).toBe(TABLE)
  const now = put(put(removed, 'default: legacy\n\n', 'default: legacy\n'), `${TWO}5`, `${TWO}7`)
  const back = reverted(TABLE, removed, now)
  expect(back.indexOf('id: one')).toBeGreaterThan(0)
  expect(back.indexOf('id: one')).toBeLessThan(back.indexOf('id: two'))
  expect(back).toContain(`${TWO}7`)
})

test('a route that was added goes, unless it has been changed since', () => {
  const added = `${TABLE}  - { id: new, match: { path: /new }, to: gtin }\n`
  const now = put(added, `${TWO}5`, `${TWO}6`)
  expect(reverted(TABLE, added, now)).toBe(put(TABLE, `${TWO}5`, `${TWO}6`))
  const changed = put(added, 'to: gtin }', 'to: gtin, percent: 9 }')
  expect(revertText(TABLE, added, changed)).toMatchObject({
    ok: false,
    conflicts: [{ place: 'routes.new', before: null }],
  })
})

test('servers are told apart by their URL or id', () => {
  const made = put(TABLE, '      - http://127.0.0.1:4002\n', '')
  const now = put(made, 'weight: 2 }', 'weight: 2 }\n      - http://127.0.0.1:4004')
  const back = reverted(TABLE, made, now)
  for (const port of [4002, 4003, 4004]) expect(back).toContain(`:${port}`)
})

test('a revision that changed only comments is reverted by its lines, and told where these are gone', () => {
  const made = put(TABLE, '# the first', '# moved on Monday')
  const now = put(made, `${TWO}5`, `${TWO}9`)
  expect(reverted(TABLE, made, now)).toBe(put(TABLE, `${TWO}5`, `${TWO}9`))
  expect(revertText(TABLE, made, put(made, '# moved on Monday', '# moved'))).toEqual({ ok: false, conflicts: [] })
})

test('a key that was added with a name of Object goes, and nothing else', () => {
  const made = put(TABLE, 'percent: 5\n\n', 'percent: 5\n    group: constructor\n\n')
  expect(reverted(TABLE, made, put(made, `${TWO}5`, `${TWO}8`))).toBe(put(TABLE, `${TWO}5`, `${TWO}8`))
})
