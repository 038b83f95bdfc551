/**
 * `affinity`: a client stays with one server while that one is up, and only then goes to another.
 */
import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type ScriptedUpstream, scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Servers that answer with their name, `a`, `b` and so on; with a session of their own to whoever asks for /login. */
async function servers(count: number, handler = named): Promise<ScriptedUpstream[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const name = String.fromCharCode(97 + at)
      const server = await scriptedUpstream((request) => handler(request, name))
      ends.push(() => server.stop())
      return server
    }),
  )
}

function named(request: UpstreamRequest, name: string): Promise<void> {
  const session = request.target === '/login' ? 'Set-Cookie: JSESSIONID=1; Path=/app; HttpOnly\r\n' : ''
  const cache = request.target === '/cached' ? 'Cache-Control: max-age=60\r\n' : ''
  return request.send(`HTTP/1.1 200 OK\r\n${session}${cache}Content-Length: 1\r\n\r\n${name}`)
}

async function banyanFor(all: readonly ScriptedUpstream[], affinity: string, ...args: string[]): Promise<Banyan> {
  const list = all.map(({ port }, at) => `{ url: "http://127.0.0.1:${port}", id: ${String.fromCharCode(97 + at)} }`)
  const banyan = await startBanyan({
    table: `version: 1
upstreams:
  main:
    servers: [${list.join(', ')}]
    affinity: ${affinity}
default: main
routes:
  - { id: cached, match: { path: /cached }, to: main, cache: {} }
`,
    args,
  })
  ends.push(() => banyan.stop())
  return banyan
}

/** A client with a cookie jar. */
class Client {
  readonly cookies = new Map<string, string>()
  readonly #port: number
  readonly #address: string | null
  set: string[] = []

  constructor({ port }: Banyan, address: string | null = null) {
    this.#port = port
    this.#address = address
  }

  async ask(path: string, method = 'GET', body?: string): Promise<{ status: number; text: string }> {
    const headers: Record<string, string> = {}
    if (this.cookies.size > 0) headers.cookie = [...this.cookies].map((pair) => pair.join('=')).join('; ')
    if (this.#address !== null) headers['x-forwarded-for'] = this.#address
    const init: RequestInit = body === undefined ? { method, headers } : { method, headers, body }
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, init)
    this.set = response.headers.getSetCookie()
    for (const text of this.set) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(text) ?? []
      this.cookies.set(name, value)
    }
    return { status: response.status, text: await response.text() }
  }

  async server(path = '/'): Promise<string> {
    return (await this.ask(path)).text
  }
}

const admin = (banyan: Banyan, method: string, path: string, body?: object) =>
  fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })

