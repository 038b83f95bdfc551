/**
 * Requests that the new side gets in another form, headers that the table sets and removes, and answers in the words of
 * clients; what the old side gets stays as it came.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [legacy, modern] = await Promise.all([scriptedUpstream(), scriptedUpstream()])
const lookup = `match: { path: "/stores/:storeId/gtins/:gtin" }
    to: gtin
    rewrite:
      path: /v2/gtins/:gtin
      query: { set: { store: "{param.storeId}" }, remove: [callback] }
      headers: { set: { X-Store: "{param.storeId}", X-Side: "{side}" }, remove: [x-old-token, x-forwarded-port] }
    answer: { headers: { set: { X-Answer: "{route} {side}" }, remove: [server] } }`
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy:
    servers: ["http://127.0.0.1:${legacy.port}"]
    headers: { set: { X-Real-IP: "{client.ip}", X-Side: "{side}" }, remove: [x-legacy-debug] }
  gtin: { servers: ["http://127.0.0.1:${modern.port}"], headers: { set: { X-Side: never, X-From: "{host} é" } } }
  other: { servers: ["http://127.0.0.1:${modern.port}"], headers: { set: { X-From: other } } }
default: legacy
routes:
  - id: lookup
    percent: 100
    fallback: { methods: all, on: [connect, timeout, 503] }
    ${lookup}
  - id: still
    percent: 0
    ${lookup.replace('/stores/', '/still/')}
  - { id: split, match: { path: "/split/*" }, to: { gtin: 1, other: 1 }, percent: 100, rewrite: { path: "/s/*" } }
  - { id: shop, match: { path: "/shop/*" }, to: gtin, percent: 100, rewrite: { path: "/*" } }
  - { id: files, match: { path: "/files/:name" }, ambiguousPaths: allow, to: gtin, percent: 100, rewrite: { path: "/f/:name" } }
`,
  args: ['--trusted-proxies', '127.0.0.0/8'],
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop()]))
beforeEach(() => Promise.all([legacy.cut(), modern.cut()]))

const FORWARDED =
  'X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nCDN-Loop: ID\r\n'
const OK = 'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n'

async function asked(head: string) {
  const client = await rawClient(banyan.port)
  await client.send(`${head}\r\n\r\n`)
  return client
}

describe('the request', () => {
  test('has another path, query and headers for the new side', async () => {
    const client = await asked(
      'GET /stores/3%20a/gtins/12?callback=f&b=%7e HTTP/1.1\r\nHost: a\r\nX-Old-Token: t\r\nx_store: evil\r\nB: 1',
    )
    const request = await modern.request()
    expect(request.headWithoutId).toBe(
      `GET /v2/gtins/12?b=%7e&store=3+a HTTP/1.1\r\nHost: a\r\nB: 1\r\nConnection: keep-alive\r\n${FORWARDED.replace('X-Forwarded-Port: 80\r\n', '')}X-From: a \xc3\xa9\r\nX-Store: 3%20a\r\nX-Side: to\r\n\r\n`,
    )
    await request.send(`${OK}X-Answer: own\r\n\r\n`)
    const { head } = await client.nextResponse()
    expect(head).toContain('\r\nX-Answer: lookup to\r\n')
    expect(head).not.toContain('own')
    expect(head).not.toContain('Server')
  })

  test('has no trailer that could be taken for a header that is set or removed, nor has the response', async () => {
    const chunked = 'Transfer-Encoding: chunked'
    const client = await asked(`POST /stores/3/gtins/12 HTTP/1.1\r\nHost: a\r\n${chunked}`)
    await client.send('1\r\nx\r\n0\r\nX_Store: evil\r\nX-Old-Token: t\r\nX-From: evil\r\nX-Answer: 1\r\n\r\n')
    const request = await modern.request()
    expect((await request.body()).raw).toBe('1\r\nx\r\n0\r\nX-Answer: 1\r\n\r\n')
    await request.send(`HTTP/1.1 200 OK\r\n${chunked}\r\n\r\n0\r\nX-Answer: own\r\nServer: x\r\nX-Store: 1\r\n\r\n`)
    expect((await client.nextResponse()).body.raw).toBe('0\r\nX-Store: 1\r\n\r\n')

    const other = await asked(`POST /still/3/gtins/12 HTTP/1.1\r\nHost: a\r\n${chunked}`)
    await other.send('0\r\nX-Store: 1\r\nX-Real-Ip: 6.6.6.6\r\nX-Legacy-Debug: 1\r\n\r\n')
    const sent = await legacy.request()
    expect((await sent.body()).raw).toBe('0\r\nX-Store: 1\r\n\r\n')
  })

  test.each(['/still/3/gtins/12?callback=f', '/elsewhere?callback=f'])(
    'stays as it came for the old side: %s',
    async (target) => {
      const client = await asked(
        `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Old-Token: t\r\nX-Legacy-Debug: 1\r\nx-real-ip: 6.6.6.6`,
      )
      const request = await legacy.request()
      const side = target.startsWith('/still') ? 'from' : ''
      expect(request.headWithoutId).toBe(
        `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Old-Token: t\r\nConnection: keep-alive\r\n${FORWARDED}X-Real-IP: 127.0.0.1\r\nX-Side: ${side}\r\n\r\n`,
      )
      await request.send(`${OK}\r\n`)
      const { head } = await client.nextResponse()
      expect(head).toContain('Server: x')
      expect(head).not.toContain('X-Answer')
    },
  )

  test('falls back to the old side as it came, body included', async () => {
    const head = 'PUT /stores/3/gtins/12?callback=f HTTP/1.1\r\nHost: a\r\nX-Old-Token: t\r\nContent-Length: 5'
    const client = await asked(head)
    await client.send('hello')
    const first = await modern.request()
    expect(first.head).toContain('PUT /v2/gtins/12?store=3 HTTP/1.1')
    await first.send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')
    const second = await legacy.request()
    expect(second.head.startsWith(head)).toBe(true)
    expect((await second.body()).text).toBe('hello')
    await second.send(`${OK}Location: /v2/gtins/1\r\n\r\n`)
    const answer = await client.nextResponse()
    expect(answer.head).toContain('Location: /v2/gtins/1\r\n')
    expect(answer.head).not.toContain('X-Answer')
  })

  test('is the same for each of several upstreams, with their own headers', async () => {
    const client = await rawClient(banyan.port)
    const from = new Set<string | undefined>()
    for (let n = 0; n < 200 && from.size < 2; n++) {
      await client.send('GET /split/x HTTP/1.1\r\nHost: a\r\n\r\n')
      const request = await modern.request()
      expect(request.target).toBe('/s/x')
      from.add(request.field('x-from'))
      await request.send(`${OK}Location: /s/y\r\n\r\n`)
      expect((await client.nextResponse()).head).toContain('\r\nLocation: /split/y\r\n')
    }
    expect(from.size).toBe(2)
  })

  test('tells the prefix that went, behind that of a proxy that is believed', async () => {
    for (const [before, prefix] of [
      ['', '/shop'],
      ['\r\nX-Forwarded-Prefix: /outer/', '/outer/shop'],
    ]) {
      const client = await asked(`GET /shop/cart HTTP/1.1\r\nHost: a${before}`)
      const request = await modern.request()
      expect(request.head).toContain('GET /cart HTTP/1.1')
      expect(request.head.match(/x-forwarded-prefix: .*/gi)).toEqual([`X-Forwarded-Prefix: ${prefix}`])
      await request.send(`${OK}\r\n`)
      await client.nextResponse()
    }
  })

  test('with a value that could be read as another path is refused', async () => {
    const client = await asked('GET /files/a%2Fb HTTP/1.1\r\nHost: a')
    const answer = await client.nextResponse()
    expect(answer.status).toBe(400)
    expect(answer.body.text).toContain('urn:banyan:problem:unsafe-path')
    const next = await asked('GET /files//ab HTTP/1.1\r\nHost: a')
    const request = await modern.request()
    expect(request.head).toContain('GET /f/ab HTTP/1.1')
    await request.send(`${OK}\r\n`)
    expect((await next.nextResponse()).status).toBe(200)
  })
})

