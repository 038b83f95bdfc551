/**
 * TLS files that a table names: what can't be used is refused at its place when the table is taken in, by every way in; what
 * changes later is in force for all, or the last good stays.
 */
import { execFileSync } from 'node:child_process'
import { createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SOLE_OWNER } from '../../../src/control/ownership.ts'
import { openTable } from '../../../src/control/table/open.ts'
import { findTlsFlaws } from '../../../src/control/table/tls-files.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import { CookieKeySource } from '../../../src/state/cookie-key-source.ts'
import { banyan } from '../../cli/rig.ts'
import { authority, selfSigned } from '../../support/certificates.ts'
import { type AdminRig, adminRig, folder, logInto } from '../rig.ts'

const server = selfSigned('up.test', 'DNS:up.test,IP:127.0.0.1')
const client = selfSigned('banyan', null)
const other = selfSigned('other', null)
const pem = await folder()
const file = (name: string): string => join(pem.path, name)
const locked = createPrivateKey(client.key).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'x',
})
const ec = createPrivateKey(client.key).export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
const signed = authority('an authority').sign('/CN=up.test')
const half = (text: string): string => text.slice(0, text.length / 2)

beforeEach(() => {
  rmSync(pem.path, { recursive: true, force: true })
  mkdirSync(pem.path)
  for (const [name, text] of Object.entries({
    ca: server.cert,
    cert: client.cert,
    key: client.key,
    'other-key': other.key,
    locked: String(locked),
    'locked-ec': String(ec),
    signed: signed.cert,
    'half-cert': half(client.cert),
    'half-key': half(client.key),
    'half-bundle': `${server.cert}${half(other.cert)}`,
    'spoilt-bundle': `${server.cert}${other.cert.replace('MI', '??')}`,
    'cut-line': client.cert.replace(/\n[^\n]{20}/, '\n'),
    commented: `# our CA, żółw\n\nSubject: CN=up.test\n${server.cert.replaceAll('\n', '\r\n')}\n# the end`,
    combined: `${client.key}${client.cert}`,
    empty: '',
    words: 'not PEM at all\n',
  }))
    writeFileSync(file(name), text)
  execFileSync('mkfifo', [file('fifo')])
  mkdirSync(file('folder'))
  symlinkSync('loop', file('loop'))
  writeFileSync(file('huge'), '')
  truncateSync(file('huge'), 300 * 1024 * 1024)
})
afterAll(() => pem.remove())

/** A table whose one TLS upstream has these settings, in its seventh line. */
const tableWith = (tls: string, url = 'https://127.0.0.1:1'): string => `version: 1
upstreams:
  plain:
    servers: [http://127.0.0.1:2]
  secure:
    servers: ["${url}"]
    tls: { ${tls} }
default: plain
`
const PLAIN = tableWith('verify: true')
const quoted = (name: string): string => JSON.stringify(name.startsWith('/') ? name : file(name))
const ca = (name: string): string => `ca: ${quoted(name)}`
const pair = (cert: string, key: string): string => `cert: ${quoted(cert)}, key: ${quoted(key)}`

