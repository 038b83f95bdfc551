/**
 * TLS of the public side, as its clients see it: curl and openssl against a banyan of its own.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'

const run = promisify(execFile)

let folder: string
let upstream: ReturnType<typeof createServer>
let table: string

/** Writes a self-signed certificate and its key. */
function write(name: string, altNames: string): { cert: string; key: string } {
  const made = selfSigned(name, altNames)
  const paths = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) }
  writeFileSync(paths.cert, made.cert)
  writeFileSync(paths.key, made.key)
  return paths
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-tls-'))
  upstream = createServer((req, res) => {
    let length = 0
    req.on('data', (piece: Buffer) => {
      length += piece.length
    })
    req.on('end', () => {
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify({ url: req.url, length, headers: req.headers }))
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => upstream.once('listening', resolve))
  table = tableFor((upstream.address() as AddressInfo).port)
})

afterAll(() => {
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

async function secure(args: readonly string[]): Promise<Banyan & { tlsPort: number }> {
  const banyan = await startBanyan({ table, args: ['--tls', '127.0.0.1:0', ...args] })
  onTestFinished(async () => void (await banyan.stop()))
  return banyan as Banyan & { tlsPort: number }
}

/** Asks by curl, which trusts the certificate given and resolves the name to this machine. */
async function curl(port: number, name: string, ca: string, args: readonly string[] = []): Promise<string> {
  const at = ['--connect-to', `${name}:443:127.0.0.1:${port}`, `https://${name}/path?query`]
  return (await run('curl', ['-sS', '--max-time', '20', '--cacert', ca, ...args, ...at])).stdout
}

test('curl: scheme, upload, TLS 1.2 and 1.3, names and wildcards', async () => {
  const one = write('one', 'DNS:one.test')
  const two = write('two', 'DNS:two.test,DNS:*.two.test')
  const banyan = await secure(['--tls-cert', `${one.cert},${two.cert}`, '--tls-key', `${one.key},${two.key}`])
  const seen = JSON.parse(await curl(banyan.tlsPort, 'one.test', one.cert, ['--tls-max', '1.2']))
  expect(seen.headers).toMatchObject({ host: 'one.test', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' })
  const file = join(folder, 'upload')
  writeFileSync(file, 'x'.repeat(3_000_000))
  expect(JSON.parse(await curl(banyan.tlsPort, 'a.two.test', two.cert, ['-T', file])).length).toBe(3_000_000)
  expect(JSON.parse(await curl(banyan.tlsPort, 'two.test', two.cert, ['--tlsv1.3'])).url).toBe('/path?query')
  // One label, and no more.
  await expect(curl(banyan.tlsPort, 'a.b.two.test', two.cert)).rejects.toThrow(/certificate|SSL/)
  // And without TLS as before.
  const plain = await fetch(`http://127.0.0.1:${banyan.port}/`)
  expect(((await plain.json()) as { headers: object }).headers).toMatchObject({ 'x-forwarded-proto': 'http' })
})
