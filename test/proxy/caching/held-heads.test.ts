/**
 * What is kept of a response holds no more memory than is counted for it, however large its head was.
 */
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

/** A field that is not stored, beside such as are. */
const HEAD = `HTTP/1.1 200 OK\r\nKeep-Alive: ${'k'.repeat(60_000)}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: public, max-age=6000\r\nETag: "abcdefghijklmnopqrstuv"\r\nContent-Length: 2\r\n\r\nok`
const REQUESTS = 4000

const [from, to] = await Promise.all([
  scriptedUpstream((request) => request.send(HEAD)),
  scriptedUpstream((request) => request.send(HEAD.replace('text/plain', `text/x-${request.target.slice(1, 20)}`))),
])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  from: { servers: ["http://127.0.0.1:${from.port}"] }
  to: { servers: ["http://127.0.0.1:${to.port}"] }
default: from
routes:
  - { id: stored, match: { path: /stored/* }, to: to, cache: {} }
  - { id: compared, match: { path: /compared/* }, to: to, shadow: { percent: 100, samples: values } }
`,
  // Less than those heads together.
  nodeFlags: ['--max-old-space-size=160'],
})
afterAll(() => Promise.all([banyan.stop(), from.stop(), to.stop()]))

test.each(['stored', 'compared'])('%s: 4,000 heads of 60 KB', async (route) => {
  const client = await rawClient(banyan.port)
  for (let i = 0; i < REQUESTS; i++) {
    const { status } = await client.ask(`GET /${route}/${i} HTTP/1.1\r\nHost: a\r\n\r\n`)
    expect(status).toBe(200)
  }
  client.socket.destroy()
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(Number(/^banyan_cache_memory_entries (\d+)/m.exec(metrics)?.[1])).toBe(REQUESTS)
})
