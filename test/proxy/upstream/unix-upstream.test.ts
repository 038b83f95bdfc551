/**
 * Servers at Unix sockets: `unix:/path` in the table, in the admin API, and checked by health checks.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { startBanyan } from '../../support/banyan.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-unix-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const probes: (string | undefined)[] = []

/** An application at a Unix socket. */
async function application(path: string): Promise<Server> {
  const server = createServer(async (req: IncomingMessage, res) => {
    if (req.url === '/health') probes.push(req.headers.host)
    if (req.url === '/broken') {
      res.writeHead(200, { 'Content-Length': '10' })
      res.write('half', () => res.destroy())
      return
    }
    let size = 0
    for await (const piece of req) size += (piece as Buffer).length
    res.end(JSON.stringify({ host: req.headers.host, size, path }))
  })
  new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data) => socket.send(`back ${data}`))
  })
  server.listen(path)
  await once(server, 'listening')
  return server
}

const stopped = (server: Server): void => {
  server.close()
  server.closeAllConnections()
}

const paths = [join(folder, 'one.sock'), join(folder, 'two.sock')] as const
const servers = await Promise.all(paths.map(application))
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  main: { servers: ["unix:${paths[0]}"], health: { path: /health, every: 200ms } }
  own: { servers: [{ url: "unix:${paths[0]}", id: app }], host: upstream }
  far: { servers: ["unix:${join(folder, 'nobody.sock')}"] }
default: main
routes:
  - { id: own, match: { path: /own }, to: own, percent: 100 }
  - { id: far, match: { path: /far }, to: far, percent: 100 }
  - { id: falls, match: { path: /falls }, to: far, percent: 100, fallback: {} }
`,
  args: ['--access-log', 'json'],
})
afterAll(async () => {
  await banyan.stop()
  servers.forEach(stopped)
})
const base = `http://127.0.0.1:${banyan.port}`

test('requests, bodies and WebSockets pass', async () => {
  expect(await (await fetch(`${base}/a`)).json()).toMatchObject({ host: `127.0.0.1:${banyan.port}`, path: paths[0] })
  const body = Buffer.alloc(3_000_000, 'x')
  expect(await (await fetch(`${base}/a`, { method: 'POST', body })).json()).toMatchObject({ size: body.length })
  const socket = new WebSocket(`ws://127.0.0.1:${banyan.port}/ws`)
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  socket.send('hello')
  expect(String((await once(socket, 'message'))[0])).toBe('back hello')
  await expect(fetch(`${base}/broken`).then((answer) => answer.text())).rejects.toThrow()
  expect((await fetch(`${base}/a`)).status).toBe(200)
})

test('a server that is told its own name is localhost', async () => {
  expect(await (await fetch(`${base}/own`)).json()).toMatchObject({ host: 'localhost' })
  await expect.poll(() => probes.length).toBeGreaterThan(1)
  expect(new Set(probes)).toEqual(new Set(['localhost']))
})

test('one that is not there is a failed connection', async () => {
  expect((await fetch(`${base}/far`)).status).toBe(502)
  expect((await fetch(`${base}/falls`)).status).toBe(200)
  const line = await banyan.program.line((each) => each.includes('"target":"/far"'))
  expect(JSON.parse(line)).toMatchObject({ failure: 'connect', server: `unix:${join(folder, 'nobody.sock')}` })
})

test('servers come, are drained and go at run time, by their path or their id', async () => {
  const admin = `http://127.0.0.1:${banyan.adminPort}`
  const place = (path: string): string => `${admin}/upstreams/main/servers/${encodeURIComponent(`unix:${path}`)}`
  const headers = { 'Content-Type': 'application/json' }
  const put = await fetch(place(paths[1]), {
    method: 'PUT',
    headers,
    body: JSON.stringify({ url: `unix:${paths[1]}` }),
  })
  expect([put.status, ((await put.json()) as { id: string }).id]).toEqual([201, `unix:${paths[1]}`])
  expect((await fetch(`${place(paths[0])}/drain`, { method: 'POST' })).status).toBe(200)
  await expect.poll(async () => ((await (await fetch(`${base}/a`)).json()) as { path: string }).path).toBe(paths[1])
  expect((await fetch(`${place(paths[0])}/undrain`, { method: 'POST' })).status).toBe(200)
  expect((await fetch(place(paths[1]), { method: 'DELETE' })).status).toBe(200)
  const leased = await fetch(place(paths[1]), {
    ...{ method: 'PUT', headers },
    body: JSON.stringify({ url: `unix:${paths[1]}`, ttl: '30s' }),
  })
  expect(leased.status).toBe(201)
})
