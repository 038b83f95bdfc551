/**
 * `--request-ids`: one id for both sides, the client and the log.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [legacy, modern] = await Promise.all([scriptedUpstream(), scriptedUpstream()])
const table = `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  gtin: { servers: ["http://127.0.0.1:${modern.port}"], headers: { set: { x-trace: "{request.id}" } } }
default: legacy
routes:
  - { id: moved, match: { path: /moved }, to: gtin, percent: 100, fallback: {} }
  - { id: cached, match: { path: /cached }, to: gtin, percent: 100, cache: {} }
`
const args = ['--request-ids', '--access-log', 'json']
const [strict, trusting, off] = await Promise.all([
  startBanyan({ table, args }),
  startBanyan({ table, args: [...args, '--trusted-proxies', '127.0.0.0/8'] }),
  startBanyan({ table, args: ['--access-log', 'json'] }),
])
afterAll(() => Promise.all([strict.stop(), trusting.stop(), off.stop(), legacy.stop(), modern.stop()]))
beforeEach(() => Promise.all([legacy.cut(), modern.cut()]))

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: own\r\n\r\n'
const OWN = /^[a-z0-9]{6}-[a-z0-9]+$/

/** Asks for a path that the old side answers, and gives the ids that it and the client get. */
async function ids(banyan: Banyan, ...lines: string[]) {
  const client = await rawClient(banyan.port)
  await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`)
  const request = await legacy.request()
  await request.send(OK)
  const { head, fields } = await client.nextResponse()
  return { sent: request.head.match(/x.request.id: .*/gi) ?? [], told: field(fields, 'x-request-id'), head }
}

test('what a stranger sends is replaced, in every spelling; both ends and the log have the same id', async () => {
  const { sent, told, head } = await ids(strict, 'X-Request-Id: evil', 'x_request_id: evil')
  expect(told).toMatch(OWN)
  expect(sent).toEqual([`X-Request-Id: ${told}`])
  expect(head.match(/x-request-id/gi)).toHaveLength(1)
  expect(await strict.program.line((line) => line.includes(`"id":"${told}"`))).toContain('"target":"/"')
})

test('a trusted proxy’s id is the id, if it can be one', async () => {
  const kept = await ids(trusting, 'X-Request-Id: Edge:4f.a_b-1')
  expect(kept.told).toBe('Edge:4f.a_b-1')
  expect(kept.sent).toEqual(['X-Request-Id: Edge:4f.a_b-1'])
  await trusting.program.line((line) => line.includes('"id":"Edge:4f.a_b-1"'))
  for (const lines of [
    ['X-Request-Id: a b'],
    [`X-Request-Id: ${'x'.repeat(129)}`],
    ['X-Request-Id: a', 'X-Request-Id: b'],
    ['X-Request-Id: "a"'],
  ]) {
    const { sent, told } = await ids(trusting, ...lines)
    expect(told).toMatch(OWN)
    expect(sent).toEqual([`X-Request-Id: ${told}`])
  }
})

test('the fallback has the id of the request that failed; so has an answer of banyan itself', async () => {
  const client = await rawClient(strict.port)
  await client.send('GET /moved HTTP/1.1\r\nHost: a\r\n\r\n')
  const first = await modern.request()
  await first.send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')
  const second = await legacy.request()
  const id = first.field('x-request-id')
  expect(second.field('x-request-id')).toBe(id)
  expect(first.field('x-trace')).toBe(id)
  second.connection.socket.destroy()
  const { fields, body } = await client.nextResponse()
  expect(field(fields, 'x-request-id')).toBe(id)
  expect(JSON.parse(body.text).requestId).toBe(id)
})

test('a hit has an id of its own', async () => {
  const client = await rawClient(strict.port)
  await client.send('GET /cached HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await modern.request()
  await request.send(`HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Request-Id: own\r\nContent-Length: 2\r\n\r\nok`)
  const first = field((await client.nextResponse()).fields, 'x-request-id')
  await client.send('GET /cached HTTP/1.1\r\nHost: a\r\n\r\n')
  const hit = await client.nextResponse()
  expect(hit.body.text).toBe('ok')
  expect(first).toBe(request.field('x-request-id'))
  expect(field(hit.fields, 'x-request-id')).toMatch(OWN)
  expect(field(hit.fields, 'x-request-id')).not.toBe(first)
})

test('a refusal tells the id that the log has', async () => {
  const client = await rawClient(strict.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
  const { status, fields, body } = await client.nextResponse()
  expect(status).toBe(400)
  expect(field(fields, 'x-request-id')).toMatch(OWN)
  expect(JSON.parse(body.text).requestId).toBe(field(fields, 'x-request-id'))
})

test('without the flag the field is one like any other', async () => {
  const { sent, told } = await ids(off, 'X-Request-Id: mine')
  expect(sent).toEqual(['X-Request-Id: mine'])
  expect(told).toBe('own')
})
