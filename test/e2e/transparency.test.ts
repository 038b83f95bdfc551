/**
 * Transparent to the byte: each endpoint of the legacy application, asked directly and through the proxy.
 *
 * What may differ is what RFC 9110 section 7.6 makes of a proxy: Via is added, hop-by-hop fields are each connection's own,
 * and where the chunks of a chunked body are cut means nothing.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENDPOINTS, type Endpoint } from '../../legacy-mock/endpoints.ts'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { type RawClient, rawClient } from '../support/client.ts'
import { type DemoProgram, startLegacy } from '../support/demo.ts'
import { type Fields, field, type RawResponse } from '../support/message.ts'

let legacy: DemoProgram
let banyan: Banyan

beforeAll(async () => {
  legacy = await startLegacy(['--latency', 'none', '--freeze', '2026-11-23T12:00:00Z'])
  banyan = await startBanyan({ table: tableFor(legacy.port) })
})

afterAll(async () => {
  expect(await banyan?.stop()).toBe(0)
  await legacy?.stop()
})

const byKind = (...kinds: readonly Endpoint['kind'][]): [string, Endpoint][] =>
  ENDPOINTS.filter(({ kind }) => kinds.includes(kind)).map((endpoint) => [endpoint.name, endpoint])

/** The bytes of a request; Host is the legacy's own name in both cases, so that what it says of itself is the same. */
function requestOf({ method, path, headers, body }: Endpoint): string {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: catalog.example.test']
  for (const [name, value] of headers) lines.push(`${name}: ${value}`)
  const framed = headers.some(([name]) => name.toLowerCase() === 'transfer-encoding')
  if (body !== null && !framed) lines.push(`Content-Length: ${body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`
}

const OF_THE_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])

function endToEnd(fields: Fields): Fields {
  return fields.filter(([name]) => !OF_THE_CONNECTION.has(name.toLowerCase()))
}

/** What a proxied request carries beyond the direct one. */
const ADDED = /"(Connection|X-Forwarded-For|X-Forwarded-Proto|X-Forwarded-Host|X-Forwarded-Port|CDN-Loop)"/

/** An answer as it should be the same on both ways. The HTTP version is each connection's own (RFC 9110 section 2.5). */
function comparable(response: RawResponse, path: string): object {
  const { status, reason, fields, interim, body } = response
  const kept = endToEnd(fields).filter(([name, value]) => name !== 'Via' || !/^1\.[01] banyan$/.test(value))
  const echoes = path.startsWith('/echo')
  return {
    status,
    reason,
    // What the echo says of the request differs by what the proxy adds to it; both are compared below.
    fields: echoes ? kept.filter(([name]) => name !== 'Content-Length') : kept,
    interim,
    body: echoes ? withoutAdded(body.text) : body.text,
    trailers: body.trailers,
  }
}

function withoutAdded(text: string): unknown {
  const echo = JSON.parse(text) as { rawHeaders: [string, string][] }
  return { ...echo, rawHeaders: echo.rawHeaders.filter(([name]) => !ADDED.test(`"${name}"`)) }
}

async function ask(port: number, endpoint: Endpoint): Promise<RawResponse> {
  const client = await rawClient(port)
  const response = await client.ask(requestOf(endpoint), endpoint.method)
  client.socket.destroy()
  return response
}

/** A Date where the upstream sent none is the proxy's to add (RFC 9110 section 6.6.1), and the only field it adds but Via. */
function withDateOf(direct: RawResponse, proxied: RawResponse): RawResponse {
  if (field(direct.fields, 'date') !== undefined) return proxied
  return { ...proxied, fields: proxied.fields.filter(([name]) => name !== 'Date') }
}

/** A report that is zipped while it is paced is cut by the clock, and so are its bytes; what they say is the same. */
const isPaced = ({ path }: Endpoint): boolean => path.includes('prices.csv')

function expectSamePaced(proxied: RawResponse, direct: RawResponse): void {
  const bytes = Buffer.from(proxied.body.text, 'latin1')
  expect(gunzipSync(bytes).equals(gunzipSync(Buffer.from(direct.body.text, 'latin1')))).toBe(true)
  expect(field(proxied.body.trailers, 'content-md5')).toBe(createHash('md5').update(bytes).digest('base64'))
  expect(field(proxied.body.trailers, 'x-row-count')).toBe(field(direct.body.trailers, 'x-row-count'))
}

