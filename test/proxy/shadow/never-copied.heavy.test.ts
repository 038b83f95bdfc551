/**
 * What is copied, counted over 10,000 requests at the upstreams: no unsafe one, and none with a condition, a range, a body, an
 * upgrade or a private connection.
 */
import { expect, test, vi } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const REQUESTS = 10_000
const CLIENTS = 20

/** The same draws in each run (mulberry32). */
function draws(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

interface Kind {
  readonly name: string
  /** The reason why it is not copied; null where it is. */
  readonly why: string | null
  text(target: string): string
}

const plain =
  (method: string, fields = '', body = '') =>
  (target: string) =>
    `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`
const UNSAFE = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'REPORT', 'QUERY', 'MKCOL', 'LINK']
const CONDITIONS = [
  ...['If-None-Match: "a"', 'IF-MATCH: *', 'if-modified-since: Sun, 29 Nov 2026 10:00:00 GMT'],
  'If-Unmodified-Since: Sun, 29 Nov 2026 10:00:00 GMT',
]
const KINDS: readonly Kind[] = [
  ...['GET', 'GET', 'GET', 'GET', 'HEAD'].map((method) => ({ name: method, why: null, text: plain(method) })),
  ...UNSAFE.map((method) => ({ name: method, why: 'method', text: plain(method, 'Content-Length: 2\r\n', 'ab') })),
  ...['POST', 'DELETE'].map((method) => ({
    ...{ name: `${method} without a body`, why: 'method', text: plain(method, 'Content-Length: 0\r\n') },
  })),
  ...CONDITIONS.map((field) => ({ name: field, why: 'conditional', text: plain('GET', `${field}\r\n`) })),
  ...['Range: bytes=0-0', 'range: bytes=-1', 'If-Range: "a"'].map((field) => ({
    ...{ name: field, why: 'range', text: plain('GET', `${field}\r\n`) },
  })),
  { name: 'a body', why: 'body', text: plain('GET', 'Content-Length: 2\r\n', 'ab') },
  { name: 'chunks', why: 'body', text: plain('GET', 'Transfer-Encoding: chunked\r\n', '2\r\nab\r\n0\r\n\r\n') },
]

test('10,000 requests', async () => {
  let copies: UpstreamRequest[] = []
  const answer = async (request: UpstreamRequest): Promise<void> => {
    await request.body()
    const body = request.method === 'HEAD' ? '' : 'ok'
    await request.send(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n${body}`)
  }
  const own: Record<string, number> = {}
  const legacy = await scriptedUpstream(async (request) => {
    own[request.method] = (own[request.method] ?? 0) + 1
    expect(request.field('banyan-shadow')).toBeUndefined()
    await answer(request)
  })
  const modern = await scriptedUpstream(async (request) => {
    copies.push(request)
    await answer(request)
  })
  const banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a/* }, to: modern, shadow: { percent: 100, noise: 0 } }
`,
  })
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  const comparisons = async (): Promise<any> =>
    (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/a/comparisons`)).json()
  try {
    const sent: Record<string, number> = {}
    const client = async (seed: number): Promise<void> => {
      const draw = draws(seed)
      const connection = await rawClient(banyan.port)
      for (let i = 0; i < REQUESTS / CLIENTS; i++) {
        const kind = KINDS[Math.floor(draw() * KINDS.length)] as Kind
        const mark = draw() < 0.2 ? 'Banyan-Shadow: 1\r\n' : ''
        const text = kind.text(`/a/${i}`).replace('Host: a\r\n', `Host: a\r\n${mark}`)
        const response = await connection.ask(text, kind.name === 'HEAD' ? 'HEAD' : 'GET')
        expect(response.status, kind.name).toBe(200)
        const why = kind.why ?? 'copied'
        sent[why] = (sent[why] ?? 0) + 1
      }
      connection.socket.destroy()
    }
    // NTLM authenticates a connection: what comes on it is its client's alone, also what has no sign of it.
    const ntlm = async (): Promise<void> => {
      const connection = await rawClient(banyan.port)
      for (let i = 0; i < 50; i++) {
        await connection.ask(plain('GET', i === 0 ? 'Authorization: NTLM TlRMTVNTUAAB\r\n' : '')('/a/private'))
      }
      connection.socket.destroy()
    }
    await Promise.all([...Array.from({ length: CLIENTS }, (_, seed) => client(seed + 1)), ntlm()])
    const { copied = 0, ...skipped } = sent
    await vi.waitFor(
      async () => {
        const told = await comparisons()
        const { busy = 0, ...reasons } = told.skipped
        expect(reasons).toEqual({ ...skipped, private: 50 })
        // Each of the others was copied and compared, or dropped since enough were under way.
        expect(told.comparisons + told.partial + busy).toBe(copied)
        expect(told.comparisons + told.partial).toBe(copies.length)
      },
      { timeout: 120_000 },
    )
    expect(copies.length).toBeGreaterThan(100)
    expect(new Set(copies.map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']))
    for (const { head } of copies) {
      expect(head).not.toMatch(/^(?:if-|range:|upgrade:|authorization:|transfer-encoding:|content-length:|expect:)/im)
      expect(head).not.toContain('/a/private')
      expect(head.match(/^banyan-shadow: .*$/gim)).toEqual(['Banyan-Shadow: 1'])
    }
    // From answered each of the clients' requests once, and nothing else.
    expect(Object.values(own).reduce((sum, count) => sum + count, 0)).toBe(REQUESTS + 50)
    copies = []
  } finally {
    await Promise.all([banyan.stop(), legacy.stop(), modern.stop()])
  }
})
