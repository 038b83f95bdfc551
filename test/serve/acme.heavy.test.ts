/**
 * `--acme` against Pebble, with workers: certificates come, by both challenges, and are renewed while requests run.
 */
import { X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { agedPair } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { type Pebble, startPebble } from '../support/pebble.ts'
import { scriptedUpstream } from '../support/upstream.ts'

interface Ran {
  readonly banyan: Banyan
  readonly pebble: Pebble
  readonly tlsPort: number
  readonly folder: string
}

/** What a client gets: the serial of the certificate that it has verified, and the status of a request. */
function asked(port: number, name: string, ca: string | string[]): Promise<{ serial: string; status: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: name, ca, ALPNProtocols: ['http/1.1'] }, () => {
      socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`)
    })
    let text = ''
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece
    })
    const serial = (): string => socket.getPeerCertificate().serialNumber
    socket.once('secureConnect', () => {
      const at = serial()
      socket.once('end', () => resolve({ serial: at, status: text.slice(9, 12) }))
    })
    socket.on('error', reject)
  })
}

interface Options {
  readonly challenge: string
  readonly args?: readonly string[]
  /** Files in the folder. */
  readonly kept?: Readonly<Record<string, string>>
}

async function started(options: Options): Promise<Ran> {
  const [httpPort, tlsPort] = [await freePort(), await freePort()]
  const names = ['shop.test', 'api.test']
  const pebble = await startPebble({ names, httpPort, tlsPort })
  onTestFinished(() => pebble.stop())
  const folder = mkdtempSync(join(tmpdir(), 'banyan-acme-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'acme'), { mode: 0o700 })
  for (const [file, text] of Object.entries(options.kept ?? {}))
    writeFileSync(join(folder, 'acme', file), text, { mode: 0o600 })
  const upstream = await scriptedUpstream((request) => request.ok(request.target))
  const args = [
    ...['--listen', `127.0.0.1:${httpPort}`, '--tls', `127.0.0.1:${tlsPort}`, '--acme', names.join(',')],
    ...['--acme-directory', pebble.directory, '--acme-state', join(folder, 'acme'), '--acme-email', 'ops@shop.test'],
    ...['--acme-challenge', options.challenge, ...(options.args ?? [])],
  ]
  const env = { NODE_EXTRA_CA_CERTS: pebble.trust }
  const banyan = await startBanyan({ table: tableFor(upstream.port), args, env })
  onTestFinished(async () => void (await banyan.stop()))
  return { banyan, pebble, tlsPort, folder: join(folder, 'acme') }
}

const DAY_MS = 86_400_000

test('tls-alpn-01 with workers: a certificate that is due is replaced, and no request fails', async () => {
  const old = agedPair('shop.test', Date.now() - 80 * DAY_MS, Date.now() + 10 * DAY_MS)
  const { banyan, pebble, tlsPort, folder } = await started({
    ...{ challenge: 'tls-alpn-01', args: ['--workers', '2'] },
    kept: { 'shop.test.pem': old.cert + old.key },
  })
  const ca = [await pebble.root(), old.cert]
  // On a busy machine it may be replaced before the first request.
  const before = new X509Certificate(old.cert).serialNumber
  let serial = before
  while (serial === before) {
    const answer = await asked(tlsPort, 'shop.test', ca)
    expect(answer.status).toBe('200')
    serial = answer.serial
  }
  await banyan.program.line((line) => line.includes('certificate for api.test: valid until'))
  expect((await asked(tlsPort, 'api.test', ca)).status).toBe('200')
  expect(banyan.log.filter((line) => line.includes('"level":50'))).toEqual([])

  expect(statSync(folder).mode & 0o777).toBe(0o700)
  // SQLite's own, while the lock is held, comes and goes.
  const files = readdirSync(folder)
    .sort()
    .filter((file) => file !== 'lock-journal')
  expect(files).toEqual(['account.json', 'api.test.pem', 'lock', 'shop.test.pem', 'tried.json'])
  for (const file of files) expect(statSync(join(folder, file)).mode & 0o777, file).toBe(0o600)
})

test('http-01: only tokens of open orders are answered, all other paths are the application', async () => {
  const { banyan, tlsPort, pebble } = await started({
    challenge: 'http-01',
    args: ['--workers', '2', '--access-log', 'json'],
  })
  await banyan.program.line((line) => line.includes('certificate for api.test: valid until'))
  await banyan.program.line((line) => line.includes('certificate for shop.test: valid until'))
  expect((await asked(tlsPort, 'api.test', await pebble.root())).status).toBe('200')
  const line = await banyan.program.line((one) => one.includes('/.well-known/acme-challenge/'))
  const { target } = JSON.parse(line) as { target: string }
  // The order is over: the path is the application's.
  expect(await (await fetch(`http://127.0.0.1:${banyan.port}${target}`)).text()).toBe(target)
})
