/**
 * /routes/:id/comparisons and /samples/:id: what they say, who may read them, and what an edit of the route does to them.
 */
import { afterEach, expect, test } from 'vitest'
import { tokenOf } from '../../../src/control/access/tokens.ts'
import { Tally } from '../../../src/state/evidence/tally.ts'
import { type AdminRig, adminRig } from '../rig.ts'

let at: AdminRig | undefined
afterEach(async () => {
  await at?.close()
  at = undefined
})

function filled(): Tally {
  const tally = new Tally()
  const differences = [{ path: '/price', kind: 'value', from: '1', to: '2' }] as const
  tally.compared('gtin-lookup', { differences, bodyCompared: true, isCut: false, note: null }, 61_000)
  tally.skipped('gtin-lookup', 'conditional', 61_000)
  const what = { route: 'gtin-lookup', atMs: 61_000, method: 'GET', target: '/a?b=...', revision: 1, note: null }
  tally.keep({ id: 'x-1', ...what, differences })
  return tally
}

test('a sample takes the write scope, and reading it is logged with who did', async () => {
  const tokens = [
    tokenOf('anna', 'secret-of-anna'),
    { ...tokenOf('grafana', 'secret-of-grafana'), scope: 'read' },
  ] as const
  at = await adminRig({ tally: filled(), tokens })
  const as = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } })
  expect((await at.ask('GET', '/routes/gtin-lookup/comparisons', as('secret-of-grafana'))).json).toMatchObject({
    ...{ storage: 'memory', comparisons: 1, mismatches: 1, skipped: { conditional: 1 } },
    fields: [{ path: '/price', kind: 'value', sample: 'x-1', first: '1970-01-01T00:01:01.000Z' }],
    samples: [{ id: 'x-1' }],
  })
  for (const path of ['/samples/x-1', '/samples/x-1/', '/samples/none']) {
    expect((await at.ask('GET', path, as('secret-of-grafana'))).status, path).toBe(403)
    expect((await at.ask('GET', path)).status, path).toBe(401)
  }
  expect((await at.ask('GET', '/samples/x-1', as('secret-of-anna'))).json).toMatchObject({
    id: 'x-1',
    route: 'gtin-lookup',
  })
  expect(JSON.stringify(at.lines)).toMatch(/sample-read.*anna/)
})

test('other sides begin anew; other settings of the comparison do not', async () => {
  at = await adminRig({ tally: filled() })
  const asked = at
  const count = async (): Promise<number> =>
    (await asked.ask('GET', '/routes/gtin-lookup/comparisons')).json.comparisons
  const patch = (change: object) =>
    asked.ask('PATCH', '/routes/gtin-lookup', {
      body: JSON.stringify(change),
      headers: { 'Content-Type': 'application/json' },
    })
  expect(await count()).toBe(1)
  expect((await patch({ shadow: { percent: 5, compare: { ignore: ['/price'] } } })).status).toBe(200)
  expect(await count()).toBe(1)
  const { json } = await asked.ask('GET', '/routes/gtin-lookup')
  expect((await patch({ to: json.from ?? 'legacy', from: json.to })).status).toBe(200)
  expect(await count()).toBe(0)
})
