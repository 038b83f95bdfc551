/**
 * Kept-alive connections to upstreams: which one is reused, when not, and the race with an upstream that closes one
 * just as a request is on its way (RFC 9112 section 9.3.1).
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'
import type { Wire } from '../../support/wire.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** Leaves one idle connection in the pool. */
async function warm(client: RawClient, fields = ''): Promise<Wire> {
  await client.send(GET)
  const request = await upstream.request()
  await request.send(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`)
  await client.nextResponse()
  return request.connection
}

/** Sends a request that meets a connection which the upstream closes on it. */
async function raced(
  request: string,
  close: (wire: Wire) => void,
): Promise<{ client: RawClient; first: UpstreamRequest }> {
  const client = await rawClient(banyan.port)
  await warm(client)
  await client.send(request)
  const first = await upstream.request()
  expect(first.nth).toBe(1)
  close(first.connection)
  return { client, first }
}

describe.each([
  ['FIN', (wire: Wire) => wire.finish()],
  ['RST', (wire: Wire) => wire.reset()],
])('the race, lost by %s', (_, close) => {
  test.each([
    ['GET', ''],
    ['HEAD', ''],
    ['OPTIONS', ''],
    ['DELETE', ''],
    ['PROPFIND', ''],
    ['PUT', 'Content-Length: 0\r\n'],
  ])('%s goes once more, over a fresh connection, with the same bytes', async (method, fields) => {
    const { client, first } = await raced(`${method} / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`, close)
    const second = await upstream.request()
    expect(second.nth).toBe(0)
    expect(second.head).toBe(first.head)
    await second.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    expect((await client.nextResponse(method)).status).toBe(200)
  })

  test('a chunked PUT without a byte of content goes once more, whole', async () => {
    const { client } = await raced(
      'PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n',
      close,
    )
    const second = await upstream.request()
    expect((await second.body()).raw).toBe('0\r\nX: y\r\n\r\n')
    await second.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('a PUT whose client still waits for 100 goes once more: nothing of its body is used up', async () => {
    const asking = 'PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n'
    const { client } = await raced(asking, close)
    const second = await upstream.request()
    expect(second.nth).toBe(0)
    await second.send('HTTP/1.1 100 Continue\r\n\r\n')
    await client.readUntil('\r\n\r\n')
    await client.send('hello')
    expect((await second.body()).text).toBe('hello')
    await second.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('the second time it is a 502', async () => {
    const { client } = await raced(GET, close)
    const seen = upstream.requests
    close((await upstream.request()).connection)
    expect((await client.nextResponse()).status).toBe(502)
    expect(upstream.requests).toBe(seen + 1)
  })

  test.each([
    ['a POST', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello'],
    ['a POST without a body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'],
    ['a PUT whose body is used up', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello'],
    ['a PATCH', 'PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'],
    ['a method that nobody knows', 'PURGE / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('%s is never sent twice: 502', async (_, request) => {
    const client = await rawClient(banyan.port)
    await warm(client)
    await client.send(request)
    const first = await upstream.request()
    await first.body()
    const seen = upstream.requests
    close(first.connection)
    expect((await client.nextResponse()).status).toBe(502)
    expect(upstream.requests).toBe(seen)
  })

  test('once a byte of an answer has come there is no second time', async () => {
    const client = await rawClient(banyan.port)
    await warm(client)
    await client.send(GET)
    const first = await upstream.request()
    await first.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
    await client.readUntil('\r\n\r\n')
    const seen = upstream.requests
    close(first.connection)
    expect((await client.nextResponse()).status).toBe(502)
    expect(upstream.requests).toBe(seen)
  })

  test('on a connection that was not reused it is no race: 502', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const first = await upstream.request()
    expect(first.nth).toBe(0)
    const seen = upstream.requests
    close(first.connection)
    expect((await client.nextResponse()).status).toBe(502)
    expect(upstream.requests).toBe(seen)
  })
})

describe('what can’t be sent again', () => {
  test('uses a kept connection only within a second of its last use; the rest goes on using it', async () => {
    const [one, two] = await Promise.all([rawClient(banyan.port), rawClient(banyan.port)])
    await one.send(GET)
    const kept = await upstream.request()
    await two.send(GET)
    const other = await upstream.request()
    // Closed two seconds after its last use, it tells when the other one has been idle for as long.
    await other.send('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 2\r\n\r\nok')
    await kept.ok()
    await Promise.all([one.nextResponse(), two.nextResponse()])
    expect(await other.connection.ended()).toBe('end')
    for (const request of [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
    ]) {
      await one.send(request)
      const fresh = await upstream.request()
      expect(fresh.nth).toBe(0)
      await fresh.send('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
      await one.nextResponse()
    }
    await two.send(GET)
    const again = await upstream.request()
    expect(again.connection).toBe(kept.connection)
    await again.ok()
    await two.nextResponse()
  })

  test('with fresh: unsafe never uses one, and idle says when one is closed', async () => {
    const own = await startBanyan({ table: tableFor(upstream.port, ['keepAlive: { idle: 250ms, fresh: unsafe }']) })
    onTestFinished(async () => void (await own.stop()))
    const client = await rawClient(own.port)
    const seen: [string, number][] = []
    let last: UpstreamRequest | undefined
    for (const method of ['GET', 'POST', 'DELETE', 'LOCK']) {
      await client.send(`${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
      last = await upstream.request()
      seen.push([method, last.nth])
      await last.ok()
      await client.nextResponse(method)
    }
    expect(seen).toEqual(['GET', 'POST', 'DELETE', 'LOCK'].map((method) => [method, 0]))
    expect(await last?.connection.ended()).toBe('end')
  })
})

