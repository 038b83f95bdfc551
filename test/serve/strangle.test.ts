/**
 * The proxy inside a Koa application of somebody else's.
 */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Koa from 'koa'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { StrangleMiddleware } from '../../src/embedding.ts'
import { strangle } from '../../src/mount.ts'
import { tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-strangle-'))
const open: { server: Server; proxy: StrangleMiddleware }[] = []

afterEach(async () => {
  for (const { server, proxy } of open.splice(0)) {
    await proxy.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** A Koa application with a middleware of its own in front of the proxy. */
async function application(upstreamPort: number): Promise<number> {
  const table = join(folder, 'routes.yaml')
  writeFileSync(table, tableFor(upstreamPort))
  const app = new Koa()
  const proxy = strangle({ table, application: app })
  app.use(async (ctx, next) => {
    if (ctx.path === '/own') {
      ctx.body = 'own'
      return
    }
    ctx.set('X-Own', 'yes')
    await next()
  })
  app.use(proxy)
  const server = createServer(app.callback())
  server.on('upgrade', proxy.upgrade)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push({ server, proxy })
  return (server.address() as AddressInfo).port
}

test('visitors get a cookie beside those of middleware; without a secret the table is refused at its line', async () => {
  const upstream = await scriptedUpstream((request) => request.ok())
  onTestFinished(() => upstream.stop())
  const table = join(folder, 'visitors.yaml')
  const routes = 'routes:\n  - { id: r, match: { path: /* }, to: main, percent: 50, sticky: visitor }\n'
  writeFileSync(table, tableFor(upstream.port) + routes)
  expect(() => strangle({ table })).toThrow(/visitors\.yaml:7:\d+: routes\.0\.sticky: needs a key for its cookie/)
  expect(() => strangle({ table, cookieSecret: 'short' })).toThrow('cookieSecret: must have at least 16 characters')
  const proxy = strangle({ table, cookieSecret: ['a secret of some length'] })
  const app = new Koa()
  app.use((ctx, next) => {
    ctx.set('Set-Cookie', 'own=1')
    return next()
  })
  app.use(proxy)
  const server = createServer(app.callback())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push({ server, proxy })
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  expect(response.headers.getSetCookie()).toEqual(['own=1', expect.stringMatching(/^banyan_visitor=/)])
  expect(response.headers.get('cache-control')).toBe('private')
})

test('answers pass with status, reason, case and duplicates; what middleware has set is sent too', async () => {
  const upstream = await scriptedUpstream((request) =>
    request.send(
      'HTTP/1.1 299 Odd Reason\r\nX-oDD: a\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok',
    ),
  )
  const client = await rawClient(await application(upstream.port))
  const response = await client.ask('GET //a/%2f?x HTTP/1.1\r\nHost: a.test\r\n\r\n')
  expect(response.status).toBe(299)
  expect(response.reason).toBe('Odd Reason')
  expect(response.fields.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value)).toEqual([
    'a',
    'b',
  ])
  expect(response.fields.map(([name]) => name.toLowerCase())).toContain('x-own')
  expect(response.body.text).toBe('ok')
})

test('where the server has sent the 100 already, that of the upstream is not a second one', async () => {
  const upstream = await scriptedUpstream()
  const client = await rawClient(await application(upstream.port))
  await client.send('POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  await client.send('ok')
  await request.ok()
  const { interim, status } = await client.nextResponse('POST')
  expect(interim.map((head) => head.slice(9, 12))).toEqual(['100', '103'])
  expect(status).toBe(200)
})

test('options that are undefined have their defaults', async () => {
  const upstream = await scriptedUpstream((request) => request.ok('legacy'))
  const table = join(folder, 'undefined.yaml')
  writeFileSync(table, tableFor(upstream.port))
  const options = {
    redis: undefined,
    maxHeaderFields: undefined,
    trustedProxies: undefined,
    memoryCacheBytes: undefined,
  }
  const proxy = strangle({ table, ...options })
  const server = createServer((req, res) => void proxy({ req, res })).listen(0, '127.0.0.1')
  open.push({ server, proxy })
  await once(server, 'listening')
  const client = await rawClient((server.address() as AddressInfo).port)
  expect((await client.ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.text).toBe('legacy')
})

test('after close nothing keeps the process alive for a Redis that was never there', async () => {
  const table = join(folder, 'redis.yaml')
  writeFileSync(table, tableFor(1))
  const timers = vi.spyOn(globalThis, 'setTimeout')
  try {
    const down = Promise.withResolvers<void>()
    const log = { info: () => {}, warn: () => down.resolve(), error: () => {} }
    const proxy = strangle({ table, redis: 'redis://127.0.0.1:1', log })
    await down.promise
    await proxy.close()
    await nextTurn()
    const left = timers.mock.results.map(({ value }) => value as NodeJS.Timeout & { _destroyed: boolean })
    const long = timers.mock.calls.map(([, ms]) => ms).filter((_, at) => left[at]!.hasRef() && !left[at]!._destroyed)
    expect(Math.max(0, ...long.map(Number))).toBeLessThanOrEqual(100)
  } finally {
    timers.mockRestore()
  }
})

test('what is wrong with its table is told without flags that nobody has given', () => {
  expect(() => strangle({ table: join(folder, 'none.yaml') })).toThrow(
    /^can't read the table .*none\.yaml: no such file$/,
  )
  const table = join(folder, 'invalid.yaml')
  writeFileSync(table, 'version: 2\n')
  for (const allowLastGood of [false, true]) {
    expect(() => strangle({ table, allowLastGood })).toThrow(/^(?!.*--).*invalid\.yaml is invalid/s)
  }
})

test('paths of the application itself stay its own', async () => {
  const upstream = await scriptedUpstream((request) => request.ok('legacy'))
  const port = await application(upstream.port)
  const client = await rawClient(port)
  expect((await client.ask('GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.text).toBe('own')
  expect((await client.ask('GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.text).toBe('legacy')
})

test('an upstream that is gone is a problem of the proxy, and the application lives on', async () => {
  const port = await application(1)
  const client = await rawClient(port)
  expect((await client.ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(502)
  expect((await client.ask('GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(200)
})

test('upgrades pass', async () => {
  const upstream = await scriptedUpstream(async (request) => {
    await request.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    await request.send(await request.connection.readUntil('!'))
    request.connection.finish()
  })
  const client = await rawClient(await application(upstream.port))
  await client.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  expect(await client.readUntil('\r\n\r\n')).toContain('101 Switching Protocols')
  await client.send('hello!')
  expect(await client.readUntil('!')).toBe('hello!')
  client.socket.destroy()
})

test('a table that can not be used is told at once', () => {
  const table = join(folder, 'bad.yaml')
  writeFileSync(table, 'version: 2\n')
  expect(() => strangle({ table })).toThrow(`${table} is invalid`)
  rmSync(folder, { recursive: true })
})

test('with state, what comparisons have found is kept, and without it nothing is written', async () => {
  const body = (text: string) => (request: UpstreamRequest) =>
    request.send(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n${text}`)
  const [one, two] = await Promise.all([scriptedUpstream(body('old')), scriptedUpstream(body('new'))])
  const folder = mkdtempSync(join(tmpdir(), 'banyan-strangle-'))
  onTestFinished(async () => {
    await Promise.all([one.stop(), two.stop()])
    rmSync(folder, { recursive: true })
  })
  const table = join(folder, 'routes.yaml')
  const upstreams = `{ legacy: { servers: ["http://127.0.0.1:${one.port}"] }, modern: { servers: ["http://127.0.0.1:${two.port}"] } }`
  writeFileSync(
    table,
    `version: 1\nupstreams: ${upstreams}\ndefault: legacy\nroutes: [{ id: a, match: { path: /a }, to: modern, shadow: { percent: 100 } }]\n`,
  )
  const asked = async (state: string | undefined, count: number): Promise<object | null> => {
    const proxy = strangle({ table, state })
    const server = createServer(new Koa().use(proxy).callback())
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    for (let i = 0; i < count; i++) expect(await (await fetch(`http://127.0.0.1:${port}/a`)).text()).toBe('old')
    if (state !== undefined) {
      await vi.waitFor(async () => expect(await proxy.comparisons('a')).toMatchObject({ comparisons: 2 }), {
        timeout: 120_000,
      })
    }
    const told = await proxy.comparisons('a')
    await proxy.close()
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
    return told
  }
  expect(await asked(undefined, 2)).toBeNull()
  expect(readdirSync(folder)).toEqual(['routes.yaml'])
  expect(await asked(join(folder, 'state'), 2)).toMatchObject({ storage: 'folder', comparisons: 2, mismatches: 2 })
  expect(await asked(join(folder, 'state'), 0)).toMatchObject({ storage: 'folder', comparisons: 2, mismatches: 2 })
  expect(readdirSync(folder).toSorted()).toEqual(['routes.yaml', 'state'])
})
