/**
 * gRPC through banyan: a real client and server of @grpc/grpc-js, HTTP/2 on both sides; and servers of HTTP/2 that refuse streams.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'
import { listening, methodsOf, TEXTS } from '../../support/grpc.ts'

const text = TEXTS.to
const method = methodsOf('demo.Echo', TEXTS)
const METHODS = {
  unary: method('unary', false, false),
  collect: method('collect', true, false),
  count: method('count', false, true),
  chat: method('chat', true, true),
  fail: method('fail', false, false),
  late: method('late', false, true),
  lost: method('lost', false, true),
}

const server = new Server()
server.addService(METHODS, {
  unary: ({ request, metadata }: { request: string; metadata: Metadata }, done: (error: null, value: string) => void) =>
    done(null, `${request} ${metadata.get('x-who').join()}`),
  collect: (
    call: AsyncIterable<string> & { on(event: string, act: (value: string) => void): void },
    done: (error: null, value: string) => void,
  ) => {
    const all: string[] = []
    call.on('data', (one) => all.push(one))
    call.on('end', () => done(null, all.join()))
  },
  count: (call: { request: string; write(value: string): void; end(): void }) => {
    for (let n = 0; n < Number(call.request); n++) call.write(String(n))
    call.end()
  },
  chat: (call: { on(event: string, act: (value: string) => void): void; write(value: string): void; end(): void }) => {
    call.on('data', (one) => call.write(`re: ${one}`))
    call.on('end', () => call.end())
  },
  late: (call: { write(value: string): void; emit(event: string, error: object): void }) => {
    call.write('one')
    call.emit('error', { code: status.UNAVAILABLE, details: 'no more' })
  },
  lost: (call: { write(value: string): void; emit(event: string, error: object): void; request: string }) => {
    // In the trailers of a response with a body, or in the head of one without.
    if (call.request === 'late') call.write('one')
    call.emit('error', { code: status.UNAVAILABLE, details: 'down' })
  },
  fail: (_call: object, done: (error: object) => void) => done({ code: status.NOT_FOUND, details: 'no such thing' }),
})
const port = await listening(server, ServerCredentials.createInsecure())
const table = `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${port}"], protocol: h2c }
  modern: { servers: ["http://127.0.0.1:${port}"], protocol: h2c }
default: main
routes:
  - { id: lost, match: { path: /demo.Echo/lost }, to: modern, percent: 100, breaker: { minRequests: 6, pause: 1m } }
`
const banyan = await startBanyan({ table, args: ['--h2c'] })
const client = new GrpcClient(`127.0.0.1:${banyan.port}`, credentials.createInsecure())
afterAll(async () => {
  client.close()
  server.forceShutdown()
  await banyan.stop()
})

async function unary(of: MethodDefinition<string, string>, value: string, metadata?: Metadata): Promise<string> {
  return await new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, answer?: string): void =>
      error === null ? resolve(answer as string) : reject(error)
    if (metadata === undefined) client.makeUnaryRequest(of.path, text, String, value, done)
    else client.makeUnaryRequest(of.path, text, String, value, metadata, done)
  })
}

describe('gRPC', () => {
  test('unary, many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => unary(METHODS.unary, `hello ${n}`)))
    expect(answers).toEqual(Array.from({ length: 50 }, (_, n) => `hello ${n} `))
  })

  test('a status other than OK arrives with its details', async () => {
    await expect(unary(METHODS.fail, 'x')).rejects.toMatchObject({ code: status.NOT_FOUND, details: 'no such thing' })
    await expect(unary(METHODS.late, 'x')).rejects.toMatchObject({ code: status.UNAVAILABLE })
    // It is the outcome in figures, too.
    const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
    const outcomes = [...metrics.matchAll(/^banyan_attempts_total\{.*outcome="([^"]*)".*\} [1-9]/gm)].map(
      ([, one]) => one,
    )
    expect(outcomes).toEqual(expect.arrayContaining(['2xx', '4xx', '5xx']))
  })

  test('calls that fail by their status open the breaker, whether it comes in trailers or in the head', async () => {
    const breaker = async (): Promise<string> => {
      const route = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/lost`)
      return ((await route.json()) as { live: { breaker: string } }).live.breaker
    }
    for (const [n, value] of ['late', 'at once', 'late', 'at once', 'late', 'at once'].entries()) {
      expect(await breaker()).toBe('closed')
      const call: ClientReadableStream<string> = client.makeServerStreamRequest(METHODS.lost.path, text, String, value)
      const ended = new Promise((resolve) => call.on('error', resolve).resume())
      expect(await ended, String(n)).toMatchObject({ code: status.UNAVAILABLE, details: 'down' })
    }
    await expect.poll(breaker).toBe('open')
  })

  test('a stream of requests, one of responses, and both at once', async () => {
    const collected = new Promise((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        METHODS.collect.path,
        text,
        String,
        (error: ServiceError | null, answer?: string) => (error === null ? resolve(answer) : reject(error)),
      )
      for (const one of ['a', 'b', 'c']) call.write(one)
      call.end()
    })
    expect(await collected).toBe('a,b,c')
    const counted: string[] = []
    const count: ClientReadableStream<string> = client.makeServerStreamRequest(METHODS.count.path, text, String, '1000')
    for await (const one of count) counted.push(one as string)
    expect(counted).toHaveLength(1000)
    const chat: ClientDuplexStream<string, string> = client.makeBidiStreamRequest(METHODS.chat.path, text, String)
    for (const one of ['one', 'two']) {
      const answer = new Promise((resolve) => chat.once('data', resolve))
      chat.write(one)
      expect(await answer).toBe(`re: ${one}`)
    }
    const ended = new Promise((resolve) => chat.once('status', resolve))
    chat.resume()
    chat.end()
    expect(await ended).toMatchObject({ code: status.OK })
  })
})

/** An HTTP/2 server without TLS. */
async function http2Server(onStream: (stream: ServerHttp2Stream, nth: number) => void): Promise<number> {
  const raw: Http2Server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  let nth = 0
  raw.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
  })
  raw.on('stream', (stream) => {
    stream.on('error', () => {})
    onStream(stream as ServerHttp2Stream, nth++)
  })
  await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const session of sessions) session.destroy()
    raw.close()
  })
  return (raw.address() as AddressInfo).port
}

