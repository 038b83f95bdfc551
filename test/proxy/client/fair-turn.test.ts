/**
 * A client with one request at a time beside a herd that sends all it can.
 *
 * The process is stopped while the herd sends, so that all of it is there at once, and the other clients' requests come last. How far the
 * herd was by the time of their responses is read from the access log, or from the order in which things come back: no clock decides. Large
 * bodies are in test/wire/read-turns.test.ts.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { workersOf } from '../../processes/rig.ts'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { clientHello } from '../../support/client-hello.ts'
import { FLAG, GET, headers, PREFACE, settings } from '../../support/frames.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream((request) => (request.target === '/never' ? undefined : request.ok()))
const tlsFile = (name: string): string => fileURLToPath(new URL(`../../support/tls/${name}`, import.meta.url))
const TLS = ['--tls', '127.0.0.1:0', '--tls-cert', tlsFile('server.pem'), '--tls-key', tlsFile('server-key.pem')]
const TABLE = `version: 1
upstreams: { legacy: { servers: ['http://127.0.0.1:${upstream.port}'] } }
default: legacy
routes:
  - { id: stored, match: { path: /stored }, to: legacy, percent: 100, cache: { ttl: 600s } }
  - { id: gone, match: { path: /gone }, to: legacy, percent: 100, retire: { status: 410 } }
`
const folder = mkdtempSync(join(tmpdir(), 'banyan-fair-'))
writeFileSync(join(folder, 'through.mjs'), 'export default (ctx, next) => next()\n')
const own = await startBanyan({ table: TABLE, args: ['--access-log', 'json', '--h2c'] })
const mounted = await startBanyan({
  table: TABLE,
  args: ['--access-log', 'json', '--middleware', join(folder, 'through.mjs')],
})
afterAll(async () => {
  await Promise.all([own.stop(), mounted.stop()])
  await upstream.stop()
  rmSync(folder, { recursive: true })
})

const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`

/** A connection to a port of the proxy. What comes on it is read. */
async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket.resume()
}

const dialMany = (at: Banyan, count: number): Promise<Socket[]> =>
  Promise.all(Array.from({ length: count }, () => dial(at.port)))

/** Writes, and waits until the kernel has all of it. */
const sent = (socket: Socket, bytes: string | Buffer): Promise<void> =>
  new Promise((resolve) => socket.write(bytes, () => resolve()))

/** Stops processes while something is done, so that they find all of it at once. */
async function whileStopped<T>(pids: readonly number[], act: () => Promise<T>): Promise<T> {
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    return await act()
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

const targets = new Map<Banyan, { seen: number; readonly all: string[] }>()

/** The targets of all requests that a proxy has answered, in that order. */
function answered(at: Banyan): string[] {
  const known = targets.get(at) ?? { seen: 0, all: [] }
  targets.set(at, known)
  const { log } = at.program
  for (; known.seen < log.length; known.seen++) {
    const target = /"target":"([^"]*)"/.exec(log[known.seen] as string)
    if (target !== null) known.all.push(target[1] as string)
  }
  return known.all
}

/** How many of the others' requests were answered before the one of a target. */
async function before(at: Banyan, from: number, target: string): Promise<number> {
  await expect.poll(() => answered(at).indexOf(target, from)).not.toBe(-1)
  return answered(at).indexOf(target, from) - from
}

let asked = 0

/** Another client: it asks for what is stored. */
async function fairClient(at: Banyan): Promise<{ target: string; ask: () => Promise<string> }> {
  const socket = await dial(at.port)
  const target = `/stored?${asked++}`
  const ask = async (): Promise<string> => {
    const came = once(socket, 'data')
    await sent(socket, get(target))
    return String((await came)[0])
  }
  await ask()
  await before(at, 0, target)
  return { target, ask }
}

/**
 * Lets a herd send, and then another client ask, twice.
 * @param at the proxy
 * @param herd sends; it is awaited
 * @param answers that the herd is to get
 * @param most so many of them may come before the other client's
 */
async function besides(at: Banyan, herd: () => Promise<unknown>, answers: number, most: number): Promise<void> {
  const { target, ask } = await fairClient(at)
  for (let round = 0; round < 2; round++) {
    const from = answered(at).length
    const response = await whileStopped([at.pid], async () => {
      await herd()
      return { came: ask() }
    })
    expect(await response.came).toContain('HTTP/1.1 200 ')
    expect(await before(at, from, target)).toBeLessThanOrEqual(most)
    await expect.poll(() => answered(at).length - from).toBe(answers + 1)
  }
}

