/**
 * A route with `cache:`: what is answered from memory, what never is, and what each answer says of its age.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { field, type RawResponse } from '../../support/message.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../../support/upstream.ts'

let upstream: ScriptedUpstream
let banyan: Banyan
let client: RawClient
/** Requests that reached the upstream. */
let asked: string[]
/** Fields that the upstream's answers carry. */
let says: string

beforeAll(async () => {
  upstream = await scriptedUpstream(async (request) => {
    asked.push(`${request.method} ${request.target}`)
    await request.body()
    const body = request.method === 'HEAD' ? '' : `made ${asked.length}`
    await request.send(`HTTP/1.1 200 Fine\r\nX-oDD: a\r\nContent-Length: 6\r\n${says}\r\n${body}`)
  })
  banyan = await startBanyan({
    table: `version: 1
upstreams: { main: { servers: [http://127.0.0.1:${upstream.port}] } }
default: main
routes:
  - { id: cached, match: { path: /c/*, methods: [GET, HEAD] }, to: main, cache: {} }
  - { id: with-ttl, match: { path: /ttl/* }, to: main, cache: { ttl: 1h } }
  - { id: small, match: { path: /small/* }, to: main, cache: { ttl: 1h, maxBody: 5B } }
`,
  })
})

afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await upstream.stop()
})

beforeEach(async () => {
  asked = []
  says = ''
  client = await rawClient(banyan.port)
})

let names = 0
/** A path that no test has asked for. */
const fresh = (folder: string): string => `/${folder}/${++names}`

const get = (path: string, more = '', method = 'GET'): Promise<RawResponse> =>
  client.ask(`${method} ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`, method)

test('a fresh answer is given again: head and body as they came, with Age and Via', async () => {
  says = `Cache-Control: max-age=60\r\nDate: ${new Date().toUTCString()}\r\n`
  const path = fresh('c')
  const first = await get(path)
  const second = await get(path)
  expect(asked).toEqual([`GET ${path}`])
  expect(second).toMatchObject({ status: 200, reason: 'Fine', body: { text: 'made 1' } })
  expect(second.fields).toContainEqual(['X-oDD', 'a'])
  expect(field(second.fields, 'age')).toMatch(/^\d+$/)
  expect(field(second.fields, 'via')).toBe('1.1 banyan')
  expect(field(second.fields, 'date')).toBe(field(first.fields, 'date'))
})

test.each([
  'Cache-Control: no-store',
  'Cache-Control: private, max-age=60',
  'Cache-Control: max-age=0',
  'Cache-Control: max-age=60, s-maxage=0',
  'Cache-Control: no-cache, max-age=60',
  'Cache-Control: max-age=60\r\nSet-Cookie: a=b',
  'Cache-Control: max-age=60\r\nVary: *',
  'Cache-Control: max-age=60\r\nAge: 60',
  'X-Nothing: said',
])('with %j the upstream is asked each time', async (fields) => {
  says = `${fields}\r\n`
  const path = fresh('c')
  await get(path)
  expect((await get(path)).body.text).toBe('made 2')
})

test('s-maxage stands above max-age, and the route’s ttl where the answer says nothing', async () => {
  says = 'Cache-Control: max-age=0, s-maxage=60\r\n'
  const shared = fresh('c')
  await get(shared)
  expect((await get(shared)).body.text).toBe('made 1')
  says = ''
  const silent = fresh('ttl')
  await get(silent)
  expect((await get(silent)).body.text).toBe('made 2')
  expect(asked).toHaveLength(2)
})

test('Vary keeps the variants apart', async () => {
  says = 'Cache-Control: max-age=60\r\nVary: Accept-Language\r\n'
  const path = fresh('c')
  const inLanguage = async (language: string): Promise<string> =>
    (await get(path, `Accept-Language: ${language}\r\n`)).body.text
  expect(await inLanguage('de')).toBe('made 1')
  expect(await inLanguage('en')).toBe('made 2')
  expect(await inLanguage('de')).toBe('made 1')
  expect(await inLanguage('en')).toBe('made 2')
})

test('another query, another host: another answer', async () => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('c')
  await get(path)
  expect((await get(`${path}?a`)).body.text).toBe('made 2')
  const elsewhere = await client.ask(`GET ${path} HTTP/1.1\r\nHost: b.test\r\n\r\n`)
  expect(elsewhere.body.text).toBe('made 3')
})

test('HEAD and conditional requests are answered from what a GET has stored', async () => {
  says = 'Cache-Control: max-age=60\r\nETag: "x"\r\n'
  const path = fresh('c')
  await get(path)
  const head = await get(path, '', 'HEAD')
  expect(head.status).toBe(200)
  expect(field(head.fields, 'content-length')).toBe('6')
  const unchanged = await get(path, 'If-None-Match: W/"x"\r\n')
  expect(unchanged.status).toBe(304)
  expect(field(unchanged.fields, 'etag')).toBe('"x"')
  expect(asked).toHaveLength(1)
})

test.each([
  ['no-cache', 'Cache-Control: no-cache\r\n'],
  ['no-store', 'Cache-Control: no-store\r\n'],
  ['Pragma', 'Pragma: no-cache\r\n'],
])('a request with %s goes to the upstream', async (_, more) => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('c')
  await get(path)
  // no-store asks for nothing to be stored; what is stored already may answer it (RFC 9111 section 5.2.1.5).
  const expected = more.includes('no-store') ? 'made 1' : 'made 2'
  expect((await get(path, more)).body.text).toBe(expected)
})

test('the answer to an authorized request is nobody else’s', async () => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('c')
  await get(path, 'Authorization: Basic eDp5\r\n')
  expect((await get(path)).body.text).toBe('made 2')
})

test('only-if-cached: the stored answer, or 504', async () => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('c')
  expect((await get(path, 'Cache-Control: only-if-cached\r\n')).status).toBe(504)
  await get(path)
  expect((await get(path, 'Cache-Control: only-if-cached\r\n')).status).toBe(200)
  expect(asked).toHaveLength(1)
})

test('a successful POST makes the stored answer untrue', async () => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('c')
  await get(path)
  await get(path, 'Content-Length: 0\r\n', 'POST')
  expect((await get(path)).body.text, asked.join()).toBe('made 3')
})

test('a body above maxBody passes and is not stored', async () => {
  const path = fresh('small')
  expect((await get(path)).body.text).toBe('made 1')
  expect((await get(path)).body.text).toBe('made 2')
})

test('a route without cache: stores nothing', async () => {
  says = 'Cache-Control: max-age=60\r\n'
  const path = fresh('other')
  await get(path)
  expect((await get(path)).body.text).toBe('made 2')
})
