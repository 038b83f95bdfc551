/**
 * HTTP/2 under the load of h2load (nghttp2), with TLS and without: every request is answered.
 */
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'

const run = promisify(execFile)
const tlsFile = (name: string): string => fileURLToPath(new URL(`../../support/tls/${name}`, import.meta.url))
const TLS = ['--tls', '127.0.0.1:0', '--tls-cert', tlsFile('server.pem'), '--tls-key', tlsFile('server-key.pem')]

const BODY = 'x'.repeat(5000)
const upstream = createServer((req, res) => req.resume().on('end', () => res.end(BODY))).listen(0, '127.0.0.1')
await new Promise((resolve) => upstream.once('listening', resolve))
const table = tableFor((upstream.address() as AddressInfo).port)
const banyan = await startBanyan({ table, args: ['--h2c', ...TLS] })
afterAll(async () => {
  await banyan.stop()
  upstream.closeAllConnections()
  upstream.close()
})

test.each([
  ['without TLS', (): string => `http://127.0.0.1:${banyan.port}/`, []],
  ['with TLS', (): string => `https://127.0.0.1:${banyan.tlsPort}/`, []],
  ['with windows of 1 KiB', (): string => `http://127.0.0.1:${banyan.port}/`, ['-w', '10', '-W', '10']],
  ['with bodies', (): string => `http://127.0.0.1:${banyan.port}/`, ['-d', tlsFile('server.pem')]],
])('2000 requests on 4 connections, 20 at a time, %s', async (_, url, more) => {
  const { stdout } = await run('h2load', ['-n2000', '-c4', '-m20', ...more, url()])
  expect(stdout).toMatch(
    /requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/,
  )
  expect(stdout).toContain(`(${2000 * BODY.length}) data`)
})