describe.each([
  ['', own],
  [' behind middleware', mounted],
])('pipelined requests%s', (_, at) => {
  test.each(['/stored', '/passed', '/gone'])('of 100 connections, for %s', async (target) => {
    const herd = await dialMany(at, 100)
    const flood = get(target).repeat(10)
    await besides(at, () => Promise.all(herd.map((socket) => sent(socket, flood))), 1000, 200)
  })

  test('of one connection', async () => {
    const [one] = await dialMany(at, 1)
    await besides(at, () => sent(one as Socket, get('/stored').repeat(500)), 500, 10)
  })
})

test('more than 10,000 pipelined requests behind middleware: the connection is closed', async () => {
  const one = await dial(mounted.port)
  const closed = once(one, 'close')
  one.write(get('/never').repeat(10_002))
  await closed
  expect(await (await fairClient(mounted)).ask()).toContain('HTTP/1.1 200 ')
})

test('300 new connections', async () => {
  await besides(
    own,
    async () => {
      const herd = await dialMany(own, 300)
      await Promise.all(herd.map((socket) => sent(socket, get('/stored', 'Connection: close\r\n'))))
    },
    300,
    30,
  )
})

test('an HTTP/2 connection with 100 streams, each followed by another', async () => {
  const session = connectHttp2(`http://127.0.0.1:${own.port}`).on('error', () => {})
  onTestFinished(() => session.destroy())
  await once(session, 'remoteSettings')
  await besides(
    own,
    async () => {
      for (let n = 0; n < 600; n++) session.request({ ':path': '/stored', ':authority': 'a.test' }).resume()
      await new Promise((resolve) => setImmediate(resolve))
    },
    600,
    200,
  )
})

test.each(['/stored', '/gone'])('40 HTTP/2 connections with 50 streams each, for %s', async (target) => {
  const herd = await dialMany(own, 40)
  await Promise.all(herd.map((socket) => sent(socket, Buffer.concat([Buffer.from(PREFACE), settings()]))))
  const fields = GET.map(([name, value]) => [name, name === ':path' ? target : value] as const)
  let next = 1
  await besides(
    own,
    () => {
      const streams = Array.from({ length: 50 }, (_, n) => next + 2 * n)
      next += 100
      const flood = Buffer.concat(streams.map((id) => headers(id, fields, FLAG.endStream)))
      return Promise.all(herd.map((socket) => sent(socket, flood)))
    },
    2000,
    300,
  )
})

test('TLS handshakes beside connections that stand, with two workers', async () => {
  const secure = await startBanyan({ table: TABLE, args: [...TLS, '--workers', '2'] })
  onTestFinished(async () => void (await secure.stop()))
  const port = secure.tlsPort as number
  const fair = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      onTestFinished(() => void socket.destroy())
      await once(socket, 'secureConnect')
      const ask = async (): Promise<string> => {
        const came = once(socket, 'data')
        socket.write(get('/stored'))
        return String((await came)[0])
      }
      await ask()
      return ask
    }),
  )
  const hello = await clientHello('a.test', ['http/1.1'])
  const herd = await Promise.all(Array.from({ length: 400 }, () => dial(port)))
  let greeted = 0
  for (const socket of herd) socket.once('data', () => greeted++)
  await Promise.all(herd.map((socket) => sent(socket, hello.subarray(0, 100))))
  const taken = async (): Promise<number> =>
    (await workersOf(secure)).reduce((sum, { connections }) => sum + connections, 0)
  await expect.poll(taken).toBe(herd.length + fair.length)
  const pids = (await workersOf(secure)).map(({ pid }) => pid)
  const responses = await whileStopped(pids, async () => {
    await Promise.all(herd.map((socket) => sent(socket, hello.subarray(100))))
    return fair.map(async (ask) => {
      const response = await ask()
      return { response, greeted }
    })
  })
  for (const one of await Promise.all(responses)) {
    expect(one.response).toContain('HTTP/1.1 200 ')
    expect(one.greeted).toBeLessThan(100)
  }
  await expect.poll(() => greeted).toBe(400)
})
