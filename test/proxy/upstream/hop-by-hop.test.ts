/**
 * Hop-by-hop and forwarded fields (RFC 9110 section 7.6): what stays on one connection, and what banyan adds.
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const own = `http://127.0.0.1:${upstream.port}`
const table = `version: 1
upstreams:
  main: { servers: ["${own}"] }
  own: { servers: ["${own}"], host: upstream }
  literal: { servers: ["${own}"], host: legacy.example.test }
  mapped: { servers: ["${own}"], host: upstream, publicOrigin: "https://shop.example.test" }
  cookies: { servers: ["${own}"], cookies: { secure: true, sameSite: none, path: /, domain: shop.example.test } }
  named: { servers: ["${own}"], host: Legacy.example.test, publicOrigin: "https://shop.example.test" }
  told: { servers: ["${own}"], via: true }
default: main
routes:
  - { id: own, match: { path: /own/* }, to: own, percent: 100 }
  - { id: literal, match: { path: /literal/* }, to: literal, percent: 100 }
  - { id: mapped, match: { path: /mapped/* }, to: mapped, percent: 100 }
  - { id: cookies, match: { path: /cookies }, to: cookies, percent: 100 }
  - { id: named, match: { path: /named }, to: named, percent: 100 }
  - { id: told, match: { path: /told }, to: told, percent: 100 }
`
const [banyan, trusting] = await Promise.all([
  startBanyan({ table }),
  startBanyan({ table: tableFor(upstream.port), args: ['--trusted-proxies', '127.0.0.0/8'] }),
])
afterAll(() => Promise.all([banyan.stop(), trusting.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const FORWARDED =
  'X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nCDN-Loop: ID\r\n\r\n'
const ADDED = `Connection: keep-alive\r\n${FORWARDED}`
const KEPT = 'Via: 1.1 banyan\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\n'
const DATE = 'Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n'

interface Passage {
  readonly fields?: string
  readonly answer?: string
  readonly port?: number
  readonly target?: string
}

/** Takes a GET with these fields through, answered with those, and gives both heads. */
async function passed({ fields = '', answer = '', port = banyan.port, target = '/' }: Passage) {
  const client = await rawClient(port)
  await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
  const request = await upstream.request()
  await request.send(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\n${answer}\r\n`)
  return { request, response: await client.nextResponse() }
}

const HOP_BY_HOP = [
  'Keep-Alive: timeout=9',
  'Proxy-Connection: keep-alive',
  'Proxy-Authenticate: Basic',
  'Proxy-Authentication-Info: x',
  'Proxy-Authorization: Basic eA==',
  'TE: gzip',
  'Trailer: X-Late',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'ALPN: h2',
  'Alt-Svc: h2=":443"',
]

describe('hop-by-hop fields', () => {
  test.each([...HOP_BY_HOP, 'Connection: keep-alive', 'Upgrade: websocket'])('a request’s %s stays', async (line) => {
    const { request } = await passed({ fields: `X-Before: 1\r\n${line}\r\nX-After: 2\r\n` })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\nX-Before: 1\r\nX-After: 2\r\n${ADDED}`)
  })

  test.each([...HOP_BY_HOP, 'Connection: keep-alive', 'Upgrade: h2c'])('a response’s %s stays', async (line) => {
    const { response } = await passed({ answer: `X-Before: 1\r\n${line.toUpperCase()}\r\nX-After: 2\r\n` })
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\nX-Before: 1\r\nX-After: 2\r\n${KEPT}`)
  })

  test('what Connection names stays, both ways, in any case and over several lines', async () => {
    const named = 'X-One: 1\r\nConnection: x-ONE, keep-alive\r\nX-Two: 2\r\nconnection: , x-two ,,\r\nX-Three: 3\r\n'
    const { request, response } = await passed({ fields: named, answer: named })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\nX-Three: 3\r\n${ADDED}`)
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\nX-Three: 3\r\n${KEPT}`)
  })

  test('Connection can’t strip what banyan adds, nor Host, nor the framing', async () => {
    const client = await rawClient(banyan.port)
    const names = 'x-forwarded-for, x-forwarded-proto, x-forwarded-host, via, host, content-length, te'
    await client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: ${names}\r\n\r\nok`)
    const request = await upstream.request()
    expect(request.headWithoutId).toBe(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n${ADDED}`)
    expect((await request.body()).text).toBe('ok')
    await request.send(`HTTP/1.1 200 OK\r\nConnection: content-length, via\r\n${DATE}Content-Length: 2\r\n\r\nok`)
    const response = await client.nextResponse()
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\n${KEPT}`)
  })

  test('TE: trailers is announced anew, other codings are not', async () => {
    const { request } = await passed({ fields: 'TE: gzip;q=0.5, trailers\r\nConnection: TE\r\n' })
    expect(request.headWithoutId).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, TE\r\nTE: trailers\r\n${FORWARDED}`,
    )
  })

  test('the upstream’s Connection: close closes its connection, not the client’s', async () => {
    const client = await rawClient(banyan.port)
    for (let n = 0; n < 2; n++) {
      await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const request = await upstream.request()
      expect(request.nth).toBe(0)
      await request.send(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\nConnection: close\r\n\r\n`)
      expect((await client.nextResponse()).head).toBe(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\n${KEPT}`)
      expect(await request.connection.ended()).toBe('end')
    }
  })
})

describe('forwarded fields', () => {
  const CLAIMED = 'X-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n'

  test('from anybody they are replaced', async () => {
    const { request } = await passed({
      fields: `${CLAIMED}x-forwarded-port: 1\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Prefix: /p\r\nX-Real: 1\r\n`,
    })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\nX-Real: 1\r\n${ADDED}`)
  })

  test('from a trusted proxy they are believed, and X-Forwarded-For grows', async () => {
    const { request } = await passed({ port: trusting.port, fields: `${CLAIMED}Forwarded: for=6.6.6.6\r\n` })
    expect(request.field('x-forwarded-for')).toBe('6.6.6.6, 7.7.7.7, 127.0.0.1')
    expect(request.field('x-forwarded-proto')).toBe('https')
    expect(request.field('x-forwarded-host')).toBe('evil.test')
    expect(request.field('forwarded')).toBe('for=6.6.6.6')
  })

  test.each([
    ['a', '', '80'],
    ['a:8443', '', '8443'],
    ['a:', '', '80'],
    ['[::1]', '', '80'],
    ['[::1]:8443', '', '8443'],
    // The port of a connection from a trusted proxy is that of the proxy.
    ['a', 'X-Forwarded-Proto: https\r\n', '443'],
    ['a', 'X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: shop.test:8443, b\r\n', '8443'],
    ['a:8080', 'X-Forwarded-Host: shop.test\r\n', '80'],
    ['a', 'X-Forwarded-Port: 4443\r\n', '4443'],
    ['a', 'X-Forwarded-Port: 4443\r\nx-forwarded-port: 1\r\n', '4443, 1'],
  ])('X-Forwarded-Port: Host %s and %j of a trusted proxy make it %s', async (host, fields, port) => {
    const client = await rawClient(trusting.port)
    await client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`)
    const request = await upstream.request()
    expect(request.field('x-forwarded-port')).toBe(port)
    await request.ok()
    await client.nextResponse()
  })

  test('a trusted proxy that says nothing gets them added', async () => {
    const { request } = await passed({ port: trusting.port })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${ADDED}`)
  })

  const LOOKALIKES = [
    ...[
      'X_Forwarded_For',
      'x_forwarded-for',
      'X.Forwarded.For',
      'X_Forwarded.Proto',
      'x-forwarded_host',
      'X+Forwarded+Port',
    ],
    ...['X_FORWARDED_ANYTHING', 'X-Forwarded', 'X-Real-IP', 'x_real_ip', 'X.Real.IP', 'X-Client-IP', 'X_Client_IP'],
    ...['Client-IP', 'Client_IP', 'True-Client-IP', 'true.client_ip', 'CF-Connecting-IP', 'cf_connecting_ip'],
    ...['CF-Connecting-IPv6', 'Fastly-Client-IP', 'X-Cluster-Client-IP', 'X_Cluster_Client_IP'],
  ]

  test.each(LOOKALIKES)('%s: from anybody it is dropped, from a trusted proxy it passes', async (name) => {
    const fields = `X-Before: 1\r\n${name}: 6.6.6.6\r\nX-After: 2\r\n`
    const { request } = await passed({ fields })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\nX-Before: 1\r\nX-After: 2\r\n${ADDED}`)
    const believed = await passed({ port: trusting.port, fields })
    expect(believed.request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${fields}${ADDED}`)
  })

  test.each(['X-Forwards', 'X_Real_IPs', 'Real-IP', 'X-Request-Client-IP', 'X_Y', 'Forwarded-By', 'CDN_Loop'])(
    '%s is none of them, and passes',
    async (name) => {
      const { request } = await passed({ fields: `${name}: 1\r\n` })
      expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${name}: 1\r\n${ADDED}`)
    },
  )

  test('a server gets no Via of banyan’s unless the table says so; a client is told', async () => {
    const via = { fields: 'Via: 1.0 fred\r\n', answer: 'Via: 1.1 barney\r\n' }
    const { request, response } = await passed(via)
    expect(request.field('via')).toBe('1.0 fred')
    expect(field(response.fields, 'via')).toBe('1.1 barney, 1.1 banyan')
    expect((await passed({ ...via, port: trusting.port })).request.field('via')).toBe('1.0 fred')
    expect((await passed({ ...via, target: '/told' })).request.field('via')).toBe('1.0 fred, 1.1 banyan')
  })

  test('Via says that the client spoke HTTP/1.0', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET /told HTTP/1.0\r\nHost: a\r\n\r\n')
    const request = await upstream.request()
    expect(request.field('via')).toBe('1.0 banyan')
    await request.ok()
    await client.nextResponse()
  })

  test('Banyan-Upstream and Banyan-Force never reach an upstream', async () => {
    const lookalikes = 'Banyan_Upstream: main\r\nbanyan.force: x\r\n'
    const { request } = await passed({
      fields: `Banyan-Upstream: main\r\nbanyan-force: x\r\n${lookalikes}Banyan: y\r\n`,
    })
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\nBanyan: y\r\n${ADDED}`)
  })
})

