/**
 * The Koa mount (`--middleware`): the operator's middleware runs, and the bytes on both sides are the same as without.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-koa-'))
const file = join(folder, 'middleware.mjs')
writeFileSync(
  file,
  `export default [
    (ctx, next) => next(),
    (ctx, next) => {
      if (ctx.path === '/own') ctx.body = 'the operator answers'
      else if (ctx.path === '/throws') throw new Error('a secret')
      else if (ctx.path === '/set') { ctx.set('X-Operator', 'yes'); return next() }
      else return next()
    },
  ]\n`,
)
const upstream = await scriptedUpstream()
const table = tableFor(upstream.port)
const [plain, mounted] = await Promise.all([
  startBanyan({ table }),
  startBanyan({ table, args: ['--middleware', file] }),
])
afterAll(async () => {
  await Promise.all([plain.stop(), mounted.stop(), upstream.stop()])
  rmSync(folder, { recursive: true })
})
beforeEach(() => upstream.cut())

const DATE = 'Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n'

/** What both sides see of one exchange, byte for byte. */
async function seen(port: number, request: string, answer: string): Promise<{ asked: string; answered: string }> {
  await upstream.cut()
  const client = await rawClient(port)
  await client.send(request)
  const arrived = await upstream.request()
  const { raw } = await arrived.body()
  await arrived.send(answer)
  arrived.connection.finish()
  const response = await client.nextResponse(arrived.method)
  const answered = response.interim.join('') + response.head + response.body.raw
  return { asked: arrived.headWithoutId + raw, answered }
}

test.each([
  [
    'a GET',
    'GET //a?b HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n',
    `HTTP/1.1 200 Fine\r\n${DATE}X: 1\r\nx: 2\r\nContent-Length: 2\r\n\r\nok`,
  ],
  [
    'a chunked POST with trailers both ways',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n',
    `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n`,
  ],
  ['HEAD', 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 9\r\n\r\n`],
  ['204', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', `HTTP/1.1 204 \r\n${DATE}\r\n`],
  ['404', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', `HTTP/1.1 404 Not Here\r\n${DATE}Content-Length: 2\r\n\r\nno`],
  ['an end by the connection', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', `HTTP/1.1 200 OK\r\n${DATE}\r\nok`],
  ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', `HTTP/1.1 200 OK\r\n${DATE}\r\nok`],
  [
    '103',
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\n\r\n`,
  ],
])('%s: the same bytes with Koa around it', async (_, request, answer) => {
  expect(await seen(mounted.port, request, answer)).toEqual(await seen(plain.port, request, answer))
})

test('problems are banyan’s, not Koa’s', async () => {
  const client = await rawClient(mounted.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  ;(await upstream.request()).connection.socket.destroy()
  const response = await client.nextResponse()
  expect(response.status).toBe(502)
  expect(field(response.fields, 'content-type')).toBe('application/problem+json')
})

test('a client that leaves takes its upstream request with it', async () => {
  const client = await rawClient(mounted.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  client.socket.destroy()
  await request.connection.ended()
})

test('upgrades pass the middleware, and go on', async () => {
  const client = await rawClient(mounted.port)
  await client.send('GET /set HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello')
  expect(await client.readUntil('\r\n\r\nhello')).toContain('X-Operator: yes')
})

test('middleware may answer by itself, add a field, or fail', async () => {
  const client = await rawClient(mounted.port)
  expect((await client.ask('GET /own HTTP/1.1\r\nHost: a\r\n\r\n')).body.text).toBe('the operator answers')
  await client.send('GET /set HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await upstream.request()).send('HTTP/1.1 200 OK\r\nX-a: 1\r\nContent-Length: 2\r\n\r\nok')
  const answered = await client.nextResponse()
  expect(answered).toMatchObject({ status: 200, reason: 'OK', body: { text: 'ok' } })
  expect(field(answered.fields, 'x-operator')).toBe('yes')
  expect(field(answered.fields, 'x-a')).toBe('1')
  const failed = await client.ask('GET /throws HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(failed.status).toBe(500)
  expect(failed.body.text).not.toContain('secret')
})
