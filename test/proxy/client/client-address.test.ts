/**
 * Who the client is behind a balancer, however that writes it, and what it speaks where that says nothing: with real processes.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'

const upstream = createServer((req, res) => {
  res.end(JSON.stringify(req.headers))
})
upstream.listen(0, '127.0.0.1')
await once(upstream, 'listening')
const { port } = upstream.address() as AddressInfo
const table = `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${port}"] }
  next: { servers: ["http://127.0.0.1:${port}"], host: next.test }
default: main
routes:
  - { id: half, match: { path: /half }, to: next, percent: 50, sticky: [ip] }
`
const [trusting, secure, plain] = await Promise.all([
  startBanyan({ table, args: ['--trusted-proxies', '::ffff:127.0.0.0/104, 10.0.0.0/8, ::1', '--access-log', 'json'] }),
  startBanyan({ table: tableFor(port), args: ['--client-scheme', 'https'] }),
  startBanyan({ table: tableFor(port) }),
])
afterAll(async () => {
  upstream.closeAllConnections()
  upstream.close()
  await Promise.all([trusting, secure, plain].map((one) => one.stop()))
})

const asks = async (banyan: Banyan, path: string, headers: Record<string, string> = {}) =>
  (await (await fetch(`http://127.0.0.1:${banyan.port}${path}`, { headers })).json()) as Record<string, string>

const FORMS: [string, string[]][] = [
  ['203.0.113.7', ['203.0.113.7', '203.0.113.7:40001', '::ffff:203.0.113.7', '[::ffff:cb00:7107]:9']],
  ['203.0.113.8', ['203.0.113.8', '203.0.113.8:1, 10.0.0.5:443', '6.6.6.6, 203.0.113.8, ::FFFF:10.0.0.5']],
  ['2001:db8::1', ['2001:db8::1', '2001:DB8:0:0:0:0:0:1', '[2001:db8::1]', '[2001:db8:0::1]:50000, [::1]:443']],
]

test.each(FORMS)('%s is one client for draw and log, however a proxy writes it', async (address, forms) => {
  const path = `/half?${address}`
  const sides = new Set<string>()
  for (const form of forms) sides.add((await asks(trusting, path, { 'X-Forwarded-For': form })).host!)
  expect(sides.size).toBe(1)
  const isLine = (line: string) => line.includes(`"target":"${path}"`)
  await trusting.program.line((line) => isLine(line) && trusting.log.filter(isLine).length === forms.length)
  const clients = trusting.log.filter(isLine).map((line) => (JSON.parse(line) as { client: string }).client)
  expect(new Set(clients)).toEqual(new Set([address]))
})

test('ports of one client make no new draws, and clients behind one proxy are many', async () => {
  const sideOf = async (forwarded: string) => (await asks(trusting, '/half', { 'X-Forwarded-For': forwarded })).host
  const ports = await Promise.all(Array.from({ length: 20 }, (_, n) => sideOf(`203.0.113.9:${50_000 + n}`)))
  expect(new Set(ports).size).toBe(1)
  const clients = Array.from({ length: 20 }, (_, n) => sideOf(`203.0.113.${n}:40000, 10.0.0.5:443`))
  expect(new Set(await Promise.all(clients)).size).toBe(2)
})

test('what clients speak is said by the settings where nobody else does', async () => {
  expect((await asks(secure, '/'))['x-forwarded-proto']).toBe('https')
  expect((await asks(secure, '/', { 'X-Forwarded-Proto': 'http' }))['x-forwarded-proto'], 'not by a stranger').toBe(
    'https',
  )
  expect((await asks(plain, '/'))['x-forwarded-proto']).toBe('http')
})

test('a trusted proxy has the last word on it', async () => {
  const both = await startBanyan({
    table: tableFor(port),
    args: ['--client-scheme', 'https', '--trusted-proxies', '127.0.0.1'],
  })
  try {
    expect((await asks(both, '/', { 'X-Forwarded-Proto': 'http' }))['x-forwarded-proto']).toBe('http')
    expect((await asks(both, '/'))['x-forwarded-proto']).toBe('https')
  } finally {
    await both.stop()
  }
})
