/**
 * `banyan servers` against a real admin API: servers added, leased, drained, weighed and removed.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AdminRig, adminRig, TABLE } from '../control/rig.ts'
import { banyan, type Ended } from './rig.ts'

let at: AdminRig
beforeAll(async () => {
  at = await adminRig()
})
afterAll(() => at.close())

const run = (...words: string[]): Promise<Ended> =>
  banyan(['servers', ...words], { env: { BANYAN_ADMIN: `127.0.0.1:${at.port}` } })

test('a server is added to the table, weighed, drained, undrained and removed', async () => {
  expect(await run('add', 'gtin', 'http://127.0.0.1:4004', '--weight', '2', '--id', 'four', '--dry-run')).toMatchObject(
    {
      code: 0,
      out: expect.stringContaining('+      - { url: http://127.0.0.1:4004, weight: 2, id: four }'),
    },
  )
  expect(
    await run('add', 'gtin', 'http://127.0.0.1:4004', '--weight', '2', '--id', 'four', '--reason', 'more'),
  ).toEqual({
    code: 0,
    out: 'gtin/four: added (revision 2)\n',
    err: '',
  })
  expect(at.history.get(2)?.reason).toBe('more')
  expect((await run('weight', 'gtin', 'four', '5')).out).toBe('gtin/four: weight 5 (revision 3)\n')
  expect((await run('drain', 'gtin', 'four', '--wait', '1s')).out).toBe('gtin/four: drained, 0 requests in flight\n')
  expect((await run('gtin')).out).toMatch(/^ +four +drained +5 /m)
  expect((await run('undrain', 'gtin', 'four')).out).toBe('gtin/four: back in use\n')
  expect((await run('remove', 'gtin', 'four')).out).toBe('gtin/four: removed (revision 4)\n')
  expect(await at.text()).toBe(TABLE)
})

test('a server registers itself, and is shown as leased', async () => {
  expect((await run('add', 'gtin', 'http://127.0.0.1:4005', '--ttl', '30s')).out).toBe(
    'gtin/127.0.0.1:4005: added (leased until 1970-01-01T00:01:31.000Z)\n',
  )
  expect((await run('add', 'gtin', 'http://127.0.0.1:4005', '--ttl', '30s')).out).toContain('updated (leased')
  expect((await run('gtin')).out).toMatch(/127\.0\.0\.1:4005 +up, leased +1 /)
  expect(JSON.parse((await run('remove', 'gtin', '127.0.0.1:4005', '--json')).out)).toMatchObject({
    removed: '127.0.0.1:4005',
  })
  expect(await at.text()).toBe(TABLE)
})

test('the last server: what that means is said', async () => {
  expect((await run('remove', 'legacy', '127.0.0.1:4001')).code).toBe(1)
  const { out } = await run('drain', 'legacy', '127.0.0.1:4001')
  expect(out).toMatch(/0 requests in flight\nno server of legacy is in use: /)
  await run('undrain', 'legacy', '127.0.0.1:4001')
})

test('what is wrong on the command line is said before anybody is asked', async () => {
  const before = at.lines.length
  for (const [words, message] of [
    [['add', 'gtin'], 'usage: banyan servers add UPSTREAM URL'],
    [['add', 'gtin', 'four'], "'four': "],
    [['add', 'gtin', 'http://a', '--weight', 'x'], "invalid weight 'x'"],
    [['drain', 'gtin', 'a', '--wait', 'soon'], '--wait soon: expected a duration'],
    [['drain', 'gtin', 'a', '--wait', '1 min'], '--wait 1 min: expected a duration such as 30s (write 1m)'],
    [['add', 'gtin', 'localhost:80'], '(write http://localhost:80)'],
    [['weight', 'gtin', 'a', '0'], "invalid weight '0'"],
    [
      ['drian', 'gtin', 'a'],
      "unknown subcommand 'drian': must be one of add, remove, drain, undrain, weight (did you mean `drain`?)",
    ],
  ] as const) {
    expect(await run(...words), words.join(' ')).toMatchObject({ code: 2, err: expect.stringContaining(message) })
  }
  expect(at.lines.length).toBe(before)
})