/** Passes bytes to a port, or keeps those of the connections that stand. */
async function hole(to: number) {
  const relay = { port: 0, connections: 0, swallows: false, release: (): void => {} }
  const server = createTcpServer((client) => {
    relay.connections++
    const isFirst = relay.connections === 1
    const upstream = connect(to, '127.0.0.1')
    const kept: Buffer[] = []
    client.on('data', (bytes: Buffer) => (relay.swallows && isFirst ? kept.push(bytes) : upstream.write(bytes)))
    upstream.pipe(client)
    for (const one of [client, upstream]) one.on('error', () => one.destroy())
    client.on('close', () => upstream.destroy())
    if (isFirst) {
      relay.release = () => {
        relay.swallows = false
        for (const bytes of kept.splice(0)) upstream.write(bytes)
      }
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  relay.port = (server.address() as AddressInfo).port
  return relay
}

async function through(upstreamPort: number, lines: readonly string[] = []): Promise<string> {
  const proxy = await startBanyan({ table: tableFor(upstreamPort, ['protocol: h2c', ...lines]) })
  onTestFinished(async () => void (await proxy.stop()))
  return `http://127.0.0.1:${proxy.port}/`
}

describe('servers of HTTP/2', () => {
  test('a POST that is refused is sent again, with its body; once', async () => {
    const bodies: string[] = []
    const url = await through(
      await http2Server((stream, nth) => {
        let body = ''
        stream.on('data', (piece: Buffer) => {
          body += piece
        })
        stream.on('end', () => {
          bodies.push(body)
          if (nth === 1) stream.respond({ ':status': 200 }, { endStream: true })
          else stream.close(7)
        })
      }),
    )
    expect((await fetch(url, { method: 'POST', body: 'hello' })).status).toBe(200)
    expect(bodies).toEqual(['hello', 'hello'])
    // The third and the fourth are refused both.
    expect((await fetch(url, { method: 'POST', body: 'again' })).status).toBe(503)
    expect(bodies).toHaveLength(4)
  })

  test('GOAWAY below the last stream: what the server has not taken is sent again, on another connection', async () => {
    const bodies: string[] = []
    const sessions = new Set<unknown>()
    let first: ServerHttp2Stream | null = null
    const url = await through(
      await http2Server((stream, nth) => {
        sessions.add(stream.session)
        stream.setEncoding('latin1').on('data', (piece: string) => bodies.push(piece))
        if (nth === 0) first = stream
        else if (nth === 1) {
          stream.session?.goaway(0, first!.id)
          first!.respond({ ':status': 200 })
          first!.end('first')
        } else {
          stream.on('end', () => {
            stream.respond({ ':status': 200 })
            stream.end('second')
          })
        }
      }),
    )
    const asked = [fetch(url, { method: 'POST', body: 'one' })]
    await expect.poll(() => bodies).toEqual(['one'])
    asked.push(fetch(url, { method: 'POST', body: 'two' }))
    const texts = await Promise.all(asked.map(async (one) => await (await one).text()))
    expect(texts).toEqual(['first', 'second'])
    expect(bodies.filter((body) => body === 'one')).toHaveLength(1)
    expect(bodies.at(-1)).toBe('two')
    expect(sessions.size).toBe(2)
  })

  test('over TLS: the certificate is verified, and what does not speak HTTP/2 is a 502', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'banyan-h2-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const made = selfSigned('up.test', 'DNS:up.test')
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, made.cert)
    const secure = createSecureServer(made, (req, res) => res.end(`${req.httpVersion} ${req.authority}`))
    const old = createTlsServer({ ...made, ALPNProtocols: ['http/1.1'] })
    const ports: number[] = []
    for (const one of [secure, old]) {
      one.listen(0, '127.0.0.1')
      await once(one, 'listening')
      onTestFinished(() => void one.close())
      ports.push((one.address() as AddressInfo).port)
    }
    const upstream = (name: string, serverPort: number, tls: string): string =>
      `  ${name}: { servers: ["https://127.0.0.1:${serverPort}"], protocol: h2, tls: ${tls} }`
    const proxy = await startBanyan({
      table: [
        'version: 1',
        'upstreams:',
        upstream('main', ports[0]!, `{ ca: ${ca}, serverName: up.test }`),
        upstream('stranger', ports[0]!, `{ serverName: up.test }`),
        upstream('other', ports[0]!, `{ ca: ${ca}, serverName: other.test }`),
        upstream('trusting', ports[0]!, '{ verify: false }'),
        upstream('old', ports[1]!, `{ ca: ${ca}, serverName: up.test }`),
        'default: main',
        'routes:',
        ...['stranger', 'other', 'trusting', 'old'].map(
          (name) => `  - { id: ${name}, match: { path: /${name} }, to: ${name}, percent: 100 }`,
        ),
        '',
      ].join('\n'),
    })
    onTestFinished(async () => void (await proxy.stop()))
    const ask = async (path: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${proxy.port}${path}`)
      return response.ok ? await response.text() : String(response.status)
    }
    const served = `2.0 127.0.0.1:${proxy.port}`
    expect(await ask('/')).toBe(served)
    expect(await ask('/trusting')).toBe(served)
    for (const path of ['/stranger', '/other', '/old']) expect(await ask(path)).toBe('502')
  })

  test('a response that is reset in the middle is broken, also without an error code', async () => {
    for (const code of [0, 2]) {
      let begun: ServerHttp2Stream | null = null
      const url = await through(
        await http2Server((stream) => {
          stream.respond({ ':status': 200 })
          stream.write('half')
          begun = stream
        }),
      )
      // Before the client has its head, the reset is a 502.
      const response = await fetch(url)
      begun!._final = () => {}
      begun!.close(code)
      await expect(response.text()).rejects.toThrow()
    }
  })

  test('interim responses without end are a 502', async () => {
    let told = 0
    const url = await through(
      await http2Server((stream) => {
        const more = (): void => {
          if (stream.destroyed || stream.closed || told++ > 5000) return
          stream.additionalHeaders({ ':status': 103, link: `</${'x'.repeat(100)}>` })
          setImmediate(more)
        }
        more()
      }),
    )
    const response = await fetch(url)
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ type: 'urn:banyan:problem:response-malformed' })
    expect(told).toBeLessThan(5000)
  })

  test.each(['headers: 300ms', 'total: 1200ms'])(
    'a connection that leads nowhere any more is left behind the first exchange that takes too long (%s)',
    async (limit) => {
      let first: unknown = null
      const port = await http2Server((stream, nth) => {
        first ??= stream.session
        // The first two go on, so that the connection does not end with the one that times out.
        stream.respond({ ':status': stream.session === first ? 200 : 204 }, { endStream: nth > 1 })
      })
      const relay = await hole(port)
      const url = await through(relay.port, [`timeouts: { ${limit} }`, 'ejection: false'])
      const open = [await fetch(url), await fetch(url)]
      relay.swallows = true
      expect((await fetch(url)).status).toBe(504)
      for (let n = 0; n < 5; n++) expect((await fetch(url)).status).toBe(204)
      expect(relay.connections).toBe(2)
      // It answers after all, and is used again.
      relay.release()
      await expect.poll(async () => (await fetch(url)).status).toBe(200)
      for (const one of open) await one.body!.cancel()
    },
  )

  test('time-outs do not end the other exchanges on a connection whose server takes few PINGs, as those of gRPC do', async () => {
    let held: ServerHttp2Stream | null = null
    let pings = 0
    const port = await http2Server((stream) => {
      if (held !== null) return
      held = stream
      held.respond({ ':status': 200 })
      held.session?.on('ping', () => ++pings > 3 && held?.session?.destroy())
    })
    const url = await through(port, ['timeouts: { headers: 300ms }', 'ejection: false'])
    const long = await fetch(url)
    for (let n = 0; n < 8; n++) expect((await fetch(url)).status).toBe(504)
    ;(held as ServerHttp2Stream | null)?.end('whole')
    expect(await long.text()).toBe('whole')
  })

  test('a client that leaves in the middle of its body: the server does not get its end', async () => {
    const seen: string[] = []
    let came: () => void = () => {}
    const closed = new Promise<void>((resolve) => {
      came = resolve
    })
    let begun: () => void = () => {}
    const first = new Promise<void>((resolve) => {
      begun = resolve
    })
    const url = await through(
      await http2Server((stream) => {
        stream.on('data', () => begun())
        stream.on('aborted', () => seen.push('aborted'))
        stream.on('end', () => seen.push(stream.aborted ? 'aborted' : 'end'))
        stream.on('close', () => came())
      }),
    )
    const control = new AbortController()
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('half'))
      },
    })
    const asked = fetch(url, { method: 'POST', body, duplex: 'half', signal: control.signal } as RequestInit)
    await first
    control.abort()
    await expect(asked).rejects.toThrow()
    await closed
    expect(seen).not.toContain('end')
  })
})
