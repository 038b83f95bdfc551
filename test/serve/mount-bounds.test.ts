/**
 * What clients that read nothing can hold, where middleware is around the proxy: `serve --middleware`, and `strangle()` in an
 * application's own server.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import Koa from 'koa'
import { expect, onTestFinished, test } from 'vitest'
import { strangle } from '../../src/mount.ts'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'
import { closed, listening } from './mounts.ts'

const MIB = 1024 * 1024
const SIZE = 20 * MIB
/** As `fetched` asks: Host is part of what a response is stored under. */
const get = (port: number, path = '/', more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${more}\r\n`
const MIDDLEWARE = 'export default (ctx, next) => next()\n'

const tableWith = (port: number): string =>
  `${tableFor(port)}routes: [{ id: all, match: { path: /* }, to: main, cache: { ttl: 10m, maxBody: 32MiB } }]\n`

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-bounds-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** An upstream whose answers are stored. */
async function storable(size: number): Promise<ScriptedUpstream> {
  const upstream = await scriptedUpstream((request) =>
    request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`),
  )
  onTestFinished(() => upstream.stop())
  return upstream
}

interface Application {
  readonly port: number
  /** Requests that have come to the proxy. */
  readonly begun: () => number
  /** Connections that stand. */
  readonly connections: () => number
}

/** An application of somebody else's with the proxy behind its own answer at `/own`. */
async function application(upstream: ScriptedUpstream, sendTimeoutMs: number): Promise<Application> {
  const table = join(folder(), 'routes.yaml')
  writeFileSync(table, tableWith(upstream.port))
  const proxy = strangle({ table, sendTimeoutMs, memoryCacheBytes: 64 * MIB })
  const app = new Koa()
  let begun = 0
  app.use(async (ctx, next) => {
    if (ctx.path === '/own') ctx.body = Buffer.alloc(SIZE)
    else {
      begun++
      await next()
    }
  })
  app.use(proxy)
  const server = createServer(app.callback())
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const port = await listening(server)
  onTestFinished(async () => {
    await closed(server)
    await proxy.close()
  })
  return { port, begun: () => begun, connections: () => sockets.size }
}

async function served(upstream: ScriptedUpstream, args: readonly string[]): Promise<Banyan> {
  const middleware = join(folder(), 'middleware.mjs')
  writeFileSync(middleware, MIDDLEWARE)
  const banyan = await startBanyan({ table: tableWith(upstream.port), args: ['--middleware', middleware, ...args] })
  onTestFinished(async () => {
    await banyan.stop()
  })
  return banyan
}

async function fetched(port: number, path = '/'): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } })
  return (await answer.arrayBuffer()).byteLength
}

/** A client that sends, and reads nothing. */
async function unread(port: number, text: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.pause().write(text)
  return socket
}

/** Reads what is left. @returns how much that was */
async function rest(socket: Socket): Promise<number> {
  let bytes = 0
  socket.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  socket.resume()
  if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()))
  return bytes
}

test('strangle(): a client that reads nothing of a stored response is cut off after the send timeout', async () => {
  const upstream = await storable(SIZE)
  const { port, connections } = await application(upstream, 300)
  expect(await fetched(port)).toBe(SIZE)
  const socket = await unread(port, get(port))
  await expect.poll(connections).toBe(1)
  await expect.poll(connections).toBe(0)
  expect(await rest(socket)).toBeLessThan(SIZE)
  expect(await fetched(port)).toBe(SIZE)
  expect(upstream.requests).toBe(1)
})

test('strangle(): responses of the application are not its business, on the same connection too', async () => {
  const upstream = await storable(1000)
  const { port, begun } = await application(upstream, 100)
  expect(await fetched(port)).toBe(1000)
  // The second one waits for the first.
  const socket = await unread(port, `${get(port, '/own')}${get(port, '/', 'Connection: close\r\n')}`)
  await expect.poll(begun).toBe(2)
  // Several times the timeout.
  await wait(600)
  expect(await rest(socket)).toBeGreaterThan(SIZE + 1000)
})

test('strangle(): pipelined requests for a stored response that nobody reads hold it once', async () => {
  const upstream = await storable(MIB)
  const { port, begun } = await application(upstream, 60_000)
  expect(await fetched(port)).toBe(MIB)
  const held = (): number => process.memoryUsage().arrayBuffers
  const before = held()
  const count = 1000
  await unread(port, get(port).repeat(count))
  let last = -1
  await expect
    .poll(
      () => {
        const same = begun() === last
        last = begun()
        return same && last > 1
      },
      { interval: 200 },
    )
    .toBe(true)
  expect(held() - before).toBeLessThan(32 * MIB)
  expect(await fetched(port)).toBe(MIB)
})

test('serve --middleware: a client that reads nothing of a stored response is cut off', async () => {
  const upstream = await storable(SIZE)
  const banyan = await served(upstream, ['--send-timeout', '1s'])
  expect(await fetched(banyan.port)).toBe(SIZE)
  const socket = await unread(banyan.port, get(banyan.port))
  // Its exchange is over only when it was cut off.
  await expect
    .poll(async () => {
      const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/exchanges`)
      return ((await answer.json()) as { exchanges: unknown[] }).exchanges.length
    })
    .toBe(2)
  expect(await rest(socket)).toBeLessThan(SIZE)
})

test('serve --middleware: SIGTERM waits for a stored response that is being sent', async () => {
  const upstream = await storable(SIZE)
  const banyan = await served(upstream, [])
  expect(await fetched(banyan.port)).toBe(SIZE)
  const socket = connect(banyan.port, '127.0.0.1')
  socket.write(get(banyan.port))
  await once(socket, 'readable')
  banyan.program.child.kill('SIGTERM')
  await banyan.program.line((line) => line.includes('"event":"draining"'))
  // Several looks of the drain for connections that are idle.
  await wait(300)
  expect(await rest(socket)).toBeGreaterThan(SIZE)
  expect(await banyan.program.ended()).toBe(0)
})
