/**
 * NTLM and Negotiate log in a connection (RFC 4559 section 6): from there on it is its client's alone.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import type { RawResponse } from '../../support/message.ts'
import { ntlmMessage, ntlmUpstream, type Told } from '../../support/ntlm-upstream.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const run = promisify(execFile)
const [iis, second, scripted] = await Promise.all([ntlmUpstream('one'), ntlmUpstream('two'), scriptedUpstream()])
const table = (percent: number, more = ''): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${iis.port}"] }
  two: { servers: ["http://127.0.0.1:${iis.port}", "http://127.0.0.1:${second.port}"], ejection: false }
  modern: { servers: ["http://127.0.0.1:${second.port}"] }
  scripted: { servers: ["http://127.0.0.1:${scripted.port}"] }
  nobody: { servers: ["http://127.0.0.1:1"], ejection: false }
default: legacy
routes:
  - { id: shared, match: { path: /shared/* }, to: two, percent: 100 }
  - { id: drawn, match: { path: /drawn/* }, to: modern, percent: ${percent}, fallback: { on: [connect, 502, 503] } }
  - { id: cached, match: { path: /cached/* }, from: modern, to: legacy, percent: 100, cache: {} }
  - { id: scripted, match: { path: /scripted/* }, to: scripted, percent: 100, fallback: { on: [connect, 502, 503] } }
  - { id: gone, match: { path: /gone/* }, to: nobody, percent: 100, fallback: {} }
${more}`
const banyan = await startBanyan({ table: table(50) })
afterAll(() => Promise.all([banyan.stop(), iis.stop(), second.stop(), scripted.stop()]))
beforeEach(async () => {
  iis.before = () => {}
  await Promise.all([iis.cut(), second.cut(), scripted.cut()])
})

const head = (method: string, target: string, fields = ''): string =>
  `${method} ${target} HTTP/1.1\r\nHost: intranet\r\nContent-Length: 0\r\n${fields}\r\n`
const get = (target: string): string => head('GET', target)
const carrying = (target: string, message: string, scheme = 'NTLM'): string =>
  head('GET', target, `Authorization: ${scheme} ${message}\r\n`)
const told = (response: RawResponse): Told => JSON.parse(response.body.text) as Told

/** Logs in on a connection of its own. */
async function login(user: string, target = '/', { port }: Pick<Banyan, 'port'> = banyan): Promise<RawClient> {
  const client = await rawClient(port)
  expect((await client.ask(get(target))).status).toBe(401)
  expect((await client.ask(carrying(target, ntlmMessage(1)))).status).toBe(401)
  expect(told(await client.ask(carrying(target, ntlmMessage(3, user)))).user).toBe(user)
  return client
}

describe('with curl --ntlm', () => {
  const curl = async (user: string, paths: readonly string[], more: readonly string[] = []): Promise<string[]> => {
    const urls = paths.map((path) => `http://127.0.0.1:${banyan.port}${path}`)
    const { stdout } = await run('curl', ['-sS', '--ntlm', '-u', `${user}:any`, '-w', '\n', ...more, ...urls])
    return stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Told).user)
  }

  test('users log in at the same time, and each sees themselves', async () => {
    const users = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi']
    const seen = await Promise.all(users.map((user) => curl(user, ['/a', '/b', '/c'])))
    expect(seen).toEqual(users.map((user) => [user, user, user]))
    const stranger = await rawClient(banyan.port)
    for (let i = 0; i < 10; i++) expect((await stranger.ask(get('/'))).status).toBe(401)
  })

  test('a body is sent with the login', async () => {
    expect(await curl('alice', ['/'], ['--data-binary', 'a body'])).toEqual(['alice'])
  })

  test('the login leads to one server of several', async () => {
    expect(await curl('alice', ['/shared/a', '/shared/b', '/shared/c'])).toEqual(['alice', 'alice', 'alice'])
  })

  test('and to one side, though each request is drawn anew', async () => {
    for (let i = 0; i < 6; i++) expect(await curl('bob', ['/drawn/a', '/drawn/b'])).toEqual(['bob', 'bob'])
  })
})

