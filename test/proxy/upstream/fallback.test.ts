/**
 * Fallback over the wire: the same request, byte for byte, answered by `from` where `to` failed, and by nobody twice.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [legacy, modern] = await Promise.all([scriptedUpstream(), scriptedUpstream()])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
  hasty: { servers: ["http://127.0.0.1:${modern.port}"], timeouts: { headers: 300ms } }
  nobody: { servers: ["http://127.0.0.1:1"] }
default: legacy
routes:
  - { id: modern, match: { path: /modern }, to: modern, percent: 100, fallback: {} }
  - { id: hasty, match: { path: /hasty }, to: hasty, percent: 100, fallback: {} }
  - { id: nobody, match: { path: /nobody }, to: nobody, percent: 100, fallback: {} }
`,
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop()]))
beforeEach(() => Promise.all([legacy.cut(), modern.cut()]))

const ask = (method: string, target = '/modern', fields = ''): string =>
  `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`

describe('from answers', () => {
  test.each([
    ['503', 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy'],
    ['502 chunked', 'HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n'],
    ['nonsense', 'HTTP/9.9 nonsense\r\n\r\n'],
    [
      'an interim answer and then 504',
      'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n',
    ],
  ])('after %s', async (_, answer) => {
    const client = await rawClient(banyan.port)
    await client.send(ask('GET', '/modern', 'X-One: 1\r\n'))
    const failed = await modern.request()
    await failed.send(answer)
    const again = await legacy.request()
    expect(again.head).toBe(failed.head)
    await again.ok('from legacy')
    expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'from legacy' } })
    expect(client.unread).toBe('')
    await failed.connection.ended()
  })

  test('after silence, after an end without an answer, and where nobody listens', async () => {
    const client = await rawClient(banyan.port)
    for (const [how, path] of [
      ['silence', '/hasty'],
      ['end', '/modern'],
      ['nobody', '/nobody'],
    ] as const) {
      await client.send(ask('HEAD', path))
      if (how !== 'nobody') {
        const failed = await modern.request()
        if (how === 'end') failed.connection.socket.destroy()
      }
      await (await legacy.request()).send('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n')
      expect((await client.nextResponse('HEAD')).status).toBe(200)
    }
  })

  test('with the framing of a chunked request without content', async () => {
    const client = await rawClient(banyan.port)
    await client.send(`${ask('OPTIONS', '/modern', 'Transfer-Encoding: chunked\r\n')}0\r\n\r\n`)
    const failed = await modern.request()
    await failed.body()
    await failed.send('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n')
    const again = await legacy.request()
    expect((await again.body()).raw).toBe('0\r\n\r\n')
    await again.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })
})

describe('to answers for itself', () => {
  test.each([
    ['POST', 'Content-Length: 0\r\n', ''],
    ['DELETE', '', ''],
    ['GET', 'Content-Length: 5\r\n', 'hello'],
  ])('%s %j: what is unsafe, or has a body that is used up, is not asked twice', async (method, fields, body) => {
    const client = await rawClient(banyan.port)
    const seen = legacy.requests
    await client.send(ask(method, '/modern', fields) + body)
    const request = await modern.request()
    await request.body()
    await request.send('HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy')
    expect(await client.nextResponse()).toMatchObject({ status: 503, body: { text: 'busy' } })
    expect(legacy.requests).toBe(seen)
  })

  test('an answer that has begun is never begun again', async () => {
    const client = await rawClient(banyan.port)
    const seen = legacy.requests
    await client.send(ask('GET'))
    const request = await modern.request()
    await request.send('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello')
    await client.readUntil('hello')
    request.connection.reset()
    expect((await client.readToEnd()).text).toBe('')
    expect(legacy.requests).toBe(seen)
  })
})
