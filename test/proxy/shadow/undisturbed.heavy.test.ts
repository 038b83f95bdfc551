/**
 * Whatever the side that gets copies does, clients get what they would have got without shadowing: byte for byte, and before
 * that side has answered.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, expect, test, vi } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { freePort } from '../../support/free-port.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const BODY = '{"price":10}'
const answer = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Mine: 1\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
const legacy = await scriptedUpstream((request) => request.send(answer))
afterAll(() => legacy.stop())

const table = (port: number, shadow: string): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a/* }, to: modern${shadow} }
`
const SHADOW = ', shadow: { percent: 100, noise: 0 }'

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
const comparisons = async (banyan: Banyan, route = 'a'): Promise<any> =>
  (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/${route}/comparisons`)).json()

/** Sums of what has become of copies. */
async function ended(banyan: Banyan, route: string): Promise<number> {
  const { comparisons: compared, partial, errors, skipped } = await comparisons(banyan, route)
  const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((all, count) => all + count, 0)
  return compared + partial + sum(errors) + sum(skipped)
}

async function residentMiB(banyan: Banyan): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  return Number(/^process_resident_memory_bytes(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1]) / 1024 / 1024
}

const drip = async ({ connection }: UpstreamRequest): Promise<void> => {
  connection.socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n')
  connection.socket.on('error', () => {})
  const timer = setInterval(() => connection.socket.write('x'), 20)
  await new Promise((closed) => connection.socket.once('close', closed))
  clearInterval(timer)
}
const flood = ({ connection: { socket } }: UpstreamRequest): void => {
  const piece = Buffer.alloc(64 * 1024, 'x')
  const pump = (): void => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on('drain', pump)
  socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n')
  pump()
}

/** What a side does with a copy; null where nobody listens. `never`: its answer does not come within the test. */
const SIDES: readonly [string, ((request: UpstreamRequest) => unknown) | null, 'never'?][] = [
  ['is dead', null],
  ['hangs', () => {}, 'never'],
  ['sends a byte now and then', drip, 'never'],
  ['closes', ({ connection }) => connection.socket.destroy()],
  ['breaks off', ({ connection }) => connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')],
  ['sends garbage', (request) => request.send('garbage\r\n\r\n')],
  ['sends gigabytes', flood],
  [
    'sends gigabytes of headers',
    ({ connection: { socket } }) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      const pump = (): void => {
        while (!socket.destroyed && socket.write('a: b\r\n'.repeat(1000)));
      }
      socket.on('drain', pump)
      pump()
    },
  ],
  ['sends 10,000 headers', (request) => request.send(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(10_000)}\r\n`)],
  [
    'sends interim responses without end',
    ({ connection: { socket } }) => {
      const pump = (): void => {
        while (!socket.destroyed && socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)));
      }
      socket.on('drain', pump)
      pump()
    },
  ],
  [
    'sends JSON nested 20,000 times',
    (request) => {
      const body = '['.repeat(20_000) + ']'.repeat(20_000)
      return request.send(
        `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
    },
  ],
  [
    'switches protocols',
    (request) => request.send('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
  ],
]

/** One proxy for all of them, each a route of its own, and one that copies nothing to compare with. */
const upstreams = await Promise.all(
  SIDES.map(([, handler]) => (handler === null ? null : scriptedUpstream(handler as never))),
)
const ports = await Promise.all(upstreams.map((one) => one?.port ?? freePort()))
const withSides = (shadow: string): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
${ports.map((port, n) => `  side${n}: { servers: ["http://127.0.0.1:${port}"] }\n`).join('')}default: legacy
routes:
${ports.map((_, n) => `  - { id: r${n}, match: { path: /r${n} }, to: side${n}${shadow} }\n`).join('')}`
const [shadowing, without] = await Promise.all([
  startBanyan({ table: withSides(SHADOW) }),
  startBanyan({ table: withSides('') }),
])
afterAll(() => Promise.all([shadowing.stop(), without.stop(), ...upstreams.map((one) => one?.stop())]))

const cases = SIDES.map(([what, , never], n) => ({ what, never, n }))

test.each(cases)('clients notice nothing of a side that $what', async ({ never, n }) => {
  const route = `r${n}`
  const ask = `GET /${route} HTTP/1.1\r\nHost: a\r\n\r\n`
  const plain = await (await rawClient(without.port)).ask(ask)
  const client = await rawClient(shadowing.port)
  const before = await residentMiB(shadowing)
  for (let i = 1; i <= 12; i++) {
    const response = await client.ask(ask)
    expect(response.head.replace(/^Date: .*$/m, '')).toBe(plain.head.replace(/^Date: .*$/m, ''))
    expect(response.body.text).toBe(BODY)
    // Where the copy ends, it has; where it never does, the client has its response all the same.
    if (never === undefined) await expect.poll(() => ended(shadowing, route)).toBe(i)
  }
  if (never !== undefined) {
    // Eight are under way and hold the places, and the others were dropped; on a slow machine the first have been given up.
    await expect.poll(() => ended(shadowing, route)).toBeGreaterThanOrEqual(4)
    const { comparisons: compared, skipped, errors } = await comparisons(shadowing, route)
    const { busy: _, ...otherSkipped } = skipped
    const { deadline: __, ...otherErrors } = errors
    expect([compared, otherSkipped, otherErrors]).toEqual([0, {}, {}])
    // Their places are for the next side.
    await upstreams[n]!.stop()
    await expect.poll(() => ended(shadowing, route)).toBe(12)
  }
  expect((await residentMiB(shadowing)) - before).toBeLessThan(64)
  const metrics = await (await fetch(`http://127.0.0.1:${shadowing.adminPort}/metrics`)).text()
  expect(metrics).toMatch(
    new RegExp(`^banyan_requests_total\\{[^}]*route="${route}"[^}]*status="2xx"[^}]*\\} 12$`, 'm'),
  )
  expect(metrics).not.toMatch(/^banyan_requests_total\{[^}]*upstream="side/m)
  expect(metrics).not.toMatch(/^banyan_failures_total/m)
  client.socket.destroy()
})

