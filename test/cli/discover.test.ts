/**
 * `banyan discover` and `banyan routes add` against a running proxy with two workers.
 */
import { readFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { banyan as command, type Ended } from './rig.ts'

const SECRET = 'canary'
const legacy = await scriptedUpstream((request) => {
  const status = request.target.startsWith('/wp-') ? '404 Not Found' : '200 OK'
  return request.send(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`)
})
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  stores: { servers: ["http://127.0.0.1:${legacy.port}"] }
default: legacy
# the first one moves soon
`,
  args: ['--workers', '2'],
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop()]))

const run = (...words: string[]): Promise<Ended> =>
  command(words, { env: { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` } })

async function ask(target: string, agent = 'job/1.2', method = 'GET'): Promise<void> {
  const client = await rawClient(banyan.port)
  await client.ask(`${method} ${target} HTTP/1.1\r\nHost: a\r\nUser-Agent: ${agent}\r\n\r\n`)
  client.socket.destroy()
}

test('from a request to a route at 0 %', async () => {
  expect((await run('discover')).out).toMatch(/^0 requests without a route since /)
  // Connections of their own, so that both workers serve some.
  for (let store = 1; store <= 12; store++) await ask(`/stores/${store}/hours?token=${SECRET}`)
  for (let page = 1; page <= 3; page++) await ask('/search;jsessionid=canary', 'curl/8')
  await ask('/stores/1/orders', 'curl/8', 'POST')
  await ask('/wp-admin.php', 'scanner')
  await ask('/a/../b')
  for (const hostile of ['/<script>alert(1)</script>', `/${'x'.repeat(7000)}`, '/%1b[2J%00/{id}']) await ask(hostile)

  const { out } = await run('discover')
  const [title, ...lines] = out.split('\n')
  expect(title).toMatch(/^21 requests without a route since \d{4}-\d\d-\d\d \d\d:\d\d$/)
  const cells = lines.map((line) => line.split(/ {2,}/))
  expect(cells[0]).toEqual(['ID', 'ENDPOINT', 'REQUESTS', 'SHARE', '5XX', 'MEAN', 'ROUTE'])
  const [id = '', ...first] = cells[1] as string[]
  expect([id, ...first]).toEqual([
    ...[expect.stringMatching(/^[0-9a-f]{6}$/), 'GET /stores/:id/hours', '12', '57.1 %', '0 %'],
    ...[expect.stringMatching(/^\d+ ms$/), '-'],
  ])
  expect(cells[2]?.slice(1, 3)).toEqual(['GET /search', '3'])
  expect(out).toContain('refused or not answered: 1 requests\npaths with two readings: 2 requests\n')
  expect(out).not.toMatch(/canary|script|\x1b|x{40}/)
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)

  const one = (await run('discover', id)).out
  expect(one).toMatch(/^GET \/stores\/:id\/hours \([0-9a-f]{6}\)\nrequests {3}12, 57\.1 % of those without a route\n/)
  expect(one).toMatch(/^CALLER +NETWORK +REQUESTS +LAST\njob +127\.0\.0\.0\/24 +12 /m)
  const { endpoints } = JSON.parse((await run('discover', '--json')).out)
  expect(endpoints[0]).toMatchObject({ id, statuses: { '2xx': 12 }, callers: [{ agent: 'job', requests: 12 }] })

  expect((await run('routes', 'add', '--endpoint', id, '--dry-run')).out).toContain('+  - id: stores-hours')
  expect((await run('routes', 'add', '--endpoint', id)).out).toBe(
    'stores-hours: GET /stores/:id/hours, 0 % to stores (revision 2)\ncompare both sides: banyan shadow start stores-hours\n',
  )
  const text = readFileSync(banyan.tableFile, 'utf8')
  expect(text).toContain('# the first one moves soon')
  expect(text).toMatch(/- id: stores-hours\n {4}match: \{ path: \/stores\/:id\/hours, methods: \[GET, HEAD\] \}/)
  expect((await run('routes', 'add', '--endpoint', id)).err).toContain(
    'GET /stores/:id/hours has a route by now: stores-hours',
  )
  await ask('/stores/1/hours')
  const after = (await run('discover')).out
  expect(after).not.toContain('hours')
  expect(after).toContain('1 that has a route by now: --all\n')
  expect((await run('discover', '--all', '--since', '2d')).out).toMatch(/GET \/stores\/:id\/hours .* stores-h…$/m)
})

test.each<[string[], number, RegExp]>([
  [['discover', 'ffffff'], 1, /^banyan: unknown endpoint "ffffff": "banyan discover" lists those of the last 30 days/],
  [['discover', '--since', 'monday'], 2, /--since monday: expected a duration/],
  [['routes', 'add', '--endpoint', 'ffffff'], 1, /unknown endpoint "ffffff"/],
  [['routes', 'ad', '--endpoint', 'ffffff'], 2, /--endpoint is for banyan routes add/],
  [['routes', 'add', '--to', 'stores'], 2, /missing --endpoint: banyan discover lists them/],
])('%j exits with %d', async (words, code, message) => {
  const ended = await run(...words)
  expect(ended.err).toMatch(message)
  expect(ended.code).toBe(code)
})
