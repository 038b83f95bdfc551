/**
 * The proxy inside a Koa application of somebody else's.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import { afterEach, expect, test } from 'vitest'
import { type StrangleMiddleware, strangle } from '../../src/mount.ts'
import { tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

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