describe('Max-Forwards', () => {
  test.each([
    ['OPTIONS', '1', '0'],
    ['OPTIONS', '010', '9'],
    ['TRACE', '70', '69'],
    // It limits these two only, and says nothing where it is no number (RFC 9110 section 7.6.2).
    ['GET', '1', '1'],
    ['GET', '0', '0'],
    ['OPTIONS', '-1', '-1'],
    ['TRACE', 'x', 'x'],
  ])('%s with %s goes on with %s', async (method, said, sent) => {
    const client = await rawClient(banyan.port)
    await client.send(`${method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${said}\r\nX-After: 1\r\n\r\n`)
    const request = await upstream.request()
    expect(request.headWithoutId).toBe(
      `${method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${sent}\r\nX-After: 1\r\n${ADDED}`,
    )
    await request.ok()
    expect((await client.nextResponse(method)).status).toBe(200)
  })

  test('a request that may go no further is answered here, and the connection stays', async () => {
    const seen = upstream.requests
    const client = await rawClient(banyan.port)
    const options = await client.ask('OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n', 'OPTIONS')
    expect([options.status, field(options.fields, 'content-length')]).toEqual([200, '0'])
    const secrets = 'Cookie: a=b\r\nauthorization: Basic eA==\r\nBanyan-Force: x\r\nProxy_Authorization: y\r\n'
    const shown = 'Via: 1.1 front\r\nMax-Forwards: 0\r\nX: \xe9\r\n'
    const head = `TRACE /a?b HTTP/1.1\r\nHost: a\r\n${secrets}${shown}\r\n`
    const trace = await client.ask(head)
    expect([trace.status, field(trace.fields, 'content-type')]).toEqual([200, 'message/http'])
    expect(trace.body.text).toBe(`TRACE /a?b HTTP/1.1\r\nHost: a\r\n${shown}\r\n`)
    expect(upstream.requests).toBe(seen)
  })
})