/** Engine.IO 4 over polling, as socket.io speaks it: the session is in the memory of the server that began it. */
function socketIo(): typeof named {
  const sessions = new Map<string, string>()
  return async (request, name) => {
    const answer = (status: string, text: string) =>
      request.send(`HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
    await request.body().catch(() => {})
    const sid = new URLSearchParams(request.target.split('?')[1]).get('sid')
    if (sid === null) {
      const made = randomUUID()
      sessions.set(made, name)
      return answer('200 OK', `0{"sid":"${made}","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`)
    }
    if (sessions.get(sid) !== name) return answer('400 Bad Request', '{"code":1,"message":"Session ID unknown"}')
    return answer('200 OK', request.method === 'POST' ? 'ok' : `40{"sid":"${name}"}`)
  }
}

async function connect(client: Client): Promise<string> {
  const path = '/socket.io/?EIO=4&transport=polling'
  const { sid } = JSON.parse((await client.ask(path)).text.slice(1)) as { sid: string }
  const posted = await client.ask(`${path}&sid=${sid}`, 'POST', '40')
  const polled = await client.ask(`${path}&sid=${sid}`)
  return posted.status === 200 && polled.status === 200 ? polled.text : 'failed'
}

test.each(['cookie', 'ip'])('socket.io by polling over two servers, with affinity: %s', async (affinity) => {
  const banyan = await banyanFor(await servers(2, socketIo()), affinity, '--trusted-proxies', '127.0.0.1')
  const clients = Array.from({ length: 20 }, (_, n) => new Client(banyan, `192.0.2.${n}`))
  const connected = await Promise.all(clients.map(connect))
  expect(connected).not.toContain('failed')
  expect(new Set(connected)).toEqual(new Set(['40{"sid":"a"}', '40{"sid":"b"}']))
})

test('the cookie says nothing of the server, never reaches one, and a made-up one is none', async () => {
  const heads: string[] = []
  const all = await servers(2, (request, name) => {
    heads.push(request.head)
    return named(request, name)
  })
  const banyan = await banyanFor(all, 'cookie')
  const client = new Client(banyan)
  const first = await client.server()
  expect(client.set).toEqual([expect.stringMatching(/^banyan_server_main=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax$/)])
  for (let n = 0; n < 8; n++) expect([await client.server(), client.set]).toEqual([first, []])
  expect(heads.join('')).not.toContain('banyan_server')
  client.cookies.set('banyan_server_main', (client.cookies.get('banyan_server_main') ?? '').slice(0, -1))
  await client.server()
  expect(client.set).toHaveLength(1)
})

test('it moves when its server is drained, stays there afterwards, and a server that comes moves nobody', async () => {
  const [a, b, c] = (await servers(3)) as [ScriptedUpstream, ScriptedUpstream, ScriptedUpstream]
  const banyan = await banyanFor([a, b], 'cookie')
  const client = new Client(banyan)
  const first = await client.server()
  await admin(banyan, 'POST', `/upstreams/main/servers/${first}/drain`)
  const second = await client.server()
  expect([second, client.set.length]).toEqual([first === 'a' ? 'b' : 'a', 1])
  await admin(banyan, 'POST', `/upstreams/main/servers/${first}/undrain`)
  expect((await admin(banyan, 'PUT', '/upstreams/main/servers/c', { url: `http://127.0.0.1:${c.port}` })).ok).toBe(true)
  for (let n = 0; n < 8; n++) expect([await client.server(), client.set]).toEqual([second, []])
})

test('it moves when its server is dead, after the retries that find that out', async () => {
  const all = await servers(2)
  const banyan = await banyanFor(all, 'cookie')
  const client = new Client(banyan)
  const first = await client.server()
  const other = first === 'a' ? 'b' : 'a'
  await all[first === 'a' ? 0 : 1]?.stop()
  ends.splice(first === 'a' ? 0 : 1, 1)
  // Five failures eject it; until then each request finds the other server by a retry, and the client is kept for its own.
  const moved: number[] = []
  for (let n = 0; n < 8; n++) {
    expect(await client.server()).toBe(other)
    if (client.set.length > 0) moved.push(n)
  }
  expect(moved).toHaveLength(1)
})

test('cookie:NAME: it comes with the session, as that one is set, and for hits of the cache there is none', async () => {
  const banyan = await banyanFor(await servers(2), 'cookie:JSESSIONID', '--client-scheme', 'https')
  const client = new Client(banyan)
  await client.server()
  expect(client.set).toEqual([])
  const server = await client.server('/login')
  expect(client.set[1]).toMatch(/^banyan_server_main=[\w-]{22}; Path=\/app; Secure; HttpOnly$/)
  for (let n = 0; n < 8; n++) expect([await client.server(), client.set]).toEqual([server, []])
  const cached = new Client(await banyanFor(await servers(2), 'cookie'))
  await cached.server('/cached')
  expect(cached.set).toHaveLength(1)
  cached.cookies.clear()
  await cached.server('/cached')
  expect(cached.set).toEqual([])
})

test('by address: who is not on the server that comes stays, and explain knows the server', async () => {
  const [a, b, c] = (await servers(3)) as [ScriptedUpstream, ScriptedUpstream, ScriptedUpstream]
  const banyan = await banyanFor([a, b], 'ip', '--trusted-proxies', '127.0.0.1')
  const clients = Array.from({ length: 40 }, (_, n) => new Client(banyan, `198.51.100.${n}`))
  const serverOf = (client: Client) => client.server()
  const before = await Promise.all(clients.map(serverOf))
  expect(await Promise.all(clients.map(serverOf))).toEqual(before)
  const explained = await admin(banyan, 'POST', '/explain', { url: '/', clientAddress: '198.51.100.7' })
  expect(await explained.json()).toMatchObject({ server: before[7] })
  await admin(banyan, 'PUT', '/upstreams/main/servers/c', { url: `http://127.0.0.1:${c.port}` })
  const after = await Promise.all(clients.map(serverOf))
  expect(after.every((server, n) => server === before[n] || server === 'c')).toBe(true)
  expect(after).toContain('c')
})

test('where there is no key for the cookie the table is refused at its line', async () => {
  const started = banyanFor(await servers(1), 'cookie', '--keep-revisions', '0')
  await expect(started).rejects.toThrow(/routes\.yaml:5:15: upstreams\.main\.affinity: needs a key for its cookie/)
})
