/**
 * Shadowing over the wire: which requests are copied, to whom, and that no client ever notices.
 */
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const JSON_TYPE = 'Content-Type: application/json'
const json = (value: unknown, more: readonly string[] = []): string => {
  const body = JSON.stringify(value)
  return ['HTTP/1.1 200 OK', JSON_TYPE, ...more, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n')
}

const same = (request: UpstreamRequest): Promise<void> => request.send(json({ price: 10 }))

const [legacy, modern] = await Promise.all([scriptedUpstream(same), scriptedUpstream(same)])

const route = (id: string, more: string): string => `  - { id: ${id}, match: { path: /${id}/* }, to: modern, ${more} }`
const rewritten = (id: string, ...more: string[]): string => `  - id: ${id}
    match: { path: /${id}/:thing }
    ambiguousPaths: allow
    to: modern
    rewrite: { path: /v2/things/:thing, query: { set: { store: "7" } }, headers: { set: { x-new: "1" }, remove: [x-old] } }
    answer: { headers: { set: { cache-control: no-cache } } }
    ${more.join('\n    ')}`
const ALL = 'shadow: { percent: 100, noise: 0 }'
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
${route('from', ALL)}
${route('moved', `percent: 100, fallback: {}, breaker: false, ${ALL.replace('noise', 'sides: both, noise')}`)}
${route('stays', `percent: 100, ${ALL}`)}
${route('stored', `cache: { ttl: 1h }, ${ALL}`)}
${route('noisy', ALL)}
${route('asked', ALL)}
${route('some', 'shadow: { percent: 100, noise: 0, match: { headers: { x-copy: true } } }')}
${route('clear', 'shadow: { percent: 100, noise: 0, samples: values, redact: [/secret], compare: { headers: [location, authorization] } }')}
${route('none', 'percent: 0')}
${rewritten('rewritten', ALL)}
${rewritten('returned', 'percent: 100', 'shadow: { percent: 100, noise: 0, sides: to }')}
${rewritten('kept', 'cache: { ttl: 1h }', ALL)}
${route('reads', `rewrite: { path: "/v2/*", query: { remove: [cb] }, headers: { set: { x-a: "{side}" } } }, answer: { headers: { remove: [x-inner] } }, shadow: { percent: 100, noise: 0, compare: { headers: [location, link, x-inner] } }`)}
`,
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop()]))

let seen: { readonly side: string; readonly head: string; readonly target: string }[] = []
const recording =
  (side: string, answer: (request: UpstreamRequest) => Promise<unknown> | unknown) =>
  async (request: UpstreamRequest) => {
    seen.push({ side, head: request.head, target: request.target })
    await answer(request)
  }
const sides = (): string[] => seen.map(({ side }) => side)

beforeEach(() => {
  seen = []
  legacy.handler = recording('legacy', same)
  modern.handler = recording('modern', same)
})

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
const comparisons = async (id: string): Promise<any> =>
  (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/${id}/comparisons`)).json()

const settled = (id: string, check: (told: Awaited<ReturnType<typeof comparisons>>) => void): Promise<void> =>
  vi.waitFor(async () => check(await comparisons(id)), { timeout: 120_000, interval: 20 })

const get = (client: RawClient, target: string, fields = '', method = 'GET') =>
  client.ask(`${method} ${target} HTTP/1.1\r\nHost: shop.test\r\n${fields}\r\n`)

test('a copy goes to the other side once the client has its response, marked, with the request as it came', async () => {
  const client = await rawClient(banyan.port)
  const before = (await comparisons('from')).comparisons
  const response = await get(client, '/from/a?b=c', 'X-Trace: 7\r\nBanyan-Shadow: mine\r\nCookie: sid=1\r\n')
  expect(response.body.text).toBe('{"price":10}')
  await settled('from', ({ comparisons: count }) => expect(count).toBe(before + 1))
  expect(sides()).toEqual(['legacy', 'modern'])
  const [own, copy] = seen as [(typeof seen)[0], (typeof seen)[0]]
  expect(own.head).not.toMatch(/banyan-shadow/i)
  expect(copy.head.match(/banyan-shadow: .*/gi)).toEqual(['Banyan-Shadow: 1'])
  expect(copy.target).toBe('/from/a?b=c')
  expect(copy.head).toMatch(/x-trace: 7/i)
  expect(copy.head).toMatch(/host: shop\.test/i)
  client.socket.destroy()
})

