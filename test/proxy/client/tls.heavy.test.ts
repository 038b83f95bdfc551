/**
 * TLS of the public side, as its clients see it: curl and openssl against a banyan of its own.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { authority, expired, RSA, selfSigned } from '../../support/certificates.ts'
import { rawClient } from '../../support/client.ts'
import { clientHello } from '../../support/client-hello.ts'
import { freePort } from '../../support/free-port.ts'
import { field } from '../../support/message.ts'

const run = promisify(execFile)

let folder: string
let upstream: ReturnType<typeof createServer>
let table: string
/** Requests that have reached the upstream. */
let seenUpstream = 0

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
    seenUpstream++
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

const REQUEST = 'GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n'

/** What `openssl s_client` prints when it is given an input, until the connection ends. */
async function sclient(args: readonly string[], input: string): Promise<string> {
  const child = spawn('openssl', args, { stdio: 'pipe' })
  let text = ''
  for (const out of [child.stdout, child.stderr]) {
    out.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
    })
  }
  // Its end of input would end the connection before the answer.
  child.stdin.on('error', () => {}).write(input)
  await once(child, 'close')
  return text
}

/** The error of a client without a certificate. */
async function alertOf(port: number, version: 'TLSv1.2' | 'TLSv1.3'): Promise<string | undefined> {
  const versions = { minVersion: version, maxVersion: version }
  const client = connectTls({ port, host: '127.0.0.1', servername: 'one.test', rejectUnauthorized: false, ...versions })
  let code: string | undefined
  client.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code
  })
  await new Promise((resolve) => client.on('close', resolve).resume())
  return code
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

test.each(['-tls1_2', '-tls1_3'])('%s: an idle connection ends with close_notify', async (version) => {
  const { cert, key } = write('one', 'DNS:one.test')
  const { tlsPort } = await secure(['--tls-cert', cert, '--tls-key', key, '--keep-alive', '200ms'])
  const asked = ['s_client', '-quiet', version, '-connect', `127.0.0.1:${tlsPort}`, '-servername', 'one.test']
  const told = await sclient(asked, REQUEST.replace('close', 'keep-alive'))
  expect(told).toContain('HTTP/1.1 200 OK')
  expect(told).not.toMatch(/unexpected eof|errno/)
})

