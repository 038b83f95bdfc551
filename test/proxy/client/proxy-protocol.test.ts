/**
 * The PROXY protocol before a proxy that runs: who the client is then, and what becomes of peers that send no header.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { FLAG, frameClient, GET, headers, PREFACE, settings, TYPE } from '../../support/frames.ts'
import { proxyHeaderV2 } from '../../support/proxy-header.ts'

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
const behind = ['--proxy-protocol', '127.0.0.1', '--h2c', '--trusted-proxies', '203.0.113.9', '--access-log', 'json']
const [one, workers, others] = await Promise.all([
  startBanyan({ table, args: behind }),
  startBanyan({ table, args: [...behind, '--workers', '2'] }),
  startBanyan({ table: tableFor(port), args: ['--proxy-protocol', '10.0.0.0/8,unix', '--h2c'] }),
])
afterAll(async () => {
  upstream.closeAllConnections()
  upstream.close()
  await Promise.all([one, workers, others].map((each) => each.stop()))
})

const v1 = (address: string): string => `PROXY TCP4 ${address} 10.0.0.1 40001 80\r\n`

interface Asked {
  readonly path?: string
  readonly fields?: string
}

async function asks(banyan: Banyan, header: string | Buffer, { path = '/', fields = '' }: Asked = {}) {
  const client = await rawClient(banyan.port)
  const request = `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`
  await client.send(Buffer.concat([Buffer.from(header as string, 'latin1'), Buffer.from(request)]))
  const { status, body } = await client.nextResponse()
  expect(status).toBe(200)
  return JSON.parse(body.text) as Record<string, string | undefined>
}

/** The client in the line of the log for a path. */
async function logged(banyan: Banyan, path: string): Promise<string> {
  const line = await banyan.program.line((each) => each.includes(`"target":"${path}"`))
  return (JSON.parse(line) as { client: string }).client
}

const FORMS: [string, string | Buffer, string][] = [
  ['v1', v1('198.51.100.7'), '198.51.100.7'],
  ['v1 over IPv6', 'PROXY TCP6 2001:DB8:0::7 ::1 1 2\r\n', '2001:db8::7'],
  ['v1 of a mapped address', 'PROXY TCP6 ::ffff:198.51.100.8 ::1 1 2\r\n', '198.51.100.8'],
  ['v1 UNKNOWN', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
  ['v2', proxyHeaderV2({ from: [198, 51, 100, 9] }), '198.51.100.9'],
  ['v2 over IPv6 with TLVs', proxyHeaderV2({ family: 0x21, extra: 3000 }), '2001:db8::1'],
  ['v2 LOCAL', proxyHeaderV2({ command: 0x20 }), '127.0.0.1'],
  ['v2 UNSPEC', proxyHeaderV2({ family: 0 }), '127.0.0.1'],
]

describe.each([
  ['one process', one],
  ['workers', workers],
])('with %s', (_name, banyan) => {
  test.each(FORMS)('%s tells the client to upstream and log', async (name, header, address) => {
    const path = `/?${encodeURIComponent(name)}`
    expect((await asks(banyan, header, { path }))['x-forwarded-for']).toBe(address)
    expect(await logged(banyan, path)).toBe(address)
  })

  test('a client of a Unix socket before the balancer is named unix, and adds no address', async () => {
    expect(await asks(banyan, proxyHeaderV2({ family: 0x31 }), { path: '/?unix' })).not.toHaveProperty(
      'x-forwarded-for',
    )
    expect(await logged(banyan, '/?unix')).toBe('unix')
  })

  test('requests follow each other on the connection, and the client stays', async () => {
    const client = await rawClient(banyan.port)
    await client.send(`${v1('198.51.100.7')}${'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'.repeat(3)}`)
    for (let n = 0; n < 3; n++) expect((await client.nextResponse()).body.text).toContain('"198.51.100.7"')
    expect((await client.ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.text).toContain('"198.51.100.7"')
    // A second header is no request.
    expect((await client.ask(v1('198.51.100.8'))).status).toBe(400)
  })

  test('HTTP/2 by prior knowledge may come with the header', async () => {
    const begin = Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, GET, FLAG.endStream)])
    for (const sent of [0, v1('').length, begin.length - 1]) {
      const all = Buffer.concat([Buffer.from(v1('198.51.100.7')), begin])
      const client = await frameClient(banyan.port, all.subarray(0, sent))
      await wait(5)
      await client.send(all.subarray(sent))
      expect((await client.until(TYPE.data, 1)).payload.toString()).toContain('"198.51.100.7"')
    }
  })

  test('the scheme in HTTP/2 is the word of the balancer, and of nobody else', async () => {
    const fields = GET.map(([name, value]) => [name, name === ':scheme' ? 'https' : value] as const)
    const begin = Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, fields, FLAG.endStream)])
    const client = await frameClient(banyan.port, Buffer.concat([Buffer.from(v1('198.51.100.7')), begin]))
    expect((await client.until(TYPE.data, 1)).payload.toString()).toContain('"x-forwarded-proto":"http"')
    const stranger = await frameClient(others.port, begin)
    expect((await stranger.until(TYPE.data, 1)).payload.toString()).toContain('misdirected')
  })

  test('the header may be split anywhere', async () => {
    const request = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody'
    for (const header of [
      v1('198.51.100.7'),
      proxyHeaderV2({ from: [198, 51, 100, 7], extra: 9 }).toString('latin1'),
    ]) {
      const all = header + request
      await Promise.all(
        Array.from({ length: header.length + 3 }, async (_, at) => {
          const client = await rawClient(banyan.port)
          await client.send(all.slice(0, at))
          await wait(5)
          await client.send(all.slice(at))
          expect((await client.nextResponse()).body.text).toContain('"198.51.100.7"')
        }),
      )
    }
    const client = await rawClient(banyan.port)
    for (const byte of v1('198.51.100.7') + request) await client.send(byte)
    expect((await client.nextResponse()).status).toBe(200)
  })

  test.each([
    ['a request', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a TLS handshake', '\x16\x03\x01\x02\x00\x01'],
    ['a line of another protocol', 'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['addresses that are none', 'PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n'],
    ['a line that does not end', `PROXY UNKNOWN ${'x'.repeat(500)}`],
    ['a block that is cut', proxyHeaderV2({ length: 3 })],
    ['a version that is not known', proxyHeaderV2({ command: 0x31 })],
  ])('%s in the place of a header closes the connection', async (_what, bytes) => {
    const client = await rawClient(banyan.port)
    await client.send(bytes)
    expect((await client.readToEnd()).text).toBe('')
  })
})

