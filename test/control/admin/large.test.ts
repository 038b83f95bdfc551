/**
 * Large bodies, tables and revisions: the thread that serves goes on meanwhile, and what is answered is bounded.
 */
import { writeFile } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { type AdminRig, adminRig, type Reply, TABLE } from '../rig.ts'

let at: AdminRig

afterEach(() => at.close())

const YAML = { 'Content-Type': 'application/yaml' }

/** Routes on paths of their own, by the thousand. */
function tableOf(routes: number, percent = 5, to = 'gtin'): string {
  const lines = Array.from(
    { length: routes },
    (_, n) =>
      `  - { id: r${n}, match: { path: /p${n}/:x }, to: ${to}, percent: ${percent}, sticky: [cookie:sid, ip] }\n`,
  )
  const upstreams = '  legacy: { servers: [http://127.0.0.1:4001] }\n  gtin: { servers: [http://127.0.0.1:4002] }\n'
  return `version: 1\nupstreams:\n${upstreams}default: legacy\nroutes:\n${lines.join('')}`
}

/** Does the work, and counts what the same thread answers to others before it is over. */
async function others<T>(work: Promise<T>): Promise<{ done: T; answered: number }> {
  let over = false
  let answered = 0
  const watched = work.finally(() => {
    over = true
  })
  while (!over) {
    expect((await at.ask('GET', '/livez')).status).toBe(200)
    if (!over) answered++
  }
  return { done: await watched, answered }
}

/** More than come through while the pieces of a body arrive. */
const MANY = 10

function put(text: string, query = '?dryRun=true'): Promise<Reply> {
  return at.ask('PUT', `/routes.yaml${query}`, { headers: YAML, body: text })
}

function patch(id: string, body: object, query = '?dryRun=true'): Promise<Reply> {
  return at.ask('PATCH', `/routes/${id}${query}`, { body })
}

/** As long as a hundred problems may be. */
const BOUNDED = 100_000

test('thousands of names that lead nowhere, beside thousands that are like them', async () => {
  at = await adminRig()
  const names = Array.from({ length: 1000 }, (_, n) => `  upstream-${n}: { servers: [http://127.0.0.1:4002] }\n`)
  const text = tableOf(1000, 5, 'upstraem-1').replace('upstreams:\n', `upstreams:\n${names.join('')}`)
  const { done, answered } = await others(put(text))
  expect(done.status).toBe(422)
  expect(done.json.problems).toHaveLength(100)
  expect(done.json.more).toBe(900)
  expect(done.json.problems[0].hint).toBe('did you mean `upstream-1`?')
  expect(done.text.length).toBeLessThan(BOUNDED)
  expect(answered).toBeGreaterThan(MANY)
})

test('a list of things that are no sources is answered with a hundred errors, and how many more there are', async () => {
  at = await adminRig()
  const reply = await patch('search', { sticky: Array.from({ length: 20_000 }, () => 1) })
  expect(reply.status).toBe(422)
  expect(reply.json.errors).toHaveLength(100)
  expect(reply.json.errors[99].pointer).toBe('/sticky/99')
  expect(reply.json.more).toBe(19_900)
  expect(reply.json.detail).toMatch(/, and 19999 more$/)
  expect(reply.text.length).toBeLessThan(BOUNDED)
})

test('members that there are not, of a route and of a server', async () => {
  at = await adminRig()
  const members = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`percnt${n}`, 1]))
  const { done: route, answered } = await others(patch('search', members))
  expect(route.status).toBe(422)
  expect(route.json.errors).toHaveLength(100)
  expect(route.json).toMatchObject({ more: 9_900 })
  expect(answered).toBeGreaterThan(MANY)
  const body = { url: 'http://127.0.0.1:4009', ...members }
  const server = await at.ask('PUT', '/upstreams/gtin/servers/new?dryRun=true', { body })
  expect(server.status).toBe(422)
  expect(server.json).toMatchObject({ more: 9_900 })
  expect(server.text.length).toBeLessThan(BOUNDED)
})

test('a route with thousands of conditions is taken in its turn', async () => {
  at = await adminRig()
  const headers = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`x-${n}`, true]))
  const { done, answered } = await others(patch('search', { match: { path: '/search', headers } }))
  expect(done.status).toBe(200)
  expect(answered).toBeGreaterThan(MANY)
})

