/**
 * More clients than file descriptors: connections are closed, which is logged, and everything is as before once they have gone.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { Agent } from 'node:http'
import { request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { tableFor } from '../support/banyan.ts'
import { http2Client } from '../support/http2-client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'
import { banyanWith, get, type Outcome, workersOf } from './rig.ts'

const tlsFile = (name: string): string => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url))
const TLS = ['--tls', '127.0.0.1:0', '--tls-cert', tlsFile('server.pem'), '--tls-key', tlsFile('server-key.pem')]
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const LIMIT = 128
const MANY = 400

const limit = (pid: number): void => {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${LIMIT}:${LIMIT}`])
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Clients that send the same each. Resolves when each is connected, or could not be. */
async function crowd(port: number, bytes: string): Promise<Socket[]> {
  const sockets = Array.from({ length: MANY }, () => connect(port, '127.0.0.1').on('error', () => {}))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])))
  for (const socket of sockets) socket.resume().write(bytes)
  return sockets
}

async function overTls(port: number): Promise<number | undefined> {
  const asked = request({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }).end()
  const [response] = await once(asked, 'response')
  response.resume()
  return response.statusCode
}

interface Case {
  readonly workers: number
  /** Whose limit is reached. */
  readonly whose: 'every process' | 'the workers'
}

async function start({
  workers,
  whose,
}: Case): Promise<{ banyan: Banyan; pids: number[]; upstream: ScriptedUpstream }> {
  // Nobody is answered: the connections stay until their clients leave.
  const upstream = await scriptedUpstream(() => {})
  onTestFinished(() => upstream.stop())
  const banyan = await banyanWith(workers, { table: tableFor(upstream.port), args: TLS })
  const pids = (await workersOf(banyan)).map(({ pid }) => pid)
  for (const pid of pids) limit(pid)
  if (whose === 'every process') limit(banyan.pid)
  return { banyan, pids: [banyan.pid, ...pids], upstream }
}

test.each<Case>([
  { workers: 0, whose: 'every process' },
  { workers: 2, whose: 'every process' },
  { workers: 2, whose: 'the workers' },
])('--workers $workers, the limit of $whose', async (which) => {
  const { banyan, pids, upstream } = await start(which)
  const before = pids.map(descriptorsOf)
  // Requests, and then handshakes that do not go on.
  for (const [port, bytes] of [
    [banyan.port, GET],
    [banyan.tlsPort as number, '\x16\x03\x01'],
  ] as const) {
    const sockets = await crowd(port, bytes)
    await expect.poll(() => sockets.filter(({ destroyed }) => destroyed).length).toBeGreaterThan(MANY / 4)
    // The operator still gets in.
    expect((await fetch(`http://127.0.0.1:${banyan.adminPort}/livez`)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    // What is left: connections to the upstream and of the admin API.
    await expect.poll(() => Math.max(...pids.map((pid, at) => descriptorsOf(pid) - before[at]!))).toBeLessThan(20)
  }
  const line = JSON.parse(await banyan.program.line((one) => one.includes('"event":"descriptors"')))
  expect(line).toMatchObject({ level: 40, msg: expect.stringContaining('out of file descriptors') })
  upstream.handler = (request) => request.ok()
  for (let n = 0; n < 8; n++) {
    expect((await get(banyan.port, '/', new Agent())).status).toBe(200)
    expect(await overTls(banyan.tlsPort as number)).toBe(200)
  }
})

test.each([0, 2])(
  'more requests over HTTP/2 than descriptors for connections to a server, --workers %i',
  async (workers) => {
    const upstream = await scriptedUpstream(() => {})
    onTestFinished(() => upstream.stop())
    const banyan = await banyanWith(workers, { table: tableFor(upstream.port), args: ['--h2c'] })
    for (const { pid } of await workersOf(banyan)) limit(pid)
    if (workers === 0) limit(banyan.pid)
    // On a new connection each.
    const askAdmin = (path: string): Promise<Outcome> => get(banyan.adminPort as number, path, new Agent())
    const clients = await Promise.all(Array.from({ length: 10 }, () => http2Client(banyan.port)))
    const statuses: number[] = []
    for (const client of clients) {
      for (let n = 0; n < 100; n++) {
        const asked = client.ask('/')
        void asked.status().then(
          (status) => statuses.push(status),
          () => {},
        )
      }
    }
    // The others wait for the server. The operator gets in all the time, at the first try.
    while (statuses.length <= 1000 - 2 * LIMIT)
      expect(await askAdmin('/livez')).toMatchObject({ status: 200, error: null })
    expect(await askAdmin('/livez')).toMatchObject({ status: 200, error: null })
    expect(new Set(statuses)).toEqual(new Set([503]))
    const metrics = (await askAdmin('/metrics')).text
    // The server is not to blame.
    expect(metrics).not.toContain('outcome="connect"')
    expect(metrics).toContain('banyan_retries_total{upstream="main"} 0')
    for (const { session } of clients) session.destroy()
    upstream.handler = (request) => request.ok()
    const another = await http2Client(banyan.port)
    await expect.poll(() => another.ask('/').status()).toBe(200)
  },
)
