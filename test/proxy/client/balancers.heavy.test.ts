/**
 * HAProxy and nginx before banyan, with the PROXY protocol: passing bytes over TCP and a Unix socket, with and without TLS of banyan's, and
 * requests of HTTP/1.1 over HTTP/2.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get as getPlain, type IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { findProgram } from '../../../scripts/need-tools.ts'
import { startBanyan } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'
import { rawClient } from '../../support/client.ts'
import { freePort } from '../../support/free-port.ts'
import { proxyHeaderV2 } from '../../support/proxy-header.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-balancers-'))
const upstream = createServer((req, res) => {
  res.end(JSON.stringify(req.headers))
})
upstream.listen(0, '127.0.0.1')
await once(upstream, 'listening')
const { port } = upstream.address() as AddressInfo
const table = `version: 1\nupstreams: { main: { servers: ["http://127.0.0.1:${port}"] } }\ndefault: main\n`
const made = selfSigned('shop.test', 'DNS:shop.test')
const [cert, socket] = [join(folder, 'pair.pem'), join(folder, 'http.sock')]
writeFileSync(cert, made.cert + made.key)
const tlsPort = await freePort()
const [tcp, unix] = await Promise.all([
  startBanyan({
    table,
    args: [
      '--proxy-protocol',
      '127.0.0.1',
      '--h2c',
      '--tls',
      `127.0.0.1:${tlsPort}`,
      '--tls-cert',
      cert,
      '--workers',
      '2',
    ],
  }),
  startBanyan({
    table,
    args: ['--listen', `unix:${socket}`, '--listen-mode', '0666', '--proxy-protocol', 'unix', '--workers', '1'],
  }),
])

/** Each way on a port of its own, HAProxy's first. */
const ways = ['v1', 'v2', 'unix', 'tls', 'h2'] as const
const ports = new Map<string, number>()
for (const way of ways) for (const name of ['haproxy', 'nginx']) ports.set(`${name} ${way}`, await freePort())
const portOf = (name: string, way: string): number => ports.get(`${name} ${way}`)!

const server = {
  v1: `127.0.0.1:${tcp.port} send-proxy`,
  v2: `127.0.0.1:${tcp.port} send-proxy-v2 check check-send-proxy inter 200`,
}
const servers: Record<string, string> = {
  ...server,
  unix: `unix@${socket} send-proxy-v2`,
  tls: `127.0.0.1:${tlsPort} send-proxy-v2`,
  // It sends `:scheme: https`, whatever its clients have used.
  h2: `127.0.0.1:${tcp.port} send-proxy-v2 proto h2\n  mode http`,
}
const haproxy = [
  'global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n',
  ...ways.map((way) => `listen ${way}\n  bind 127.0.0.1:${portOf('haproxy', way)}\n  server one ${servers[way]}\n`),
].join('')
// Its `stream` module sends version 1 only.
const nginxTo: Record<string, string> = {
  v1: `127.0.0.1:${tcp.port}`,
  unix: `unix:${socket}`,
  tls: `127.0.0.1:${tlsPort}`,
}
const nginx = [
  'load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nworker_processes 1;\n',
  `pid ${folder}/nginx.pid;\nerror_log stderr;\nevents {}\nstream {\n`,
  ...Object.entries(nginxTo).map(
    ([way, to]) => `  server { listen 127.0.0.1:${portOf('nginx', way)}; proxy_pass ${to}; proxy_protocol on; }\n`,
  ),
  '}\n',
].join('')
writeFileSync(join(folder, 'haproxy.cfg'), haproxy)
writeFileSync(join(folder, 'nginx.conf'), nginx)
chmodSync(folder, 0o755)
const balancers = [
  spawn(findProgram('haproxy') as string, ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' }),
  spawn(findProgram('nginx') as string, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' }),
]
afterAll(async () => {
  for (const balancer of balancers) balancer.kill()
  upstream.closeAllConnections()
  upstream.close()
  await Promise.all([tcp.stop(), unix.stop()])
  rmSync(folder, { recursive: true, force: true })
})

/** What the application is told, of a client at an address of loopback that is the client's own. */
async function told(toPort: number, isSecure: boolean, localAddress: string): Promise<Record<string, string>> {
  const options = {
    host: '127.0.0.1',
    port: toPort,
    localAddress,
    agent: false,
    headers: { Host: 'shop.test' },
  } as const
  const req = isSecure ? getSecure({ ...options, servername: 'shop.test', ca: made.cert }) : getPlain(options)
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of res.setEncoding('utf8')) text += piece
  expect(res.statusCode).toBe(200)
  return JSON.parse(text) as Record<string, string>
}

const isUp = (toPort: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(toPort, '127.0.0.1', () => resolve(true))
    probe.on('error', () => resolve(false))
    probe.on('connect', () => probe.destroy())
  })

test.each([...ways.map((way) => ['haproxy', way]), ...Object.keys(nginxTo).map((way) => ['nginx', way])] as [
  string,
  string,
][])('%s tells the client (%s)', async (name, way) => {
  const toPort = portOf(name, way)
  await expect.poll(() => isUp(toPort)).toBe(true)
  const isSecure = way === 'tls'
  for (const address of ['127.0.0.7', '127.0.0.8']) {
    const { 'x-forwarded-for': client, 'x-forwarded-proto': scheme } = await told(toPort, isSecure, address)
    expect([client, scheme]).toEqual([address, isSecure ? 'https' : 'http'])
  }
})

test('at a port with TLS the header comes first, and only a handshake behind it', async () => {
  const header = proxyHeaderV2({ from: [198, 51, 100, 7] })
  // Not even the beginning of a handshake without its header.
  const stranger = await rawClient(tlsPort)
  await stranger.send('\x16\x03\x01\x02\x00\x01')
  expect((await stranger.readToEnd()).text).toBe('')
  const client = await rawClient(tlsPort)
  await client.send(Buffer.concat([header, Buffer.from('GET / HTTP/1.1\r\n\r\n')]))
  expect((await client.readToEnd()).text).not.toContain('200')
})

test('a balancer that takes longer than five seconds for its header is cut off, and the operator is told', async () => {
  // Its five seconds may begin long before the client hears that it is connected.
  const begunMs = performance.now()
  const silent = await rawClient(tcp.port)
  const slow = await rawClient(tcp.port)
  await slow.send('PROXY TCP4 198.51')
  await Promise.all([silent.ended(), slow.ended()])
  const tookMs = performance.now() - begunMs
  expect(tookMs).toBeGreaterThan(4_500)
  const line = await tcp.program.line((each) => each.includes('"event":"proxy-protocol"'))
  expect(line).toMatch(/no valid PROXY protocol header from 127\.0\.0\.1/)
})
