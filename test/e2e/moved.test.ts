/**
 * A service whose paths, query and headers are not those of the application that it replaces, moved with real processes:
 * 0, 50 and 100 per cent, with the fallback to the original.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { type Program, startProgram } from '../support/process.ts'

let banyan: Banyan
let programs: { program: Program; port: number }[]

async function service(...args: string[]): Promise<{ program: Program; port: number }> {
  const program = startProgram(['test/e2e/moved-service.ts', ...args])
  const line = await program.line((one) => one.startsWith('ready '))
  return { program, port: Number(line.slice('ready '.length)) }
}

beforeAll(async () => {
  programs = await Promise.all([service('--legacy'), service()])
  banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${programs[0]?.port}"] }
  items: { servers: ["http://127.0.0.1:${programs[1]?.port}"] }
default: legacy
routes:
  - id: gtins
    match: { path: "/catalog/stores/:store/gtins/:gtin" }
    to: items
    percent: 0
    sticky: [cookie:sid]
    fallback: {}
    rewrite:
      path: /v2/items/:gtin
      query: { set: { store: "{param.store}" }, remove: [callback] }
      headers: { set: { x-store: "{param.store}" }, remove: [x-old-token] }
    answer: { headers: { set: { x-side: "{side}" } } }
`,
  })
})
afterAll(async () => {
  await banyan?.stop()
  await Promise.all((programs ?? []).map(({ program }) => program.stop()))
})

async function set(percent: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/gtins`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ percent }),
  })
  expect(response.status, await response.text()).toBe(200)
}

const ask = (path: string, sid: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${banyan.port}${path}`, {
    redirect: 'manual',
    ...init,
    headers: { cookie: `sid=${sid}`, 'x-old-token': 't' },
  })

const ORIGINAL = '/catalog/stores/3%20b/gtins/12?callback=f&x=%7e'
const OLD = { side: 'old', url: ORIGINAL, token: 't', prefix: '' }
const NEW = { side: 'new', url: '/v2/items/12?x=%7e&store=3+b', token: '', store: '3%20b' }

test('each side gets its own request at 0, 50 and 100 %, and a client stays on its side', async () => {
  const clients = Array.from({ length: 40 }, (_, at) => `client-${at}`)
  const seen = async (): Promise<Map<string, unknown>> => {
    const bodies = await Promise.all(clients.map(async (sid) => (await ask(ORIGINAL, sid)).json()))
    return new Map(clients.map((sid, at) => [sid, bodies[at]]))
  }
  expect([...(await seen()).values()]).toEqual(clients.map(() => OLD))
  await set(50)
  const half = await seen()
  const sides = [...half.values()].map((body) => (body as { side: string }).side)
  expect(new Set(sides)).toEqual(new Set(['old', 'new']))
  for (const body of half.values()) expect([OLD, NEW]).toContainEqual(body)
  expect(await seen()).toEqual(half)
  await set(100)
  expect([...(await seen()).values()]).toEqual(clients.map(() => NEW))
})

test('what the new side does not have comes from the old one, asked as the client has asked', async () => {
  await set(100)
  const path = '/catalog/stores/3/gtins/99?callback=f'
  const answer = await ask(path, 'a')
  expect(await answer.json()).toEqual({ ...OLD, url: path })
  expect(answer.headers.get('x-side')).toBeNull()
})

test('answers of the new side lead to addresses that clients know, and these answer', async () => {
  await set(100)
  const first = await ask('/catalog/stores/3/gtins/12', 'a')
  expect(first.headers.get('x-side')).toBe('to')
  expect(first.headers.get('set-cookie')).toMatch(/^cart=c1; path=\/catalog\/stores; httponly$/i)
  const next = /<([^>]*)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] as string
  expect(next).toBe('/catalog/stores/3/gtins/77')
  expect(await (await ask(next, 'a')).json()).toMatchObject({ side: 'new', url: '/v2/items/77?store=3' })
  const posted = await ask('/catalog/stores/3/gtins/12', 'a', { method: 'POST' })
  const location = posted.headers.get('location') as string
  expect([posted.status, location]).toEqual([303, '/catalog/stores/3/gtins/12?created'])
  expect(await (await ask(location, 'a')).json()).toMatchObject({ side: 'new', url: '/v2/items/12?created&store=3' })
})

test('explain shows both requests', async () => {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/explain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: ORIGINAL, headers: { 'x-old-token': 't' } }),
  })
  const { sent } = (await response.json()) as { sent: { side: string; target: string; headers: [string, string][] }[] }
  expect(sent.map(({ side, target }) => [side, target])).toEqual([
    ['from', ORIGINAL],
    ['to', NEW.url],
  ])
  const names = sent.map(({ headers }) => headers.map(([name]) => name))
  expect(names[0]).toContain('x-old-token')
  expect(names[1]).not.toContain('x-old-token')
  expect(sent[1]?.headers).toContainEqual(['x-store', '3%20b'])
})
