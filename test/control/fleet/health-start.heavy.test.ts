/**
 * Servers that come while requests run, where health checks have the first word: nothing before the first good check, however
 * they come; and where the checks are taken away, nothing that they have said counts.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { nameServer } from '../../support/dns.ts'
import { type Load, startLoad } from '../../support/load.ts'

const ended: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end()
})

/** A server with a health check that the test decides. */
interface Checked {
  readonly url: string
  readonly port: number
  /** What /hc answers; `hangs` answers nothing. */
  says: number | 'hangs'
  /** Other requests than /hc. */
  asked: number
}

async function checked(says: Checked['says'], host = '127.0.0.1', port = 0): Promise<Checked> {
  const held: ServerResponse[] = []
  const server = createServer((req, res) => {
    if (req.url !== '/hc') {
      one.asked++
      res.end('ok')
    } else if (one.says === 'hangs') held.push(res)
    else res.writeHead(one.says).end()
  })
  server.listen(port, host)
  await once(server, 'listening')
  ended.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const at = (server.address() as AddressInfo).port
  const one: Checked = { url: `http://${host}:${at}`, port: at, says, asked: 0 }
  return one
}

const CHECKS = 'health: { path: /hc, every: 60ms, jitter: 0, timeout: 30s, up: 1, down: 1, start: unhealthy }'
const tableOf = (urls: readonly string[], more: string): string => `version: 1
upstreams:
  n:
    servers: [${urls.map((url) => `"${url}"`).join(', ')}]
    ${more}
default: n
`

async function proxyFor(table: string, ...args: string[]): Promise<Banyan> {
  const banyan = await startBanyan({ table, args })
  ended.push(() => banyan.stop())
  return banyan
}

function loadOn(banyan: Banyan): Load {
  const load = startLoad(banyan.port, 4, () => ({ path: '/' }))
  ended.push(() => load.stop())
  return load
}

const said = (banyan: Banyan, ...words: string[]): Promise<string> =>
  banyan.program.line((line) => words.every((word) => line.includes(word)))

const put = async (banyan: Banyan, id: string, body: object): Promise<void> => {
  const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/n/servers/${id}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(answer.status).toBe(201)
}

const ways: [string, (banyan: Banyan, good: Checked, came: Checked) => Promise<unknown>][] = [
  [
    'by the file',
    (banyan, good, came) => {
      writeFileSync(banyan.tableFile, tableOf([good.url, came.url], CHECKS))
      return said(banyan, '"revision":2')
    },
  ],
  ['by PUT', (banyan, _good, came) => put(banyan, 'came', { url: came.url })],
  ['by a lease', (banyan, _good, came) => put(banyan, 'came', { url: came.url, ttl: '1h' })],
]

describe.each(['0', '2'])('with %s workers', (workers) => {
  test.each(ways)('a server that comes %s gets nothing before its first good check', async (_, join) => {
    const [good, came] = [await checked(200), await checked('hangs')]
    const banyan = await proxyFor(tableOf([good.url], CHECKS), '--workers', workers)
    await said(banyan, `server 127.0.0.1:${good.port} is healthy`)
    const load = loadOn(banyan)
    await load.more(50)
    await join(banyan, good, came)
    await load.more(300)
    expect(came.asked).toBe(0)
    came.says = 200
    const known = await checked(503)
    await put(banyan, 'other', { url: known.url })
    await load.more(300)
    expect([came.asked, known.asked], 'the hanging probe is still under way').toEqual([0, 0])
    known.says = 200
    await said(banyan, 'server other is healthy')
    await load.more(300)
    expect(known.asked).toBeGreaterThan(0)
    expect(load.outcomes.every(({ status }) => status === 200)).toBe(true)
  })

  test('without health checks nothing that they have said counts any more', async () => {
    const [good, wrong] = [await checked(200), await checked(404)]
    const banyan = await proxyFor(
      tableOf([good.url, wrong.url], CHECKS.replace('start: unhealthy', 'start: healthy')),
      '--workers',
      workers,
    )
    await said(banyan, `server 127.0.0.1:${wrong.port} is unhealthy`)
    const load = loadOn(banyan)
    await load.more(50)
    writeFileSync(banyan.tableFile, tableOf([good.url, wrong.url], 'ejection: {}'))
    await said(banyan, '"revision":2')
    wrong.asked = 0
    await load.more(200)
    expect(wrong.asked).toBeGreaterThan(0)
    const told = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/n`)).json()
    expect((told as { live: { servers: { state: string }[] } }).live.servers.map(({ state }) => state)).toEqual([
      'up',
      'up',
    ])
  })
})

test('at the start: who is healthy gets it all as soon as that is known', async () => {
  const [good, bad] = [await checked(200), await checked('hangs')]
  const banyan = await proxyFor(tableOf([good.url, bad.url], CHECKS))
  await said(banyan, `server 127.0.0.1:${good.port} is healthy`)
  const before = bad.asked
  const load = loadOn(banyan)
  await load.more(100)
  expect(bad.asked).toBe(before)
})

test('an address that a name newly has gets nothing before its first good check', async () => {
  const good = await checked(200, '127.0.0.2')
  const came = await checked(503, '127.0.0.3', good.port)
  const names = await nameServer(1)
  ended.push(() => names.stop())
  names.zone = new Map([['n.banyan.test', ['127.0.0.2']]])
  const banyan = await proxyFor(tableOf([`http://n.banyan.test:${good.port}`], CHECKS), '--dns-servers', names.address)
  await said(banyan, '"address":"127.0.0.2"', 'is healthy')
  const load = loadOn(banyan)
  await load.more(50)
  names.zone = new Map([['n.banyan.test', ['127.0.0.2', '127.0.0.3']]])
  await said(banyan, 'n.banyan.test is 127.0.0.2, 127.0.0.3')
  await load.more(200)
  expect(came.asked).toBe(0)
})
