/**
 * TLS to upstreams: the server's certificate is checked, ours is shown, and the exchange is the same as without.
 */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const pem = (name: string): string => join(import.meta.dirname, '../../support/tls', `${name}.pem`)
const server = { key: readFileSync(pem('server-key')), cert: readFileSync(pem('server')) }
const [open, strict] = await Promise.all([
  scriptedUpstream(null, server),
  scriptedUpstream(null, { ...server, ca: readFileSync(pem('ca')), requestCert: true, rejectUnauthorized: true }),
])
/** Its own authority, so that nothing but the name is in question. */
async function named(name: string, commonName: string, altNames: string | null) {
  const made = selfSigned(commonName, altNames)
  writeFileSync(join(folder, `${name}.pem`), made.cert)
  return scriptedUpstream((request) => request.ok(name), made)
}
const folder = mkdtempSync(join(tmpdir(), 'banyan-tls-'))
const names = await Promise.all([
  named('common', 'up.test', null),
  named('partial', 'x.test', 'DNS:u*.up.test'),
  named('wild', 'x.test', 'DNS:*.up.test'),
])
/** Hangs up as soon as it has seen the client's hello. */
const rude = createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', () => socket.end())
}).listen(0, '127.0.0.1')
await once(rude, 'listening')
/** Speaks no TLS. */
const plain = createServer((socket) => {
  socket.on('error', () => {})
  socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
}).listen(0, '127.0.0.1')
await once(plain, 'listening')
const url = (port: number, host = '127.0.0.1'): string => `https://${host}:${port}`
const client = `cert: ${pem('client')}, key: ${pem('client-key')}`
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  trusted: { servers: ["${url(open.port)}"], tls: { ca: ${pem('ca')} }, host: upstream }
  mutual: { servers: ["${url(strict.port)}"], tls: { ca: ${pem('ca')}, ${client}, serverName: legacy.test } }
  bare: { servers: ["${url(strict.port)}"], tls: { ca: ${pem('ca')} } }
  stranger: { servers: ["${url(open.port)}"], tls: { ca: ${pem('other-ca')} } }
  system: { servers: ["${url(open.port)}"] }
  misnamed: { servers: ["${url(open.port)}"], tls: { ca: ${pem('ca')}, serverName: other.test } }
  older: { servers: ["${url(open.port)}"], tls: { ca: ${pem('ca')}, maxVersion: TLSv1.2, ciphers: "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384" } }
  newer: { servers: ["${url(open.port)}"], tls: { ca: ${pem('ca')}, minVersion: TLSv1.3 } }
  careless: { servers: ["${url(open.port)}"], tls: { verify: false } }
  plain: { servers: ["http://127.0.0.1:${open.port}"], timeouts: { headers: 1s } }
  common: { servers: ["${url(names[0].port)}"], tls: { ca: ${folder}/common.pem, serverName: up.test } }
  partial: { servers: ["${url(names[1].port)}"], tls: { ca: ${folder}/partial.pem, serverName: up.up.test } }
  wild: { servers: ["${url(names[2].port)}"], tls: { ca: ${folder}/wild.pem, serverName: up.up.test } }
  rude: { servers: ["${url((rude.address() as AddressInfo).port)}"] }
default: trusted
routes:
  - { id: rude, match: { path: /rude }, to: rude, percent: 100, fallback: { methods: all } }
  - { id: cached, match: { path: /cached }, to: trusted, percent: 100, cache: {} }
${[
  'mutual',
  'bare',
  'stranger',
  'system',
  'misnamed',
  'careless',
  'older',
  'newer',
  'plain',
  'common',
  'partial',
  'wild',
]
  .map((name) => `  - { id: ${name}, match: { path: /${name} }, to: ${name}, percent: 100 }\n`)
  .join('')}`,
})
afterAll(async () => {
  await Promise.all([banyan.stop(), open.stop(), strict.stop(), ...names.map((one) => one.stop())])
  rude.close()
  plain.close()
  rmSync(folder, { recursive: true })
})
beforeEach(() => Promise.all([open.cut(), strict.cut()]))

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`