describe('the answer', () => {
  test('leads back to the paths that clients know, early hints too', async () => {
    const client = await asked('POST /stores/3/gtins/12 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0')
    const request = await modern.request()
    await request.send('HTTP/1.1 103 Early Hints\r\nLink: </v2/gtins/13>; rel=preload\r\n\r\n')
    expect((await client.readUntil('\r\n\r\n')).toLowerCase()).toContain('link: </stores/3/gtins/13>; rel=preload')
    await request.send(
      `HTTP/1.1 303 See Other\r\nContent-Length: 0\r\nLocation: http://shop.test/v2/gtins/14?x\r\nContent-Location: /v2/gtins/12\r\nSet-Cookie: a=b; Path=/v2; HttpOnly\r\nRefresh: 1;url=/v2/gtins/1\r\n\r\n`,
    )
    const { head } = await client.nextResponse()
    expect(head).toContain('\r\nLocation: http://shop.test/stores/3/gtins/14?x\r\n')
    expect(head).toContain('\r\nContent-Location: /stores/3/gtins/12\r\n')
    expect(head).toContain('\r\nSet-Cookie: a=b; Path=/stores; HttpOnly\r\n')
    expect(head).toContain('\r\nRefresh: 1;url=/stores/3/gtins/1\r\n')
  })

  test('of banyan itself has nothing that the route sets', async () => {
    const client = await asked('GET /files/a%2Fb HTTP/1.1\r\nHost: a')
    expect((await client.nextResponse()).head).not.toContain('X-Answer')
  })
})