test('what is no header is logged with the peer and the cause', async () => {
  const client = await rawClient(one.port)
  await client.send('GET / HTTP/1.1\r\n\r\n')
  await client.ended()
  const line = await one.program.line((each) => each.includes('"event":"proxy-protocol"'))
  const { msg, client: peer } = JSON.parse(line) as { msg: string; client: string }
  expect(peer).toBe('127.0.0.1')
  expect(msg).toContain('no valid PROXY protocol header from 127.0.0.1')
})

test('X-Forwarded-For is believed by the address in the header', async () => {
  const fields = 'X-Forwarded-For: 192.0.2.55\r\n'
  expect((await asks(one, v1('203.0.113.9'), { fields, path: '/?trusted' }))['x-forwarded-for']).toBe(
    '192.0.2.55, 203.0.113.9',
  )
  expect(await logged(one, '/?trusted')).toBe('192.0.2.55')
  expect((await asks(one, v1('203.0.113.8'), { fields, path: '/?stranger' }))['x-forwarded-for']).toBe('203.0.113.8')
  expect(await logged(one, '/?stranger')).toBe('203.0.113.8')
})

test('draws by address are made on the address in the header', async () => {
  const sideOf = async (address: string) => (await asks(one, v1(address), { path: '/half' })).host
  const sides = await Promise.all(Array.from({ length: 20 }, (_, n) => sideOf(`198.51.100.${n}`)))
  expect(new Set(sides).size).toBe(2)
  const again = await Promise.all(Array.from({ length: 20 }, (_, n) => sideOf(`198.51.100.${n}`)))
  expect(again).toEqual(sides)
})

test('from other peers no header is read', async () => {
  const client = await rawClient(others.port)
  expect((await client.ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.text).toContain('"127.0.0.1"')
  const liar = await rawClient(others.port)
  await liar.send(`${v1('198.51.100.7')}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n`)
  expect((await liar.nextResponse()).status).toBe(400)
  const binary = await rawClient(others.port)
  await binary.send(proxyHeaderV2())
  expect((await binary.nextResponse()).status).toBe(400)
})
