/**
 * HTTP/2 over TLS, picked by ALPN: curl and node:http2 against a banyan of its own.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'
import { SessionClient } from '../../support/http2-client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'banyan-http2-tls-'))
const { cert, key } = selfSigned('one', 'DNS:one.test,DNS:*.two.test,IP:127.0.0.1')
const [certFile, keyFile] = [join(folder, 'one.pem'), join(folder, 'one.key')]
writeFileSync(certFile, cert)
writeFileSync(keyFile, key)
const upstream = await scriptedUpstream(async (request) => {
  if (request.method === 'PUT') await request.body()
  await request.ok(request.head)
})
const args = ['--tls', '127.0.0.1:0', '--tls-cert', certFile, '--tls-key', keyFile]
const banyan = await startBanyan({ table: tableFor(upstream.port), args })
const port = (banyan as { tlsPort?: number | null }).tlsPort as number
afterAll(async () => {
  await Promise.all([banyan.stop(), upstream.stop()])
  rmSync(folder, { recursive: true })
})

/** curl, which resolves one.test to this machine. */
async function curl(more: readonly string[], path = '/'): Promise<string> {
  const at = ['--connect-to', `one.test:443:127.0.0.1:${port}`, `https://one.test${path}`]
  return (await run('curl', ['-sS', '--max-time', '20', '--cacert', certFile, ...more, ...at])).stdout
}

async function client(servername: string): Promise<SessionClient> {
  const session = connect(`https://${servername}:${port}`, {
    ...{ host: '127.0.0.1', port, servername, ca: cert },
    lookup: (_name: string, _options: object, done: (error: null, list: object[]) => void) =>
      done(null, [{ address: '127.0.0.1', family: 4 }]),
  } as object)
  onTestFinished(() => session.destroy())
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  return new SessionClient(session)
}

test('ALPN picks HTTP/2 for who offers it, and HTTP/1.1 for others', async () => {
  expect(await curl(['-o', join(folder, 'head'), '-w', '%{http_version}'])).toBe('2')
  expect(await curl(['--http1.1', '-o', join(folder, 'head'), '-w', '%{http_version}'])).toBe('1.1')
  const head = await curl([])
  expect(head).toMatch(/^GET \/ HTTP\/1\.1\r\nHost: one\.test\r\n/)
  expect(head).toContain('X-Forwarded-Proto: https\r\n')
})

test('an upload over HTTP/2, and both protocols at once', async () => {
  const file = join(folder, 'upload')
  writeFileSync(file, 'x'.repeat(3_000_000))
  const answers = await Promise.all([curl(['-T', file], '/put'), curl(['--http1.1', '-T', file], '/put')])
  for (const answer of answers) expect(answer).toMatch(/^PUT \/put/)
})

test('a host that the certificate is not for is 421; others of it are served on the same connection', async () => {
  const asking = await client('one.test')
  const ask = async (authority: string): Promise<number> =>
    await asking.ask('/', [':scheme', 'https', ':authority', authority]).status()
  expect(await ask('one.test')).toBe(200)
  expect(await ask('a.two.test:443')).toBe(200)
  expect(await ask('ONE.test')).toBe(200)
  // As browsers and curl ask for https://one.test./, with one.test in SNI.
  expect(await ask('one.test.')).toBe(200)
  expect(await ask('a.two.test.:443')).toBe(200)
  expect(await ask('three.test.')).toBe(421)
  expect(await ask('')).toBe(400)
  expect(await ask('127.0.0.1')).toBe(200)
  expect(await ask('a.b.two.test')).toBe(421)
  expect(await ask('three.test')).toBe(421)
  expect(await ask('one.test')).toBe(200)
})

test('the scheme http over TLS is 421', async () => {
  const asking = await client('one.test')
  expect(await asking.ask('/', [':scheme', 'http', ':authority', 'one.test']).status()).toBe(421)
})
