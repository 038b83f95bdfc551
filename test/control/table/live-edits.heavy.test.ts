/**
 * Edits of a proxy that works: open streams and WebSockets live on, requests under way lose nothing, pools stay.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startBanyan } from '../../support/banyan.ts'

const tableFor = (port: number, other: number): string => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${port}] }   # stays
  gtin: { servers: [http://127.0.0.1:${other}] }
default: legacy
routes:
  - id: moving           # edited all the time
    match: { path: /moving }
    to: gtin
    percent: 0
`

interface Upstream {
  readonly port: number
  connections: number
  /** Ends the slow download. */
  finish(): void
}

/** Answers at once, or slowly on /slow; echoes what comes over a WebSocket. */
async function upstream(): Promise<Upstream> {
  let finish = (): void => {}
  const server = createServer((req, res) => {
    if (req.url !== '/slow') {
      res.end('ok')
      return
    }
    res.write('begin ')
    finish = () => res.end('end')
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const made: Upstream = { port: 0, connections: 0, finish: () => finish() }
  server.on('connection', () => made.connections++)
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    sockets.close()
    server.close()
    server.closeAllConnections()
  })
  return Object.assign(made, { port: (server.address() as AddressInfo).port })
}

function ask(port: number, method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' }
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (res) => {
      text(res).then((said) => resolve({ status: res.statusCode as number, text: said }), reject)
    })
    req.on('error', reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

async function text(res: IncomingMessage): Promise<string> {
  let said = ''
  for await (const piece of res.setEncoding('utf8')) said += piece
  return said
}

test('a WebSocket, a slow download and the pools live through 100 revisions', async () => {
  const [legacy, gtin] = [await upstream(), await upstream()]
  const banyan = await startBanyan({ table: tableFor(legacy.port, gtin.port) })
  onTestFinished(() => void banyan.stop())
  const admin = banyan.adminPort as number
  const socket = new WebSocket(`ws://127.0.0.1:${banyan.port}/ws`)
  await once(socket, 'open')
  const download = request({ host: '127.0.0.1', port: banyan.port, path: '/slow', agent: false })
  download.end()
  const [res] = (await once(download, 'response')) as [IncomingMessage]
  const all = text(res)
  await ask(banyan.port, 'GET', '/')
  const connections = legacy.connections
  for (let edit = 1; edit <= 100; edit++) {
    const { status } = await ask(admin, 'PATCH', '/routes/moving', { percent: edit })
    expect(status).toBe(200)
    // Often enough that the connection is never idle for so long that it is closed, on a busy machine too.
    expect((await ask(banyan.port, 'GET', '/')).text).toBe('ok')
    if (edit % 20 === 0) {
      socket.send(`message ${edit}`)
      const [data] = (await once(socket, 'message')) as [Buffer]
      expect(String(data)).toBe(`message ${edit}`)
    }
  }
  // The kept-alive connection from before the first edit has served every request since.
  expect(legacy.connections).toBe(connections)
  legacy.finish()
  expect(await all).toBe('begin end')
  socket.close()
  await once(socket, 'close')
  expect(JSON.parse((await ask(admin, 'GET', '/routes')).text).revision).toBe(101)
  expect(await banyan.stop()).toBe(0)
})

test('edits under load fail no request, and move what they say', async () => {
  const [legacy, gtin] = [await upstream(), await upstream()]
  const banyan = await startBanyan({ table: tableFor(legacy.port, gtin.port) })
  onTestFinished(() => void banyan.stop())
  const admin = banyan.adminPort as number
  let editing = true
  const answers = { ok: 0, other: 0 }
  const client = async (): Promise<void> => {
    while (editing) {
      const { status, text: said } = await ask(banyan.port, 'GET', '/moving')
      if (status === 200 && said === 'ok') answers.ok++
      else answers.other++
    }
  }
  const clients = Array.from({ length: 8 }, client)
  for (let edit = 1; edit <= 60; edit++) {
    const route = { id: `extra-${edit}`, match: { path: `/extra/${edit}` }, to: 'gtin' }
    const made = [
      await ask(admin, 'PATCH', '/routes/moving', { percent: (edit * 37) % 101 }),
      await ask(admin, 'POST', '/routes', route),
      await ask(admin, 'DELETE', `/routes/${route.id}`),
    ]
    expect(made.map(({ status }) => status)).toEqual([200, 201, 200])
  }
  editing = false
  await Promise.all(clients)
  expect(answers.other).toBe(0)
  expect(answers.ok).toBeGreaterThan(100)
  expect(legacy.connections).toBeGreaterThan(0)
  expect(gtin.connections).toBeGreaterThan(0)
  expect(await banyan.stop()).toBe(0)
})
