/**
 * Force by link: a browser that has opened the link of a tester goes where it says, until it expires or is taken back; and the side
 * told to clients (`tellSide`).
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeForceToken } from '../../src/state/force-token.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { freePort } from '../support/free-port.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

const SECRET = 'a secret of some length'
const soon = Date.now() + 60_000

let legacy: ScriptedUpstream
let gtin: ScriptedUpstream
let banyan: Banyan
const heads: string[] = []

const answering = (name: string) =>
  scriptedUpstream((request) => {
    heads.push(request.head)
    return request.send(
      `HTTP/1.1 200 OK\r\nBanyan-Side: mine\r\nCache-Control: max-age=60\r\nContent-Length: ${name.length}\r\n\r\n${name}`,
    )
  })

const start = (args: readonly string[]) => async (): Promise<Banyan> =>
  startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy.port}] }
  gtin: { servers: [http://127.0.0.1:${gtin.port}] }
  dead: { servers: [http://127.0.0.1:${await freePort()}] }
default: legacy
routes:
  - { id: lookup, match: { path: /lookup }, to: gtin, percent: 0, cache: {} }
  - { id: head, match: { path: /head }, to: gtin, percent: 50, sticky: query:k, cache: {}, tellSide: header }
  - { id: cookie, match: { path: /cookie }, to: gtin, percent: 100, tellSide: cookie }
  - { id: falls, match: { path: /falls }, to: dead, percent: 100, fallback: {}, tellSide: header }
  - { id: broken, match: { path: /broken }, to: dead, percent: 100, tellSide: header }
`,
    args: ['--force-secret', SECRET, '--access-log', 'json', ...args],
  })

beforeAll(async () => {
  legacy = await answering('legacy')
  gtin = await answering('gtin')
  banyan = await start(['--force-by-link'])()
})
afterAll(async () => {
  await banyan.stop()
  await legacy.stop()
  await gtin.stop()
})

async function get(path: string, cookie?: string, to: Banyan = banyan, method = 'GET') {
  const headers: Record<string, string> = cookie === undefined ? {} : { cookie }
  const response = await fetch(`http://127.0.0.1:${to.port}${path}`, { method, headers, redirect: 'manual' })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const link = (query: string): string => `/.well-known/banyan/force?${query}`

test('a link sets the cookie and goes on; the cookie forces, is kept from the upstream, and nothing of it is stored', async () => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  const opened = await get(link(`upstream=gtin&token=${token}&to=/lookup?a=%C3%A9%20b`))
  expect([opened.status, opened.text]).toEqual([303, ''])
  expect(Object.fromEntries(opened.headers)).toMatchObject({
    location: '/lookup?a=%C3%A9%20b',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
  })
  const [set = ''] = opened.headers.getSetCookie()
  const [, value = '', age] = /^banyan_force=([^;]+); Path=\/; Max-Age=(\d+); HttpOnly; SameSite=Lax$/.exec(set) ?? []
  expect(value).toBe(`gtin:${token}`)
  expect(Number(age)).toBeGreaterThan(30)
  expect(Number(age)).toBeLessThanOrEqual(60)
  heads.length = 0
  const forced = await get('/lookup', `a=1; banyan_force=${value}`)
  expect(forced.text).toBe('gtin')
  expect(forced.headers.get('cache-control')).toBe('private, max-age=60')
  expect(heads[0]?.toLowerCase()).toContain('cookie: a=1\r\n')
  expect(heads.join('')).not.toContain('banyan_force')
  expect((await get('/lookup')).text).toBe('legacy')
  expect(heads).toHaveLength(2)
  await banyan.program.line((line) => line.includes('"reason":"forced"'))
})

test('the token is in no log line', async () => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  await get(link(`upstream=gtin&token=${token}`))
  await get(link(`upstream=legacy&token=${token}`))
  await get(link(`upstream=gtin&token=${token}`), undefined, banyan, 'POST')
  await get(link(`upstream=gtin&token=${token}&pad=${'x'.repeat(17_000)}`))
  await get('/last')
  await banyan.program.line((line) => line.includes('"target":"/last"'))
  const log = banyan.log.join('\n')
  expect(log).toContain('/.well-known/banyan/force?…')
  expect(log).not.toContain(token)
})

test('over TLS the cookie has its prefix, and ?off takes it back', async () => {
  const secure = await start(['--force-by-link', '--client-scheme', 'https'])()
  const token = makeForceToken(SECRET, 'gtin', soon)
  const opened = await get(link(`upstream=gtin&token=${token}`), undefined, secure)
  expect(opened.headers.getSetCookie()[0]).toMatch(
    /^__Host-banyan_force=gtin:[^;]+; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax$/,
  )
  expect(opened.headers.get('location')).toBe('/')
  expect((await get('/lookup', `__Host-banyan_force=gtin:${token}`, secure)).text).toBe('gtin')
  const off = await get(link('off&to=/done'), undefined, secure)
  expect([off.status, off.headers.get('location'), off.headers.getSetCookie()[0]]).toEqual([
    ...[303, '/done', '__Host-banyan_force=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax'],
  ])
  await secure.stop()
})

test.each([
  '//evil.test',
  '/\\evil.test',
  '/a\\b',
  'evil.test',
  'https://evil.test',
  '/\t/evil.test',
  '/%0d%0aSet-Cookie:x',
  '%2f%2fevil.test',
  '',
])('to=%j leads nowhere else', async (to) => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  const opened = await get(link(`upstream=gtin&token=${token}&to=${to.includes('%') ? to : encodeURIComponent(to)}`))
  expect([opened.status, opened.headers.get('location'), opened.headers.getSetCookie()]).toEqual([400, null, []])
})

test('a token that is not valid for the upstream sets nothing, and a cookie with one forces nothing', async () => {
  const other = makeForceToken(SECRET, 'legacy', soon)
  const past = makeForceToken(SECRET, 'gtin', Date.now() - 1000)
  const forged = makeForceToken('another secret, as long', 'gtin', soon)
  const gone = makeForceToken(SECRET, 'gone', soon)
  for (const [upstream, token] of [
    ['gtin', other],
    ['gtin', past],
    ['gtin', forged],
    ['gone', gone],
    ['gtin', ''],
    ['', ''],
  ]) {
    const opened = await get(link(`upstream=${upstream}&token=${token}`))
    expect([opened.status, opened.headers.getSetCookie()]).toEqual([403, []])
    expect((await get('/lookup', `banyan_force=${upstream}:${token}`)).text).toBe('legacy')
  }
})

test('where links are off the path is the application’s, and the cookie is nothing', async () => {
  const plain = await start([])()
  const token = makeForceToken(SECRET, 'gtin', soon)
  heads.length = 0
  expect((await get(link(`upstream=gtin&token=${token}`), undefined, plain)).text).toBe('legacy')
  expect((await get('/lookup', `banyan_force=gtin:${token}`, plain)).text).toBe('legacy')
  expect(heads[0]).toContain(`GET ${link(`upstream=gtin&token=${token}`)} HTTP/1.1`)
  await plain.stop()
  const started = startBanyan({ table: '', args: ['--force-by-link'], complains: true })
  await expect(started).rejects.toThrow('--force-by-link: needs --force-secret')
})

test('tellSide: header says on hits too who has answered, and not who was to', async () => {
  const sides = new Map<string, string | null>()
  for (let k = 0; k < 12; k++) {
    const first = await get(`/head?k=${k}`)
    const again = await get(`/head?k=${k}`)
    expect(again.headers.get('banyan-side')).toBe(first.headers.get('banyan-side'))
    expect(again.headers.get('age')).not.toBeNull()
    sides.set(first.text, first.headers.get('banyan-side'))
  }
  expect(Object.fromEntries(sides)).toEqual({ legacy: 'from', gtin: 'to' })
  expect((await get('/falls')).headers.get('banyan-side')).toBe('from')
  expect((await get('/broken')).headers.get('banyan-side')).toBeNull()
})

test('tellSide: cookie is for scripts, and set when it changes', async () => {
  const first = await get('/cookie')
  expect(first.headers.getSetCookie()).toEqual(['banyan_side_cookie=to; Path=/; SameSite=Lax'])
  expect(first.headers.get('cache-control')).toBe('private, max-age=60')
  const next = await get('/cookie', 'banyan_side_cookie=to')
  expect([next.headers.getSetCookie(), next.headers.get('cache-control')]).toEqual([[], 'max-age=60'])
  expect((await get('/cookie', 'banyan_side_cookie=from')).headers.getSetCookie()).toHaveLength(1)
})