test('a client that leaves: there is nothing to compare, and nothing is copied', async () => {
  const modern = await scriptedUpstream((request) => request.send(answer))
  const slow = await scriptedUpstream(drip)
  const banyan = await startBanyan({ table: table(modern.port, SHADOW).replace(`:${legacy.port}`, `:${slow.port}`) })
  try {
    const socket = connect(banyan.port, '127.0.0.1')
    socket.write('GET /a/1 HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(socket, 'data')
    socket.destroy()
    await vi.waitFor(async () => expect((await comparisons(banyan)).skipped).toEqual({ broken: 1 }), {
      timeout: 120_000,
    })
    expect(modern.requests).toBe(0)
  } finally {
    await Promise.all([banyan.stop(), modern.stop(), slow.stop()])
  }
})

test('an upgrade is not copied, and works', async () => {
  const modern = await scriptedUpstream((request) => request.send(answer))
  const echo = await scriptedUpstream(async ({ connection }) => {
    await connection.send('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n')
    connection.socket.pipe(connection.socket)
  })
  echo.readsBodies = false
  const banyan = await startBanyan({ table: table(modern.port, SHADOW).replace(`:${legacy.port}`, `:${echo.port}`) })
  try {
    const socket = connect(banyan.port, '127.0.0.1').on('error', () => {})
    socket.write('GET /a/1 HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n')
    let text = ''
    socket.on('data', (piece) => {
      text += piece.toString('latin1')
    })
    await vi.waitFor(() => expect(text).toMatch(/^HTTP\/1\.1 101 .*\r\n\r\n$/s), { timeout: 120_000 })
    socket.write('hello')
    await vi.waitFor(() => expect(text).toMatch(/hello$/), { timeout: 120_000 })
    socket.destroy()
    await vi.waitFor(async () => expect((await comparisons(banyan)).skipped).toEqual({ upgrade: 1 }), {
      timeout: 120_000,
    })
    expect(modern.requests).toBe(0)
  } finally {
    await Promise.all([banyan.stop(), modern.stop(), echo.stop()])
  }
})

/** Resolves when more may be written, or nothing any more. */
function wakes(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

test('an answer of 100 MiB reaches the client whole, and only its status and headers are compared', async () => {
  const size = 100 * 1024 * 1024
  const large = async ({ connection: { socket } }: UpstreamRequest): Promise<void> => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`)
    socket.on('error', () => {})
    const piece = Buffer.alloc(1024 * 1024, 'x')
    for (let sent = 0; sent < size && !socket.destroyed; sent += piece.length) {
      if (!socket.write(piece)) await wakes(socket)
    }
  }
  const [one, two] = await Promise.all([scriptedUpstream(large), scriptedUpstream(large)])
  const banyan = await startBanyan({ table: table(two.port, SHADOW).replace(`:${legacy.port}`, `:${one.port}`) })
  try {
    const before = await residentMiB(banyan)
    const response = await fetch(`http://127.0.0.1:${banyan.port}/a/1`)
    let bytes = 0
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) bytes += piece.length
    expect(bytes).toBe(size)
    await vi.waitFor(
      async () => expect(await comparisons(banyan)).toMatchObject({ comparisons: 0, matches: 0, partial: 1 }),
      { timeout: 120_000 },
    )
    expect((await residentMiB(banyan)) - before).toBeLessThan(64)
  } finally {
    await Promise.all([banyan.stop(), one.stop(), two.stop()])
  }
})
