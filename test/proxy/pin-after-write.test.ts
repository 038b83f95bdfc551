/**
 * `pinAfterWrite`: who has written reads on that side for a while, in all routes of the group and through all workers.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

let legacy: ScriptedUpstream
let shop: ScriptedUpstream
let banyan: Banyan

const answering = (name: string) =>
  scriptedUpstream(async (request) => {
    await request.body().catch(() => {})
    const status = request.target.includes('fail')
      ? '409 Conflict'
      : request.target.includes('moved')
        ? '303 See Other'
        : '200 OK'
    await request.send(`HTTP/1.1 ${status}\r\nContent-Length: ${name.length}\r\n\r\n${name}`)
  })

beforeAll(async () => {
  legacy = await answering('legacy')
  shop = await answering('shop')
  const route = (id: string, path: string, methods: string, percent: number) =>
    `  - { id: ${id}, match: { path: ${path}, methods: [${methods}] }, to: shop, percent: ${percent}, group: orders, sticky: [cookie:sid, visitor], pinAfterWrite: 1m }`
  banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy.port}] }
  shop: { servers: [http://127.0.0.1:${shop.port}] }
default: legacy
routes:
${route('read', '/orders/*', 'GET', 50)}
${route('list', '/orders', 'GET', 50)}
${route('old', '/orders/old/*', 'POST, DELETE', 0)}
${route('new', '/orders/new/*', 'POST', 100)}
  - { id: apart, match: { path: /apart }, to: shop, percent: 50, group: orders, sticky: cookie:sid }
`,
    args: ['--workers', '2', '--access-log', 'json'],
  })
})
afterAll(async () => {
  await banyan.stop()
  await legacy.stop()
  await shop.stop()
})

/** On a connection of its own, and so through either worker. */
async function ask(method: string, path: string, cookie: string): Promise<string> {
  const client = await rawClient(banyan.port)
  const body = method === 'POST' ? 'Content-Length: 2\r\n\r\nok' : '\r\n'
  const { body: answer } = await client.ask(
    `${method} ${path} HTTP/1.1\r\nHost: a.test\r\nCookie: ${cookie}\r\n${body}`,
    method,
  )
  client.socket.destroy()
  return answer.text
}

/** Asks until all workers have heard of the last write: they are told, and nobody waits for them. */
async function settled(path: string, cookie: string, side: string): Promise<void> {
  for (let inARow = 0, n = 0; inARow < 8; n++) {
    expect(n).toBeLessThan(500)
    inARow = (await ask('GET', path, cookie)) === side ? inARow + 1 : 0
  }
}

/** Keys whose reads go to one side. */
async function keysOf(side: string, count: number, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for (let n = 0; keys.length < count; n++) {
    const key = `sid=${prefix}${n}`
    if ((await ask('GET', '/orders', key)) === side) keys.push(key)
  }
  return keys
}

test('a write on the old side keeps the reads of its key there, in each route of the group that says so', async () => {
  const [alice = '', bob = ''] = await keysOf('shop', 2, 'a')
  expect(await ask('POST', '/orders/old/1', alice)).toBe('legacy')
  for (const path of ['/orders', '/orders/7']) await settled(path, alice, 'legacy')
  expect(await ask('GET', '/apart', alice)).toBe('shop')
  for (let n = 0; n < 4; n++) expect(await ask('GET', '/orders', bob)).toBe('shop')
  await banyan.program.line((line) => line.includes('"reason":"pinned"') && line.includes('"upstream":"legacy"'))
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/explain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: '/orders', headers: { cookie: alice } }),
  })
  expect(await response.json()).toMatchObject({ decision: { upstream: 'legacy', reason: 'pinned', percent: 50 } })
})

test('a write that was not taken pins nothing; a redirect behind one does', async () => {
  const [alice = '', bob = ''] = await keysOf('shop', 2, 'b')
  expect(await ask('POST', '/orders/old/fail', alice)).toBe('legacy')
  for (let n = 0; n < 6; n++) expect(await ask('GET', '/orders', alice)).toBe('shop')
  await ask('DELETE', '/orders/old/moved', bob)
  await settled('/orders', bob, 'legacy')
})

test('a write on the new side keeps its reads there until a share of the group is taken back', async () => {
  const [alice = ''] = await keysOf('legacy', 1, 'c')
  const [bob = ''] = await keysOf('shop', 1, 'd')
  expect(await ask('POST', '/orders/new/1', alice)).toBe('shop')
  await settled('/orders', alice, 'shop')
  await ask('POST', '/orders/old/1', bob)
  await settled('/orders', bob, 'legacy')
  const patched = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/list`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify({ percent: 49.9999 }),
  })
  expect(patched.status).toBe(200)
  for (let n = 0; n < 6; n++) {
    expect(await ask('GET', '/orders', alice)).toBe('legacy')
    expect(await ask('GET', '/orders', bob)).toBe('legacy')
  }
})