describe('complete answers', () => {
  test.each(byKind('whole', 'interim', 'stream', 'until-close'))('%s', async (_, endpoint) => {
    const direct = await ask(legacy.port, endpoint)
    const proxied = await ask(banyan.port, endpoint)
    expect(field(proxied.fields, 'upgrade')).toBe(field(direct.fields, 'upgrade'))
    if (isPaced(endpoint)) expectSamePaced(proxied, direct)
    else expect(comparable(withDateOf(direct, proxied), endpoint.path)).toEqual(comparable(direct, endpoint.path))
    expect(field(proxied.fields, 'via')).toBe(`${direct.version.slice(5)} banyan`)
    if (direct.body.framing === 'length')
      expect(proxied.body.raw.length === direct.body.raw.length || endpoint.path.startsWith('/echo')).toBe(true)
  })
})

describe('streams', () => {
  test.each(byKind('endless'))('%s: each event goes on at once, and the client may leave', async (_, endpoint) => {
    const texts: string[] = []
    for (const port of [legacy.port, banyan.port]) {
      const client = await rawClient(port)
      await client.send(requestOf(endpoint))
      const head = await client.readUntil('\r\n\r\n')
      expect(head).toMatch(/^HTTP\/1\.1 200 /)
      let events = ''
      for (let i = 0; i < 3; i++) events += await client.readUntil('\n\n')
      texts.push(events.replaceAll(/^[0-9a-f]+\r\n|\r\n[0-9a-f]*(\r\n)?/gm, ''))
      client.reset()
    }
    expect(texts[1]).toBe(texts[0])
  })

  test.each(byKind('upgrade'))('%s', async (_, endpoint) => {
    const heads: string[] = []
    for (const port of [legacy.port, banyan.port]) {
      const client = await rawClient(port)
      await client.send(requestOf(endpoint))
      heads.push(await client.readUntil('\r\n\r\n'))
      await pingPong(client)
    }
    const fieldsOf = (head: string): string[] =>
      head
        .split('\r\n')
        .filter((line) => line !== '' && line !== 'Via: 1.1 banyan')
        .sort()
    expect(fieldsOf(heads[1] as string)).toEqual(fieldsOf(heads[0] as string))
  })
})

/** Sends a masked WebSocket ping "hi" and awaits its pong among the frames that come, then closes. */
async function pingPong(client: RawClient): Promise<void> {
  await client.send(Buffer.from([0x89, 0x82, 0, 0, 0, 0, 0x68, 0x69]))
  expect(await client.readUntil('\x8a\x02hi')).toContain('\x8a\x02hi')
  await client.send(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
  await client.ended()
}

describe('broken answers stay broken', () => {
  test.each(byKind('broken'))('%s', async (_, endpoint) => {
    await expect(ask(legacy.port, endpoint)).rejects.toThrow()
    const proxied = await ask(banyan.port, endpoint).catch((error: Error) => error)
    // Either nothing had come that could be passed on, and the client is told so, or the transfer breaks.
    if (!(proxied instanceof Error)) {
      expect(proxied.status).toBe(502)
      expect(proxied.fields).toContainEqual(['Content-Type', 'application/problem+json'])
    }
  })

  test.each(byKind('silent'))('%s: what comes goes on, and the silence too', async (_, endpoint) => {
    const seen: string[] = []
    for (const port of [legacy.port, banyan.port]) {
      const client = await rawClient(port)
      await client.send(requestOf(endpoint))
      const direct = seen[0]
      // The direct answer is whatever comes before it falls silent; the proxied one must bring as much of a body.
      seen.push(
        direct === undefined
          ? await settled(client)
          : await (direct === '' ? settled(client) : client.readUntil(bodyOf(direct))),
      )
      client.reset()
    }
    expect(bodyOf(seen[1] as string)).toBe(bodyOf(seen[0] as string))
  })
})

/** What has come once nothing more comes for two turns of a request that is answered at once on another connection. */
async function settled(client: RawClient): Promise<string> {
  for (let i = 0; i < 2; i++) {
    const other = await rawClient(legacy.port)
    await other.ask('GET /status HTTP/1.1\r\nHost: x\r\n\r\n')
    other.socket.destroy()
  }
  return client.unread
}

function bodyOf(bytes: string): string {
  const end = bytes.indexOf('\r\n\r\n')
  return end === -1 ? bytes : bytes.slice(end + 4)
}