test('a stranger gets nothing of a login, while the client stays and after it has gone', async () => {
  const alice = await login('alice')
  const strangers = await Promise.all(Array.from({ length: 5 }, () => rawClient(banyan.port)))
  for (const stranger of strangers) expect((await stranger.ask(get('/'))).status).toBe(401)
  expect(told(await alice.ask(get('/later'))).user).toBe('alice')
  alice.socket.destroy()
  for (const stranger of strangers) expect((await stranger.ask(get('/'))).status).toBe(401)
})

test('the connection ends with the client connection, and not before', async () => {
  const alice = await login('alice')
  const { connection } = told(await alice.ask(get('/')))
  iis.before = (_, res) => {
    res.writeHead(200).end('public')
  }
  const stranger = await rawClient(banyan.port)
  await stranger.ask(get('/'))
  iis.before = () => {}
  expect(iis.open).toBe(2)
  // One that all share is closed when it has been idle for a while.
  await iis.untilOpen(1)
  expect(told(await alice.ask(get('/')))).toMatchObject({ user: 'alice', connection })
  expect(iis.open).toBe(1)
  alice.finish()
  await iis.untilOpen(0)
})

test('a client that leaves in the middle of a login, or of an answer, leaves no connection', async () => {
  const half = await rawClient(banyan.port)
  await half.ask(carrying('/', ntlmMessage(1)))
  const alice = await login('alice')
  let asked = (): void => {}
  const arrived = new Promise<void>((resolve) => {
    asked = resolve
  })
  iis.before = () => {
    asked()
    return new Promise(() => {})
  }
  await alice.send(get('/slow'))
  await arrived
  half.socket.destroy()
  alice.socket.destroy()
  await iis.untilOpen(0)
})

test('a server that ends the connection ends the login: the next request is a stranger', async () => {
  const alice = await login('alice')
  await iis.cut()
  expect((await alice.ask(get('/'))).status).toBe(401)
  expect((await alice.ask(carrying('/', ntlmMessage(1)))).status).toBe(401)
  expect(told(await alice.ask(carrying('/', ntlmMessage(3, 'alice')))).user).toBe('alice')
})

test('an answer that ends the connection ends that of the client', async () => {
  const alice = await login('alice')
  iis.before = (_, res) => {
    res.setHeader('Connection', 'close')
  }
  const response = await alice.ask(get('/'))
  expect([response.status, await alice.ended()]).toEqual([200, 'end'])
})

test('pipelined requests go one by one, in order, on the connection that is logged in', async () => {
  const alice = await login('alice')
  const order: string[] = []
  let under = 0
  iis.before = async (req) => {
    order.push(`${req.url} ${++under}`)
    await new Promise((resolve) => setImmediate(resolve))
    under--
  }
  const paths = ['/1', '/2', '/3', '/4', '/5']
  await alice.send(paths.map(get).join(''))
  const answers: Told[] = []
  for (const _ of paths) answers.push(told(await alice.nextResponse()))
  expect(answers.map(({ user, target }) => `${user} ${target}`)).toEqual(paths.map((path) => `alice ${path}`))
  expect(order).toEqual(paths.map((path) => `${path} 1`))
  expect(new Set(answers.map(({ connection }) => connection)).size).toBe(1)
})

test('pipelined requests go over it one after the other, however many', async () => {
  const alice = await login('alice')
  await alice.send(get('/').repeat(150))
  for (let i = 0; i < 150; i++) expect(told(await alice.nextResponse()).user).toBe('alice')
})

test('requests that were under way when the login was offered share nothing of it', async () => {
  const client = await rawClient(banyan.port)
  await client.send(get('/1') + get('/2') + get('/3'))
  for (let i = 0; i < 3; i++) expect((await client.nextResponse()).status).toBe(401)
  await iis.untilOpen(1)
  expect((await client.ask(carrying('/', ntlmMessage(1)))).status).toBe(401)
  expect(told(await client.ask(carrying('/', ntlmMessage(3, 'carol')))).user).toBe('carol')
  expect(iis.open).toBe(1)
})

