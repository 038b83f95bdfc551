/**
 * Routes in front of applications that read paths in their own way: a Java one with its session in the path, one that ignores case
 * and final slashes. Real processes, real sockets.
 */
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { banyan as command } from '../cli/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'

interface Application {
  readonly port: number
  /** Targets as they came. */
  readonly targets: string[]
}

const servers: Server[] = []
let legacy: Application
let gtin: Application
let proxy: Banyan | null = null

/** @param read the path as the application reads it; it answers with its name and that path */
async function application(name: string, read: (path: string) => string): Promise<Application> {
  const targets: string[] = []
  const server = createServer((req, res) => {
    targets.push(req.url ?? '')
    res.end(`${name} ${read(req.url ?? '')}`)
  })
  servers.push(server)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return { port: (server.address() as AddressInfo).port, targets }
}

/** As Tomcat does, and as IIS does. */
const JAVA = (path: string): string => path.replaceAll(/;[^/?]*/g, '')
const IIS = (path: string): string => path.toLowerCase().replace(/(.)\/$/, '$1')

beforeEach(async () => {
  gtin = await application('gtin', (path) => path)
})
afterEach(async () => {
  await proxy?.stop()
  proxy = null
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => {
      server.close(resolve)
    })
  }
})

function table(keys: string, routes: readonly string[]): string {
  return `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy.port}], ${keys} }
  gtin: { servers: [http://127.0.0.1:${gtin.port}], ${keys} }
default: legacy
routes:
${routes.map((route) => `  - { ${route} }\n`).join('')}`
}

async function get(path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${proxy?.port}${path}`)
  return response.text()
}

async function explained(request: object): Promise<{ decision: { upstream: string; reason: string } }> {
  const response = await fetch(`http://127.0.0.1:${proxy?.adminPort}/explain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  })
  return (await response.json()) as { decision: { upstream: string; reason: string } }
}

test('a session in the path of a Java application changes neither route nor side, and goes upstream as received', async () => {
  legacy = await application('legacy', JAVA)
  const lookup = 'id: lookup, match: { path: "/shop/:item" }, to: gtin, percent: 50, sticky: param:item'
  proxy = await startBanyan({ table: table('pathParameters: ignore', [lookup]) })
  const items = Array.from({ length: 40 }, (_, i) => `item${i}`)
  const plain = await Promise.all(items.map((item) => get(`/shop/${item}`)))
  const sides = plain.map((text) => text.split(' ')[0])
  expect(new Set(sides)).toEqual(new Set(['legacy', 'gtin']))
  for (const session of [';jsessionid=1F', ';jsessionid=2F;v=1']) {
    const answers = await Promise.all(items.map((item) => get(`/shop${session}/${item}${session}?q=1`)))
    expect(answers.map((text) => text.split(' ')[0])).toEqual(sides)
  }
  expect([...legacy.targets, ...gtin.targets].filter((target) => target.includes(';'))).toHaveLength(80)
  expect(gtin.targets.filter((target) => target.includes('2F'))[0]).toMatch(
    /^\/shop;jsessionid=2F;v=1\/item\d+;jsessionid=2F;v=1\?q=1$/,
  )
  expect(await explained({ url: '/shop/..;x/a' })).toMatchObject({ decision: { reason: 'ambiguous' } })
  expect(await explained({ url: '/shop/;x/a' })).toMatchObject({ decision: { reason: 'ambiguous' } })
})

test('an application that ignores case and final slashes is matched as it reads, and so is not bypassed', async () => {
  legacy = await application('legacy', IIS)
  const moved = 'id: moved, match: { path: /Stores/*, methods: [GET] }, to: gtin, percent: 100'
  const strict =
    'id: strict, match: { path: /Strict }, to: gtin, percent: 100, caseInsensitivePaths: false, trailingSlash: exact'
  const keys = 'caseInsensitivePaths: true, trailingSlash: ignore'
  proxy = await startBanyan({ table: table(keys, [moved, strict]) })
  for (const path of ['/Stores/3', '/stores/3', '/STORES/3/', '/sToReS', '/stores/']) {
    expect(await get(path)).toBe(`gtin ${path}`)
  }
  expect(await get('/strict')).toBe('legacy /strict')
  expect(await get('/Strict/')).toBe('legacy /strict')
  expect(await get('/Strict')).toBe('gtin /Strict')
  // An edit of the file that takes the key away is one like any other.
  const { tableFile } = proxy
  await writeFile(tableFile, table('caseInsensitivePaths: false', [moved]))
  await expect.poll(() => get('/stores/3')).toBe('legacy /stores/3')
  expect(await get('/Stores/3')).toBe('gtin /Stores/3')
})

test('testers see everything new, by network or header, whatever other routes say; explain says why', async () => {
  legacy = await application('legacy', (path) => path)
  const testers =
    'id: testers, priority: 5, match: { paths: [/products/*, /carts/*], anyOf: [{ clients: [10.0.0.0/8] }, { headers: { x-beta: true } }] }, to: gtin, percent: 100'
  const product = 'id: product, match: { path: "/products/:id" }, to: gtin, percent: 0'
  proxy = await startBanyan({
    table: table('via: false', [testers, product]),
    args: ['--trusted-proxies', '127.0.0.1'],
  })
  const from = (client: string) => ({ headers: { 'x-forwarded-for': client } })
  const ask = async (path: string, init: RequestInit = {}) =>
    (await (await fetch(`http://127.0.0.1:${proxy?.port}${path}`, init)).text()).split(' ')[0]
  expect(await ask('/products/1', from('10.1.2.3'))).toBe('gtin')
  expect(await ask('/products/1', from('192.0.2.1'))).toBe('legacy')
  expect(await ask('/carts/1', { headers: { 'x-beta': '' } })).toBe('gtin')
  expect(await ask('/carts/1')).toBe('legacy')
  const at = (client: string) =>
    command(['explain', '/products/1', '--client', client, '--admin', `127.0.0.1:${proxy?.adminPort}`])
  expect((await at('10.1.2.3')).out).toContain('testers has a higher priority: 5, this route has 0')
  expect((await at('192.0.2.1')).out).toContain(
    'no block of anyOf is met: (1) the client is "192.0.2.1", must be in 10.0.0.0/8; (2) header x-beta is absent, must be present',
  )
})