describe('loops', () => {
  /** Asks with these fields; gives the status, and what the upstream got in CDN-Loop where it was asked. */
  async function looped(port: number, fields: string): Promise<number> {
    const client = await rawClient(port)
    return (await client.ask(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)).status
  }

  test('a request that has been here before is a 508, whatever Connection says', async () => {
    const id = (await passed({})).request.field('cdn-loop') as string
    expect(id).toMatch(/^banyan_[0-9a-f]{16}$/)
    const seen = upstream.requests
    const ways = [`CDN-Loop: ${id}`, `cdn-loop: other; x="y", ${id};a=b , third`, `CDN-Loop: other\r\nCDN-Loop:\t${id}`]
    for (const way of ways) {
      expect(await looped(banyan.port, `${way}\r\n`)).toBe(508)
      expect(await looped(banyan.port, `Connection: cdn-loop\r\n${way}\r\n`)).toBe(508)
    }
    expect(upstream.requests).toBe(seen)
  })

  test('the words of others, and the ids of other instances, pass and are added to', async () => {
    const id = (await passed({})).request.field('cdn-loop') as string
    const { request } = await passed({ port: trusting.port, fields: `CDN-Loop: fred, ${id}x\r\nCDN-Loop: ${id}\r\n` })
    const own = request.fields.filter(([name]) => name === 'CDN-Loop').map(([, value]) => value)
    expect(own.slice(0, 2)).toEqual([`fred, ${id}x`, id])
    expect(own[2]).toMatch(/^banyan_[0-9a-f]{16}$/)
    expect(own[2]).not.toBe(id)
  })

  test('the client can not strip it', async () => {
    const { request } = await passed({ fields: 'Connection: cdn-loop\r\nCDN-Loop: fred\r\n' })
    expect(request.field('cdn-loop')).toMatch(/^fred, banyan_/)
  })

  test('the workers of one instance have one id', async () => {
    const crowd = await startBanyan({ table: tableFor(upstream.port), args: ['--workers', '2'] })
    onTestFinished(async () => void (await crowd.stop()))
    const ids = new Set<string | undefined>()
    for (let n = 0; n < 6; n++) ids.add((await passed({ port: crowd.port })).request.field('cdn-loop'))
    expect(ids.size).toBe(1)
    for (let n = 0; n < 6; n++) expect(await looped(crowd.port, `CDN-Loop: ${[...ids][0]}\r\n`)).toBe(508)
  })
})

