/**
 * Certificates from files: what is taken, what is refused by name, and what stays when they change.
 */
import { createPrivateKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { CertificateFiles, type CertificatePaths } from '../../../src/control/tls/certificate-files.ts'
import { Certificates } from '../../../src/control/tls/certificates.ts'
import {
  agedPair,
  authority,
  expired,
  firstVersion,
  type Made,
  selfSigned,
  selfSignedOnly,
} from '../../support/certificates.ts'

const DAY_MS = 24 * 60 * 60 * 1000

let folder: string
const lines: string[] = []
const log = {
  info: (_: object, message: string) => void lines.push(message),
  warn: (_: object, message: string) => void lines.push(message),
  error: (_: object, message: string) => void lines.push(message),
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-files-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function put(name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  return path
}

function filesOf(paths: Partial<CertificatePaths>, now = Date.now): CertificateFiles {
  const files = new CertificateFiles({ certs: [], keys: [], clientCa: null, ...paths }, log, now)
  onTestFinished(() => files.close())
  return files
}

test('at the start each file that can not be used is named', async () => {
  const [one, two] = [selfSigned('one', 'DNS:one.test'), selfSigned('two', 'DNS:two.test')]
  const ca = authority('an authority')
  const cert = put('one.pem', one.cert)
  const key = put('one.key', one.key)
  const wrong: [Partial<CertificatePaths>, RegExp][] = [
    [{ certs: [cert], keys: [put('two.key', two.key)] }, /two\.key: the private key does not match the certificate/],
    [{ certs: [join(folder, 'none.pem')] }, /none\.pem: no such file/],
    [
      { certs: [cert] },
      /one\.pem: contains no private key: it contains a certificate \(name the file that holds its key, too\)/,
    ],
    [
      { certs: [put('back.pem', two.cert + one.cert)], keys: [key] },
      /back\.pem: the certificate of its key is number 2 in the file/,
    ],
    [{ certs: [put('empty.pem', '')], keys: [key] }, /empty\.pem: contains no certificate: it is empty/],
    [{ certs: [put('half.pem', one.cert.slice(0, 300))], keys: [key] }, /half\.pem: contains an incomplete PEM block/],
    [{ certs: [put('large.pem', 'x'.repeat(2 ** 20 + 1))], keys: [key] }, /large\.pem: .*1 MiB/],
    [{ certs: [mkdtempSync(join(folder, 'empty-'))] }, /contains no certificate/],
    [{ certs: ['/dev/zero'], keys: [key] }, /\/dev\/zero: is not a (?:regular )?file|device/],
    [{ certs: [cert], keys: [key], clientCa: key }, /one\.key: contains no certificate/],
    ...[ca.sign('/CN=a server'), ca.sign('/CN=below', true)].map(
      ({ cert: text }, n): [Partial<CertificatePaths>, RegExp] => [
        { certs: [cert], keys: [key], clientCa: put(`no-root-${n}.pem`, text) },
        /no-root-\d\.pem: contains no root certificate \(signed by its own key\): nobody can be verified \(add that of its authority: CN=an authority\)/,
      ],
    ),
    [{ certs: [cert], keys: [key, key] }, /one\.key: there are more keys than files of certificates/],
  ]
  for (const [paths, message] of wrong) await expect(filesOf(paths).load(), String(message)).rejects.toThrow(message)
})

test('authorities of clients: any list with a root, and a word where nobody in it may sign', async () => {
  const one = selfSigned('one', 'DNS:one.test')
  const [pair, ca] = [put('both.pem', one.cert + one.key), authority('an authority')]
  const [below, client] = [ca.sign('/CN=below', true), ca.sign('/CN=alice')]
  const path = put('clients.pem', client.cert + below.cert + ca.cert)
  const files = filesOf({ certs: [pair], clientCa: path })
  lines.length = 0
  await files.load()
  const changes: (string | null)[] = []
  files.watch(() => void changes.push(files.clientCa))
  const change = async (text: string): Promise<void> => {
    put('clients.pem', text)
    await expect.poll(() => changes.at(-1)).toBe(text)
  }
  await change(firstVersion('of long ago').cert)
  expect(lines.filter((line) => line.includes('clients.pem'))).toEqual([])
  const own = selfSignedOnly('alice').cert
  await change(own)
  expect(lines.filter((line) => line.includes('clients.pem'))).toEqual([
    `${path} contains no certificate of an authority (CA:TRUE): only clients with a certificate that is in it are accepted`,
  ])
  put('clients.pem', client.cert)
  await expect.poll(() => files.problems).toEqual([expect.stringMatching(/clients\.pem: contains no root certificate/)])
  expect(files.clientCa).toBe(own)
})

test('a folder: by content, with the longest chain, without certificates of authorities, one error for each that has no key', async () => {
  const [one, two] = [selfSigned('one', 'DNS:one.test,DNS:*.one.test,IP:10.0.0.1'), selfSigned('two', 'DNS:two.test')]
  const ca = authority('an authority')
  const place = mkdtempSync(join(folder, 'place-'))
  const at = (name: string): string => join(place.slice(folder.length + 1), name)
  put(at('live/cert.pem'), one.cert)
  put(at('live/chain.pem'), ca.cert)
  put(at('live/fullchain.pem'), one.cert + ca.cert)
  put(at('live/privkey.pem'), one.key)
  put(at('.hidden.pem'), 'nonsense')
  put(at('notes.txt'), 'nonsense')
  const files = filesOf({ certs: [place] })
  await files.load()
  expect(files.pairs.map(({ label, names }) => [label.slice(place.length), names])).toEqual([
    ['/live/fullchain.pem', ['one.test', '*.one.test', '10.0.0.1']],
  ])
  expect(files.pairs[0]?.cert).toContain(ca.cert.trim().slice(0, 200))
  const leaf = ca.sign('/CN=two')
  put(at('orphan.pem'), leaf.cert)
  put(at('other.key'), two.key)
  await expect(filesOf({ certs: [place] }).load()).rejects.toThrow(/orphan\.pem: no file in .* holds its key/)
})

test('a folder of which nothing can be served is an error that says why', async () => {
  const [one, ca] = [selfSigned('one', 'DNS:one.test'), authority('an authority')]
  const leaf = ca.sign('/CN=leaf')
  const locked = createPrivateKey(leaf.key).export({
    ...{ type: 'pkcs8', format: 'pem' },
    ...{ cipher: 'aes-128-cbc', passphrase: 'secret' },
  })
  const wrong: [Record<string, string>, RegExp][] = [
    [{ 'ca.pem': ca.cert }, /: contains certificates of authorities only, none with its key$/],
    [
      { 'tls.crt': ca.cert + leaf.cert, 'tls.key': leaf.key },
      /tls\.crt: the certificate of its key is number 2 in the file/,
    ],
    [{ 'tls.crt': leaf.cert, 'tls.key': String(locked) }, /holds its key; .*tls\.key: the private key is encrypted/],
    [
      { 'tls.crt': leaf.cert, 'tls.key': leaf.key.slice(0, 100) },
      /holds its key; .*tls\.key: contains an incomplete PEM/,
    ],
    [{ 'one.crt': one.cert, 'one.key': leaf.key }, /certificates of authorities only/],
  ]
  for (const [texts, message] of wrong) {
    const place = mkdtempSync(join(folder, 'wrong-'))
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(place, name), text)
    await expect(filesOf({ certs: [place] }).load(), String(message)).rejects.toThrow(message)
  }
})

/** Changes a file, and waits until that is told. */
async function changed(change: () => void): Promise<void> {
  const told = lines.length
  change()
  await expect.poll(() => lines.length, { timeout: 120_000 }).toBeGreaterThan(told)
}

test('what stays: the certificate before an expired one, and one that is removed, unless another one has its names', async () => {
  const write = (name: string, { cert, key }: Made): string => put(name, cert + key)
  const [a, b] = [selfSigned('a', 'DNS:one.test'), selfSigned('b', 'DNS:one.test')]
  const place = mkdtempSync(join(folder, 'stays-'))
  const at = (name: string): string => join(place.slice(folder.length + 1), name)
  write(at('a.pem'), a)
  const files = filesOf({ certs: [place] })
  await files.load()
  let changes = 0
  files.watch(() => void changes++)
  const certs = (): string[] => files.pairs.map(({ cert }) => cert)
  await changed(() => write(at('a.pem'), expired('a', 'DNS:one.test')))
  expect(certs()).toEqual([a.cert + a.key])
  expect(files.problems).toEqual([`${place}/a.pem: has expired`])
  await changed(() => rmSync(join(place, 'a.pem')))
  expect(certs()).toEqual([a.cert + a.key])
  await changed(() => write(at('b.pem'), b))
  expect(certs()).toEqual([b.cert + b.key])
  expect(files.problems).toEqual([])
  expect(changes).toBe(1)
})

test('a certificate whose life has yet to begin takes its place when that begins', async () => {
  const [a, b] = [selfSigned('a', 'DNS:one.test'), agedPair('one.test', Date.now() + DAY_MS, Date.now() + 3 * DAY_MS)]
  const path = put('early.pem', a.cert + a.key)
  let nowMs = Date.now()
  const files = filesOf({ certs: [path] }, () => nowMs)
  await files.load()
  files.watch(() => {})
  await changed(() => put('early.pem', b.cert + b.key))
  expect(files.pairs.map(({ cert }) => cert)).toEqual([a.cert + a.key])
  expect(files.problems).toEqual([expect.stringMatching(/early\.pem: is not valid before 20\d\d-/)])
  await changed(() => {
    nowMs += 1.5 * DAY_MS
  })
  expect(files.pairs.map(({ cert }) => cert)).toEqual([b.cert + b.key])
  expect(files.problems).toEqual([])
})

test('a secret of Kubernetes: its files are links, and a new version takes their place at once', async () => {
  const [a, b] = [selfSigned('a', 'DNS:one.test'), selfSigned('b', 'DNS:one.test')]
  const place = mkdtempSync(join(folder, 'secret-'))
  const publish = (version: string, { cert, key }: Made): void => {
    mkdirSync(join(place, version))
    writeFileSync(join(place, version, 'tls.crt'), cert)
    writeFileSync(join(place, version, 'tls.key'), key)
    symlinkSync(version, join(place, '..data_tmp'))
    renameSync(join(place, '..data_tmp'), join(place, '..data'))
  }
  publish('..1', a)
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(place, name))
  const files = filesOf({ certs: [place] })
  await files.load()
  expect(files.pairs.map(({ cert }) => cert)).toEqual([a.cert])
  files.watch(() => {})
  await changed(() => publish('..2', b))
  expect(files.pairs.map(({ cert }) => cert)).toEqual([b.cert])
  expect(files.problems).toEqual([])
})

test('a certificate that ends soon is told once a day, and listed', async () => {
  const one = selfSigned('one', 'DNS:one.test')
  const path = put('soon.pem', one.cert + one.key)
  let nowMs = Date.now()
  const files = filesOf({ certs: [path] }, () => nowMs)
  await files.load()
  const certificates = new Certificates(log, () => nowMs)
  certificates.add(files)
  onTestFinished(() => certificates.close())
  const told = (): string[] => lines.filter((line) => line.includes('soon.pem'))
  certificates.start(() => {})
  expect(told()).toEqual([])
  expect(certificates.problems).toEqual([])
  nowMs += 1.9 * DAY_MS
  await certificates.changed()
  expect(told()).toHaveLength(1)
  certificates.tellExpiring()
  expect(told()).toEqual([expect.stringMatching(/^the certificate .*soon\.pem expires on 20/)])
  nowMs += DAY_MS
  certificates.tellExpiring()
  expect(told()).toHaveLength(2)
  expect(certificates.problems).toEqual([expect.stringMatching(/soon\.pem has expired/)])
})
