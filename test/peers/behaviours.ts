/**
 * What a proxy does in situations where proxies differ: each behaviour is tried, and told in a few words.
 *
 * Longer than most files: it is one list.
 */
import { setTimeout as later } from 'node:timers/promises'
import { RawClient } from '../smuggling/banyan.ts'
import type { FromProxy, RawUpstream } from './raw-upstream.ts'

export interface Behaviour {
  readonly name: string
  /** What is done, for the table. */
  readonly situation: string
  /** What was seen on each of the two proxies; the test holds them to it. */
  readonly expected: { readonly banyan: string; readonly 'http-proxy': string }
  /** @returns what was seen, in a few words */
  watch(port: number, upstream: RawUpstream): Promise<string>
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const HOST = 'Host: front.test\r\n'

/** The only way to see that nothing happens is to wait; this is long beside the milliseconds that it takes otherwise. */
const PATIENCE_MS = 1500

async function withinPatience(happens: Promise<unknown>): Promise<boolean> {
  const gaveUp = new AbortController()
  const patience = later(PATIENCE_MS, false, { signal: gaveUp.signal }).catch(() => false)
  const happened = await Promise.race([happens.then(() => true), patience])
  gaveUp.abort()
  return happened
}

const hasHead = ({ text }: FromProxy): boolean => text.includes('\r\n\r\n')
const ended = (received: string): boolean =>
  /\r\n\r\n(ok|0\r\n\r\n|[\s\S]*\r\n0\r\n([^\r\n]+\r\n)*\r\n)$/.test(received)

/** Sends one request to a proxy whose upstream answers with these bytes once it has the head. */
async function roundTrip(port: number, upstream: RawUpstream, request: string, answer = OK): Promise<RawClient> {
  await upstream.become((connection) => {
    if (hasHead(connection)) connection.socket.write(answer, 'latin1')
  })
  const client = new RawClient(port)
  client.send(request)
  await withinPatience(client.until(ended))
  client.socket.destroy()
  return client
}

function fieldOf(text: string, name: string): string | null {
  return new RegExp(`\\r\\n${name}: ([^\\r]*)`, 'i').exec(text)?.[1] ?? null
}

const chunkedDelete: Behaviour = {
  name: 'a chunked DELETE',
  situation: '`DELETE` with a chunked body that contains a complete request',
  expected: {
    banyan: 'stays chunked: one request',
    'http-proxy': 'Content-Length: 0 followed by the body: two requests (CVE-2026-29057)',
  },
  async watch(port, upstream) {
    await upstream.become((connection) => {
      if (/\r\n\r\n[\s\S]*0\r\n\r\n$/.test(connection.text)) connection.socket.write(OK)
    })
    const hidden = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
    const client = new RawClient(port)
    client.send(`DELETE /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`)
    client.send(`${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`)
    await withinPatience(
      upstream.until(() =>
        /smuggled[\s\S]*0\r\n\r\n$|smuggled[\s\S]*x\r\n\r\n$/.test(upstream.connections[0]?.text ?? ''),
      ),
    )
    client.socket.destroy()
    const text = upstream.connections[0]?.text ?? ''
    if (fieldOf(text, 'transfer-encoding') === 'chunked') return 'stays chunked: one request'
    const body = text.slice(text.indexOf('\r\n\r\n') + 4)
    const length = fieldOf(text, 'content-length')
    return length === '0' && body.includes('GET /smuggled')
      ? 'Content-Length: 0 followed by the body: two requests (CVE-2026-29057)'
      : `Content-Length: ${length}, ${body.length} bytes of body`
  },
}

function target(what: string, sent: string, ofHttpProxy: string): Behaviour {
  return {
    name: `a target with ${what}`,
    situation: `\`GET ${sent}\``,
    expected: { banyan: `\`${sent}\``, 'http-proxy': `\`${ofHttpProxy}\`` },
    async watch(port, upstream) {
      await roundTrip(port, upstream, `GET ${sent} HTTP/1.1\r\n${HOST}\r\n`)
      return `\`${upstream.connections[0]?.text.split(' ')[1]}\``
    },
  }
}

const cutOff: Behaviour = {
  name: 'an incomplete response',
  situation: 'the upstream closes after 5 of 10 bytes',
  expected: { banyan: 'the client connection is closed early', 'http-proxy': 'the client waits forever' },
  async watch(port, upstream) {
    await upstream.become(({ socket }) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'))
    const client = new RawClient(port)
    client.send(`GET /a HTTP/1.1\r\n${HOST}\r\n`)
    const broken = await withinPatience(client.closed)
    client.socket.destroy()
    return broken ? 'the client connection is closed early' : 'the client waits forever'
  },
}

const namedRequestField: Behaviour = {
  name: 'a request header named by Connection',
  situation: '`Connection: X-Hop` and `X-Hop: secret`',
  expected: { banyan: 'is removed', 'http-proxy': 'passes' },
  async watch(port, upstream) {
    await roundTrip(port, upstream, `GET /a HTTP/1.1\r\n${HOST}Connection: X-Hop\r\nX-Hop: secret\r\n\r\n`)
    return fieldOf(upstream.connections[0]?.text ?? '', 'x-hop') === null ? 'is removed' : 'passes'
  },
}

const namedAnswerField: Behaviour = {
  name: 'a response header named by Connection',
  situation: '`Connection: X-Hop` and `X-Hop: secret` in the response',
  expected: { banyan: 'is removed', 'http-proxy': 'passes' },
  async watch(port, upstream) {
    const answer = 'HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: secret\r\nContent-Length: 2\r\n\r\nok'
    const { received } = await roundTrip(port, upstream, `GET /a HTTP/1.1\r\n${HOST}\r\n`, answer)
    return fieldOf(received, 'x-hop') === null ? 'is removed' : 'passes'
  },
}

const RACES = 20

const keepAliveRace: Behaviour = {
  name: 'a kept-alive connection that has just been closed',
  situation: `${RACES} GETs one after the other; the upstream closes each connection as its second request arrives`,
  expected: { banyan: `${RACES} of ${RACES} answered`, 'http-proxy': `${RACES / 2} of ${RACES} answered` },
  async watch(port, upstream) {
    await upstream.become((connection) => {
      const asked = connection.text.split('\r\n\r\n').length - 1
      if (asked > 1) connection.socket.destroy()
      else connection.socket.write(OK)
    })
    let answered = 0
    for (let i = 0; i < RACES; i++) {
      const client = new RawClient(port)
      client.send(`GET /a HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`)
      await client.closed
      if (client.received.startsWith('HTTP/1.1 200')) answered++
    }
    return `${answered} of ${RACES} answered`
  },
}

const manyRequestFields: Behaviour = {
  name: 'a request with 1,500 headers',
  situation: '1,500 headers, 7 KB in all, then `X-Last: 1`',
  expected: {
    banyan: 'rejected with 431',
    'http-proxy': 'rejected with 431 (by Node 26; older versions drop headers)',
  },
  async watch(port, upstream) {
    const request = `GET /a HTTP/1.1\r\n${HOST}${'a:b\r\n'.repeat(1500)}X-Last: 1\r\n\r\n`
    const { received } = await roundTrip(port, upstream, request)
    const status = received.slice(9, 12)
    if (status === '200')
      return fieldOf(upstream.connections[0]?.text ?? '', 'x-last') === '1' ? 'passes' : 'headers are lost'
    const inOwnWords = received.includes('application/problem+json')
    return `rejected with ${status}${inOwnWords ? '' : ' (by Node 26; older versions drop headers)'}`
  },
}

const manyAnswerFields: Behaviour = {
  name: 'a response with 1,500 headers',
  situation: '1,500 headers, 7 KB in all, then `X-Last: 1`',
  expected: { banyan: 'rejected with 502', 'http-proxy': 'headers beyond 1,000 are silently dropped' },
  async watch(port, upstream) {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${'a:b\r\n'.repeat(1500)}X-Last: 1\r\n\r\nok`
    const { received } = await roundTrip(port, upstream, `GET /a HTTP/1.1\r\n${HOST}\r\n`, answer)
    if (!received.startsWith('HTTP/1.1 200')) return `rejected with ${received.slice(9, 12)}`
    if (fieldOf(received, 'x-last') === '1') return 'passes'
    return (received.match(/^a: ?b\r$/gm)?.length ?? 0) < 1000
      ? 'headers beyond 1,000 are silently dropped'
      : 'headers are lost'
  },
}

const answerTrailers: Behaviour = {
  name: 'response trailers',
  situation: 'a chunked response that ends in `Digest: z`; the client says `TE: trailers`',
  expected: { banyan: 'pass', 'http-proxy': 'are dropped' },
  async watch(port, upstream) {
    const answer =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n2\r\nok\r\n0\r\nDigest: z\r\n\r\n'
    const request = `GET /a HTTP/1.1\r\n${HOST}TE: trailers\r\nConnection: TE\r\n\r\n`
    const { received } = await roundTrip(port, upstream, request, answer)
    return received.includes('\r\n0\r\nDigest: z\r\n\r\n') ? 'pass' : 'are dropped'
  },
}

const requestTrailers: Behaviour = {
  name: 'request trailers',
  situation: 'a chunked POST that ends in `Digest: z`',
  expected: { banyan: 'pass', 'http-proxy': 'are dropped' },
  async watch(port, upstream) {
    await upstream.become((connection) => {
      if (/0\r\n(Digest: z\r\n)?\r\n$/.test(connection.text)) connection.socket.write(OK)
    })
    const client = new RawClient(port)
    client.send(
      `POST /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n2\r\nok\r\n0\r\nDigest: z\r\n\r\n`,
    )
    await withinPatience(client.until(ended))
    client.socket.destroy()
    return upstream.connections[0]?.text.endsWith('0\r\nDigest: z\r\n\r\n') ? 'pass' : 'are dropped'
  },
}

function interim(status: number, head: string): Behaviour {
  return {
    name: `an interim ${status}`,
    situation: `the upstream sends ${status} before its response`,
    expected: { banyan: 'passes', 'http-proxy': 'is dropped' },
    async watch(port, upstream) {
      const { received } = await roundTrip(port, upstream, `GET /a HTTP/1.1\r\n${HOST}\r\n`, `${head}\r\n\r\n${OK}`)
      return received.startsWith(`HTTP/1.1 ${status} `) ? 'passes' : 'is dropped'
    },
  }
}

const clientAbort: Behaviour = {
  name: 'a client that disconnects',
  situation: 'the client closes while the upstream is working',
  expected: { banyan: 'the upstream request is cancelled', 'http-proxy': 'the upstream continues' },
  async watch(port, upstream) {
    await upstream.become(() => {})
    const client = new RawClient(port)
    client.send(`GET /a HTTP/1.1\r\n${HOST}\r\n`)
    await upstream.until(() => upstream.connections.some(hasHead))
    client.socket.destroy()
    const cancelled = await withinPatience(upstream.connections[0]?.closed ?? Promise.resolve())
    return cancelled ? 'the upstream request is cancelled' : 'the upstream continues'
  },
}

const expectation: Behaviour = {
  name: 'Expect: 100-continue that the upstream rejects',
  situation: 'the upstream answers 417 at once, and never 100',
  expected: { banyan: '417, and no 100', 'http-proxy': '100 from the proxy itself, then 417' },
  async watch(port, upstream) {
    await upstream.become((connection) => {
      if (hasHead(connection)) connection.socket.write('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nok')
    })
    const client = new RawClient(port)
    client.send(`POST /a HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
    await withinPatience(client.until((received) => received.includes(' 417 ') || received.includes(' 100 ')))
    const invited = client.received.startsWith('HTTP/1.1 100')
    if (invited) client.send('hello')
    await withinPatience(client.until((received) => received.includes(' 417 ')))
    client.socket.destroy()
    const refused = client.received.includes(' 417 ')
    if (invited) return refused ? '100 from the proxy itself, then 417' : '100 from the proxy itself'
    return refused ? '417, and no 100' : 'nothing'
  },
}

const upgradeRefused: Behaviour = {
  name: 'an upgrade that the upstream rejects',
  situation: 'the upstream answers 404 with a chunked body and keeps the connection open',
  expected: {
    banyan: '404, complete, and the connection is closed',
    'http-proxy': '404 with Transfer-Encoding: chunked but no chunks, and the connection is closed',
  },
  async watch(port, upstream) {
    await upstream.become((connection) => {
      if (hasHead(connection)) {
        connection.socket.write('HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n')
      }
    })
    const client = new RawClient(port)
    client.send(`GET /a HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
    const closes = await withinPatience(client.closed)
    client.socket.destroy()
    const { received } = client
    if (!received.startsWith('HTTP/1.1 404')) return received === '' ? 'nothing' : received.slice(0, 12)
    const end = closes ? 'the connection is closed' : 'the connection stays open'
    const whole = received.endsWith('\r\n\r\n4\r\nnope\r\n0\r\n\r\n')
    if (whole) return `404, complete, and ${end}`
    const odd = /transfer-encoding: chunked/i.test(received) && received.endsWith('\r\n\r\nnope')
    return odd ? `404 with Transfer-Encoding: chunked but no chunks, and ${end}` : `404, incomplete, and ${end}`
  },
}

export const BEHAVIOURS: readonly Behaviour[] = [
  chunkedDelete,
  target('empty segments', '//a///b/./c?z=%2f', '/a/b/./c?z=%2f'),
  target('a backslash', '/a\\b/c', '/a/b/c'),
  cutOff,
  namedRequestField,
  namedAnswerField,
  keepAliveRace,
  manyRequestFields,
  manyAnswerFields,
  answerTrailers,
  requestTrailers,
  interim(102, 'HTTP/1.1 102 Processing'),
  interim(103, 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload'),
  clientAbort,
  expectation,
  upgradeRefused,
]