describe('Host and origin', () => {
  test('Host is preserved, the upstream’s own, or a literal one', async () => {
    for (const [target, host] of [
      ['/', 'a'],
      ['/own/x', `127.0.0.1:${upstream.port}`],
      ['/literal/x', 'legacy.example.test'],
    ] as const) {
      const { request } = await passed({ target })
      expect(request.field('host')).toBe(host)
      expect(request.field('x-forwarded-host')).toBe('a')
    }
  })

  test.each([
    [`Location: ${own}/login?x`, 'Location: https://shop.example.test/login?x'],
    [`Location: ${own}`, 'Location: https://shop.example.test'],
    [`Content-Location: ${own}/a`, 'Content-Location: https://shop.example.test/a'],
    [`Location: ${own}0/a`, `Location: ${own}0/a`],
    [`Location: ${own}.evil.test/a`, `Location: ${own}.evil.test/a`],
    ['Location: https://elsewhere.test/a', 'Location: https://elsewhere.test/a'],
    ['Location: /relative', 'Location: /relative'],
    [`Location: ${own.replace('http', 'https')}/a`, 'Location: https://shop.example.test/a'],
    [`Location: ${own.replace('http:', '')}/a`, 'Location: //shop.example.test/a'],
    [`Link: <${own}/a>; rel=next`, 'Link: <https://shop.example.test/a>; rel=next'],
    [`Refresh: 5;url=${own}/a`, 'Refresh: 5;url=https://shop.example.test/a'],
    ['Set-Cookie: a=b; Domain=127.0.0.1; Path=/', 'Set-Cookie: a=b; Domain=shop.example.test; Path=/'],
    ['Set-Cookie: a=b; domain=other.test', 'Set-Cookie: a=b; domain=other.test'],
    ['Set-Cookie: a=domain=127.0.0.1; Path=/', 'Set-Cookie: a=domain=127.0.0.1; Path=/'],
  ])('with publicOrigin %s becomes %s', async (said, seen) => {
    const { response } = await passed({ target: '/mapped/x', answer: `${said}\r\n` })
    expect(response.head).toContain(`\r\n${seen}\r\n`)
  })

  test('the host that the application is told is its own', async () => {
    const lines = 'Location: https://legacy.example.test/a\r\nSet-Cookie: a=b; Domain=.legacy.example.test\r\n'
    const { response } = await passed({ target: '/named', answer: lines })
    expect(response.head).toContain('\r\nLocation: https://shop.example.test/a\r\n')
    expect(response.head).toContain('\r\nSet-Cookie: a=b; Domain=shop.example.test\r\n')
  })

  test('cookies get the attributes that the upstream sets', async () => {
    const lines = 'Set-Cookie: a=b; Path=/x; HttpOnly\r\nSet-Cookie: __Host-c=d; Path=/; Secure\r\n'
    const { response } = await passed({ target: '/cookies', answer: lines })
    expect(response.head).toContain(
      '\r\nSet-Cookie: a=b; HttpOnly; Domain=shop.example.test; Path=/; Secure; SameSite=None\r\n',
    )
    expect(response.head).toContain('\r\nSet-Cookie: __Host-c=d; Path=/; Secure; SameSite=None\r\n')
  })

  test('without publicOrigin nothing is mapped', async () => {
    const lines = `Location: ${own}/login\r\nSet-Cookie: a=b; Domain=127.0.0.1\r\n`
    const { response } = await passed({ target: '/own/x', answer: lines })
    expect(response.head).toContain(`\r\n${lines}`)
  })
})