test('what is never copied is counted by its reason', async () => {
  const client = await rawClient(banyan.port)
  const before = (await comparisons('from')).skipped
  const count = (reason: string): number => before[reason] ?? 0
  await get(client, '/from/a', 'Content-Length: 0\r\n', 'POST')
  await get(client, '/from/a', 'Content-Length: 0\r\n', 'DELETE')
  await get(client, '/from/a', 'Content-Length: 0\r\n', 'OPTIONS')
  await get(client, '/from/a', 'If-None-Match: "x"\r\n')
  await get(client, '/from/a', 'If-Modified-Since: Sun, 29 Nov 2026 10:00:00 GMT\r\n')
  await get(client, '/from/a', 'Range: bytes=0-1\r\n')
  await get(client, '/from/a', 'Authorization: NTLM abc\r\n')
  await client.ask('GET /from/a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody')
  await settled('from', ({ skipped }) =>
    expect(skipped).toMatchObject({
      ...{ method: count('method') + 3, conditional: count('conditional') + 2, range: count('range') + 1 },
      ...{ private: count('private') + 1, body: count('body') + 1 },
    }),
  )
  expect(sides().filter((side) => side === 'modern')).toEqual([])
  client.socket.destroy()
})

test.each(['rewritten', 'returned', 'kept'])(
  'each side gets the request as its own, and is compared as the client would get it: %s',
  async (id) => {
    const [mine, theirs] = ['Cache-Control: no-cache', 'Cache-Control: max-age=5']
    legacy.handler = recording('legacy', (request) =>
      request.send(json({ price: 10 }, [`Location: /${id}/9?a=1`, mine])),
    )
    modern.handler = recording('modern', (request) =>
      request.send(json({ price: 10 }, [`Location: /v2/things/9?a=1`, theirs])),
    )
    const client = await rawClient(banyan.port)
    const response = await get(client, `/${id}/1?b=c`, 'X-Old: 1\r\n')
    expect(response.status).toBe(200)
    await settled(id, ({ comparisons: count }) => expect(count).toBe(1))
    expect((await comparisons(id)).fields).toEqual([])
    const of = (side: string) => seen.find((one) => one.side === side) as (typeof seen)[0]
    expect(sides().toSorted()).toEqual(['legacy', 'modern'])
    expect([of('legacy').target, of('modern').target]).toEqual([`/${id}/1?b=c`, '/v2/things/1?b=c&store=7'])
    expect(of('legacy').head).toMatch(/^x-old: 1\r$/im)
    expect(of('legacy').head).not.toMatch(/^x-new:/im)
    expect(of('modern').head).toMatch(/^x-new: 1\r$/im)
    expect(of('modern').head).not.toMatch(/^x-old:/im)
    client.socket.destroy()
  },
)

test('a path that the other side can not be sent is not copied', async () => {
  const client = await rawClient(banyan.port)
  expect((await get(client, '/rewritten/a%2Fb')).status).toBe(200)
  await settled('rewritten', ({ skipped }) => expect(skipped).toEqual({ path: 1 }))
  expect(sides()).toEqual(['legacy'])
  client.socket.destroy()
})

test('only the requests of the sides and of the match are copied; a route without shadow pays nothing', async () => {
  const client = await rawClient(banyan.port)
  await get(client, '/stays/a')
  await get(client, '/some/a')
  await get(client, '/none/a')
  await get(client, '/some/b', 'X-Copy: 1\r\n')
  await settled('some', ({ comparisons: count }) => expect(count).toBe(1))
  await get(client, '/moved/a')
  await settled('moved', ({ comparisons: count }) => expect(count).toBe(1))
  expect(sides()).toEqual(['modern', 'legacy', 'legacy', 'legacy', 'modern', 'modern', 'legacy'])
  client.socket.destroy()
})

test('after a difference the old side is asked again, if it was asked first', async () => {
  modern.handler = recording('modern', (request) => request.send(json({ price: 11 })))
  const client = await rawClient(banyan.port)
  const before = (await comparisons('moved')).comparisons
  await get(client, '/moved/again')
  await settled('moved', ({ comparisons: count }) => expect(count).toBe(before + 1))
  await get(client, '/asked/again')
  await settled('asked', ({ comparisons: count }) => expect(count).toBe(1))
  await expect.poll(sides).toEqual(['modern', 'legacy', 'legacy', 'modern', 'legacy'])
  client.socket.destroy()
})

