/**
 * `sticky: visitor`: a first-party cookie keeps anonymous visitors on their side from their first request, and nobody but banyan and
 * that visitor gets to see it.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { startProgram } from '../support/process.ts'
import { commandOf, type RedisServer, startRedis } from '../support/redis.ts'
import { type ScriptedUpstream, scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'

let legacy: ScriptedUpstream
let shop: ScriptedUpstream
const seen: UpstreamRequest[] = []

const answering = (name: string) =>
  scriptedUpstream((request) => {
    seen.push(request)
    const fields = request.target.startsWith('/cached')
      ? 'Cache-Control: public, max-age=60, s-maxage=90\r\nCDN-Cache-Control: max-age=600\r\nVary: Cookie\r\n'
      : ''
    return request.send(`HTTP/1.1 200 OK\r\n${fields}Content-Length: ${name.length}\r\n\r\n${name}`)
  })

beforeAll(async () => {
  legacy = await answering('legacy')
  shop = await answering('shop')
})
afterAll(async () => {
  await legacy.stop()
  await shop.stop()
})

const tableOf = (routes: string, more = '') => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy.port}] }
  shop: { servers: [http://127.0.0.1:${shop.port}] }
default: legacy
${more}
routes:
${routes}
`

interface Got {
  readonly side: string
  readonly cookies: readonly string[]
  readonly cacheControl: string | null
  readonly headers: Headers
}

async function get(banyan: Banyan, path: string, cookie?: string): Promise<Got> {
  const response = await fetch(`http://127.0.0.1:${banyan.port}${path}`, {
    headers: cookie === undefined ? {} : { cookie },
  })
  const { headers } = response
  const side = await response.text()
  return { side, cookies: headers.getSetCookie(), cacheControl: headers.get('cache-control'), headers }
}

const pairOf = ({ cookies }: Got): string => {
  expect(cookies).toHaveLength(1)
  return cookies[0]?.split(';')[0] ?? ''
}

describe('a shop with anonymous visitors', () => {
  let banyan: Banyan
  beforeAll(async () => {
    banyan = await startBanyan({
      table: tableOf(`  - { id: shop, match: { path: /shop/* }, to: shop, percent: 50, sticky: [cookie:sid, visitor] }
  - { id: basket, match: { path: /basket }, to: shop, percent: 50, group: shop, sticky: visitor }`),
      args: ['--workers', '2'],
    })
  })
  afterAll(() => banyan.stop())

  test('they stay on their side from the first request, over workers and routes of a group', async () => {
    const sides = new Set<string>()
    for (let visitor = 0; visitor < 24; visitor++) {
      const first = await get(banyan, '/shop/')
      sides.add(first.side)
      const cookie = pairOf(first)
      for (const path of ['/shop/a', '/basket', '/shop/b']) {
        const next = await get(banyan, path, `theme=dark; ${cookie}`)
        expect([next.side, next.cookies]).toEqual([first.side, []])
      }
    }
    expect([...sides].sort()).toEqual(['legacy', 'shop'])
  })

  test('the cookie is for this client alone, and banyan alone reads it', async () => {
    seen.length = 0
    const first = await get(banyan, '/shop/')
    expect(first.cookies[0]).toMatch(
      /^banyan_visitor=[\w-]{22}\.[\w-]{22}; Path=\/; Max-Age=7776000; HttpOnly; SameSite=Lax$/,
    )
    expect(first.cacheControl).toBe('private')
    const cookie = pairOf(first)
    await get(banyan, '/shop/', `a=1;  b="2" ; ${cookie};c`)
    await get(banyan, '/shop/', cookie)
    await get(banyan, '/elsewhere', cookie)
    expect(seen.map((request) => request.field('cookie'))).toEqual([undefined, 'a=1;  b="2" ;c', undefined, undefined])
  })

  test('who has another key gets none', async () => {
    expect((await get(banyan, '/shop/', 'sid=alice')).cookies).toEqual([])
    expect((await get(banyan, '/elsewhere')).cookies).toEqual([])
  })

  test('a cookie that was not made here is none', async () => {
    const [name, value = ''] = pairOf(await get(banyan, '/shop/')).split('=')
    const last = value.at(-1) === 'A' ? 'B' : 'A'
    for (const forged of [
      value.slice(0, -1),
      value.slice(0, 23),
      value.slice(0, 22),
      value.slice(0, -1) + last,
      `x${value}`,
    ])
      expect(pairOf(await get(banyan, '/shop/', `${name}=${forged}`))).not.toBe(`${name}=${forged}`)
  })

  test('its key is kept beside the history, for nobody else to read, and counts after a restart', async () => {
    const folder = join(dirname(banyan.tableFile), '.banyan/routes.yaml')
    expect(statSync(join(folder, 'cookie-key')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(dirname(folder), '.gitignore'), 'utf8')).toBe('*\n')
    const cookie = pairOf(await get(banyan, '/shop/'))
    const again = startProgram([
      ...['bin/banyan.js', 'serve', '--table', banyan.tableFile, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
      ...['--workers', '0', '--access-log', 'none'],
    ])
    const ready = await again.line((line) => line.startsWith('banyan ready '))
    const port = Number(/^banyan ready http:\/\/[^ ]*:(\d+)/.exec(ready)?.[1])
    expect((await get({ ...banyan, port }, '/shop/', cookie)).cookies).toEqual([])
    await again.stop()
  })
})

test('a login changes the id of the session, and not the side of who has a key that survives it', async () => {
  const banyan = await startBanyan({
    table: tableOf(`  - { id: kept, match: { path: /kept }, to: shop, percent: 50, sticky: [cookie:user, visitor] }
  - { id: lost, match: { path: /lost }, to: shop, percent: 50, sticky: [{ source: cookie:sid, ignore: ['""'] }, visitor] }`),
  })
  const moved = { kept: 0, lost: 0 }
  for (let client = 0; client < 24; client++) {
    for (const route of ['kept', 'lost'] as const) {
      const first = await get(banyan, `/${route}`, 'sid=""')
      const visitor = pairOf(first)
      const later = []
      for (const sid of ['""', `${client}-before`, `${client}-login`])
        later.push((await get(banyan, `/${route}`, `sid=${sid}; ${visitor}`)).side)
      expect(later[0]).toBe(first.side)
      if (later.some((side) => side !== first.side)) moved[route]++
    }
  }
  expect(moved.kept).toBe(0)
  expect(moved.lost).toBeGreaterThan(0)
  await banyan.stop()
})

describe('with secrets', () => {
  test('a further one goes on to count, and the cookie is renewed with the first', async () => {
    const table = tableOf('  - { id: shop, match: { path: /* }, to: shop, percent: 50, sticky: visitor }')
    const old = await startBanyan({ table, args: ['--cookie-secret', 'the old secret of cookies'] })
    const first = await get(old, '/')
    await old.stop()
    const rotated = await startBanyan({
      table,
      args: ['--cookie-secret', 'the new secret of cookies,the old secret of cookies', '--keep-revisions', '0'],
    })
    const second = await get(rotated, '/', pairOf(first))
    expect(second.side).toBe(first.side)
    expect(pairOf(second).slice(0, 37)).toBe(pairOf(first).slice(0, 37))
    expect(pairOf(second)).not.toBe(pairOf(first))
    expect((await get(rotated, '/', pairOf(second))).cookies).toEqual([])
    await rotated.stop()
  })

  test('the table says how the cookie is set, and TLS gives it its prefix', async () => {
    const banyan = await startBanyan({
      table: tableOf(
        `  - { id: shop, match: { path: /shop }, to: shop, percent: 50, sticky: visitor }`,
        'visitor: { name: who, maxAge: 30d, sameSite: none, httpOnly: false }',
      ),
      args: ['--cookie-secret', 'a secret of some length', '--client-scheme', 'https'],
    })
    const first = await get(banyan, '/shop')
    expect(first.cookies[0]).toMatch(/^__Host-who=[^;]+; Path=\/; Max-Age=2592000; Secure; SameSite=None$/)
    seen.length = 0
    expect((await get(banyan, '/shop', `who=x; ${pairOf(first)}`)).cookies).toEqual([])
    expect(seen[0]?.field('cookie')).toBeUndefined()
    await banyan.stop()
  })

  test('without one, and without a folder, the table is refused at the line', async () => {
    const started = startBanyan({
      table: tableOf('  - { id: shop, match: { path: /* }, to: shop, percent: 50, sticky: [visitor] }'),
      args: ['--keep-revisions', '0'],
      complains: true,
    })
    await expect(started).rejects.toThrow(
      /routes\.yaml:8:\d+: routes\.0\.sticky: needs a key for its cookie: .* \(set --cookie-secret\)/,
    )
  })

  test('an edit that needs a key is refused as well', async () => {
    const banyan = await startBanyan({
      table: tableOf('  - { id: shop, match: { path: /* }, to: shop, percent: 50 }'),
      args: ['--keep-revisions', '0'],
    })
    const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/shop`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ sticky: ['visitor'] }),
    })
    expect([response.status, await response.text()]).toEqual([
      422,
      expect.stringContaining('needs a key for its cookie'),
    ])
    await banyan.stop()
  })
})

test('the cookie is removed when its route has moved everybody, and kept while it waits at 0', async () => {
  const banyan = await startBanyan({
    table: tableOf('  - { id: shop, match: { path: /* }, to: shop, percent: 50, sticky: visitor }'),
  })
  const cookie = pairOf(await get(banyan, '/'))
  const to = (percent: number) =>
    fetch(`http://127.0.0.1:${banyan.adminPort}/routes/shop`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ percent }),
    })
  await to(0)
  expect((await get(banyan, '/', cookie)).cookies).toEqual([])
  expect((await get(banyan, '/')).cookies).toEqual([])
  await to(100)
  expect((await get(banyan, '/')).cookies).toEqual([])
  expect((await get(banyan, '/', cookie)).cookies).toEqual([
    'banyan_visitor=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax',
  ])
  await banyan.stop()
})

test('several targets keep their visitors, also when everybody has moved', async () => {
  const other = await answering('other')
  const upstream = `  other: { servers: [http://127.0.0.1:${other.port}] }\ndefault: legacy`
  const route = '  - { id: shop, match: { path: /* }, to: { shop: 50, other: 50 }, percent: 50, sticky: visitor }'
  const banyan = await startBanyan({ table: tableOf(route).replace('default: legacy', upstream) })
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/shop`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify({ percent: 100 }),
  })
  const first = await get(banyan, '/')
  const cookie = pairOf(first)
  for (let i = 0; i < 20; i++) {
    const { side, cookies } = await get(banyan, '/', cookie)
    expect([side, cookies]).toEqual([first.side, []])
  }
  await banyan.stop()
  await other.stop()
})

describe.each(['memory', 'redis'])('a route with a cache in %s', (kind) => {
  let banyan: Banyan
  let redis: RedisServer | null = null
  beforeAll(async () => {
    redis = kind === 'redis' ? await startRedis() : null
    banyan = await startBanyan({
      table: tableOf(
        '  - { id: shop, match: { path: /cached/* }, to: shop, percent: 99.9999, sticky: visitor, cache: {} }',
      ),
      args: redis === null ? [] : ['--redis', redis.url, '--workers', '2'],
    })
  })
  afterAll(async () => {
    await banyan.stop()
    await redis?.stop()
  })

  test('each visitor gets a cookie of its own with a hit, and nothing of it is stored', async () => {
    seen.length = 0
    const first = await get(banyan, '/cached/page')
    const second = await get(banyan, '/cached/page')
    expect(pairOf(first)).not.toBe(pairOf(second))
    for (const { cacheControl, headers } of [first, second]) {
      expect(cacheControl).toBe('private, max-age=60')
      expect(headers.get('cdn-cache-control')).toBeNull()
    }
    const known = await get(banyan, '/cached/page', pairOf(first))
    expect(known.cookies).toEqual([])
    expect(known.cacheControl).toBe('public, max-age=60, s-maxage=90')
    expect(known.headers.get('cdn-cache-control')).toBe('max-age=600')
    // Vary: Cookie, and the cookies of three visitors: what counts is what goes upstream.
    expect(seen).toHaveLength(1)
    if (redis !== null) {
      const all =
        "local r='' for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('TYPE',k).ok=='string' then r=r..redis.call('GET',k) end end return r"
      const stored = await commandOf(redis.port, 'EVAL', all, '0')
      expect(stored).toContain('max-age=60')
      expect(stored).not.toContain('banyan_visitor')
    }
  })

  test('collapsed requests share the answer, and no cookie', async () => {
    seen.length = 0
    const all = await Promise.all(Array.from({ length: 12 }, () => get(banyan, '/cached/collapsed')))
    expect(new Set(all.map(pairOf)).size).toBe(12)
    expect(seen.length).toBeLessThanOrEqual(2)
  })
})

test('explain tells a visitor that is known from one that would be given the cookie', async () => {
  const banyan = await startBanyan({
    table: tableOf('  - { id: shop, match: { path: /* }, to: shop, percent: 50, sticky: [cookie:sid, visitor] }'),
  })
  const explain = async (cookie: string | null) => {
    const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ url: '/', headers: cookie === null ? {} : { cookie } }),
    })
    return (await response.json()) as { decision: { upstream: string; sticky: string }; route: { sticky: unknown } }
  }
  const first = await get(banyan, '/')
  const known = await explain(pairOf(first))
  expect(known.decision).toMatchObject({ upstream: first.side, sticky: 'visitor' })
  expect(known.route.sticky).toEqual([
    { source: 'cookie:sid', present: false, used: false },
    { source: 'visitor', present: true, used: true },
  ])
  expect((await explain(null)).route.sticky).toContainEqual({ source: 'visitor', present: false, used: true })
  await banyan.stop()
})
