/**
 * Active health checks against real servers that fail in each way there is.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer as createTls } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { HealthChecks } from '../../../src/control/fleet/health-checks.ts'
import { TlsFiles } from '../../../src/control/table/tls-files.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { type LogLine, logInto } from '../rig.ts'

const ended: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end()
})

async function listening<S extends Server | ReturnType<typeof createTcp>>(server: S): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ended.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return (server as Server).address() !== null ? ((server as Server).address() as AddressInfo).port : 0
}

const http = (listener: RequestListener): Promise<number> => listening(createServer(listener))

/** The probe that hangs up is no failure of the test. */
const quiet = (socket: Socket): Socket => socket.on('error', () => {})

/** The table of one upstream, its servers at these ports. */
function tableOf(ports: readonly number[], health = '', more = '', scheme = 'http'): Table {
  const servers = ports.map((port) => `"${scheme}://127.0.0.1:${port}"`).join(', ')
  const text = `version: 1
upstreams:
  main:
    servers: [${servers}]
    health: { path: /healthz, every: 20ms, timeout: 2s, up: 2, down: 3${health} }
${more}
default: main
`
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

/** Checks that follow a table, and a way to wait for what they find. */
function checking(table: Table) {
  const lines: LogLine[] = []
  const waiting = new Set<() => void>()
  const checks = new HealthChecks({
    log: logInto(lines),
    onChange: () => {
      for (const look of [...waiting]) look()
    },
    now: Date.now,
    chance: () => 0.5,
  })
  ended.push(() => checks.close())
  const follow = (next: Table): void => {
    const upstream = next.upstreams.get('main')!
    const members = upstream.servers.map((server) => ({ upstream, server }))
    checks.follow(members, new TlsFiles('.').loadNow(next).material)
  }
  const server = (of = table, at = 0) => of.upstreams.get('main')!.servers[at]!
  follow(table)
  const turned = (): Promise<void> =>
    new Promise((done) => {
      const look = (): void => {
        waiting.delete(look)
        done()
      }
      waiting.add(look)
    })
  return { checks, lines, follow, turned, of: (of = table, at = 0) => checks.of('main', server(of, at)) }
}

test('a server that fails is unhealthy at the threshold, and healthy again at the other', async () => {
  const answers = [200, 200, 503, 503, 200, 503, 503, 503, 200, 503, 200, 200]
  const asked: string[] = []
  const port = await http((req, res) => {
    asked.push(`${req.method} ${req.url} ${req.headers.host} ${req.headers['user-agent']}`)
    res.statusCode = answers.shift() ?? 200
    res.end()
  })
  const { turned, of, lines } = checking(tableOf([port]))
  await turned()
  expect(of()).toMatchObject({ healthy: false, good: 3, failed: 5, last: { good: false, detail: 'status 503' } })
  await turned()
  expect(of()).toMatchObject({ healthy: true, good: 6, failed: 6 })
  expect(new Set(asked)).toEqual(new Set([`GET /healthz 127.0.0.1:${port} banyan-health`]))
  expect(lines.map(({ level, message }) => [level, message])).toEqual([
    ['warn', `main: server 127.0.0.1:${port} is unhealthy: status 503`],
    ['info', `main: server 127.0.0.1:${port} is healthy`],
  ])
})

test('each way to fail has its words', async () => {
  const closed = createTcp()
  const refusing = await listening(closed)
  closed.close()
  const silent = await http(() => {})
  const wordless = await http((_req, res) => res.end('{"status":"down"}'))
  const broken = await listening(
    createTcp((socket) => quiet(socket).once('data', () => socket.end('nonsense\r\n\r\n'))),
  )
  const dying = await listening(createTcp((socket) => quiet(socket).once('data', () => socket.resetAndDestroy())))
  const ports = [refusing, silent, wordless, broken, dying]
  const all = tableOf(ports, ', body: \'"ok"\'')
  const table = all.upstreams.get('main')!
  const { turned, checks } = checking(all)
  const details = () => table.servers.map((server) => checks.of('main', server)?.last?.detail)
  const quick = ports.filter((port) => port !== silent)
  while (quick.some((port) => checks.of('main', table.servers[ports.indexOf(port)]!)?.healthy !== false)) await turned()
  expect(details()).toEqual([
    'connection refused',
    undefined,
    'status 200, but the body does not contain health.body',
    expect.stringMatching(/^Parse Error/),
    'connection reset',
  ])
})

test('a server that never answers is given up at the timeout, and probes never overlap', async () => {
  let [running, most, asked] = [0, 0, 0]
  const port = await http((req) => {
    asked++
    most = Math.max(most, ++running)
    req.socket.once('close', () => running--)
  })
  const text = tableOf([port]).upstreams.get('main')!
  const table = {
    ...tableOf([port]),
    upstreams: new Map([['main', { ...text, health: { ...text.health!, timeoutMs: 60 } }]]),
  }
  const { turned, of } = checking(table)
  await turned()
  expect(of()).toMatchObject({ healthy: false, failed: 3, last: { detail: 'timed out after 60 ms' } })
  expect(asked).toBeGreaterThanOrEqual(3)
  expect(most).toBe(1)
})

test('over TLS by the settings of the upstream', async () => {
  const pem = (name: string): string => join(import.meta.dirname, '../../support/tls', `${name}.pem`)
  const server = {
    key: readFileSync(pem('server-key')),
    cert: readFileSync(pem('server')),
    ca: readFileSync(pem('ca')),
  }
  let bad = false
  const strict = createHttps({ ...server, requestCert: true, rejectUnauthorized: true }, (_req, res) => {
    res.statusCode = bad ? 500 : 200
    res.end()
  })
  const port = await listening(strict as unknown as Server)
  const tls = `    tls: { ca: ${pem('ca')}, cert: ${pem('client')}, key: ${pem('client-key')}, serverName: legacy.test }`
  const good = checking(tableOf([port], ', start: unhealthy', tls, 'https'))
  await good.turned()
  expect(good.of()).toMatchObject({ healthy: true, good: 2, failed: 0 })
  bad = true
  await good.turned()
  expect(good.of()).toMatchObject({ healthy: false, last: { detail: 'status 500' } })
  const bare = checking(tableOf([port], '', `    tls: { ca: ${pem('ca')}, serverName: other.test }`, 'https'))
  await bare.turned()
  expect(bare.of()?.last?.detail).toMatch(/altnames|certificate/i)
})

test('a probe offers the protocols that requests offer: a server that has none of them is unhealthy', async () => {
  const pem = (name: string): string => join(import.meta.dirname, '../../support/tls', `${name}.pem`)
  const server = { key: readFileSync(pem('server-key')), cert: readFileSync(pem('server')) }
  const h2 = createTls({ ...server, ALPNProtocols: ['h2'] }, (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  })
  const port = await listening(h2)
  const { turned, of } = checking(tableOf([port], '', `    tls: { ca: ${pem('ca')} }`, 'https'))
  await turned()
  expect(of()).toMatchObject({
    healthy: false,
    good: 0,
    last: { detail: expect.stringMatching(/no application protocol/) },
  })
})

test('an edit that does not concern a server leaves its check alone; one that goes is probed no more', async () => {
  const seen = [0, 0]
  const ports = await Promise.all(
    [0, 1].map((at) =>
      http((_req, res) => {
        seen[at]!++
        res.statusCode = 503
        res.end()
      }),
    ),
  )
  const first = tableOf(ports)
  const { follow, turned, of, checks } = checking(first)
  while (of(first, 0)?.healthy !== false || of(first, 1)?.healthy !== false) await turned()
  const known = of(first, 0)!
  const weight = tableOf(ports, '', '    maxIdleConnections: 5')
  follow(weight)
  expect(of(weight, 0)).toBe(known)
  const other = tableOf(ports, ', status: 503')
  follow(other)
  expect(of(other, 0), 'what is known stays with new settings').toBe(known)
  const one = tableOf(ports.slice(0, 1), ', status: 503')
  follow(one)
  expect(checks.of('main', other.upstreams.get('main')!.servers[1]!)).toBeNull()
  const before = seen[1]!
  while (of(one, 0)?.healthy !== true) await turned()
  expect(seen[1]! - before, 'at most the probe that was under way').toBeLessThanOrEqual(1)
})
