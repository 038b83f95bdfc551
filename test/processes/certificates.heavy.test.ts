/**
 * Certificates of `--tls` change while clients come, with workers: what can't be used changes nothing, and no connection notices.
 */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, tableFor } from '../support/banyan.ts'
import { expired, type Made, selfSigned } from '../support/certificates.ts'
import { banyanWith, workersBecome, workersOf } from './rig.ts'

const NAMES = 'DNS:one.test'
const WORKERS = 2

let folder: string
let upstream: ReturnType<typeof createServer>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-certificates-'))
  upstream = createServer((_, res) => res.end('ok')).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
})

afterAll(() => {
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

async function secure(args: readonly string[]): Promise<Banyan & { tlsPort: number; adminPort: number }> {
  const table = tableFor((upstream.address() as AddressInfo).port)
  const banyan = await banyanWith(WORKERS, { table, args: ['--tls', '127.0.0.1:0', ...args] })
  return banyan as Banyan & { tlsPort: number; adminPort: number }
}

interface Visit {
  readonly socket: TLSSocket
  readonly fingerprint: string
  readonly reused: boolean
}

/** Connects, and asks once. */
async function visit(port: number, options: object = {}): Promise<Visit> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'one.test', rejectUnauthorized: false, ...options })
  const { fingerprint256 } = await new Promise<{ fingerprint256: string }>((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket.getPeerCertificate()))
    socket.once('error', reject)
  })
  await ask(socket)
  return { socket, fingerprint: fingerprint256, reused: socket.isSessionReused() }
}

async function ask(socket: TLSSocket): Promise<void> {
  socket.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  let text = ''
  for await (const piece of on(socket)) {
    text += piece.toString('latin1')
    if (text.endsWith('ok')) break
  }
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`no answer: ${text}`)
}

/** Pieces until the connection ends, without taking the socket away. */
async function* on(socket: TLSSocket): AsyncGenerator<Buffer> {
  for (;;) {
    const piece = socket.read() as Buffer | null
    if (piece !== null) yield piece
    else if (socket.readableEnded || socket.destroyed) throw new Error('the connection has ended')
    else await Promise.race([once(socket, 'readable'), once(socket, 'close')])
  }
}

/** A connection of HTTP/2, and whether it takes requests. */
class Http2Client {
  readonly session: ClientHttp2Session
  isOpen = true
  #lastTaken = Number.POSITIVE_INFINITY

  constructor(port: number) {
    this.session = connectHttp2(`https://127.0.0.1:${port}`, { servername: 'one.test', rejectUnauthorized: false })
    this.session.on('goaway', (_code, lastStreamId) => {
      this.isOpen = false
      this.#lastTaken = lastStreamId
    })
    this.session.on('close', () => {
      this.isOpen = false
    })
    this.session.on('error', () => {})
  }

  /** Asks once. @returns the response; null where the server has not taken the request, and it may be asked again */
  async ask(): Promise<string | null> {
    const stream = this.session.request({ ':path': '/', ':authority': 'one.test' })
    let status = 0
    let text = ''
    stream.on('error', () => {})
    stream.on('response', (head) => {
      status = Number(head[':status'])
    })
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
    })
    await new Promise((resolve) => stream.once('close', resolve))
    // It came too late (RFC 9113 section 6.8).
    const isRefused =
      stream.rstCode === constants.NGHTTP2_REFUSED_STREAM || Number(stream.id ?? Infinity) > this.#lastTaken
    return status === 0 && isRefused ? null : `${status} ${text}`
  }
}

const fingerprintOf = ({ cert }: Made): string => new X509Certificate(cert).fingerprint256