test('the log tells each fault of certificate or handshake by a cause of its own, in the operator’s words', async () => {
  const faults: Record<string, string> = {
    stranger: `"${url(open.port)}"], tls: { ca: ${pem('other-ca')} }`,
    selfsigned: `"${url(names[0].port)}"]`,
    misnamed: `"${url(open.port)}"], tls: { ca: ${pem('ca')}, serverName: other.test }`,
    bare: `"${url(strict.port)}"], tls: { ca: ${pem('ca')} }`,
    cleartext: `"https://127.0.0.1:${(plain.address() as AddressInfo).port}"]`,
  }
  const told = await startBanyan({
    table: `version: 1
upstreams:
${Object.entries(faults)
  .map(([name, rest]) => `  ${name}: { servers: [${rest} }\n`)
  .join('')}default: stranger
routes:
${Object.keys(faults)
  .map((name) => `  - { id: ${name}, match: { path: /${name} }, to: ${name}, percent: 100 }\n`)
  .join('')}`,
    args: ['--access-log', 'json'],
  })
  onTestFinished(async () => void (await told.stop()))
  const causes: Record<string, string> = {}
  for (const name of Object.keys(faults)) {
    const client = await rawClient(told.port)
    expect((await client.ask(get(`/${name}`))).status).toBe(502)
    causes[name] = JSON.parse(await told.program.line((line) => line.includes(`"route":"${name}"`))).cause
  }
  expect(causes).toEqual({
    stranger: expect.stringMatching(/^the certificate is from an unknown CA: set tls\.ca/),
    selfsigned: 'the certificate is self-signed: set tls.ca to it',
    misnamed: expect.stringMatching(/^the certificate is not valid for other\.test/),
    bare: expect.stringMatching(/^the server refused TLS: .*(certificate required|handshake failure) \(alert \d+\)$/),
    cleartext: 'the server does not speak TLS on this port',
  })
})

test('a server whose certificate the CA has signed is spoken to, and its connection kept', async () => {
  const client = await rawClient(banyan.port)
  for (let n = 0; n < 3; n++) {
    await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')
    const request = await open.request()
    expect(request.nth).toBe(n)
    expect(request.field('host')).toBe(`127.0.0.1:${open.port}`)
    // The client came in plain text.
    expect(request.field('x-forwarded-proto')).toBe('http')
    expect((await request.body()).text).toBe('hello')
    await request.ok('over TLS')
    expect((await client.nextResponse()).body.text).toBe('over TLS')
  }
})

test('versions and ciphers are those of the upstream', async () => {
  const client = await rawClient(banyan.port)
  const spoken = async (target: string) => {
    await client.send(get(target))
    const request = await open.request()
    const socket = request.connection.socket as TLSSocket
    await request.ok('x')
    await client.nextResponse()
    return [socket.getProtocol(), socket.getCipher().name]
  }
  expect(await spoken('/older')).toEqual(['TLSv1.2', expect.stringMatching(/AES256-GCM-SHA384$/)])
  expect((await spoken('/newer'))[0]).toBe('TLSv1.3')
})

test('the client certificate is shown, and the name asked for by SNI', async () => {
  const client = await rawClient(banyan.port)
  await client.send(get('/mutual'))
  const request = await strict.request()
  const socket = request.connection.socket as TLSSocket & { servername: string }
  expect(socket.authorized).toBe(true)
  expect(socket.getPeerCertificate().subject.CN).toBe('banyan')
  expect(socket.servername).toBe('legacy.test')
  await request.ok()
  expect((await client.nextResponse()).status).toBe(200)
})

test.each(['stranger', 'system', 'misnamed', 'bare', 'plain'])(
  '%s: no certificate that can be relied on, no request: 502',
  async (name) => {
    const client = await rawClient(banyan.port)
    const response = await client.ask(get(`/${name}`))
    expect(response.status).toBe(502)
    expect(response.body.text).not.toMatch(/certificate|127\.0\.0\.1/)
    expect(open.requests + strict.requests).toBe(seen)
  },
)

let seen = 0
beforeEach(() => {
  seen = open.requests + strict.requests
})

test.each([
  ['common', 502, 'a name in the subject only, not among its alternative names'],
  ['partial', 502, 'a wildcard for a part of a label'],
  ['wild', 200, 'a wildcard for a whole label'],
])('%s: %i, the certificate has %s', async (name, status) => {
  const response = await (await rawClient(banyan.port)).ask(get(`/${name}`))
  expect(response.status).toBe(status)
})

test('a server that hangs up during the handshake has got nothing: a POST falls back', async () => {
  const client = await rawClient(banyan.port)
  await client.send('POST /rude HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  const request = await open.request()
  expect((await request.body()).text).toBe('hi')
  await request.ok('from the other side')
  expect((await client.nextResponse()).body.text).toBe('from the other side')
})

test('an answer that ends with the connection may have been cut: it is broken off, and not stored', async () => {
  for (let n = 0; n < 2; n++) {
    const client = await rawClient(banyan.port)
    await client.send(get('/cached'))
    const request = await open.request()
    await request.send('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\nhalf of it')
    request.connection.finish()
    const { text, ending } = await client.readToEnd()
    expect(text).toContain('half of it')
    // A last chunk, or an end of the connection where there is no other, would say that it is whole.
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
    expect(text.includes('chunked') || ending !== 'end').toBe(true)
  }
})

test('verify: false takes any certificate', async () => {
  const client = await rawClient(banyan.port)
  await client.send(get('/careless'))
  await (await open.request()).ok()
  expect((await client.nextResponse()).status).toBe(200)
})

test('an upgrade over TLS', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly')
  const request = await open.request()
  await request.send('HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello')
  await client.readUntil('\r\n\r\nhello')
  expect(await request.connection.readUntil('early')).toBe('early')
  client.finish()
  expect(await request.connection.ended()).toBe('end')
  await request.send('bye')
  request.connection.finish()
  expect(await client.readToEnd()).toEqual({ text: 'bye', ending: 'end' })
})

test('a body of some MiB both ways', async () => {
  const client = await rawClient(banyan.port)
  const bytes = Buffer.alloc(5 * 1024 * 1024, 'tls')
  void client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  void client.send(bytes)
  const request = await open.request()
  expect(Buffer.from((await request.body()).text, 'latin1').equals(bytes)).toBe(true)
  void request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  void request.send(bytes)
  expect(Buffer.from((await client.nextResponse()).body.text, 'latin1').equals(bytes)).toBe(true)
})