/** What is wrong, in which key, and why. */
const BAD: [string, string, string, string][] = [
  ['no file', ca('none'), 'ca', 'no such file'],
  ['a folder', ca('folder'), 'ca', 'is a directory'],
  ['a pipe', ca('fifo'), 'ca', 'is not a regular file'],
  ['a device', ca('/dev/zero'), 'ca', 'is not a regular file'],
  ['300 MB', ca('huge'), 'ca', 'is larger than 1 MiB'],
  ['a loop of links', ca('loop'), 'ca', 'too many symbolic links'],
  ['an empty CA', ca('empty'), 'ca', 'contains no certificate: it is empty'],
  ['words', ca('words'), 'ca', 'contains no certificate: it is not PEM'],
  ['a key in the place of a CA', ca('key'), 'ca', 'contains no certificate: it contains a private key'],
  ['a certificate that an authority has signed', ca('signed'), 'ca', 'contains no root certificate'],
  ['half a CA', ca('half-cert'), 'ca', 'contains an incomplete PEM block'],
  ['a bundle that ends half way', ca('half-bundle'), 'ca', 'contains an incomplete PEM block'],
  ['a bundle with a bad certificate', ca('spoilt-bundle'), 'ca', 'contains an invalid certificate (number 2)'],
  ['a certificate with bytes lost', ca('cut-line'), 'ca', 'contains an invalid certificate'],
  ["another certificate's key", pair('cert', 'other-key'), 'key', 'the private key does not match the certificate'],
  ['the two swapped', pair('key', 'cert'), 'cert', 'contains no certificate: it contains a private key'],
  ['the certificate twice', pair('cert', 'cert'), 'key', 'contains no private key: it contains a certificate'],
  ['a key with a passphrase', pair('cert', 'locked'), 'key', 'the private key is encrypted with a passphrase'],
  [
    'a key with a passphrase, the old form',
    pair('cert', 'locked-ec'),
    'key',
    'the private key is encrypted with a passphrase',
  ],
  ['an empty certificate', pair('empty', 'key'), 'cert', 'contains no certificate: it is empty'],
  ['an empty key', pair('cert', 'empty'), 'key', 'contains no private key: it is empty'],
  ['half a certificate', pair('half-cert', 'key'), 'cert', 'contains an incomplete PEM block'],
  ['half a key', pair('cert', 'half-key'), 'key', 'contains an incomplete PEM block'],
  ['a pipe for a key', pair('cert', 'fifo'), 'key', 'is not a regular file'],
  ['ciphers that nobody knows', 'ciphers: "NONE-OF-THESE"', 'ciphers', 'invalid ciphers "NONE-OF-THESE"'],
]
const GOOD: [string, string][] = [
  ['versions and ciphers', 'minVersion: TLSv1.2, maxVersion: TLSv1.2, ciphers: ECDHE-RSA-AES128-GCM-SHA256'],
  ['a CA', ca('ca')],
  ['a pair', pair('cert', 'key')],
  ['all of it', `${ca('ca')}, ${pair('cert', 'key')}`],
  ['a CA with comments and the line ends of Windows', ca('commented')],
  ['certificate and key in one file', pair('combined', 'combined')],
]

const NOWHERE = { folder: null, ownership: SOLE_OWNER }

describe('when a table is taken in', () => {
  let at: AdminRig
  beforeEach(async () => {
    at = await adminRig({ text: PLAIN })
  })
  afterEach(() => at.close())
  const put = (text: string, query = '') =>
    at.ask('PUT', `/routes.yaml${query}`, { body: text, headers: { 'Content-Type': 'application/yaml' } })

  test.each(BAD)('%s is refused at its place, by each way in, and the last good goes on', async (_, tls, key, why) => {
    const text = tableWith(tls)
    const column = (text.split('\n')[6] as string).indexOf(`${key}: "`) + key.length + 3
    const problem = {
      line: 7,
      column,
      pointer: `/upstreams/secure/tls/${key}`,
      message: expect.stringContaining(why),
      severity: 'error',
    }
    for (const query of ['', '?dryRun=true']) {
      const refused = await put(text, query)
      expect(refused).toMatchObject({ status: 422, json: { problems: [problem] } })
    }
    await at.operations.takeIn({ ok: true, text, identity: await edited(text) })
    expect(at.live.refusal?.problems).toMatchObject([problem])
    expect(at.live.current).toMatchObject({ number: 1, text: PLAIN })
    const options = { table: at.path, keepRevisions: 0, allowLastGood: false }
    expect(() => openTable(options, new CookieKeySource([], null), () => NOWHERE, logInto([]), 0)).toThrow(
      `${at.path}:7:${column}: upstreams.secure.tls.${key}: `,
    )
    const checked = await banyan(['check', at.path])
    expect(checked.code).toBe(1)
    expect(checked.err).toContain(`${at.path}:7:${column}: upstreams.secure.tls.${key}: `)
    expect(checked.err).toContain(why)
  })

  async function edited(text: string): Promise<string> {
    writeFileSync(at.path, text)
    const { identityOf } = await import('../../../src/control/table/settled-text.ts')
    return identityOf(at.path)
  }

  test.each(GOOD)('%s is taken', async (_, tls) => {
    expect((await put(tableWith(tls))).status).toBe(200)
    expect(at.live.current.number).toBe(2)
    expect((await banyan(['check', at.path])).code).toBe(0)
    expect(
      openTable(
        { table: at.path, keepRevisions: 0, allowLastGood: false },
        new CookieKeySource([], null),
        () => NOWHERE,
        logInto([]),
        0,
      ).live,
    ).toBeDefined()
  })

  test('relative paths begin at the folder of the table', async () => {
    copyFileSync(file('ca'), join(at.folder, 'own-ca.pem'))
    expect((await put(tableWith('ca: own-ca.pem'))).status).toBe(200)
    expect((await banyan(['check', at.path])).code).toBe(0)
    const refused = await put(tableWith('ca: none.pem'))
    expect(refused.json.problems[0].message).toBe(`${join(at.folder, 'none.pem')}: no such file`)
  })

  test('a file that is not good any more hinders no edit that does not concern it, and no other upstream may begin with it', async () => {
    expect((await put(tableWith(ca('ca')))).status).toBe(200)
    writeFileSync(file('ca'), '')
    const more = `${tableWith(ca('ca'))}routes:\n  - { id: a, match: { path: /a }, to: secure, percent: 1 }\n`
    expect((await put(more)).status).toBe(200)
    const again = await put(more.replace('/ca"', `/../${pem.path.split('/').pop()}/ca"`))
    expect(again.status).toBe(422)
  })

  test('a restored revision is held to it too', async () => {
    expect((await put(tableWith(ca('ca')))).status).toBe(200)
    expect((await put(PLAIN)).status).toBe(200)
    rmSync(file('ca'))
    expect((await at.ask('POST', '/revisions/2/restore')).status).toBe(422)
    expect(at.live.current.number).toBe(3)
  })

  test('a hundred bad files are told, and no more', async () => {
    const many = Array.from({ length: 300 }, (_, n) => `  u${n}: { servers: [https://a.test], tls: { ca: none-${n} } }`)
    const refused = await put(`version: 1\nupstreams:\n${many.join('\n')}\ndefault: u0\n`)
    expect(refused.json.problems).toHaveLength(100)
  })
})

