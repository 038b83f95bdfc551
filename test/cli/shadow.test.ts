/**
 * `banyan shadow` against a running proxy with two workers: start, show, sample, ignore, stop.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { basisOf } from '../../src/control/figures/basis.ts'
import { readTable } from '../../src/rules/language/text.ts'
import type { Route } from '../../src/rules/table/table.ts'
import { FolderStore } from '../../src/state/store/folder-store.ts'
import { hourOf } from '../../src/state/store/store.ts'
import { startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'
import { banyan as command, type Ended } from './rig.ts'

const answering = (value: object) => (request: UpstreamRequest) => {
  const body = JSON.stringify(value)
  return request.send(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
}
const [legacy, modern] = await Promise.all([
  scriptedUpstream(answering({ price: 10, at: 'noon', gone: 1 })),
  scriptedUpstream(answering({ price: 12, at: 'one' })),
])
const table = `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  # lookups move first
  - { id: gtin-lookup, match: { path: /gtins/* }, to: modern, percent: 0 }
  - { id: kept, match: { path: /kept/* }, to: modern, percent: 0 }
  - { id: written, match: { path: /written/*, methods: [POST] }, to: modern, percent: 100 }
`
const folder = mkdtempSync(join(tmpdir(), 'banyan-shadow-'))
// Ten hours ago another instance has compared seven times.
mkdirSync(join(folder, 'routes.yaml'))
const store = new FolderStore(join(folder, 'routes.yaml'), () => null)
const read = readTable(table, 'routes.yaml')
const basis = read.ok ? basisOf(read.table.routes.find(({ id }) => id === 'kept') as Route) : null
const hour = hourOf(Date.now()) - 10
await store.add(
  'evidence',
  [{ group: 'kept', key: '', hour, counts: { comparisons: 7, matches: 7 } }],
  [{ group: 'kept', key: '', value: JSON.stringify({ basis, sinceMs: hour * 3_600_000 }) }],
)
await store.close()
const banyan = await startBanyan({
  table,
  args: ['--workers', '2', '--state', folder],
})
afterAll(async () => {
  await Promise.all([banyan.stop(), legacy.stop(), modern.stop()])
  rmSync(folder, { recursive: true })
})

const env = { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` }
const shadow = (...words: string[]): Promise<Ended> => command(['shadow', ...words], { env })
const shadowAt = (now: number, ...words: string[]): Promise<Ended> =>
  command(['shadow', ...words], { env, now: () => now })

test('from start to stop', async () => {
  expect(await shadow('show', 'gtin-lookup')).toMatchObject({
    code: 0,
    out: 'gtin-lookup: legacy against modern; shadow off\nno comparisons yet: banyan shadow start gtin-lookup\n',
  })
  expect((await shadow('start', 'gtin-lookup', '--percent', '100')).out).toBe(
    'gtin-lookup: shadow 100 % (revision 2)\n',
  )
  // Connections of their own, so that both workers serve some.
  for (let i = 0; i < 12; i++) {
    const client = await rawClient(banyan.port)
    await client.ask('GET /gtins/1 HTTP/1.1\r\nHost: a\r\n\r\n')
    client.socket.destroy()
    await vi.waitFor(async () => {
      const { comparisons } = JSON.parse((await shadow('show', 'gtin-lookup', '--json')).out)
      expect(comparisons).toBe(i + 1)
    }, 120_000)
  }
  const { out } = await shadow('show', 'gtin-lookup')
  expect(out).toMatch(/^gtin-lookup: legacy against modern; shadow 100 % of the requests that legacy answers$/m)
  // The repeats after a difference count too: a verdict never stands beside none.
  const [, times, random] =
    /^12 comparisons since \S+: 0 equal, 12 different; legacy asked again (\d+) times?, (\d+) at random$/m.exec(
      out,
    ) as RegExpExecArray
  expect(Number(times)).toBeGreaterThan(Number(random))
  expect(out).toMatch(/^\/price +value +\S+ +100 % .*number, 2 characters -> number, 2 characters$/m)
  expect(out).toMatch(/^\/gone +missing +\S+ +100 % .* -> missing$/m)
  const id = /banyan shadow sample (\S+)/.exec(out)?.[1] as string
  expect((await shadow('sample', id)).out).toMatch(/^GET \/gtins\/1 \(gtin-lookup, \S+\)$/m)
  await banyan.program.line((line) => line.includes('"event":"sample-read"') && line.includes(id))

  const at = await shadow('ignore', 'gtin-lookup', '/at', '--reason', 'time of day')
  expect([at.out, at.err]).toEqual([expect.stringMatching(/ignored: \/at \(/), ''])
  expect((await shadow('ignore', 'gtin-lookup', '/at')).err).toBe('')
  expect((await shadow('ignore', 'gtin-lookup', '/gone')).out).toMatch(/ignored: \/at, \/gone \(/)
  expect((await shadow('ignore', 'gtin-lookup', '/prise', '--dry-run')).err).toMatch(
    'banyan: no such field has differed so far: /prise',
  )
  const reset = await shadowAt(Date.now(), 'reset', 'gtin-lookup', '--reason', 'the price is mended')
  expect(reset).toMatchObject({ code: 0, err: '' })
  expect((await shadow('show', 'gtin-lookup')).out).toMatch(/^no comparisons yet$/m)
  expect((await shadow('stop', 'gtin-lookup')).out).toMatch(/^gtin-lookup: shadow off; ignored: \/at, \/gone /)
  expect((await shadow('start', 'gtin-lookup')).out).toMatch(/^gtin-lookup: shadow 1 %; ignored: \/at, \/gone /)
  expect(readFileSync(banyan.tableFile, 'utf8')).toContain('# lookups move first')
})

test('start says where nothing is copied', async () => {
  expect(await shadow('start', 'written')).toMatchObject({
    ...{ code: 0, out: expect.stringMatching(/^written: shadow 1 % /) },
    err: [
      'banyan: warning: shadow: copies nothing: at percent 100 no request is answered by from (write sides: to)',
      'banyan: warning: match.methods: shadow copies nothing: only GET and HEAD requests are copied\n',
    ].join('\n'),
  })
  expect((await shadow('stop', 'written')).err).toBe('')
})

test('show --since has what was found in that time, and show all of it', async () => {
  const counted = async (...words: string[]): Promise<string | undefined> =>
    (await shadow('show', 'kept', ...words)).out.split('\n')[1]
  expect(await counted()).toMatch(/^7 comparisons since \S+: 7 equal, 0 different/)
  expect(await counted('--since', '6h')).toBe('no comparisons yet: banyan shadow start kept')
  expect((await shadow('start', 'kept', '--percent', '100')).code).toBe(0)
  const client = await rawClient(banyan.port)
  await client.ask('GET /kept/1 HTTP/1.1\r\nHost: a\r\n\r\n')
  client.socket.destroy()
  await vi.waitFor(
    async () => expect(await counted()).toMatch(/^8 comparisons since \S+: 7 equal, 1 different/),
    120_000,
  )
  expect(await counted('--since', '6h')).toMatch(/^1 comparison since \S+: 0 equal, 1 different/)
  expect((await shadow('show', 'kept', '--since', '6h')).out).toMatch(/^\/price +value +\S+ +100 % /m)
  expect(await counted('--since', '12h')).toMatch(/^8 comparisons since /)
  const now = Date.now()
  const since = new Date(now - 12 * 3_600_000).toISOString()
  expect((await shadowAt(now, 'show', 'kept', '--since', since)).out).toMatch(/^8 comparisons since /m)
  const { comparisons } = JSON.parse((await shadow('show', 'kept', '--since', '2d', '--json')).out)
  expect(comparisons).toBe(8)
  expect(await shadow('show', 'kept', '--since', 'noon')).toMatchObject({
    ...{ code: 2, err: expect.stringContaining('--since noon: expected a duration') },
  })
})

test.each<[string[], number, RegExp]>([
  [['show', 'gtin-lookpu'], 1, /^banyan: unknown route "gtin-lookpu" \(did you mean `gtin-lookup`\?\)$/m],
  [['shwo', 'gtin-lookup'], 2, /unknown subcommand 'shwo': must be one of show, sample, start, stop, reset, ignore/],
  [['show'], 2, /usage: banyan shadow show ROUTE/],
  [['start', 'gtin-lookup', '--percent', '0'], 2, /invalid percent '0'.*; banyan shadow stop gtin-lookup ends it/],
  [['start', 'gtin-lookup', '--percent', 'x'], 2, /invalid percent 'x'/],
  [
    ['ignore', 'gtin-lookup', 'price'],
    1,
    /^banyan: shadow\.compare\.ignore\.\d: invalid path "price": expected \/name, status, body, charset, header:NAME or cookie:NAME/,
  ],
  [['sample', 'nothing'], 1, /^banyan: unknown sample "nothing": samples are few/],
])('%j exits with %d', async (words, code, message) => {
  const ended = await shadow(...words)
  expect(ended.err).toMatch(message)
  expect(ended.code).toBe(code)
})