test('differences where the old side sets a cookie take no chance from those where it does not', async () => {
  const client = await rawClient(banyan.port)
  let cookie: string[] = ['Set-Cookie: sid=1']
  legacy.handler = recording('legacy', (request) => request.send(json({ total: 10 }, cookie)))
  modern.handler = recording('modern', (request) => request.send(json({ total: 11 }, cookie)))
  const before = await comparisons('asked')
  for (let i = 1; i <= 21; i++) {
    await get(client, '/asked/cookie')
    await settled('asked', ({ cookieSet }) => expect(cookieSet).toBe(before.cookieSet + i))
  }
  cookie = []
  await get(client, '/asked/again')
  await settled('asked', ({ repeats }) => expect(repeats).toBe(before.repeats + 1))
  client.socket.destroy()
})

test('where the old side prolongs cookies that the client has sent, it is asked again, with them', async () => {
  const client = await rawClient(banyan.port)
  const rolling = ['Set-Cookie: sid=1; Path=/', 'Set-Cookie: lb=a']
  legacy.handler = recording('legacy', (request) => request.send(json({ rolling: 10 }, rolling)))
  modern.handler = recording('modern', (request) => request.send(json({ rolling: 11 }, rolling)))
  const before = await comparisons('asked')
  await get(client, '/asked/rolling', 'Cookie: other=1; sid=1; lb=a\r\n')
  await settled('asked', ({ repeats }) => expect(repeats).toBe(before.repeats + 1))
  expect(sides()).toEqual(['legacy', 'modern', 'legacy'])
  for (const { head } of seen) expect(head).toMatch(/^cookie: other=1; sid=1; lb=a\r$/im)
  // An application may take the reuse of a session that it has replaced for theft.
  await get(client, '/asked/rolling', 'Cookie: lb=a; sid=0\r\n')
  await settled('asked', ({ cookieSet }) => expect(cookieSet).toBe(before.cookieSet + 1))
  expect(sides()).toEqual(['legacy', 'modern', 'legacy', 'legacy', 'modern'])
  client.socket.destroy()
})

test('a request that fell back is not copied', async () => {
  modern.handler = recording('modern', (request) => request.send('HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy'))
  const client = await rawClient(banyan.port)
  const before = (await comparisons('moved')).skipped.fallback ?? 0
  await get(client, '/moved/b')
  await settled('moved', ({ skipped }) => expect(skipped.fallback).toBe(before + 1))
  expect(sides()).toEqual(['modern', 'legacy'])
  client.socket.destroy()
})

test('where the cache had the response, from is asked anew: a stored response is never the reference', async () => {
  let price = 10
  legacy.handler = recording('legacy', (request) => request.send(json({ price })))
  modern.handler = recording('modern', (request) => request.send(json({ price })))
  const client = await rawClient(banyan.port)
  await get(client, '/stored/a')
  await settled('stored', ({ comparisons: count, matches }) => expect([count, matches]).toEqual([1, 1]))
  // The response to a miss is that of the upstream.
  expect(sides()).toEqual(['legacy', 'modern'])
  price = 11
  // The client still gets the stored 10; both sides say 11.
  expect((await get(client, '/stored/a')).body.text).toBe('{"price":10}')
  await settled('stored', ({ comparisons: count, matches }) => expect([count, matches]).toEqual([2, 2]))
  expect(sides()).toEqual(['legacy', 'modern', 'legacy', 'modern'])
  client.socket.destroy()
})

test('of requests that share one response, those that did not fetch it ask from anew', async () => {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  legacy.handler = recording('legacy', async (request) => {
    if (sides().length === 1) await released
    await same(request)
  })
  const clients = await Promise.all([rawClient(banyan.port), rawClient(banyan.port)])
  const before = (await comparisons('stored')).comparisons
  const answers = clients.map((client) => get(client, '/stored/shared'))
  await expect.poll(sides).toEqual(['legacy'])
  release()
  expect((await Promise.all(answers)).map(({ body }) => body.text)).toEqual(['{"price":10}', '{"price":10}'])
  await settled('stored', ({ comparisons: count, matches }) =>
    expect([count, matches]).toEqual([before + 2, before + 2]),
  )
  expect(sides().toSorted()).toEqual(['legacy', 'legacy', 'modern', 'modern'])
  for (const client of clients) client.socket.destroy()
})