test('a text of hundreds of thousands of lines without a word', async () => {
  at = await adminRig()
  const { done, answered } = await others(put(TABLE + '\n'.repeat(300_000)))
  expect(done.status).toBe(200)
  expect(answered).toBeGreaterThan(MANY)
})

test('an edit of the file, a revision and its difference', async () => {
  at = await adminRig()
  at.operations.watch()
  await writeFile(at.path, tableOf(1000))
  const { answered } = await others(until(() => at.live.current.table.routes.length === 1000))
  expect(answered).toBeGreaterThan(MANY)
  const edited = await others(patch('r7', { percent: 50 }, ''))
  expect(edited.done.json).toMatchObject({ revision: 3, percent: 50 })
  const first = await others(at.ask('GET', '/revisions/2'))
  expect(first.done.json.changes).toHaveLength(1004)
  expect(first.answered).toBeGreaterThan(MANY)
  const second = await others(at.ask('GET', '/revisions/3'))
  expect(second.done.json.changes).toEqual([
    { what: 'route', name: 'r7', change: 'changed', keys: [{ key: 'percent', before: 5, after: 50 }] },
  ])
  expect(second.done.json.diff).toMatch(/^@@ -11,7 \+11,7 @@\n/)
  expect(second.answered).toBeGreaterThan(MANY)
})

test('all routes and all upstreams are answered whole', async () => {
  at = await adminRig({ text: tableOf(300) })
  const { json, headers } = await at.ask('GET', '/routes')
  expect(json.routes.map(({ order }: { order: number }) => order)).toEqual(Array.from({ length: 300 }, (_, n) => n + 1))
  expect(headers['content-length']).toBeDefined()
  const { json: upstreams } = await at.ask('GET', '/upstreams')
  expect(upstreams.upstreams.map(({ routes }: { routes: string[] }) => routes.length)).toEqual([300, 300])
})

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 20))
}

test.each([
  ['members of the route', (said: object) => said],
  ['members of match', (said: object) => ({ match: said })],
  ['members of shadow', (said: object) => ({ shadow: said })],
  ['a member that is nested deeply', (said: object) => ({ cache: { key: [[[[[[[[[[[[said]]]]]]]]]]]] } })],
])('an edit with 60,000 unknown keys is refused without the text being edited: %s', async (_, place) => {
  at = await adminRig()
  const said = Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`ignor${n}`, 1]))
  const keys = Object.keys(said)
  const text = `${TABLE}\n    headers: { ${keys.map((key) => `${key}: 1`).join(', ')} }\n`
  // The same keys in a whole table are the measure: both are read and checked, and nothing else is done.
  const whole = await took(put(text))
  const [big, small] = await Promise.all([
    took(patch('search', place(said))),
    took(patch('gtin-lookup', { percent: 7 })),
  ])
  expect([whole.reply.status, big.reply.status, small.reply.status]).toEqual([422, 422, 200])
  expect(big.reply.json.errors[0].pointer).toMatch(/^\/(ignor0|match\/ignor0|shadow\/percent|cache\/key)$/)
  expect(big.ms + small.ms).toBeLessThan(10 * whole.ms)
})

/** Waits for a reply, with the time that it took. */
async function took(reply: Promise<Reply>): Promise<{ reply: Reply; ms: number }> {
  const start = performance.now()
  return { reply: await reply, ms: performance.now() - start }
}

test('a large edit with one error is told it, with its place in the body', async () => {
  at = await adminRig()
  const match = { path: '/search', headers: { 'X-Long': 'x'.repeat(60_000) } }
  const reply = await patch('search', { match, percent: 101 })
  expect(reply.json.errors).toEqual([{ pointer: '/percent', detail: 'invalid percent 101: must be 0 to 100' }])
})

test.each([
  ['parameters in brackets', '/{a}'.repeat(200_000)],
  ['groups that are not closed', `/${'('.repeat(900_000)}`],
  ['converters that are not closed', `/${'<a('.repeat(300_000)}`],
])('a path of another router as long as a body may be: %s', async (_, path) => {
  at = await adminRig()
  const reply = await patch('search', { match: { path } })
  expect(reply.status).toBe(422)
  expect(reply.json.errors[0].pointer).toBe('/match/path')
  expect(reply.json.errors[0].detail).toMatch(/^unsupported path syntax/)
})
