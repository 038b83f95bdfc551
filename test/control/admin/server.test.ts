/**
 * The server of the admin API against connections that say nothing, and clients that ask much and read nothing.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { ADMIN_BOUNDS, type AdminBounds, adminServer } from '../../../src/control/admin/server.ts'
import { type LogLine, logInto } from '../rig.ts'

let lines: LogLine[]
let close = async (): Promise<void> => {}
const sockets: Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await close()
})

async function serve(
  handler: (req: IncomingMessage, res: ServerResponse) => void,
  bounds: Partial<AdminBounds> = {},
): Promise<number> {
  lines = []
  const server = adminServer(handler, logInto(lines), { ...ADMIN_BOUNDS, ...bounds })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  close = async () => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return (server.address() as AddressInfo).port
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  sockets.push(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

/** Resolves with what matches when so much of it has come. */
function heard(socket: Socket, pattern: RegExp, count: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const found: string[] = []
    let rest = ''
    socket.on('data', (piece) => {
      rest += piece
      for (const match of rest.matchAll(pattern)) found.push(match[0])
      const last = found.at(-1)
      const end = last === undefined || !rest.includes(last) ? 0 : rest.lastIndexOf(last) + last.length
      rest = rest.slice(Math.max(end, rest.length - 100))
      if (found.length >= count) resolve(found)
    })
    socket.once('close', () => reject(new Error(`closed after ${found.join(' ')}`)))
  })
}

test('beyond the bound the oldest connection without a request gives way, and the log is told once', async () => {
  const held: ServerResponse[] = []
  const port = await serve((req, res) => (req.url === '/slow' ? held.push(res) : res.end(`it is ${req.url}`)), {
    connections: 4,
  })
  const busy = await open(port)
  busy.write(get('/slow'))
  while (held.length === 0) await new Promise((turn) => setImmediate(turn))
  const silent: Socket[] = []
  for (let n = 0; n < 3; n++) silent.push(await open(port))
  for (let n = 0; n < 3; n++) {
    const gone = once(silent[n] as Socket, 'close')
    const probe = await open(port)
    probe.write(get('/livez'))
    expect(await heard(probe, /it is .*/g, 1)).toEqual(['it is /livez'])
    await gone
  }
  const answered = heard(busy, /late/g, 1)
  held[0]?.end('late')
  await answered
  expect(lines.map(({ fields, message }) => [fields.event, message])).toEqual([
    ['admin-connections', 'the admin API has more than 4 connections: closed the oldest idle one'],
  ])
})

test('where all connections have a request, a new one is refused', async () => {
  const held: ServerResponse[] = []
  const port = await serve((_req, res) => held.push(res), { connections: 2 })
  for (let n = 0; n < 2; n++) (await open(port)).write(get('/slow'))
  while (held.length < 2) await new Promise((turn) => setImmediate(turn))
  const refused = connect({ host: '127.0.0.1', port })
  sockets.push(refused)
  refused.on('error', () => {})
  await once(refused, 'close')
  expect(lines[0]?.message).toContain('all are busy')
})

test('a connection that sends no head is told so and closed', async () => {
  const port = await serve((_req, res) => res.end(), { headMs: 100 })
  const silent = await open(port)
  const closed = once(silent, 'close')
  await heard(silent, /^HTTP\/1\.1 408 /g, 1)
  await closed
  const slow = await open(port)
  slow.write('GET / HT')
  await heard(slow, /^HTTP\/1\.1 408 /g, 1)
})

test('the next request of a connection is taken when the answer before is read, and each is answered in its order', async () => {
  const body = 'x'.repeat(1_000_000)
  let taken = 0
  const port = await serve((req, res) => {
    taken++
    res.end(`${body}${req.url}!`)
  })
  const socket = await open(port)
  socket.pause()
  socket.write(Array.from({ length: 100 }, (_, n) => get(`/${n}`)).join(''))
  // Others are served meanwhile; an answer is larger than what the system takes of it at most a few times.
  for (let n = 0; n < 20; n++) {
    const other = await open(port)
    other.write(get('/other'))
    await heard(other, /other!/g, 1)
    other.destroy()
  }
  expect(taken).toBeLessThan(20 + 30)
  const all = heard(socket, /\/\d+!/g, 100)
  socket.resume()
  expect(await all).toEqual(Array.from({ length: 100 }, (_, n) => `/${n}!`))
  expect(taken).toBe(120)
})

test('one request begins per turn of the event loop, however many have come', async () => {
  let turn = 0
  const began: number[] = []
  const port = await serve((_req, res) => {
    began.push(turn)
    res.end('it is well')
  })
  let counting = true
  const count = (): void => {
    turn++
    if (counting) setImmediate(count)
  }
  count()
  const pipelining = await Promise.all([open(port), open(port), open(port)])
  const answered = pipelining.map((socket) => heard(socket, /it is well/g, 50))
  for (const socket of pipelining) socket.write(get('/livez').repeat(50))
  await Promise.all(answered)
  counting = false
  expect(began).toHaveLength(150)
  expect(new Set(began).size).toBe(150)
})