test('a certificate is asked of clients, and its subject told upstream, whatever the client says itself', async () => {
  const one = write('one', 'DNS:one.test')
  const ca = authority('clients')
  const files = { ca: join(folder, 'clients.pem'), cert: join(folder, 'alice.pem'), key: join(folder, 'alice.key') }
  const old = { ...expired('old', 'DNS:old.test'), path: join(folder, 'old.pem') }
  writeFileSync(old.path, old.cert + old.key)
  writeFileSync(files.ca, ca.cert + old.cert)
  const alice = ca.sign('/O=Zażółć, Inc/CN=alice')
  writeFileSync(files.cert, alice.cert)
  writeFileSync(files.key, alice.key)
  const stranger = write('stranger', 'DNS:stranger.test')
  const tls = ['--tls-cert', one.cert, '--tls-key', one.key, '--tls-client-ca', files.ca]
  const field = ['--tls-client-field', 'X-Client-Subject']
  const lies = [
    '-H',
    'X-Client-Subject: CN=root',
    '-H',
    'x_client_subject: CN=root',
    '-H',
    'Connection: X-Client-Subject',
  ]
  const banyan = await secure([...tls, ...field])
  const asAlice = ['--cert', files.cert, '--key', files.key]
  const before = seenUpstream
  const seen = JSON.parse(await curl(banyan.tlsPort, 'one.test', one.cert, [...asAlice, ...lies]))
  expect(seen.headers['x-client-subject']).toBe('CN=alice,O=Za\\C5\\BC\\C3\\B3\\C5\\82\\C4\\87\\, Inc')
  expect(seen.headers).not.toHaveProperty('x_client_subject')
  await expect(curl(banyan.tlsPort, 'one.test', one.cert)).rejects.toThrow(/curl/)
  const connection = ['s_client', '-connect', `127.0.0.1:${banyan.tlsPort}`, '-servername', 'one.test']
  for (const [version, alert] of [
    ['-tls1_3', 'certificate required'],
    ['-tls1_2', 'handshake failure'],
  ] as const) {
    expect(await sclient([...connection, version], REQUEST)).toContain(`alert ${alert}`)
    // node:tls verifies behind the handshake, when OpenSSL has no alert to send any more.
    for (const pair of [
      ['-cert', stranger.cert, '-key', stranger.key],
      ['-cert', old.path, '-key', old.path],
    ]) {
      const told = await sclient([...connection, version, ...pair], REQUEST)
      expect(told).toMatch(/unexpected eof|errno/)
      expect(told).not.toMatch(/alert|HTTP\/1\.1/)
    }
  }
  // Many at once: what OpenSSL wrote before may still be on its way when the alert is there.
  for (const [version, code] of [
    ['TLSv1.3', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'],
    ['TLSv1.2', 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'],
  ] as const) {
    const codes = await Promise.all(Array.from({ length: 60 }, () => alertOf(banyan.tlsPort, version)))
    expect(new Set(codes)).toEqual(new Set([code]))
  }
  const asStranger = ['--cert', stranger.cert, '--key', stranger.key]
  const asOld = ['--cert', old.path]
  for (const pair of [asStranger, asOld]) {
    for (const version of ['1.2', '1.3']) {
      const asked = curl(banyan.tlsPort, 'one.test', one.cert, [...pair, '--tls-max', version])
      const said = await asked.then(() => '', String)
      expect(said).toMatch(/curl: \(\d+\)/)
      expect(said).not.toContain('alert')
    }
  }
  await expect(curl(banyan.tlsPort, 'one.test', one.cert, ['--tlsv1.3'])).rejects.toThrow(/alert certificate required/)
  await expect(curl(banyan.tlsPort, 'one.test', one.cert, ['--tls-max', '1.2'])).rejects.toThrow(
    /alert handshake failure/,
  )
  // The port without TLS takes no such word either.
  const plain = await fetch(`http://127.0.0.1:${banyan.port}/`, { headers: { 'X-Client-Subject': 'CN=root' } })
  expect(((await plain.json()) as { headers: object }).headers).not.toHaveProperty('x-client-subject')
  await expect.poll(() => banyan.log.some((line) => line.includes('"event":"handshake"'))).toBe(true)
  // Those of alice, and of the port without TLS.
  expect(seenUpstream - before).toBe(2)

  const optional = await secure([...tls, ...field, '--tls-client-verify', 'optional'])
  const without = JSON.parse(await curl(optional.tlsPort, 'one.test', one.cert, lies))
  expect(without.headers).not.toHaveProperty('x-client-subject')
  await expect(curl(optional.tlsPort, 'one.test', one.cert, asStranger)).rejects.toThrow(/curl/)
  const again = JSON.parse(await curl(optional.tlsPort, 'one.test', one.cert, asAlice))
  expect(again.headers['x-client-subject']).toMatch(/^CN=alice,/)
})

test('openssl: sessions are resumed by tickets in TLS 1.2 and 1.3, for the same host, and renegotiation is refused', async () => {
  const [one, two] = [write('one', 'DNS:one.test'), write('two', 'DNS:two.test')]
  const banyan = await secure(['--tls-cert', `${one.cert},${two.cert}`, '--tls-key', `${one.key},${two.key}`])
  const session = join(folder, 'session')
  for (const version of ['-tls1_2', '-tls1_3']) {
    const visit = (name: string, file: string): Promise<string> => {
      const to = ['-connect', `127.0.0.1:${banyan.tlsPort}`, '-servername', name, '-CAfile', one.cert, version]
      return sclient(['s_client', ...to, file, session], REQUEST)
    }
    const first = await visit('one.test', '-sess_out')
    expect(first).toContain('New, TLSv1.')
    expect(first).toContain('HTTP/1.1 200 OK')
    expect(await visit('one.test', '-sess_in')).toContain('Reused, TLSv1.')
    expect(await visit('two.test', '-sess_in')).toContain('New, TLSv1.')
  }
  const to = ['s_client', '-connect', `127.0.0.1:${banyan.tlsPort}`, '-servername', 'one.test', '-tls1_2']
  expect(await sclient(to, 'R\n')).toMatch(/no renegotiation|handshake failure/)
  expect(await sclient([...to, '-alpn', 'spdy/3'], REQUEST)).toMatch(/no application protocol/)
})

test('--redirect-https sends the rest to https, with the port that fits', async () => {
  const one = write('one', 'DNS:one.test')
  const tlsPort = await freePort()
  const args = ['--tls', `127.0.0.1:${tlsPort}`, '--tls-cert', one.cert, '--tls-key', one.key, '--redirect-https']
  const banyan = await secure([...args, '--trusted-proxies', '127.0.0.1'])
  const client = await rawClient(banyan.port)
  const head = async (text: string): Promise<string> => {
    const { status, fields } = await client.ask(`${text}\r\n\r\n`)
    return `${status} ${field(fields, 'location') ?? ''}`
  }
  expect(await head('GET /a?b=%2F HTTP/1.1\r\nHost: one.test')).toBe('308 https://one.test/a?b=%2F')
  expect(await head('GET //a HTTP/1.1\r\nHost: one.test:8080')).toBe(`308 https://one.test:${tlsPort}//a`)
  // The default of http is no port (RFC 9110 section 4.2.3).
  for (const host of ['one.test:80', 'one.test:', 'one.test:0080'])
    expect(await head(`GET /a HTTP/1.1\r\nHost: ${host}`)).toBe('308 https://one.test/a')
  expect(await head('GET http://[::1]/x HTTP/1.1\r\nHost: [::1]')).toBe('308 https://[::1]/x')
  expect(await head('GET http://[::1]:80/x HTTP/1.1\r\nHost: [::1]')).toBe('308 https://[::1]/x')
  expect(await head('OPTIONS * HTTP/1.1\r\nHost: one.test')).toBe('308 https://one.test/')
  // A proxy in front has spoken TLS with the client.
  expect(await head('GET /a HTTP/1.1\r\nHost: one.test\r\nX-Forwarded-Proto: https')).toBe('200 ')
  expect(await head('GET /a HTTP/1.0')).toBe('400 ')
})

test('handshakes are limited in time and number, and who does not speak TLS is told', async () => {
  const one = write('one', 'DNS:one.test')
  const banyan = await secure(['--tls-cert', one.cert, '--tls-key', one.key, '--tls-handshake-timeout', '600ms'])
  const silent = await rawClient(banyan.tlsPort)
  const slow = await rawClient(banyan.tlsPort)
  await slow.send('\x16\x03\x01\x02\x00')
  const drip = setInterval(() => void slow.send('\x01').catch(() => {}), 50)
  onTestFinished(() => clearInterval(drip))
  expect(await slow.ended()).toMatch(/end|reset/)
  expect(await silent.ended()).toMatch(/end|reset/)
  const plain = await rawClient(banyan.tlsPort)
  expect((await plain.ask('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')).body.text).toBe('This port speaks HTTPS.\n')
  // Long before it would be too late.
  const leaver = await rawClient(banyan.tlsPort)
  await leaver.send(await clientHello('one.test', ['http/1.1']))
  leaver.finish()
  await leaver.ended()
  const garbage = await rawClient(banyan.tlsPort)
  // More than is read: its alert reaches the client although it goes on sending.
  await garbage.send(`\x16\x03\x01\x00\x05hello${'x'.repeat(300_000)}`)
  expect(await garbage.readUntil('\x15')).toBe('\x15')
  expect(await garbage.ended()).toBe('end')
  expect(JSON.parse(await curl(banyan.tlsPort, 'one.test', one.cert)).url).toBe('/path?query')
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  for (const outcome of ['full', 'timeout', 'no-tls', 'left', 'failed']) {
    expect(metrics).toMatch(new RegExp(`banyan_tls_handshakes_total\\{outcome="${outcome}"\\} [12]\n`))
  }
})

test('a folder of certificates and keys, whatever they are called; RSA and ECDSA for one name', async () => {
  const place = mkdtempSync(join(folder, 'folder-'))
  const ca = authority('an authority beside them')
  const two = selfSigned('two', 'DNS:two.test')
  const rsa = selfSigned('rsa', 'DNS:both.test', RSA)
  const ec = selfSigned('ec', 'DNS:both.test')
  const put = (name: string, text: string): void => {
    mkdirSync(join(place, name, '..'), { recursive: true })
    writeFileSync(join(place, name), text)
  }
  put('live/two/cert.pem', two.cert)
  put('live-two/fullchain.pem', two.cert + ca.cert)
  put('live-two/cert.pem', two.cert)
  put('live-two/chain.pem', ca.cert)
  put('live-two/privkey.pem', two.key)
  put('x.crt', rsa.cert)
  put('y.key', rsa.key)
  put('z.pem', ec.cert + ec.key)
  put('README.txt', 'no certificate')
  rmSync(join(place, 'live'), { recursive: true })
  const banyan = await secure(['--tls-cert', place])
  const trust = join(folder, 'trust.pem')
  writeFileSync(trust, two.cert + rsa.cert + ec.cert)
  expect(JSON.parse(await curl(banyan.tlsPort, 'two.test', trust)).url).toBe('/path?query')
  for (const algorithm of ['RSA', 'ECDSA']) {
    const only = ['--tls-max', '1.2', '--ciphers', `ECDHE-${algorithm}-AES128-GCM-SHA256`]
    expect(JSON.parse(await curl(banyan.tlsPort, 'both.test', trust, only)).url).toBe('/path?query')
  }
})

test('with --middleware too', async () => {
  const one = write('one', 'DNS:one.test')
  const module = join(folder, 'middleware.mjs')
  writeFileSync(module, 'export default async (ctx, next) => { ctx.req.headers; await next() }\n')
  const ca = join(folder, 'clients.pem')
  writeFileSync(ca, authority('clients').cert)
  const optional = ['--tls-client-ca', ca, '--tls-client-verify', 'optional']
  const banyan = await secure(['--tls-cert', one.cert, '--tls-key', one.key, '--middleware', module, ...optional])
  const seen = JSON.parse(await curl(banyan.tlsPort, 'one.test', one.cert))
  expect(seen.headers['x-forwarded-proto']).toBe('https')
})

test('a client that resets its connection right behind the handshake is gone at once', async () => {
  const one = write('one', 'DNS:one.test')
  // An endless body, and times that do not come: only what is noticed ends a request.
  const endless = createServer((_req, res) => {
    const piece = Buffer.alloc(65_536)
    const pour = (): void => {
      while (!res.destroyed && res.write(piece));
    }
    res.on('drain', pour).on('error', () => {})
    pour()
  }).listen(0, '127.0.0.1')
  await once(endless, 'listening')
  onTestFinished(() => {
    endless.closeAllConnections()
    endless.close()
  })
  const banyan = await startBanyan({
    table: tableFor((endless.address() as AddressInfo).port, ['timeouts: { idle: 1h }']),
    args: ['--tls', '127.0.0.1:0', '--tls-cert', one.cert, '--tls-key', one.key, '--send-timeout', '1h'],
  })
  onTestFinished(async () => void (await banyan.stop()))
  const { tlsPort, program } = banyan as Banyan & { tlsPort: number }
  const visit = async (ms: number): Promise<void> => {
    const tcp = connectTcp(tlsPort, '127.0.0.1').on('error', () => {})
    const socket = connectTls({ socket: tcp, rejectUnauthorized: false }).on('error', () => {})
    socket.resume().write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
    await delay(ms)
    if (!tcp.destroyed) tcp.resetAndDestroy()
    socket.destroy()
  }
  // When a handshake is over depends on the machine: some of them are reset in that moment.
  const before = program.sockets()
  for (let round = 0; round < 40; round++) await Promise.all([...Array(8).keys()].map((n) => visit((n + round) % 20)))
  await expect.poll(() => program.sockets()).toBeLessThanOrEqual(before)
})
