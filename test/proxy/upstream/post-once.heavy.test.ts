/**
 * The promise that nothing is carried out twice: POSTs by the thousand through an upstream with every fault, counted where they
 * arrive. Retries, fallback with `methods: all`, ejection and breaker are all at work.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { freePort } from '../../support/free-port.ts'
import { startLoad } from '../../support/load.ts'

/** Each fault comes hundreds of times. */
const POSTS = 40_000
const CLIENTS = 16

/** How often each id has arrived at any upstream. */
const arrived = new Map<string, number>()
const at = { legacy: 0, modern: 0 }
const faults = new Map<string, number>()

/** Faults come in a fixed order, so that a run that fails can be run again. */
let turn = 0

const FAULTS: readonly (readonly [name: string, (req: IncomingMessage, res: ServerResponse) => void])[] = [
  ['closes at the head', (req) => req.socket.destroy()],
  ['resets at the head', (req) => req.socket.resetAndDestroy()],
  ['resets behind the body', (req) => req.resume().on('end', () => req.socket.resetAndDestroy())],
  ['answers garbage', (req) => req.socket.end('garbage\r\n\r\n')],
  ['answers 503', (_, res) => res.writeHead(503).end('busy')],
  ['answers 500', (_, res) => res.writeHead(500).end('oops')],
  ['answers 503 before the body', (_, res) => res.writeHead(503, { Connection: 'close' }).end()],
  ['breaks off', (req, res) => void res.writeHead(200, { 'Content-Length': 9 }).write('o', () => req.socket.destroy())],
  ['answers, and closes unannounced', (req, res) => res.end('ok', () => setImmediate(() => req.socket.destroy()))],
]

function arrive(side: 'legacy' | 'modern', req: IncomingMessage): void {
  const id = req.headers['x-id'] as string
  arrived.set(id, (arrived.get(id) ?? 0) + 1)
  at[side]++
}

function modern(req: IncomingMessage, res: ServerResponse): void {
  arrive('modern', req)
  const one = ++turn % 7 === 0 ? FAULTS[Math.floor(turn / 7) % FAULTS.length] : undefined
  if (one === undefined) req.resume().on('end', () => res.end('ok'))
  else {
    faults.set(one[0], (faults.get(one[0]) ?? 0) + 1)
    one[1](req, res)
  }
}

async function listen(handler: (req: IncomingMessage, res: ServerResponse) => void, port = 0): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler)
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return server
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

const legacy = await listen((req, res) => {
  arrive('legacy', req)
  req.resume().on('end', () => res.end('ok'))
})
const ports = [await freePort(), await freePort()]
const servers = await Promise.all(ports.map((port) => listen(modern, port)))
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${portOf(legacy)}"] }
  modern:
    servers: ["http://127.0.0.1:${ports[0]}", "http://127.0.0.1:${ports[1]}"]
    ejection: { failures: 3, pause: 20ms, maxPause: 50ms }
    timeouts: { headers: 2s }
default: legacy
routes:
  - id: orders
    match: { path: /orders }
    to: modern
    percent: 100
    fallback: { on: [connect, timeout, 500, 502, 503, 504], methods: all }
    breaker: { failureRatio: 0.2, window: 200ms, pause: 20ms, probes: 1 }
`,
})
afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  for (const server of [legacy, ...servers]) {
    server.closeAllConnections()
    server.close()
  }
})

test(`${POSTS} POSTs: none arrives twice, and each that was answered with success has arrived`, async () => {
  const load = startLoad(
    banyan.port,
    CLIENTS,
    (n) => ({
      path: '/orders',
      method: 'POST',
      headers: { 'x-id': String(n) },
      // Without a body nothing but the rule stands in the way of sending it again.
      body: n % 2 === 0 ? '' : `order ${n}`,
    }),
    0,
  )
  // One server and then both refuse connections for a while, again and again.
  for (let round = 0; load.outcomes.length < POSTS; round++) {
    await load.more(200)
    const away = round % 3 === 2 ? [0, 1] : [round % 2]
    for (const one of away) {
      servers[one]!.closeAllConnections()
      servers[one]!.close()
    }
    await load.more(100)
    for (const one of away) servers[one] = await listen(modern, ports[one])
  }
  await load.stop()
  expect([...arrived].filter(([, count]) => count > 1)).toEqual([])
  const good = load.outcomes.filter(({ status }) => status === 200)
  expect(good.filter(({ n }) => !arrived.has(String(n)))).toEqual([])
  expect(good.length).toBeGreaterThan(POSTS / 2)
  // All of it was at work: every fault, both sides, retries and fallbacks.
  expect([...faults.keys()].sort()).toEqual(FAULTS.map(([name]) => name).sort())
  expect(at.legacy).toBeGreaterThan(0)
  const state = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/orders`)).json()
  const upstream = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/modern`)).json()
  expect(state.live.reasons.fallback).toBeGreaterThan(0)
  expect(state.live.reasons.unavailable).toBeGreaterThan(0)
  expect(upstream.live.retries).toBeGreaterThan(0)
  expect(Object.keys(state.live.fallbacks)).toEqual(['connect'])
})
