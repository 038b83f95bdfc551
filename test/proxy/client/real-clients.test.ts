/**
 * What real clients see: curl and ws themselves, and the bytes of ab, wrk, Java's HttpClient and Socket.IO's polling.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'banyan-clients-'))
const upload = join(folder, 'upload')
const content = randomBytes(2 * 1024 * 1024)
writeFileSync(upload, content)
const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** What the application was asked. */
interface Asked {
  readonly method: string
  readonly target: string
  readonly body: string
}

/** The messages of a Socket.IO client's session that wait for its next poll, or the poll that waits for one. */
const session: { waiting: string[]; poll: ServerResponse | null } = { waiting: [], poll: null }

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of req) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** Engine.IO 4 over long polling, as far as one session needs it: each message of the client comes back as an event. */
async function poll(req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (!req.url?.includes('sid=')) {
    res.end(`0${JSON.stringify({ sid: 's1', upgrades: ['websocket'], pingInterval: 25_000, pingTimeout: 20_000 })}`)
  } else if (req.method === 'POST') {
    session.waiting.push((await bodyOf(req)).toString().replace(/^42/, '42["echo",').concat(']'))
    res.end('ok')
    session.poll?.end(session.waiting.shift())
    session.poll = null
  } else if (session.waiting.length > 0) res.end(session.waiting.shift())
  else session.poll = res
}

const application = createServer(async (req, res) => {
  if (req.url?.startsWith('/socket.io/')) {
    await poll(req, res)
    return
  }
  const body = await bodyOf(req)
  const asked: Asked = { method: req.method ?? '', target: req.url ?? '', body: sum(body) }
  if (req.url?.startsWith('/stream')) {
    res.write('a')
    res.end('b')
  } else res.end(JSON.stringify(asked))
})
application.on('checkContinue', (req, res) => {
  if (req.url === '/rejected') res.writeHead(413, { 'Content-Length': 2 }).end('no')
  else {
    res.writeContinue()
    application.emit('request', req, res)
  }
})
/** Heads that the application's own parser can't read. */
const unreadable: string[] = []
application.on('clientError', (error: { rawPacket?: Buffer }, socket) => {
  unreadable.push(error.rawPacket?.toString('latin1') ?? '')
  socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok')
})
const sockets = new WebSocketServer({ server: application, handleProtocols: (offered) => [...offered][1] ?? false })
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    if (data.toString() === 'bye') socket.close(4001, 'as asked')
    else socket.send(data, { binary: isBinary })
  })
})
application.listen(0, '127.0.0.1')
await once(application, 'listening')
const middleware = join(folder, 'middleware.mjs')
writeFileSync(middleware, 'export default (ctx, next) => next()\n')
const table = tableFor((application.address() as AddressInfo).port)
const own = await startBanyan({ table })
const node = await startBanyan({ table, args: ['--middleware', middleware] })
afterAll(async () => {
  await Promise.all([own.stop(), node.stop()])
  sockets.close()
  application.closeAllConnections()
  application.close()
  rmSync(folder, { recursive: true })
})

async function curl(...args: string[]): Promise<{ out: string; log: string }> {
  const { stdout, stderr } = await run('curl', ['-sS', '--max-time', '120', ...args], { encoding: 'latin1' })
  return { out: stdout, log: stderr }
}

/** Sends requests one after the other on one connection. @returns the responses' Connection fields, up to the end of it */
async function connectionsOf(client: RawClient, requests: readonly string[]): Promise<(string | undefined)[]> {
  const seen: (string | undefined)[] = []
  for (const request of requests) {
    const response = await client.ask(request)
    expect(response.status).toBe(200)
    seen.push(field(response.fields, 'connection'))
    if (seen.at(-1) === 'close') break
  }
  return seen
}

const five = (request: (i: number) => string): string[] => Array.from({ length: 5 }, (_, i) => request(i))