describe('the pool', () => {
  test('the connection used last is taken first', async () => {
    const [one, two] = [await rawClient(banyan.port), await rawClient(banyan.port)]
    await one.send(GET)
    const first = await upstream.request()
    await two.send(GET)
    const second = await upstream.request()
    expect(second.connection).not.toBe(first.connection)
    for (const [request, client] of [
      [second, two],
      [first, one],
    ] as const) {
      await request.ok()
      await client.nextResponse()
    }
    for (let n = 1; n <= 3; n++) {
      await two.send(GET)
      const next = await upstream.request()
      expect(next.connection).toBe(first.connection)
      expect(next.nth).toBe(n)
      await next.ok()
      await two.nextResponse()
    }
  })

  test('clients share connections, one exchange at a time on each', async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => rawClient(banyan.port)))
    for (const [n, client] of clients.entries()) {
      await client.send(GET)
      const request = await upstream.request()
      expect(request.nth).toBe(n)
      await request.ok()
      await client.nextResponse()
    }
    expect(upstream.open).toBe(1)
  })

  test('a connection that the upstream closes while it is idle is closed here too, and not taken', async () => {
    const client = await rawClient(banyan.port)
    const idle = await warm(client)
    idle.finish()
    await idle.ended()
    await client.send(GET)
    const next = await upstream.request()
    expect(next.nth).toBe(0)
    await next.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('Keep-Alive: timeout is honoured, with a second to spare', async () => {
    const client = await rawClient(banyan.port)
    // A second less than one: not kept at all.
    const brief = await warm(client, 'Keep-Alive: timeout=1\r\n')
    const longer = await warm(client, 'Keep-Alive: timeout=2, max=100\r\n')
    expect(longer).not.toBe(brief)
    expect(await brief.ended()).toBe('end')
    await client.send(GET)
    const again = await upstream.request()
    expect(again.connection).toBe(longer)
    await again.ok()
    await client.nextResponse()
    expect(await longer.ended()).toBe('end')
  })

  test.each([
    ['Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['a byte too many', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX'],
    [
      'a second answer',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstole',
    ],
    ['bytes behind the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n'],
    ['a body to a 204', 'HTTP/1.1 204 No Content\r\n\r\nok'],
    ['a body to a 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok'],
  ])('%s: the connection is closed, not reused', async (_, answer) => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send(answer)
    const response = await client.nextResponse()
    expect(response.status).toBeLessThan(400)
    await request.connection.ended()
    await client.send(GET)
    const next = await upstream.request()
    expect(next.nth).toBe(0)
    await next.ok('mine')
    expect((await client.nextResponse()).body.text).toBe('mine')
    expect(client.unread).toBe('')
  })

  test('a byte that comes while the connection is idle poisons it', async () => {
    const client = await rawClient(banyan.port)
    const idle = await warm(client)
    await idle.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstole')
    await idle.ended()
    await client.send(GET)
    await (await upstream.request()).ok('mine')
    expect((await client.nextResponse()).body.text).toBe('mine')
  })
})
