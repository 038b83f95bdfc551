/**
 * Clients that leave while middleware waits, and code of others that throws: both end one exchange, and nothing else.
 */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect, createSecureServer } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { StrangleOptions } from '../../src/embedding.ts'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { field } from '../support/message.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { closed, listening, strangleFor } from './mounts.ts'

const upstream = await scriptedUpstream()
beforeEach(async () => {
  upstream.handler = null
  await upstream.cut()
})

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

type Proxy = ReturnType<typeof strangleFor>

/** A server of node:http that runs what is made around `strangle()`. */
async function server(
  around: (proxy: Proxy) => RequestListener,
  options: Omit<StrangleOptions, 'table'> = {},
): Promise<number> {
  const proxy = strangleFor(upstream.port, { application: (req, res) => handler(req, res), ...options })
  const handler = around(proxy)
  const http = createServer(handler)
  http.on('upgrade', proxy.upgrade)
  onTestFinished(async () => {
    await closed(http)
    await proxy.close()
  })
  return listening(http)
}

/** A list that tells when it has grown. */
class Told<T> {
  readonly all: T[] = []
  #waiting: { length: number; resolve(): void }[] = []

  readonly push = (one: T): void => {
    this.all.push(one)
    for (const { length, resolve } of this.#waiting) if (this.all.length >= length) resolve()
  }

  reached(length: number): Promise<void> {
    if (this.all.length >= length) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ length, resolve }))
  }
}