describe('differences', () => {
  test('are named by path and kind, with an example that shows no value', async () => {
    legacy.handler = recording('legacy', (request) => request.send(json({ items: [{ price: 'canary-old' }], id: 1 })))
    modern.handler = recording('modern', (request) => request.send(json({ items: [{ price: 'canary-new' }] })))
    const client = await rawClient(banyan.port)
    const before = await comparisons('from')
    await get(
      client,
      '/from/diff?token=canary-query',
      'Authorization: Bearer canary-token\r\nCookie: sid=canary-sid\r\n',
    )
    await settled('from', ({ mismatches }) => expect(mismatches).toBe(before.mismatches + 1))
    const told = await comparisons('from')
    expect(told.fields).toMatchObject([
      { path: '/id', kind: 'missing', count: 1 },
      { path: '/items/*/price', kind: 'value', count: 1 },
    ])
    const sample = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/samples/${told.fields[0].sample}`)).json()
    expect(sample).toMatchObject({ route: 'from', method: 'GET', target: '/from/diff?token=...' })
    const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
    expect(JSON.stringify([told, sample]) + metrics + banyan.log.join('\n')).not.toContain('canary')
    client.socket.destroy()
  })

  test('samples: values shows them, but for what is redacted and what nobody may see', async () => {
    legacy.handler = recording('legacy', (request) =>
      request.send(
        json({ price: 'old', secret: { canary: 'canary-1' } }, [
          'Set-Cookie: canary',
          'Location: http://u:canary@h/?canary',
        ]),
      ),
    )
    modern.handler = recording('modern', (request) =>
      request.send(
        json({ price: 'new', secret: { canaries: 'canary-3' } }, [
          'Set-Cookie: other=canary-4',
          'Authorization: canary',
        ]),
      ),
    )
    const client = await rawClient(banyan.port)
    await get(client, '/clear/a;sid=canary?key=canary-5&canary')
    await settled('clear', ({ comparisons: count }) => expect(count).toBe(1))
    // Asked again, from would begin another session.
    expect(sides()).toEqual(['legacy', 'modern'])
    const { samples, cookieSet } = await comparisons('clear')
    expect(cookieSet).toBe(1)
    const sample = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/samples/${samples[0].id}`)).json()
    expect(sample.differences).toContainEqual({ path: '/price', kind: 'value', from: '"old"', to: '"new"' })
    expect(sample.differences.map(({ path }: { path: string }) => path)).toContain('/secret/*')
    expect(JSON.stringify([sample, await comparisons('clear')])).not.toContain('canary')
    client.socket.destroy()
  })

  test('what from answers differently itself is noise', async () => {
    let counter = 0
    legacy.handler = recording('legacy', (request) => request.send(json({ id: counter++, price: 10 })))
    modern.handler = recording('modern', (request) => request.send(json({ id: counter++, price: 12 })))
    const client = await rawClient(banyan.port)
    for (let i = 1; i <= 12; i++) {
      await get(client, '/noisy/a')
      await settled('noisy', ({ comparisons: count }) => expect(count).toBe(i))
    }
    await settled('noisy', ({ fields }) =>
      expect(fields.map((one: { path: string; verdict: string }) => [one.path, one.verdict])).toEqual([
        ['/price', 'mismatch'],
        ['/id', 'noise'],
      ]),
    )
    client.socket.destroy()
  })
})

