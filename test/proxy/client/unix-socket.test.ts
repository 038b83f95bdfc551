/**
 * `--listen unix:PATH`: the file of the socket, what a killed process has left, and who the client is.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { ListeningSocket } from '../../../src/processes/listening-socket.ts'
import { listenAt } from '../../../src/proxy/client/listen-at.ts'
import { readSettings } from '../../../src/settings/settings.ts'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { proxyHeaderV2 } from '../../support/proxy-header.ts'
import { Wire } from '../../support/wire.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-unix-'))
const upstream = createServer((req, res) => {
  if (req.url === '/broken') {
    res.writeHead(200, { 'Content-Length': '10' })
    res.write('half', () => res.destroy())
  } else res.end(JSON.stringify(req.headers))
})
upstream.listen(0, '127.0.0.1')
await once(upstream, 'listening')
const { port } = upstream.address() as AddressInfo
const table = `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${port}"] }
  next: { servers: ["http://127.0.0.1:${port}"], host: next.test }
default: main
routes:
  - { id: half, match: { path: /half }, to: next, percent: 50, sticky: [ip] }
`
afterAll(() => {
  upstream.closeAllConnections()
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

let next = 0
const newPath = (): string => join(folder, `${next++}.sock`)

async function start(path: string, ...args: string[]): Promise<Banyan> {
  const banyan = await startBanyan({ table, args: ['--listen', `unix:${path}`, '--access-log', 'json', ...args] })
  onTestFinished(() => void banyan.stop())
  return banyan
}

async function get(socketPath: string, path = '/', headers = {}): Promise<{ status: number; body: string }> {
  const req = request({ socketPath, path, headers: { Host: 'a.test', ...headers }, agent: false })
  req.end()
  const [res] = await once(req, 'response')
  let body = ''
  res.setEncoding('utf8')
  for await (const text of res) body += text
  return { status: res.statusCode, body }
}

async function logged(banyan: Banyan, path: string): Promise<string> {
  const line = await banyan.program.line((each) => each.includes(`"target":"${path}"`))
  return (JSON.parse(line) as { client: string }).client
}

test('clients are served, and are named unix', async () => {
  const path = newPath()
  const banyan = await start(path, '--listen-mode', '0606')
  expect(banyan.program.log.find((line) => line.startsWith('banyan ready'))).toContain(`banyan ready unix:${path} `)
  expect(statSync(path).mode & 0o777).toBe(0o606)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => get(path, `/?${n}`)))
  for (const { status, body } of answers) {
    expect(status).toBe(200)
    expect(body).not.toContain('x-forwarded-for')
  }
  expect(await logged(banyan, '/?7')).toBe('unix')
  // It has no address to be drawn by.
  await get(path, '/half')
  const line = await banyan.program.line((each) => each.includes('"target":"/half"'))
  expect(JSON.parse(line)).toMatchObject({ reason: 'no-key' })
  await expect(get(path, '/broken')).rejects.toThrow()
  expect((await get(path)).status).toBe(200)
  expect(await banyan.stop()).toBe(0)
  expect(existsSync(path)).toBe(false)
})

test('a peer on the socket can be trusted, and can speak the PROXY protocol', async () => {
  const path = newPath()
  const banyan = await start(path, '--trusted-proxies', 'unix', '--proxy-protocol', 'unix')
  const asks = async (header: Buffer, target: string): Promise<string> => {
    const socket = connect(path)
    onTestFinished(() => void socket.destroy())
    const client = new Wire(socket)
    await client.send(header)
    await client.send(`GET ${target} HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n`)
    return await client.readUntil('}')
  }
  // The address in the header is not trusted; the peer, which a header without one leaves, is.
  expect(await asks(proxyHeaderV2({ from: [203, 0, 113, 7] }), '/?told')).toContain('"x-forwarded-for":"203.0.113.7"')
  expect(await logged(banyan, '/?told')).toBe('203.0.113.7')
  expect(await asks(proxyHeaderV2({ family: 0 }), '/?untold')).toContain('"x-forwarded-for":"203.0.113.8"')
  expect(await logged(banyan, '/?untold')).toBe('203.0.113.8')
  await expect(get(path)).rejects.toThrow()
})

const PLACE = { host: '', port: 0 }

function closing<T extends { close(): void }>(thing: T): T {
  onTestFinished(() => thing.close())
  return thing
}

test.each([
  ['listening', async (path: string) => await listenAt(closing(createNetServer()), { ...PLACE, path })],
  ['holding the socket for workers', async (path: string) => closing(await ListeningSocket.open({ ...PLACE, path }))],
])('%s leaves what is not its own', async (_way, open) => {
  const file = newPath()
  writeFileSync(file, 'precious')
  const link = newPath()
  symlinkSync(file, link)
  await expect(open(file)).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(open(link)).rejects.toMatchObject({ code: 'EEXIST' })
  expect([statSync(file).size, lstatSync(link).isSymbolicLink()]).toEqual([8, true])

  const [living, left] = [newPath(), newPath()]
  closing(createNetServer()).listen(living)
  await expect.poll(() => existsSync(living)).toBe(true)
  await expect(open(living)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  expect(existsSync(living)).toBe(true)
  // As a process leaves it that is killed.
  const code = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', code, left])
  expect(existsSync(left)).toBe(true)
  await open(left)
  expect(statSync(left).mode & 0o777).toBe(0o660)
  await expect(open(join(folder, 'nowhere/x.sock'))).rejects.toThrow(`there is no folder ${join(folder, 'nowhere')}`)
})

test.each([
  ['unix:x.sock', /--listen: invalid path 'x\.sock': must be absolute/],
  ['unix:', /--listen: invalid path '': must be absolute/],
  [`unix:/${'x'.repeat(107)}`, /--listen: invalid path: 108 bytes, at most 107 are possible/],
  ['unix:/run/', /--listen: invalid path \/run\/: is a folder/],
  ['unix:/run/a\0b', /--listen: invalid path "\/run\/a\\u0000b": use letters, digits/],
])('--listen %j is refused', (text, message) => {
  expect(() => readSettings(['--listen', text], {})).toThrow(message)
})

test('a mode is octal, and a list of peers is checked', () => {
  expect(() => readSettings(['--listen-mode', '888'], {})).toThrow(/--listen-mode: invalid mode '888'/)
  expect(() => readSettings(['--proxy-protocol', '10.0.0.0/8,balancer'], {})).toThrow(
    "--proxy-protocol: invalid address or network 'balancer' (such as 10.0.0.0/8, ::1, unix)",
  )
  expect(() => readSettings(['--proxy-protocol', '::1', '--middleware', 'm.js'], {})).toThrow(/not with --middleware/)
})