test('all files together are bounded', async () => {
  const large = `${server.cert}${'#'.repeat(1024 * 1024 - server.cert.length)}`
  const upstreams = Array.from({ length: 20 }, (_, n) => {
    writeFileSync(file(`large-${n}`), large)
    return `  u${n}: { servers: [https://a.test], tls: { ca: large-${n} } }`
  })
  const read = readTable(`version: 1\nupstreams:\n${upstreams.join('\n')}\ndefault: u0\n`, 'routes.yaml')
  if (!read.ok) throw new Error('no table')
  expect(await findTlsFlaws(read.table, pem.path)).toContainEqual(
    expect.objectContaining({ message: expect.stringContaining('exceed 16 MiB in total') }),
  )
})

describe('when a file changes', () => {
  test('it is in force for probes at once; where it is no good the last good stays, and the log says so once', async () => {
    const https = createServer({ ...server }, (_req, res) => res.end()).listen(0, '127.0.0.1')
    await once(https, 'listening')
    const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`
    const text = tableWith(ca('ca'), url).replace(
      '    tls:',
      '    health: { path: /, every: 20ms, up: 1, down: 1 }\n    tls:',
    )
    const at = await adminRig({ text })
    const healthy = async (): Promise<boolean> => {
      const { json } = await at.ask('GET', '/upstreams/secure/servers')
      return json.servers[0].live[0].health.healthy
    }
    const becomes = async (wanted: boolean): Promise<void> => {
      while ((await healthy()) !== wanted) await new Promise((done) => setTimeout(done, 10))
    }
    const told = (): string[] =>
      at.lines.filter(({ fields }) => fields.event === 'tls-files').map(({ message }) => message)
    expect(await at.operations.renew()).toBe(true)
    await becomes(true)
    writeFileSync(file('ca'), other.cert)
    await at.operations.renew()
    await becomes(false)
    writeFileSync(file('ca'), server.cert)
    await at.operations.renew()
    await becomes(true)
    const good = told()
    for (const text of ['', 'words', half(server.cert)]) {
      writeFileSync(file('ca'), text)
      await at.operations.renew()
      await at.operations.renew()
    }
    rmSync(file('ca'))
    await at.operations.renew()
    expect(await healthy()).toBe(true)
    expect(told().slice(good.length)).toEqual([
      `${file('ca')}: contains no certificate: it is empty; using its previous content`,
      `${file('ca')}: contains no certificate: it is not PEM; using its previous content`,
      `${file('ca')}: contains an incomplete PEM block; using its previous content`,
      `${file('ca')}: no such file; using its previous content`,
    ])
    expect(at.operations.staleTlsFiles).toHaveLength(1)
    at.live.refuse([], 0)
    writeFileSync(file('ca'), server.cert)
    await at.operations.renew()
    expect(at.operations.staleTlsFiles).toEqual([])
    writeFileSync(file('ca'), `${server.cert}${other.cert}`)
    await at.operations.renew()
    // Neither a revision nor an answer to an edit that was refused.
    expect(at.live.current.number).toBe(1)
    expect(at.live.refusal).not.toBeNull()
    https.close()
    https.closeAllConnections()
    await at.close()
  })
})
