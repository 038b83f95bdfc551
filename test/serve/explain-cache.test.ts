/**
 * What explain tells of the cache of a running proxy over a real Redis: what it has for a request, and what it would do.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { banyan as command } from '../cli/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

let redis: RedisServer
let upstream: ScriptedUpstream
let one: Banyan
let other: Banyan

beforeAll(async () => {
  redis = await startRedis()
  upstream = await scriptedUpstream((request) =>
    request.send('HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 2\r\n\r\nok'),
  )
  const table = `version: 1
upstreams:
  main: { servers: [http://127.0.0.1:${upstream.port}] }
default: main
routes:
  - { id: cached, match: { path: /cached/* }, to: main, percent: 100, cache: {} }
  - { id: plain, match: { path: /plain }, to: main, percent: 100 }
`
  const shared = ['--redis', redis.url, '--redis-deadline', '20s']
  one = await startBanyan({ table, args: [...shared, '--trusted-proxies', '127.0.0.1'] })
  other = await startBanyan({ table, args: shared })
})
afterAll(async () => {
  await one.stop()
  await other.stop()
  await upstream.stop()
  await redis.stop()
})

interface Look {
  readonly key: string
  readonly verdict: string
  readonly why: string
  readonly stored: object | null
}

async function look(at: Banyan, url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Look> {
  const init = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ url, method, headers }),
  }
  const ask = (): Promise<Response> => fetch(`http://127.0.0.1:${at.adminPort}/explain`, init)
  let told = await ask()
  // On a busy machine no data plane may answer in time.
  while (told.status === 503) told = await ask()
  return ((await told.json()) as { cache: Look }).cache
}

test('nothing, then what memory has; of another process what Redis has, and then its memory too', async () => {
  const url = 'http://a.test/cached/x?y=1'
  const nothing = { key: 'cached main GET http://a.test/cached/x?y=1', verdict: 'miss', why: 'nothing-stored' }
  expect(await look(one, url)).toEqual({ ...nothing, stored: null })
  const asked = upstream.requests
  const client = await rawClient(one.port)
  expect((await client.ask('GET /cached/x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(200)
  const stored = { where: 'memory', status: 200, ageSeconds: expect.any(Number), freshForSeconds: expect.any(Number) }
  expect(await look(one, url)).toEqual({ ...nothing, verdict: 'fresh', why: 'fresh', stored })
  while ((await redis.command('DBSIZE')) === ':0\r\n') await sleep(10)
  expect(await look(other, url)).toMatchObject({ verdict: 'fresh', stored: { where: 'redis' } })
  expect(await look(other, url)).toMatchObject({ verdict: 'fresh', stored: { where: 'memory' } })
  expect(await look(one, url, { 'cache-control': 'no-cache' })).toMatchObject({
    verdict: 'validate',
    why: 'request-no-cache',
  })
  expect(await look(one, 'http://a.test/cached/z', { 'cache-control': 'only-if-cached' })).toMatchObject({
    verdict: 'only-if-cached',
    why: 'nothing-stored',
  })
  // Nothing of this has asked the upstream.
  expect(upstream.requests).toBe(asked + 1)
})

test('an https URL has the key of a client that speaks https', async () => {
  const url = 'https://a.test/cached/secure'
  const key = 'cached main GET https://a.test/cached/secure'
  expect(await look(one, url)).toMatchObject({ key, verdict: 'miss' })
  const client = await rawClient(one.port)
  const head = 'GET /cached/secure HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n'
  expect((await client.ask(head)).status).toBe(200)
  expect(await look(one, url)).toMatchObject({ key, verdict: 'fresh' })
  expect(await look(one, 'http://a.test/cached/secure')).toMatchObject({ verdict: 'miss' })
})

const pass = (why: string) => ({ key: null, verdict: 'pass', why, stored: null })

test('fields that Connection names do not count, as they do not for the cache', async () => {
  const url = 'http://a.test/cached/named'
  const client = await rawClient(one.port)
  expect((await client.ask('GET /cached/named HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(200)
  const asked = upstream.requests
  for (const [name, value] of [
    ['Cache-Control', 'no-cache'],
    ['Authorization', 'Basic eDp5'],
    ['If-Match', '"x"'],
    ['Cache-Control', 'only-if-cached, max-age=0'],
  ] as const) {
    const head = `GET /cached/named HTTP/1.1\r\nHost: a.test\r\n${name}: ${value}\r\nConnection: ${name}\r\n\r\n`
    expect((await client.ask(head)).status).toBe(200)
    expect(await look(one, url, { [name]: value, Connection: name })).toMatchObject({ verdict: 'fresh', why: 'fresh' })
  }
  expect(upstream.requests).toBe(asked)
})

test('what passes the cache is not told to be a hit', async () => {
  const client = await rawClient(one.port)
  expect((await client.ask('GET /cached/body HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(200)
  const url = 'http://a.test/cached/body'
  expect(await look(one, url)).toMatchObject({ verdict: 'fresh' })
  expect(await look(one, url, { 'content-length': '3' })).toEqual(pass('body'))
  expect(await look(one, url, { 'transfer-encoding': 'chunked' })).toEqual(pass('body'))
  expect(await look(one, url, { connection: 'upgrade', upgrade: 'websocket' })).toEqual(pass('upgrade'))
  expect(await look(one, url, { 'content-length': '0' })).toMatchObject({ verdict: 'fresh' })
})

test('where no route caches there is nothing to tell', async () => {
  expect(await look(one, 'http://a.test/cached/x?y=1', {}, 'POST')).toEqual(pass('method'))
  expect(await look(one, 'http://a.test/plain')).toBeNull()
  expect(await look(one, 'http://a.test/unclaimed')).toBeNull()
})

test('the command line says that a request bypasses the cache, and why', async () => {
  const env = { BANYAN_ADMIN: `127.0.0.1:${one.adminPort}` }
  const { out } = await command(['explain', 'POST', 'http://a.test/cached/x'], { env })
  expect(out).toMatch(/^cache +bypassed \(method\)$/m)
})