/** Waits until something holds. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await sleep(100)
}

test('replaced, half written, mismatched, expired and removed while requests run: none fails, and the log says what is wrong', async () => {
  const files = { cert: join(folder, 'one.pem'), key: join(folder, 'one.key') }
  const [a, b, c, d] = [1, 2, 3, 4].map(() => selfSigned('one', NAMES)) as [Made, Made, Made, Made]
  writeFileSync(files.cert, a.cert)
  writeFileSync(files.key, a.key)
  const banyan = await secure(['--tls-cert', files.cert, '--tls-key', files.key])
  const kept = await visit(banyan.tlsPort)
  let over = false
  let count = 0
  const failures: string[] = []
  const clients = Array.from({ length: 3 }, async () => {
    while (!over) {
      count++
      await visit(banyan.tlsPort).then(
        ({ socket }) => void socket.destroy(),
        (error: Error) => failures.push(error.message),
      )
      await sleep(100)
    }
  })
  // One connection with request behind request, until its worker ends it.
  let streams = 0
  let sessions = 0
  const http2 = Array.from({ length: 3 }, async () => {
    while (!over) {
      const client = new Http2Client(banyan.tlsPort)
      sessions++
      while (!over && client.isOpen) {
        const answer = await client.ask()
        if (answer !== null && answer !== '200 ok') failures.push(`HTTP/2: ${answer}`)
        if (answer !== null) streams++
        await sleep(10)
      }
      client.session.close()
    }
  })
  const serves = async (made: Made): Promise<boolean> => {
    const { socket, fingerprint } = await visit(banyan.tlsPort)
    socket.destroy()
    return fingerprint === fingerprintOf(made)
  }
  const told = (problem: RegExp): Promise<void> => until(() => banyan.log.some((line) => problem.test(line)))

  // First the key: for a while they do not match.
  writeFileSync(files.key, b.key)
  await told(/one\.key: the private key does not match the certificate; the previous certificate stays in use/)
  expect(await serves(a)).toBe(true)
  const readiness = (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)).json()) as { reasons: string[] }
  expect(readiness.reasons.join()).toContain('does not match')
  writeFileSync(files.cert, b.cert)
  await until(() => serves(b))

  writeFileSync(files.cert, c.cert.slice(0, c.cert.length / 2))
  await told(/one\.pem: contains an incomplete PEM block/)
  expect(await serves(b)).toBe(true)
  writeFileSync(files.key, c.key)
  writeFileSync(`${files.cert}.new`, c.cert)
  renameSync(`${files.cert}.new`, files.cert)
  await until(() => serves(c))

  const old = expired('one', NAMES)
  writeFileSync(files.key, old.key)
  writeFileSync(files.cert, old.cert)
  await told(/one\.pem: has expired/)
  expect(await serves(c)).toBe(true)

  rmSync(files.cert)
  rmSync(files.key)
  await told(/one\.pem: no such file/)
  const before = (await workersOf(banyan)).map(({ pid }) => pid)
  banyan.program.child.kill('SIGHUP')
  // It was never touched; its worker waits for one more request of it.
  expect(kept.fingerprint).toBe(fingerprintOf(a))
  await ask(kept.socket)
  kept.socket.destroy()
  await workersBecome(banyan, (workers) => workers.every(({ pid, state }) => !before.includes(pid) && state === 'up'))
  expect(await serves(c)).toBe(true)

  writeFileSync(files.cert, d.cert)
  writeFileSync(files.key, d.key)
  await until(() => serves(d))
  over = true
  await Promise.all([...clients, ...http2])
  expect(failures).toEqual([])
  expect(count).toBeGreaterThan(10)
  expect(streams).toBeGreaterThan(10)
  // Those of the workers that were replaced.
  expect(sessions).toBeGreaterThan(3)
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  const end = new X509Certificate(d.cert).validToDate.getTime() / 1000
  expect(metrics).toContain(`banyan_tls_certificate_not_after_timestamp_seconds{certificate="${files.cert}"} ${end}`)
  expect(metrics).toMatch(/banyan_tls_handshakes_total\{outcome="full"\} \d+/)
}, 120_000)

test('a session is resumed in whichever worker the client arrives, and in those that replace them', async () => {
  const made = selfSigned('one', NAMES)
  const both = join(folder, 'both.pem')
  writeFileSync(both, made.cert + made.key)
  const banyan = await secure(['--tls-cert', both])
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const first = connect({
      port: banyan.tlsPort,
      host: '127.0.0.1',
      servername: 'one.test',
      ca: made.cert,
      maxVersion: version as 'TLSv1.2',
    })
    const session = once(first, 'session') as Promise<[Buffer]>
    await once(first, 'secureConnect')
    await ask(first)
    const [ticket] = await session
    expect(first.isSessionReused()).toBe(false)
    const held: Visit[] = []
    // They stay open, so that both workers have their part of them.
    for (let n = 0; n < 6; n++) held.push(await visit(banyan.tlsPort, { session: ticket, maxVersion: version }))
    expect(held.map(({ reused }) => reused)).toEqual([true, true, true, true, true, true])
    expect((await workersOf(banyan)).every(({ connections }) => connections > 1)).toBe(true)
    for (const { socket } of [...held, { socket: first }]) socket.destroy()
  }
}, 120_000)