describe('a client that leaves while middleware waits', () => {
  test.each([
    ['a GET', GET],
    ['a POST whose body is there', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi'],
    ['a POST whose body is not there', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi'],
    ['two in the pipeline', GET + GET],
    ['an upgrade', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
  ])('%s: strangle() settles, and no server is asked', async (_, request) => {
    const arrived = new Told<ServerResponse>()
    const settled = new Told<string>()
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const app = new Koa()
    app.silent = true
    app.use(async (ctx, next) => {
      arrived.push(ctx.res)
      await gate
      await next()
      settled.push('done')
    })
    const port = await server((proxy) => app.use(proxy).callback())
    const count = request.split('HTTP/1.1').length - 1
    const client = await rawClient(port)
    await client.send(request)
    await arrived.reached(count)
    const gone = arrived.all.map((res) => (res.closed ? Promise.resolve() : once(res, 'close')))
    client.socket.destroy()
    await Promise.all(gone)
    const seen = upstream.requests
    go()
    await settled.reached(count)
    expect(upstream.requests).toBe(seen)
  })

  test('a client that leaves later settles it as well, at an answer, a stream and a tunnel', async () => {
    const settled = new Told<string>()
    const port = await server((proxy) => (req, res) => void proxy({ req, res }).then(() => settled.push('done')))
    for (const [n, answer] of [
      '',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n',
      'HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nok',
    ].entries()) {
      const client = await rawClient(port)
      await client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
      const request = await upstream.request()
      await request.send(answer)
      if (answer !== '') await client.readUntil('ok')
      expect(settled.all).toHaveLength(n)
      client.socket.destroy()
      await request.connection.ended()
      request.connection.socket.destroy()
      await settled.reached(n + 1)
    }
  })

  test('it settles with each answer, on one connection', async () => {
    upstream.handler = (request) => request.ok()
    const settled = new Told<string>()
    const port = await server((proxy) => (req, res) => void proxy({ req, res }).then(() => settled.push('done')))
    const client = await rawClient(port)
    for (let n = 1; n <= 3; n++) {
      expect((await client.ask(GET)).body.text).toBe('ok')
      await settled.reached(n)
    }
  })
})

describe('callbacks that throw', () => {
  const thrown = new Error('of the callback')
  const THROW = (): never => {
    throw thrown
  }
  const REJECT = (): Promise<never> => Promise.reject(thrown)

  test.each([
    ['at once', THROW],
    ['by a promise', REJECT],
  ])('an access log that throws %s is told to the log, for exchanges and refusals', async (_, accessLog) => {
    upstream.handler = (request) => request.ok()
    const faults = new Told<{ error?: string }>()
    const log = { info: () => {}, warn: () => {}, error: (fields: object) => faults.push(fields) }
    const port = await server((proxy) => (req, res) => void proxy({ req, res }), { accessLog, log })
    const client = await rawClient(port)
    for (let n = 0; n < 2; n++) expect((await client.ask(GET)).body.text).toBe('ok')
    expect((await client.ask('GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n')).status).toBe(400)
    await faults.reached(3)
    expect(faults.all[0]?.error).toContain(thrown.stack)
  })

  test('a log that throws as well is a warning of the process', async () => {
    upstream.handler = (request) => request.ok()
    const warnings = new Told<Error>()
    process.on('warning', warnings.push)
    onTestFinished(() => void process.off('warning', warnings.push))
    const log = { info: THROW, warn: THROW, error: THROW }
    const port = await server((proxy) => (req, res) => void proxy({ req, res }), { accessLog: THROW, log })
    const client = await rawClient(port)
    for (let n = 0; n < 2; n++) expect((await client.ask(GET)).body.text).toBe('ok')
    await warnings.reached(2)
    expect(warnings.all).toContain(thrown)
  })
})

describe('middleware that has the response in hand as well', () => {
  /** What stands between the server and the proxy in these tests. */
  const mischief: Record<string, (req: IncomingMessage, res: ServerResponse, proxy: Proxy) => void> = {
    '/plain': (req, res, proxy) => void proxy({ req, res }),
    // A time limit: it answers by itself while the proxy waits for its upstream.
    '/late': (req, res, proxy) => {
      void proxy({ req, res })
      process.once('SIGUSR2', () => res.writeHead(503, { 'Content-Length': 4 }).end('late'))
    },
    '/begun': (req, res, proxy) => {
      res.writeHead(200, { 'Content-Length': 4 }).write('ha')
      void proxy({ req, res })
    },
    '/over': (req, res, proxy) => {
      res.writeHead(200, { 'Content-Length': 4 }).end('over')
      void proxy({ req, res })
    },
    '/hook': (req, res, proxy) => {
      res.writeHead = () => {
        throw new Error('of the hook')
      }
      void proxy({ req, res })
    },
    '/hook-behind': (req, res, proxy) => {
      const { writeHead } = res
      res.writeHead = ((...args: Parameters<typeof writeHead>) => {
        writeHead.apply(res, args)
        throw new Error('of the hook')
      }) as typeof writeHead
      void proxy({ req, res })
    },
    '/write': (req, res, proxy) => {
      res.write = () => {
        throw new Error('of write')
      }
      res.end = res.write as unknown as typeof res.end
      void proxy({ req, res })
    },
    '/ended-between': (req, res, proxy) => {
      void proxy({ req, res })
      process.once('SIGUSR2', () => res.end())
    },
    '/body-read': (req, res, proxy) => {
      req.resume().once('end', () => void proxy({ req, res }))
    },
  }
  const faults = new Told<{ error?: string }>()
  const log = { info: () => {}, warn: () => {}, error: (fields: object) => faults.push(fields) }
  const start = (): Promise<number> =>
    server((proxy) => (req, res) => (mischief[req.url as string] as (typeof mischief)[string])(req, res, proxy), {
      log,
    })
  const now = (): boolean => process.emit('SIGUSR2')

  /** The same server goes on. */
  async function goesOn(port: number): Promise<void> {
    upstream.handler = (request) => request.ok('well')
    expect((await (await rawClient(port)).ask(GET.replace('/', '/plain'))).body.text).toBe('well')
  }

  test('a time limit answers while the proxy waits: its answer is the only one, and the upstream is let go', async () => {
    const port = await start()
    const client = await rawClient(port)
    await client.send(GET.replace('/', '/late'))
    const request = await upstream.request()
    now()
    expect(await client.nextResponse()).toMatchObject({ status: 503, body: { text: 'late' } })
    await request.connection.ended()
    // The connection of the client is as good as before.
    upstream.handler = (again) => again.ok('well')
    expect((await client.ask(GET.replace('/', '/plain'))).body.text).toBe('well')
  })

  test('an answer that comes in the same turn as that of a time limit is dropped', async () => {
    const port = await start()
    const client = await rawClient(port)
    upstream.handler = null
    await client.send(GET.replace('/', '/late'))
    const request = await upstream.request()
    await request.ok('too late')
    // Whichever is first, there is one whole answer, and the next request has its own.
    now()
    expect(['late', 'too late']).toContain((await client.nextResponse()).body.text)
    await goesOn(port)
  })

  test('an answer that others end in its middle is not written on', async () => {
    const port = await start()
    const client = await rawClient(port)
    await client.send(GET.replace('/', '/ended-between'))
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
    await client.readUntil('2\r\nok\r\n')
    now()
    await client.readUntil('0\r\n\r\n')
    await request.connection.ended()
    await goesOn(port)
  })

  test('an answer that is complete is not followed by another one', async () => {
    const port = await start()
    const seen = upstream.requests
    const client = await rawClient(port)
    expect((await client.ask(GET.replace('/', '/over'))).body.text).toBe('over')
    await goesOn(port)
    expect((await client.ask(GET.replace('/', '/plain'))).body.text).toBe('well')
    expect(upstream.requests).toBe(seen + 2)
  })

  test.each(['/begun', '/hook', '/hook-behind', '/write'])(
    '%s: the client is told by a broken connection, the operator by the log',
    async (target) => {
      upstream.handler = (request) => request.ok()
      const port = await start()
      const before = faults.all.length
      const client = await rawClient(port)
      await client.send(GET.replace('/', target))
      await client.ended()
      await faults.reached(before + 1)
      expect(faults.all.at(-1)?.error).toContain('Error: ')
      await goesOn(port)
    },
  )

  test('a body that was read before: 500 at once, and the log says what to do', async () => {
    const port = await start()
    const before = faults.all.length
    const seen = upstream.requests
    const client = await rawClient(port)
    const post = 'POST /body-read HTTP/1.1\r\nHost: a\r\n'
    expect((await client.ask(`${post}Content-Length: 5\r\n\r\nhello`)).status).toBe(500)
    await faults.reached(before + 1)
    expect(faults.all.at(-1)?.error).toContain('the body of POST /body-read was read before')
    expect(upstream.requests).toBe(seen)
    await goesOn(port)
    expect((await (await rawClient(port)).ask(`${post}Content-Length: 0\r\n\r\n`)).body.text).toBe('well')
  })
})

test('--middleware: a failure that Koa itself trips over is a 500, and the process goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-faults-'))
  const file = join(folder, 'middleware.mjs')
  writeFileSync(
    file,
    `export default (ctx, next) => ctx.path === '/trip' ? ctx.throw(401, 'x', { headers: { 'bad name': 'x' } }) : next()\n`,
  )
  const banyan = await startBanyan({ table: tableFor(upstream.port), args: ['--middleware', file] })
  onTestFinished(async () => {
    await banyan.stop()
    rmSync(folder, { recursive: true })
  })
  upstream.handler = (request) => request.ok()
  for (const offer of ['', 'Connection: Upgrade\r\nUpgrade: x\r\n']) {
    const client = await rawClient(banyan.port)
    const response = await client.ask(`GET /trip HTTP/1.1\r\nHost: a\r\n${offer}\r\n`)
    expect(response.status).toBe(500)
    expect(field(response.fields, 'content-type')).toBe('application/problem+json')
    expect(await client.ended()).toBe('end')
  }
  expect((await (await rawClient(banyan.port)).ask(GET)).body.text).toBe('ok')
  await banyan.program.line((line) => line.includes('"event":"fault"') && line.includes('ERR_INVALID_HTTP_TOKEN'))
})