describe.each([
  ['own HTTP/1.1', own.port],
  // Its parser knows few methods and no bytes above 0x7F, and an offer of h2c costs the connection: decision 0003.
  ['node:http', node.port],
])('%s', (name, port) => {
  const isOwn = name === 'own HTTP/1.1'
  const url = `http://127.0.0.1:${port}`

  describe('curl', () => {
    test('--http1.0: a body with a length, and one that ends with the connection', async () => {
      const { out } = await curl('--http1.0', '-i', `${url}/a`)
      expect(out).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n[\s\S]*"target":"\/a"/)
      const stream = await curl('--http1.0', '-i', `${url}/stream`)
      expect(stream.out).toMatch(/\r\n\r\nab$/)
      expect(stream.out).not.toMatch(/chunked/i)
    })

    test('--http1.0 that asks for its connection to be kept', async () => {
      const { out } = await curl(
        '--http1.0',
        '-H',
        'Connection: keep-alive',
        '-w',
        ' %{num_connects}',
        `${url}/a`,
        `${url}/b`,
      )
      expect(out.match(/\} \d/g)).toEqual(['} 1', '} 0'])
    })

    test('--http1.1: two requests on one connection, chunks read', async () => {
      const { out } = await curl('--http1.1', '-w', ' %{num_connects} ', `${url}/stream`, `${url}/stream`)
      expect(out).toBe('ab 1 ab 0 ')
    })

    test('HEAD, then GET, on one connection', async () => {
      const { out } = await curl('-I', `${url}/a`, '--next', '-sS', '-w', ' %{num_connects}', `${url}/b`)
      expect(out).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\{"method":"GET","target":"\/b",.*\} 0$/)
    })

    test('Expect: 100-continue before an upload of 2 MiB', async () => {
      const { out, log } = await curl('-v', '-H', 'Expect: 100-continue', '--data-binary', `@${upload}`, `${url}/up`)
      expect(log).toContain('< HTTP/1.1 100 Continue')
      expect(JSON.parse(out)).toEqual({ method: 'POST', target: '/up', body: sum(content) })
    })

    test('Expect: 100-continue that is refused: the response, and no body', async () => {
      const args = ['-v', '-H', 'Expect: 100-continue', '--expect100-timeout', '100', '--data-binary', `@${upload}`]
      const { out, log } = await curl(...args, '-w', ' %{http_code} %{size_upload}', `${url}/rejected`)
      expect(log).not.toContain('100 Continue')
      expect(out).toBe('no 413 0')
    })

    test.each([
      ['with a length', ['-T', upload]],
      ['in chunks', ['-T', upload, '-H', 'Transfer-Encoding: chunked']],
      ['without being asked to wait', ['-T', upload, '-H', 'Expect:']],
      ['by HTTP/1.0', ['--http1.0', '-T', upload]],
    ])('an upload %s', async (_, args) => {
      const { out } = await curl(...args, `${url}/put`)
      expect(JSON.parse(out)).toEqual({ method: 'PUT', target: '/put', body: sum(content) })
    })

    test('a form of many parts', async () => {
      const { out } = await curl('-F', 'a=b', '-F', `file=@${upload}`, '-w', ' %{http_code}', `${url}/form`)
      expect(out).toMatch(/"method":"POST","target":"\/form",.* 200$/)
    })

    test.each([
      ['bytes above 0x7F in a URL', [`${url}/a?q=ü`], 'GET /a?q=\xc3\xbc HTTP/1.1\r\n'],
      ['a method that only some applications know', ['-X', 'LABEL', `${url}/a`], 'LABEL /a HTTP/1.1\r\n'],
    ])('%s', async (_, args, line) => {
      unreadable.length = 0
      const { out } = await curl('-w', ' %{http_code}', ...args)
      expect(out).toMatch(isOwn ? /^ok 200$/ : / 400$/)
      expect(unreadable.map((head) => head.slice(0, line.length))).toEqual(isOwn ? [line] : [])
    })

    test('--http2, which offers h2c with each request', async () => {
      const { out } = await curl(
        '--http2',
        '-w',
        ' %{http_code} %{http_version} %{num_connects} ',
        `${url}/stream`,
        `${url}/stream`,
      )
      expect(out).toBe(isOwn ? 'ab 200 1.1 1 ab 200 1.1 0 ' : 'ab 200 1.1 1 ab 200 1.1 1 ')
    })
  })

  describe('ws', () => {
    const open = async (): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ['a', 'b'])
      await once(socket, 'open')
      return socket
    }
    const echo = async (socket: WebSocket, data: string | Buffer): Promise<unknown[]> => {
      socket.send(data)
      return await once(socket, 'message')
    }

    test('text, 2 MiB of binary, pings, and the subprotocol that the application chose', async () => {
      const socket = await open()
      expect(socket.protocol).toBe('b')
      const [text, isBinary] = await echo(socket, 'grüße')
      expect([String(text), isBinary]).toEqual(['grüße', false])
      expect(sum((await echo(socket, content))[0] as Buffer)).toBe(sum(content))
      socket.ping('x')
      expect(String((await once(socket, 'pong'))[0])).toBe('x')
      socket.close()
      await once(socket, 'close')
    })

    test('the code and reason of a close come through, whoever closes', async () => {
      const asked = await open()
      asked.send('bye')
      const [code, reason] = await once(asked, 'close')
      expect([code, String(reason)]).toEqual([4001, 'as asked'])
      const leaving = await open()
      const [server] = [...sockets.clients]
      leaving.close(4002, 'enough')
      const [seen] = await once(server!, 'close')
      expect(seen).toBe(4002)
    })

    test('a client that is cut off is noticed', async () => {
      const socket = await open()
      const [server] = [...sockets.clients]
      socket.terminate()
      expect((await once(server!, 'close'))[0]).toBe(1006)
    })
  })

  test("Socket.IO's polling: a poll that waits, and messages on another connection meanwhile", async () => {
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n`
    const path = '/socket.io/?EIO=4&transport=polling&t=OkAZ'
    const polling = await rawClient(port)
    const handshake = await polling.ask(get(path))
    const { sid } = JSON.parse(handshake.body.text.slice(1))
    const sending = await rawClient(port)
    for (let i = 0; i < 5; i++) {
      await polling.send(get(`${path}&sid=${sid}`))
      const message = `42"${i}"`
      const sent = await sending.ask(
        `POST ${path}&sid=${sid} HTTP/1.1\r\nHost: a\r\nContent-type: text/plain;charset=UTF-8\r\nContent-Length: ${message.length}\r\n\r\n${message}`,
      )
      expect(sent.body.text).toBe('ok')
      expect((await polling.nextResponse()).body.text).toBe(`42["echo","${i}"]`)
    }
  })

  test('ab, with and without -k', async () => {
    const head = 'Host: 127.0.0.1\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n'
    const kept = five((i) => `GET /${i} HTTP/1.0\r\nConnection: Keep-Alive\r\n${head}`)
    expect(await connectionsOf(await rawClient(port), kept)).toEqual(five(() => 'keep-alive'))
    const client = await rawClient(port)
    await client.send(`GET / HTTP/1.0\r\n${head}`)
    const { text, ending } = await client.readToEnd()
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nContent-Length: \d+\r\n/i)
    expect(ending).toBe('end')
  })

  test('wrk: the shortest requests, one behind the other and in a pipeline', async () => {
    const requests = five((i) => `GET /${i} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
    const client = await rawClient(port)
    expect(await connectionsOf(client, requests)).toEqual(five(() => 'keep-alive'))
    await client.send(requests.join(''))
    for (let i = 0; i < 5; i++) expect(JSON.parse((await client.nextResponse()).body.text).target).toBe(`/${i}`)
  })

  test("Java's HttpClient, which offers h2c until it has been refused, and with each body apart from its head", async () => {
    const head =
      'Host: a\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n\r\n'
    const line = (method: string, i: number, length: number): string =>
      `${method} /${i} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: ${length}\r\n${head}`
    const client = await rawClient(port)
    const seen: (string | undefined)[] = []
    for (let i = 0; i < 4; i++) {
      const body = i % 2 === 0 ? '' : `hello${i}`
      await client.send(line(i % 2 === 0 ? 'GET' : 'POST', i, body.length))
      if (body !== '') await client.send(body)
      const response = await client.nextResponse()
      expect(JSON.parse(response.body.text)).toMatchObject({ target: `/${i}`, body: sum(Buffer.from(body)) })
      seen.push(field(response.fields, 'connection'))
      if (seen.at(-1) === 'close') break
    }
    expect(seen).toEqual(isOwn ? five(() => 'keep-alive').slice(1) : ['close'])
  })
})
