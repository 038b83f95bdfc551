/**
 * What banyan says and does on a Node whose node:http2 can't carry requests and responses as they are: servers are not asked by HTTP/2.
 */
import { createServer, type Server } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { flawOfHttp2 } from '../../src/state/http2-support.ts'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { pretending } from '../support/process.ts'

const tlsFile = (name: string): string => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url))
const TLS = ['--tls', '127.0.0.1:0', '--tls-cert', tlsFile('server.pem'), '--tls-key', tlsFile('server-key.pem')]

let upstream: Server
let port: number

beforeAll(async () => {
  upstream = createServer((_req, res) => res.end('legacy')).listen(0, '127.0.0.1')
  await new Promise((resolve) => upstream.once('listening', resolve))
  port = (upstream.address() as AddressInfo).port
})
afterAll(() => void upstream.close())
afterEach(() => vi.unstubAllGlobals())

test.each([
  ['22.23.3', false],
  ['24.14.1', false],
  ['24.15.0', true],
  ['25.6.1', false],
  ['25.7.0', true],
  ['26.0.0', true],
])('Node %s: HTTP/2 to servers %s', (node, can) => {
  vi.stubGlobal('process', { ...process, versions: { ...process.versions, node } })
  const flaw = can ? null : `HTTP/2 to servers needs Node >= 24.15 (of Node 25, >= 25.7), and this is ${node}`
  expect(flawOfHttp2()).toBe(flaw)
})

/** What it says where it does not start. */
async function refusal(table: string, args: readonly string[]): Promise<string> {
  const started = startBanyan({ table, args, nodeFlags: pretending('24.14.1') })
  return await started.then(
    () => 'started',
    (error: Error) => error.message,
  )
}

test('servers that speak HTTP/2 are refused at the start', async () => {
  expect(await refusal(tableFor(port, ['protocol: h2c']), [])).toMatch(
    /routes\.yaml:5:\d+: .*HTTP\/2 to servers needs Node/,
  )
})

test('clients get HTTP/2 all the same', async () => {
  const banyan = await startBanyan({
    table: tableFor(port),
    args: [...TLS, '--h2c'],
    nodeFlags: pretending('24.14.1'),
  })
  onTestFinished(async () => void (await banyan.stop()))
  for (const url of [`http://127.0.0.1:${banyan.port}`, `https://127.0.0.1:${banyan.tlsPort}`]) {
    const session = connect(url, { rejectUnauthorized: false })
    onTestFinished(() => session.destroy())
    const stream = session.request({ ':path': '/' })
    expect((await stream.toArray()).join('')).toBe('legacy')
  }
})