describe('HTTP/2 on a server that speaks both', () => {
  const pem = (name: string): Buffer => readFileSync(join(import.meta.dirname, '../support/tls', `${name}.pem`))
  const HTTP_1_1_REQUIRED = 13

  async function secure(): Promise<{ port: number; session: ClientHttp2Session; refused: Told<object> }> {
    const refused = new Told<object>()
    const proxy = strangleFor(upstream.port, { accessLog: refused.push })
    const app = new Koa()
    app.silent = true
    app.use(async (ctx, next) => {
      if (ctx.path === '/own') ctx.body = 'own'
      else await next()
    })
    app.use(proxy)
    const options = { allowHTTP1: true, key: pem('server-key'), cert: pem('server') }
    const http = createSecureServer(options, app.callback() as never)
    const port = await listening(http)
    const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
    onTestFinished(async () => {
      session.destroy()
      await new Promise((resolve) => http.close(resolve))
      await proxy.close()
    })
    await once(session, 'connect')
    return { port, session, refused }
  }

  async function ask(session: ClientHttp2Session, path: string, body = ''): Promise<{ status: number; code: number }> {
    const stream = session.request({ ':path': path, ':method': body === '' ? 'GET' : 'POST' })
    let status = 0
    stream.on('response', (fields) => {
      status = fields[':status'] as number
    })
    stream.on('error', () => {})
    stream.resume()
    if (body !== '') stream.end(body)
    await new Promise((resolve) => stream.once('close', resolve))
    return { status, code: stream.rstCode }
  }

  test('each stream is refused by itself, and the session goes on', async () => {
    const { session, refused } = await secure()
    const seen = upstream.requests
    for (const body of ['', '', 'hello']) {
      expect(await ask(session, '/x', body)).toEqual({ status: 0, code: HTTP_1_1_REQUIRED })
      expect(await ask(session, '/own', body)).toEqual({ status: 200, code: 0 })
    }
    expect(refused.all).toHaveLength(3)
    expect(refused.all[0]).toMatchObject({ failure: 'http-version', client: '127.0.0.1', method: 'GET' })
    expect(upstream.requests).toBe(seen)
    expect(session.destroyed).toBe(false)
  })

  test('the same client gets its answer by HTTP/1.1', async () => {
    const { port } = await secure()
    upstream.handler = (request) => request.ok(request.field('x-forwarded-proto'))
    const asked = httpsRequest({ port, host: '127.0.0.1', path: '/x', rejectUnauthorized: false, agent: false })
    asked.end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    let text = ''
    for await (const piece of response.setEncoding('utf8')) text += piece
    expect(text).toBe('https')
  })
})