test('an upgrade goes over the connection that is logged in', async () => {
  const alice = await login('alice')
  await alice.send('GET /socket HTTP/1.1\r\nHost: intranet\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  expect(await alice.readUntil('\r\n\r\n')).toMatch(/^HTTP\/1\.1 101 /)
  expect(await alice.readUntil('\n')).toBe('hello alice\n')
  const stranger = await rawClient(banyan.port)
  await stranger.send('GET /socket HTTP/1.1\r\nHost: intranet\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  expect((await stranger.nextResponse()).status).toBe(401)
})

test('what a login is answered is not stored, and what is stored is not for who is logged in', async () => {
  const alice = await login('alice', '/cached/page')
  const stranger = await rawClient(banyan.port)
  expect(told(await alice.ask(get('/cached/page'))).user).toBe('alice')
  expect((await stranger.ask(get('/cached/page'))).status).toBe(401)
  iis.before = (_, res) => {
    res.writeHead(200, { 'Cache-Control': 'max-age=60' }).end('public')
  }
  expect((await stranger.ask(get('/cached/page'))).body.text).toBe('public')
  iis.before = () => {}
  expect((await stranger.ask(get('/cached/page'))).body.text).toBe('public')
  expect(told(await alice.ask(get('/cached/page'))).user).toBe('alice')
})

describe('what makes a connection private', () => {
  test.each([
    ['a 401 that offers Negotiate', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: negotiate\r\n'],
    ['a 401 that offers NTLM in a list', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="a", NTLM\r\n'],
    [
      'a 401 that offers NTLM in a second line',
      'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nwww-authenticate: NTLM\r\n',
    ],
    ['a 407 that offers NTLM', 'HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n'],
    ['the last token of a login', 'HTTP/1.1 200 OK\r\nWWW-Authenticate: Negotiate oRQw\r\n'],
    ['Persistent-Auth: true', 'HTTP/1.1 200 OK\r\nPersistent-Auth: true\r\n'],
  ])('%s', async (_, answer) => {
    const [client, stranger] = await Promise.all([rawClient(banyan.port), rawClient(banyan.port)])
    await client.send(get('/scripted/a'))
    const first = await scripted.request()
    await first.send(`${answer}Content-Length: 0\r\n\r\n`)
    await client.nextResponse()
    await stranger.send(get('/scripted/b'))
    const other = await scripted.request()
    expect([other.connection === first.connection, other.target]).toEqual([false, '/scripted/b'])
    await other.ok()
    await stranger.nextResponse()
    await client.send(get('/scripted/c'))
    expect((await scripted.request()).connection).toBe(first.connection)
  })

  test.each(['NTLM', 'ntlm', 'Negotiate', 'NEGOTIATE'])('a request that carries %s', async (scheme) => {
    const [client, stranger] = await Promise.all([rawClient(banyan.port), rawClient(banyan.port)])
    // A connection that all share is there, and is not the one.
    await stranger.send(get('/scripted/a'))
    const shared = await scripted.request()
    await shared.ok()
    await stranger.nextResponse()
    await client.send(carrying('/scripted/b', 'YQ==', scheme))
    const own = await scripted.request()
    expect(own.connection).not.toBe(shared.connection)
    await own.ok()
    await client.nextResponse()
    await stranger.send(get('/scripted/c'))
    expect((await scripted.request()).connection).toBe(shared.connection)
  })

  test.each([
    ['a 401 with Basic alone', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="intranet"\r\n'],
    ['Persistent-Auth: false', 'HTTP/1.1 200 OK\r\nPersistent-Auth: false\r\n'],
  ])('not %s', async (_, answer) => {
    const [client, stranger] = await Promise.all([rawClient(banyan.port), rawClient(banyan.port)])
    await client.send(get('/scripted/a'))
    const first = await scripted.request()
    await first.send(`${answer}Content-Length: 0\r\n\r\n`)
    await client.nextResponse()
    await stranger.send(get('/scripted/b'))
    expect((await scripted.request()).connection).toBe(first.connection)
  })
})

describe('no retry and no fallback', () => {
  test.each([
    ['a server that closes', async (close: () => void) => close(), 502],
    ['a status that the route falls back on', null, 503],
  ] as const)('%s', async (_, close, status) => {
    const client = await rawClient(banyan.port)
    await client.send(carrying('/scripted/a', ntlmMessage(1)))
    const first = await scripted.request()
    await first.send('HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM YQ==\r\nContent-Length: 0\r\n\r\n')
    await client.nextResponse()
    await client.send(carrying('/scripted/a', ntlmMessage(3, 'alice')))
    const next = await scripted.request()
    expect(next.connection).toBe(first.connection)
    if (close === null) await next.send('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n')
    else await close(() => next.connection.reset())
    const seen = scripted.requests
    expect((await client.nextResponse()).status).toBe(status)
    expect([scripted.requests, iis.open]).toEqual([seen, 0])
    // The client begins anew, and so does its login.
    if (close !== null) expect(await client.ended()).toBe('end')
  })

  test('but where there was no connection, nothing is lost by it', async () => {
    const client = await rawClient(banyan.port)
    expect((await client.ask(carrying('/gone/a', ntlmMessage(1)))).status).toBe(401)
    expect(told(await client.ask(carrying('/gone/a', ntlmMessage(3, 'alice')))).user).toBe('alice')
  })
})

describe('a table that changes', () => {
  const put = async (text: string): Promise<void> => {
    writeFileSync(banyan.tableFile, text)
    await banyan.program.line((line) => line.includes('"revision":') && !seen.has(line) && Boolean(seen.add(line)))
  }
  const seen = new Set(banyan.log)

  test('leaves the connection where it does not concern its server, and closes it where it does', async () => {
    const alice = await login('alice')
    const { connection } = told(await alice.ask(get('/')))
    await put(table(50, '  - { id: more, match: { path: /more }, to: modern }\n'))
    expect(told(await alice.ask(get('/')))).toMatchObject({ user: 'alice', connection })
    await put(table(50).replace(`legacy: { servers: ["http://127.0.0.1:${iis.port}"]`, '$&, timeouts: { idle: 50s }'))
    await iis.untilOpen(0)
    expect((await alice.ask(get('/'))).status).toBe(401)
    await put(table(50))
  })

  test('the percentages 0 and 100 hold for those who are logged in, too', async () => {
    const alice = await login('alice', '/drawn/a')
    const { server } = told(await alice.ask(get('/drawn/a')))
    for (let i = 0; i < 8; i++) expect(told(await alice.ask(get('/drawn/a')))).toMatchObject({ user: 'alice', server })
    await put(table(server === 'one' ? 100 : 0))
    expect((await alice.ask(get('/drawn/a'))).status).toBe(401)
    await put(table(50))
  })
})

test('a server that is drained takes no more of a login', async () => {
  const alice = await login('alice')
  const path = `http://127.0.0.1:${banyan.adminPort}/upstreams/legacy/servers/127.0.0.1:${iis.port}`
  const say = (action: string): Promise<Response> => fetch(`${path}/${action}`, { method: 'POST' })
  expect((await say('drain')).ok).toBe(true)
  expect((await alice.ask(get('/'))).status).toBe(503)
  await iis.untilOpen(0)
  expect((await say('undrain')).ok).toBe(true)
})

test('a drain of the proxy ends a login, and leaves no connection', async () => {
  const own = await startBanyan({ table: table(50), args: ['--workers', '1'] })
  try {
    const alice = await login('alice', '/', own)
    expect(iis.open).toBe(1)
    const stopped = own.stop()
    expect(await alice.ended()).toBe('end')
    alice.finish()
    expect(await stopped).toBe(0)
    await iis.untilOpen(0)
  } finally {
    await own.stop()
  }
})