describe('the client', () => {
  test.each<[string, (request: UpstreamRequest) => unknown]>([
    ['closes', (request) => request.connection.socket.destroy()],
    ['answers garbage', (request) => request.send('garbage\r\n\r\n')],
    ['sends 10,000 headers', (request) => request.send(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(10_000)}\r\n`)],
  ])('notices nothing of a side that %s; after five failures it gets no copies for a while', async (_, breaks) => {
    modern.handler = recording('modern', breaks)
    const one = await startBanyan({ table: alone() })
    const client = await rawClient(one.port)
    // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
    const told = async (): Promise<any> =>
      (await fetch(`http://127.0.0.1:${one.adminPort}/routes/from/comparisons`)).json()
    const errors = async (): Promise<number> =>
      Object.values((await told()).errors as Record<string, number>).reduce((sum, count) => sum + count, 0)
    for (let i = 1; i <= 5; i++) {
      expect((await get(client, '/from/a')).body.text).toBe('{"price":10}')
      await vi.waitFor(async () => expect(await errors()).toBe(i), { timeout: 120_000 })
    }
    expect((await get(client, '/from/a')).body.text).toBe('{"price":10}')
    await vi.waitFor(async () => expect((await told()).skipped).toEqual({ paused: 1 }), { timeout: 120_000 })
    const live = await (await fetch(`http://127.0.0.1:${one.adminPort}/upstreams/modern`)).json()
    expect(live.live.servers[0].connections.open).toBe(0)
    client.socket.destroy()
    await one.stop()
  })

  test('a side that hangs holds at most eight copies; the others are dropped and counted', async () => {
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    modern.handler = recording('modern', (request) => released.then(() => same(request)))
    const client = await rawClient(banyan.port)
    const before = await comparisons('from')
    for (let i = 0; i < 20; i++) expect((await get(client, '/from/a')).body.text).toBe('{"price":10}')
    await settled('from', ({ skipped }) => expect(skipped.busy).toBe((before.skipped.busy ?? 0) + 12))
    expect(sides().filter((side) => side === 'modern')).toHaveLength(8)
    release()
    await settled('from', ({ comparisons: count }) => expect(count).toBe(before.comparisons + 8))
    client.socket.destroy()
  })

  test('gigabytes are not read: beyond maxBody only status and headers are compared', async () => {
    let closed = false
    modern.handler = recording('modern', (request) => {
      const { socket } = request.connection
      const piece = Buffer.alloc(64 * 1024, 'x')
      const pump = (): void => {
        while (!closed && socket.write(piece));
      }
      socket.once('close', () => {
        closed = true
      })
      socket.on('drain', pump)
      socket.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\nContent-Length: 4000000000\r\n\r\n`)
      pump()
    })
    const client = await rawClient(banyan.port)
    const before = await comparisons('from')
    expect((await get(client, '/from/a')).body.text).toBe('{"price":10}')
    await settled('from', ({ partial }) => expect(partial).toBe(before.partial + 1))
    await vi.waitFor(() => expect(closed).toBe(true), { timeout: 120_000 })
    client.socket.destroy()
  })

  test('an answer to HEAD has no body: only a difference counts', async () => {
    const client = await rawClient(banyan.port)
    const before = await comparisons('from')
    await get(client, '/from/a', '', 'HEAD')
    await settled('from', ({ partial }) => expect(partial).toBe(before.partial + 1))
    const otherType = 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n'
    modern.handler = (request) => request.send(otherType)
    await get(client, '/from/a', '', 'HEAD')
    await settled('from', ({ comparisons: count }) => expect(count).toBe(before.comparisons + 1))
    await settled('from', ({ repeats }) => expect(repeats).toBe(before.repeats + 1))
    client.socket.destroy()
  })
})

function alone(): string {
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
${route('from', ALL)}
`
}

test('a copy is rewritten as `to` gets it, and compared as its client would get it', async () => {
  legacy.handler = recording('legacy', (request) => request.send(json({ price: 10 }, ['Link: </reads/2>; rel=next'])))
  modern.handler = recording('modern', (request) =>
    request.send(json({ price: 10 }, ['Link: </v2/2>; rel=next', 'X-Inner: 1'])),
  )
  const client = await rawClient(banyan.port)
  await client.ask('GET /reads/1?cb=f&b HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n')
  await settled('reads', (told) => expect(told).toMatchObject({ comparisons: 1, matches: 1 }))
  // The old side may be asked once more for what another test has asked.
  const reads = seen.filter(({ target }) => !target.startsWith('/from/'))
  expect(reads.map(({ target }) => target)).toEqual(['/reads/1?cb=f&b', '/v2/1?b'])
  expect(reads.map(({ head }) => head.match(/^x-a: .*$/gim))).toEqual([['X-A: 1'], ['x-a: to']])
})

test('bodies beyond maxBody differ in length, whether the heads say it or not', async () => {
  const csv = (length: number, head = `Content-Length: ${length}`) =>
    `HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n${head}\r\n\r\n`
  const client = await rawClient(banyan.port)
  const before = (await comparisons('some')).comparisons
  legacy.handler = recording('legacy', (request) => request.send(csv(70_000) + 'x'.repeat(70_000)))
  modern.handler = recording('modern', (request) => request.send(csv(71_000) + 'x'.repeat(71_000)))
  await get(client, '/some/large', 'X-Copy: 1\r\n')
  await settled('some', ({ comparisons: count }) => expect(count).toBe(before + 1))
  expect((await comparisons('some')).fields).toMatchObject([
    { path: '', kind: 'length', example: { from: '70000 bytes', to: '71000 bytes' } },
  ])
  legacy.handler = recording('legacy', (request) => request.send(`${csv(7)}x;y;z;\n`))
  modern.handler = recording('modern', (request) =>
    request.send(`${csv(0, 'Transfer-Encoding: chunked')}11170\r\n${'x'.repeat(70_000)}\r\n0\r\n\r\n`),
  )
  await get(client, '/some/large', 'X-Copy: 1\r\n')
  await settled('some', ({ comparisons: count }) => expect(count).toBe(before + 2))
  expect((await comparisons('some')).fields).toMatchObject([
    { path: '', kind: 'length', example: { from: '7 bytes', to: 'larger than maxBody' } },
  ])
  client.socket.destroy()
})
