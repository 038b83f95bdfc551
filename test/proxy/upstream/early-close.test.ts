/**
 * A server that answers a request before it is complete, and closes: the answer is delivered, although sending fails.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { earlyUpstream } from '../../support/early-upstream.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const run = promisify(execFile)
const pem = (name: string): string => join(import.meta.dirname, '../../support/tls', `${name}.pem`)
const answerOf = (status: string): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much`

const [legacy, plain, tls] = await Promise.all([
  scriptedUpstream((request) => request.ok('legacy')),
  earlyUpstream(answerOf('413 Content Too Large')),
  earlyUpstream(answerOf('413 Content Too Large'), {
    key: readFileSync(pem('server-key')),
    cert: readFileSync(pem('server')),
  }),
])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  plain: { servers: ["http://127.0.0.1:${plain.port}"], ejection: { failures: 1 } }
  tls: { servers: ["https://127.0.0.1:${tls.port}"], tls: { ca: ${pem('ca')} }, ejection: { failures: 1 } }
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
default: plain
routes:
  - { id: tls, match: { path: /tls }, to: tls, percent: 100 }
  - { id: guarded, match: { path: /guarded }, from: legacy, to: plain, percent: 100, fallback: {}, breaker: { minRequests: 5 } }
`,
})
const folder = mkdtempSync(join(tmpdir(), 'banyan-early-'))
const files = { small: join(folder, '1M'), large: join(folder, '20M') }
writeFileSync(files.small, Buffer.alloc(1024 * 1024, 'u'))
writeFileSync(files.large, Buffer.alloc(20 * 1024 * 1024, 'u'))
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await Promise.all([banyan.stop(), legacy.stop(), plain.stop(), tls.stop()])
})

/** Uploads a file with curl, which waits for no invitation. @returns the status and the body of the answer */
async function upload(path: string, file: string, more: readonly string[] = []): Promise<string> {
  const args = ['-sS', '-H', 'Expect:', ...more, '--data-binary', `@${file}`, '-w', ' %{http_code}']
  const { stdout } = await run('curl', [...args, `http://127.0.0.1:${banyan.port}${path}`])
  return stdout
}

describe.each([
  ['plain', '/'],
  ['tls', '/tls'],
] as const)('to a %s server', (_, path) => {
  test.each([
    ['of 1 MiB', files.small, 12, []],
    ['of 1 MiB in chunks', files.small, 12, ['-H', 'Transfer-Encoding: chunked']],
    ['of 20 MiB', files.large, 3, []],
  ] as const)('uploads %s get the answer, each time', async (_, file, times, more) => {
    const answers: string[] = []
    for (let i = 0; i < times; i++) answers.push(await upload(path, file, more))
    expect(answers).toEqual(Array.from({ length: times }, () => 'too much 413'))
  })

  test('a small chunked body whose last chunk is a write of its own', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 30; i++) {
      const client = await rawClient(banyan.port)
      await client.send(`POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`)
      await client.send('0\r\n\r\n')
      statuses.push((await client.nextResponse()).status)
    }
    expect(statuses).toEqual(Array.from({ length: 30 }, () => 413))
  })
})

test.each(['403 Forbidden', '413 Content Too Large', '501 Not Implemented'])(
  'early answers with %s open no breaker and eject no server',
  async (status) => {
    plain.answer = answerOf(status)
    for (let i = 0; i < 8; i++) expect(await upload('/guarded', files.small)).toBe(`too much ${status.slice(0, 3)}`)
    const client = await rawClient(banyan.port)
    expect((await client.ask('GET /guarded HTTP/1.1\r\nHost: a\r\n\r\n')).body.text).toBe('ok')
    const upstream = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/plain/servers`)).text()
    expect(JSON.parse(upstream).servers).toMatchObject([{ live: [{ failures: 0, ejections: 0 }] }])
    plain.answer = answerOf('413 Content Too Large')
  },
)

// Without a length the end of the connection is the end of the body, and a reset is none.
test('an early answer without a length: the status is delivered, and the transfer broken off where the server resets', async () => {
  plain.answer = 'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nno'
  // In any case: on a busy machine there may be nothing unread yet when it closes.
  plain.resets = true
  const client = await rawClient(banyan.port)
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n')
  await client.send(Buffer.alloc(1_000_000))
  const { text } = await client.readToEnd()
  expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
  expect(text).not.toMatch(/0\r\n\r\n$/)
  plain.resets = false
  plain.answer = answerOf('413 Content Too Large')
})
