/**
 * `--acme` where something is lost: the process in mid-order, the authority, its memory of the account. What is in use is served meanwhile.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { agedPair } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { type Pebble, type PebbleOptions, startPebble } from '../support/pebble.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const DAY_MS = 86_400_000
const due = agedPair('shop.test', Date.now() - 80 * DAY_MS, Date.now() + 10 * DAY_MS)

/** The name that the certificate at a port has been made for, behind a request that was answered. */
function served(port: number, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: name, rejectUnauthorized: false }, () => {
      const { fingerprint256 } = socket.getPeerCertificate()
      socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`)
      let text = ''
      socket.setEncoding('latin1').on('data', (piece: string) => {
        text += piece
      })
      socket.on('end', () => (text.startsWith('HTTP/1.1 200') ? resolve(fingerprint256) : reject(new Error(text))))
    })
    socket.on('error', reject)
  })
}

interface Rig {
  readonly folder: string
  readonly tlsPort: number
  pebble(more?: Partial<PebbleOptions>): Promise<Pebble>
  banyan(pebble: Pebble, names: string, ...args: string[]): Promise<Banyan>
}

async function rig(files: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const [httpPort, tlsPort, port] = [await freePort(), await freePort(), await freePort()]
  const parent = mkdtempSync(join(tmpdir(), 'banyan-acme-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  const folder = join(parent, 'acme')
  mkdirSync(folder)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
  const upstream = await scriptedUpstream((request) => request.ok())
  return {
    folder,
    tlsPort,
    pebble: async (more = {}) => {
      const pebble = await startPebble({ names: ['shop.test', 'api.test'], httpPort, tlsPort, port, ...more })
      onTestFinished(() => pebble.stop())
      return pebble
    },
    banyan: async ({ directory, trust }, names, ...args) => {
      const banyan = await startBanyan({
        table: tableFor(upstream.port),
        args: [
          ...['--listen', `127.0.0.1:${httpPort}`, '--tls', `127.0.0.1:${tlsPort}`, '--acme', names, ...args],
          ...['--acme-directory', directory, '--acme-state', folder],
        ],
        env: { NODE_EXTRA_CA_CERTS: trust },
      })
      onTestFinished(() => void banyan.stop())
      return banyan
    },
  }
}

const issued = (name: string) => (line: string) => line.includes(`certificate for ${name}: valid until`)

test('an authority that has lost the account, and then asks for a binding', async () => {
  const { folder, tlsPort, pebble, banyan } = await rig()
  const first = await pebble()
  const one = await banyan(first, 'shop.test')
  await one.program.line(issued('shop.test'))
  const certificate = await served(tlsPort, 'shop.test')
  await one.stop()
  await first.stop()
  const account = (): string => JSON.parse(readFileSync(join(folder, 'account.json'), 'utf8')).key as string
  const key = account()

  // It knows no account, and takes the key again.
  const second = await pebble()
  const two = await banyan(second, 'shop.test,api.test')
  await two.program.line(issued('api.test'))
  expect(account()).toBe(key)
  await two.stop()
  await second.stop()
  rmSync(join(folder, 'api.test.pem'))

  const third = await pebble({
    eab: { 'customer-1': 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' },
  })
  const three = await banyan(third, 'shop.test,api.test')
  const told = await three.program.line((line) => line.includes('no certificate for api.test:'))
  expect(told).toContain('account: ')
  expect(await served(tlsPort, 'shop.test')).toBe(certificate)
  await three.stop()
  rmSync(join(folder, 'tried.json'))
  const bound = ['--acme-eab-kid', 'customer-1']
  const eabKey = ['--acme-eab-key', 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W']
  const four = await banyan(third, 'shop.test,api.test', ...bound, ...eabKey)
  await four.program.line(issued('api.test'))
  expect(await served(tlsPort, 'shop.test')).toBe(certificate)
})

test('a process that is killed in an order, and an authority that is gone when it comes back', async () => {
  const { folder, tlsPort, pebble, banyan } = await rig({ 'shop.test.pem': due.cert + due.key })
  // It takes its time with a validation.
  const slow = await pebble({ env: { PEBBLE_VA_NOSLEEP: '', PEBBLE_VA_SLEEPTIME: '3600' } })
  const killed = await banyan(slow, 'shop.test')
  const certificate = await served(tlsPort, 'shop.test')
  await slow.program.line((line) => line.includes('Sleeping for'))
  expect(slow.orders()).toBe(1)
  await killed.program.kill()

  const back = await banyan(slow, 'shop.test')
  expect(await served(tlsPort, 'shop.test')).toBe(certificate)
  const { failures, nextAtMs } = JSON.parse(readFileSync(join(folder, 'tried.json'), 'utf8')).names['shop.test']
  expect(failures).toBe(1)
  expect(nextAtMs).toBeGreaterThan(Date.now() - 60_000)
  expect(await back.stop()).toBe(0)
  await slow.stop()

  rmSync(join(folder, 'tried.json'))
  const alone = await banyan(slow, 'shop.test')
  const line = await alone.program.line((one) => one.includes("can't be renewed"))
  expect(line).toContain("can't be reached: connect ECONNREFUSED")
  expect(await served(tlsPort, 'shop.test')).toBe(certificate)
  const ready = (await (await fetch(`http://127.0.0.1:${alone.adminPort}/readyz`)).json()) as {
    ready: boolean
    reasons: string[]
  }
  expect(ready).toMatchObject({
    ready: true,
    reasons: [expect.stringContaining("the certificate for shop.test can't be renewed")],
  })
})
