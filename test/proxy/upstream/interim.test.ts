/**
 * Interim responses (RFC 9110 section 15.2) and Expect: 100-continue: the upstream's word, relayed as it comes.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const EXPECTING = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n'

test('Expect: 100-continue passes, the upstream answers it, and the body follows', async () => {
  const client = await rawClient(banyan.port)
  await client.send(EXPECTING)
  const request = await upstream.request()
  expect(request.field('expect')).toBe('100-continue')
  // Nothing of ours comes before the upstream has spoken.
  expect(client.unread).toBe('')
  await request.send('HTTP/1.1 100 Continue\r\n\r\n')
  expect(await client.readUntil('\r\n\r\n')).toBe('HTTP/1.1 100 Continue\r\n\r\n')
  await client.send('hello')
  expect((await request.body()).text).toBe('hello')
  await request.ok()
  const response = await client.nextResponse()
  expect(response).toMatchObject({ status: 200, interim: [] })
  expect(field(response.fields, 'connection')).toBe('keep-alive')
})

test.each(['417 Expectation Failed', '401 Unauthorized', '413 Content Too Large', '200 OK'])(
  '%s instead of 100: the client may send the next request or the body, so the connection ends',
  async (status) => {
    const client = await rawClient(banyan.port)
    await client.send(EXPECTING)
    const request = await upstream.request()
    await request.send(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno`)
    const response = await client.nextResponse()
    expect(response.head).toContain(`HTTP/1.1 ${status}\r\n`)
    expect(field(response.fields, 'connection')).toBe('close')
    expect(response.body.text).toBe('no')
    // Whichever of the two comes now is no request of its own, here or at the upstream.
    await client.send('GET /x')
    expect(await client.ended()).toBe('end')
    expect(await request.connection.ended()).toBe('end')
    expect(request.connection.unread).toBe('')
  },
)

test('a final answer behind the 100 and the body keeps the connection', async () => {
  const client = await rawClient(banyan.port)
  for (let n = 0; n < 2; n++) {
    await client.send(`${EXPECTING}hello`)
    const request = await upstream.request()
    expect(request.nth).toBe(n)
    await request.send('HTTP/1.1 100 Continue\r\n\r\n')
    await request.body()
    await request.ok()
    expect(await client.nextResponse()).toMatchObject({ status: 200, interim: ['HTTP/1.1 100 Continue\r\n\r\n'] })
  }
})

test('another expectation is the upstream’s to judge', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n')
  const request = await upstream.request()
  expect(request.field('expect')).toBe('the-unexpected')
  await request.send('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n')
  expect((await client.nextResponse()).status).toBe(417)
})

test('100, 102 and several 103 go on one by one, with their fields', async () => {
  const client = await rawClient(banyan.port)
  await client.send(GET)
  const request = await upstream.request()
  const heads = [
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\nX-Latin: caf\xe9\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nLink: </c.css>\r\n\r\n',
    'HTTP/1.1 110 Odd\r\nX: y\r\n\r\n',
  ]
  for (const head of heads) {
    await request.send(head)
    // The reason phrase of an interim response is node:http's own word for the code.
    const seen = await client.readUntil('\r\n\r\n')
    expect(seen.slice(seen.indexOf('\r\n'))).toBe(head.slice(head.indexOf('\r\n')))
    expect(seen.slice(0, 12)).toBe(head.slice(0, 12))
  }
  await request.ok()
  expect(await client.nextResponse()).toMatchObject({ status: 200, interim: [], body: { text: 'ok' } })
})

test('interim and final in one packet', async () => {
  const client = await rawClient(banyan.port)
  await client.send(GET)
  const request = await upstream.request()
  await request.send(
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n' +
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  )
  const response = await client.nextResponse()
  expect(response.interim).toHaveLength(2)
  expect(response).toMatchObject({ status: 200, body: { text: 'ok' } })
})

test('hop-by-hop fields of an interim response stay', async () => {
  const client = await rawClient(banyan.port)
  await client.send(GET)
  const request = await upstream.request()
  const hop = 'Connection: x-gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n'
  await request.send(`HTTP/1.1 103 Early Hints\r\n${hop}Link: </a>\r\n\r\n`)
  expect(await client.readUntil('\r\n\r\n')).toBe('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  await request.ok()
  await client.nextResponse()
})

test('HTTP/1.0 clients get none', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  await request.ok()
  const { text } = await client.readToEnd()
  expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(text).not.toContain('Early')
})

test('an upstream that dies behind an interim response has not answered', async () => {
  const client = await rawClient(banyan.port)
  await client.send(GET)
  const request = await upstream.request()
  await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  await client.readUntil('\r\n\r\n')
  request.connection.socket.destroy()
  expect((await client.nextResponse()).status).toBe(502)
})