test('a connection that sends more and more without reading is ended, and others are served', async () => {
  const held: ServerResponse[] = []
  const port = await serve((req, res) => (req.url === '/held' ? held.push(res) : res.end('it is well')), {
    waiting: 50,
  })
  const greedy = await open(port)
  const ended = once(greedy, 'close')
  greedy.write(get('/held') + get('/more').repeat(100))
  await ended
  const other = await open(port)
  other.write(get('/a') + get('/b') + get('/c'))
  await heard(other, /it is well/g, 3)
  // What has waited there takes no place any more.
  const again = await open(port)
  again.write(get('/d').repeat(40))
  await heard(again, /it is well/g, 40)
})

test('an answer of which nothing is taken is cut; one that is long in coming is not', async () => {
  const port = await serve(
    (req, res) => {
      if (req.url === '/late') setTimeout(() => res.end('late'), 2500)
      else res.end(Buffer.alloc(50_000_000))
    },
    { sendMs: 1000 },
  )
  const deaf = await open(port)
  deaf.pause()
  deaf.write(get('/large'))
  const patient = await open(port)
  patient.write(get('/late'))
  await heard(patient, /late/g, 1)
  deaf.resume()
  await once(deaf, 'close')
  expect(deaf.bytesRead).toBeLessThan(50_000_000)
})

test('a body goes before the next request', async () => {
  const port = await serve((req, res) => {
    let text = ''
    req.on('data', (piece) => {
      text += piece
    })
    req.on('end', () => res.end(`${req.method} ${text.length};`))
  })
  const socket = await open(port)
  const large = 'y'.repeat(300_000)
  const post = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${large.length}\r\n\r\n${large}`
  socket.write(post + get('/') + post + get('/'))
  expect(await heard(socket, /[A-Z]+ \d+;/g, 4)).toEqual(['POST 300000;', 'GET 0;', 'POST 300000;', 'GET 0;'])
})

test('requests whose bodies do not come give way to one that is whole, the oldest first', async () => {
  const port = await serve((req, res) => void req.resume().once('end', () => res.end('answered')), { connections: 3 })
  const slow: Socket[] = []
  for (let i = 0; i < 3; i++) {
    const socket = await open(port)
    const asked = once(socket, 'data')
    socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n{')
    await asked
    slow.push(socket)
  }
  const gone = once(slow[0] as Socket, 'close')
  const one = await open(port)
  one.write(get('/livez'))
  await Promise.all([gone, heard(one, /answered/g, 1)])
  expect(slow.map(({ closed }) => closed)).toEqual([true, false, false])
})

/** All that comes until the server ends the connection. */
async function answersOf(socket: Socket): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of socket) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString()
}

test.each([
  ['no method', 'GE T / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed-request'],
  ['no HTTP', '\x16\x03\x01\x02\x00\x01', 400, 'malformed-request'],
  [
    'two lengths',
    'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n',
    400,
    'malformed-request',
  ],
  ['too large a head', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
  [
    'a chunk without a size',
    `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    400,
    'malformed-request',
  ],
  ['a head that does not come', 'GET / HTTP/1.1\r\nHos', 408, 'request-timeout'],
  ['a body that does not come', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{', 408, 'request-timeout'],
])('%s: a problem document, and the connection ends', async (_, bytes, status, code) => {
  const port = await serve((req) => void req.resume(), { headMs: 500, requestMs: 500 })
  const socket = await open(port)
  socket.write(bytes, 'latin1')
  const answer = await answersOf(socket)
  const [head, body] = answer.split('\r\n\r\n') as [string, string]
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*\r\nContent-Type: application/problem\\+json\r\n`, 's'))
  expect(head).toContain(`\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`)
  expect(JSON.parse(body)).toMatchObject({ type: `urn:banyan:problem:${code}`, status })
})

test('what is no request is answered after the requests before it', async () => {
  const held: ServerResponse[] = []
  const port = await serve((req, res) => (req.url === '/held' ? held.push(res) : res.end('it is well')))
  const socket = await open(port)
  socket.write(`${get('/held')}nothing\r\n\r\n`)
  while (held.length === 0) await new Promise((turn) => setImmediate(turn))
  setImmediate(() => held[0]?.end('it was held'))
  expect(await answersOf(socket)).toMatch(/it was held.*HTTP\/1\.1 400 .*malformed-request/s)
})

test('a request that came while this process stood still is not late', async () => {
  const port = await serve((_req, res) => res.end('it is well'), { headMs: 100 })
  const isAnswered = async (): Promise<boolean> => {
    const socket = await open(port)
    // The server has taken the connection.
    await new Promise((later) => setTimeout(later, 50))
    const answered = heard(socket, /it is well/g, 1)
    // Timers come first after this, then sockets. It is longer than the server waits between two looks.
    setImmediate(() => {
      socket.write(get('/livez'))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200)
    })
    return await answered.then(
      () => true,
      () => false,
    )
  }
  // On a busy machine it may be late before it is sent.
  for (let left = 5; !(await isAnswered()); left--) expect(left).toBeGreaterThan(0)
})
