/**
 * Servers by host name: all addresses of the name are used, as its TTL says; a name that stops resolving keeps its last ones.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type NameServer, nameServer } from '../../support/dns.ts'
import { type Load, startLoad } from '../../support/load.ts'

const ended: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end()
})

/** A server on each of these addresses, all on one port, which tell their address. */
async function serversAt(addresses: readonly string[]): Promise<{ port: number; servers: Server[] }> {
  let port = 0
  const servers: Server[] = []
  for (const address of addresses) {
    const server = createServer((req, res) => res.end(`${address} ${req.headers.host}`))
    server.listen(port, address)
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
    servers.push(server)
    ended.push(() => {
      server.closeAllConnections()
      server.close()
    })
  }
  return { port, servers }
}

async function proxyFor(port: number, names: NameServer, health = '', args: readonly string[] = []): Promise<Banyan> {
  const banyan = await startBanyan({
    table: `version: 1
upstreams:
  main: { servers: ["http://gtin.banyan.test:${port}"], host: upstream${health} }
default: main
`,
    args: ['--dns-servers', names.address, ...args],
  })
  ended.push(() => banyan.stop())
  return banyan
}

const seen = (load: Load, last: number): string[] =>
  [...new Set(load.outcomes.slice(-last).map(({ text }) => text))].sort()
const said = (banyan: Banyan, what: string): Promise<string> => banyan.program.line((line) => line.includes(what))

test('all addresses are used under the one name; new ones come and old ones go by the TTL; no request fails', async () => {
  const { port } = await serversAt(['127.0.0.2', '127.0.0.3', '127.0.0.4'])
  const names = await nameServer(1)
  ended.push(() => names.stop())
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.2', '127.0.0.3']]])
  const banyan = await proxyFor(port, names)
  const from = (...addresses: string[]): string[] => addresses.map((one) => `${one} gtin.banyan.test:${port}`)
  await said(banyan, 'gtin.banyan.test is 127.0.0.2, 127.0.0.3')
  const load = startLoad(banyan.port, 6, () => ({ path: '/' }))
  await load.more(300)
  expect(seen(load, 200)).toEqual(from('127.0.0.2', '127.0.0.3'))
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.3', '127.0.0.4']]])
  await said(banyan, 'gtin.banyan.test is 127.0.0.3, 127.0.0.4')
  await load.more(300)
  expect(seen(load, 200)).toEqual(from('127.0.0.3', '127.0.0.4'))
  const told = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/main/servers`)).json()
  expect((told as { servers: { id: string; live: { id: string }[] }[] }).servers).toMatchObject([
    {
      id: `gtin.banyan.test:${port}`,
      live: [{ id: `gtin.banyan.test:${port}@127.0.0.3` }, { id: `gtin.banyan.test:${port}@127.0.0.4` }],
    },
  ])
  names.zone = new Map()
  await said(banyan, 'gtin.banyan.test does not resolve; keeping the last addresses: 127.0.0.3, 127.0.0.4')
  await load.more(200)
  await load.stop()
  expect(seen(load, 100)).toEqual(from('127.0.0.3', '127.0.0.4'))
  expect(new Set(load.outcomes.map(({ status }) => status))).toEqual(new Set([200]))
})

test('an instance that has moved is found again, however long its TTL was', async () => {
  const { port, servers } = await serversAt(['127.0.0.2', '127.0.0.3'])
  const names = await nameServer(86_400)
  ended.push(() => names.stop())
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.2']]])
  const banyan = await proxyFor(port, names, ', health: { path: /, every: 50ms, down: 2 }')
  await said(banyan, 'gtin.banyan.test is 127.0.0.2')
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.3']]])
  servers[0]!.closeAllConnections()
  servers[0]!.close()
  await said(banyan, 'gtin.banyan.test is 127.0.0.3')
  const answer = await fetch(`http://127.0.0.1:${banyan.port}/`)
  expect(await answer.text()).toBe(`127.0.0.3 gtin.banyan.test:${port}`)
})

test.each(['0', '2'])(
  'a dead address is asked for anew at once without health checks too (--workers %s)',
  async (workers) => {
    const { port, servers } = await serversAt(['127.0.0.2', '127.0.0.3'])
    const names = await nameServer(86_400)
    ended.push(() => names.stop())
    names.zone = new Map([['gtin.banyan.test', ['127.0.0.2']]])
    const banyan = await proxyFor(port, names, '', ['--workers', workers])
    await said(banyan, 'gtin.banyan.test is 127.0.0.2')
    names.zone = new Map([['gtin.banyan.test', ['127.0.0.3']]])
    servers[0]!.closeAllConnections()
    servers[0]!.close()
    const load = startLoad(banyan.port, 1, () => ({ path: '/' }))
    // The TTL alone would take 30 s, longer than a test waits.
    await said(banyan, 'gtin.banyan.test is 127.0.0.3')
    await load.more(5)
    await load.stop()
    expect(load.outcomes.at(-1)).toMatchObject({ status: 200, text: `127.0.0.3 gtin.banyan.test:${port}` })
  },
)

test.each(['SERVFAIL', 'silence'] as const)(
  'an answer about IPv6 is none about IPv4: where that fails (%s) the last addresses stay',
  async (failure) => {
    const { port } = await serversAt(['127.0.0.2'])
    const names = await nameServer(1)
    ended.push(() => names.stop())
    names.zone = new Map([['gtin.banyan.test', ['127.0.0.2']]])
    const banyan = await proxyFor(port, names)
    await said(banyan, 'gtin.banyan.test is 127.0.0.2')
    names.failing.set('A', failure)
    // The discard prefix (RFC 6666): nobody answers there.
    names.zone = new Map([['gtin.banyan.test', ['100::1']]])
    await said(banyan, 'gtin.banyan.test does not resolve; keeping the last addresses: 127.0.0.2')
    const load = startLoad(banyan.port, 2, () => ({ path: '/', headers: { Connection: 'close' } }))
    await load.more(20)
    await load.stop()
    expect(new Set(load.outcomes.map(({ status }) => status))).toEqual(new Set([200]))
    names.failing.clear()
    names.zone = new Map([['gtin.banyan.test', ['127.0.0.2']]])
    await said(banyan, 'gtin.banyan.test resolves again')
  },
)

test('a name server that fails for IPv6 only holds nothing up; one that knows no IPv4 address leads to the IPv6 one', async () => {
  const { port } = await serversAt(['127.0.0.2', '::1'])
  const names = await nameServer(1)
  ended.push(() => names.stop())
  names.failing.set('AAAA', 'silence')
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.2']]])
  const banyan = await proxyFor(port, names)
  await said(banyan, 'gtin.banyan.test is 127.0.0.2')
  names.failing.clear()
  names.zone = new Map([['gtin.banyan.test', ['::1']]])
  await said(banyan, 'gtin.banyan.test is ::1')
  expect(await (await fetch(`http://127.0.0.1:${banyan.port}/`)).text()).toBe(`::1 gtin.banyan.test:${port}`)
})

test('of a name with addresses of both families the one that answers is used, by health checks too', async () => {
  const { port } = await serversAt(['::1'])
  const names = await nameServer(60)
  ended.push(() => names.stop())
  names.zone = new Map([['gtin.banyan.test', ['127.0.0.9', '::1']]])
  const banyan = await proxyFor(port, names, ', health: { path: /, every: 100ms, start: unhealthy, up: 1 }')
  await said(banyan, 'is healthy')
  const answer = await fetch(`http://127.0.0.1:${banyan.port}/`)
  expect(await answer.text()).toBe(`::1 gtin.banyan.test:${port}`)
})
