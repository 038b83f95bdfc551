/**
 * The main job with real processes: the legacy catalog wrapped, its GTIN lookup moved by percentage.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { type DemoProgram, startGtin, startLegacy } from '../support/demo.ts'
import { LookupClient, lookupTable } from '../support/lookup.ts'

let legacy: DemoProgram
let gtins: DemoProgram[]
const CLIENTS = Array.from({ length: 10_000 }, (_, i) => `client-${i}`)

beforeAll(async () => {
  const [first, ...others] = await Promise.all([
    startLegacy(['--latency', 'none']),
    startGtin(['--name', 'gtin-1']),
    startGtin(['--name', 'gtin-2']),
  ])
  legacy = first
  gtins = others
})

afterAll(async () => {
  await Promise.all([legacy, ...gtins].map((program) => program?.stop()))
})

const tableAt = (percent: number, more = ''): string =>
  lookupTable(
    legacy.port,
    gtins.map(({ port }) => port),
    percent,
    more,
  )

/** Runs `use` with a proxy on a table, and ends it. */
async function withBanyan(table: string, use: (banyan: Banyan, client: LookupClient) => Promise<void>): Promise<void> {
  const banyan = await startBanyan({ table, args: ['--access-log', 'json'] })
  const client = new LookupClient(banyan.port)
  try {
    await use(banyan, client)
  } finally {
    client.close()
    expect(await banyan.stop()).toBe(0)
  }
}

/** Resolves when the log says that a revision is in force, or that a table was refused. */
const revision = (banyan: Banyan, number: number): Promise<string> =>
  banyan.program.line((line) => line.includes('"event":"revision"') && line.includes(`"revision":${number},`))

function share(sides: ReadonlyMap<string, string | null>): number {
  return [...sides.values()].filter((side) => side === 'gtin').length / sides.size
}

/** Sets the percentage by the API, which must take it. */
async function patch(banyan: Banyan, percent: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/gtin-lookup`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ percent }),
  })
  expect(response.status, await response.text()).toBe(200)
}

test('10,000 clients at 25 %: the share is right, and each client stays on its side, across a restart too', async () => {
  let first = new Map<string, string | null>()
  await withBanyan(tableAt(25), async (_, client) => {
    first = await client.sides(CLIENTS)
    // Four standard deviations of a binomial draw: 25 % of 10,000 is 2,500 +- 173.
    expect(share(first)).toBeGreaterThan(0.2327)
    expect(share(first)).toBeLessThan(0.2673)
    expect(await client.sides(CLIENTS.slice(0, 1000))).toEqual(new Map([...first].slice(0, 1000)))
  })
  await withBanyan(tableAt(25), async (_, client) => {
    expect(await client.sides(CLIENTS.slice(0, 2000))).toEqual(new Map([...first].slice(0, 2000)))
  })
})

test('raising 5 -> 20 moves nobody back, and lowering it again removes the last added first', async () => {
  await withBanyan(tableAt(5), async (banyan, client) => {
    const some = CLIENTS.slice(0, 3000)
    const at5 = await client.sides(some)
    await patch(banyan, 20)
    const at20 = await client.sides(some)
    for (const [id, side] of at5) if (side === 'gtin') expect(at20.get(id), id).toBe('gtin')
    expect(share(at20)).toBeGreaterThan(share(at5))
    await patch(banyan, 5)
    expect(await client.sides(some)).toEqual(at5)
  })
})

test('0 and 100 are exact', async () => {
  await withBanyan(tableAt(0), async (banyan, client) => {
    const some = CLIENTS.slice(0, 1000)
    expect(share(await client.sides(some))).toBe(0)
    await patch(banyan, 100)
    expect(share(await client.sides(some))).toBe(1)
    expect((await client.get()).side, 'a client without a key').toBe('gtin')
  })
})

test('a request without any of the keys stays on the legacy, and the log says why', async () => {
  await withBanyan(tableAt(99), async (banyan, client) => {
    expect((await client.get()).side).toBe('legacy')
    const line = JSON.parse(await banyan.program.line((one) => one.includes('"reason":"no-key"')))
    expect(line).toMatchObject({
      method: 'GET',
      target: '/stores/3/gtins/123456789012',
      status: 200,
      route: 'gtin-lookup',
      upstream: 'legacy',
      server: `127.0.0.1:${legacy.port}`,
      bucket: null,
      cache: '-',
    })
    expect(line.bytes).toBeGreaterThan(400)
    expect(line.durationMs).toBeGreaterThan(0)
    expect(line.id).toMatch(/^\w+-\w+$/)
  })
})

test('editing the file under load loses no request, and each edit applies', async () => {
  await withBanyan(tableAt(10), async (banyan, client) => {
    let stop = false
    let answered = 0
    const load = Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let i = 0; !stop; i++) {
          const { status, side } = await client.get({ 'x-client-id': `${worker}-${i}` })
          expect(status).toBe(200)
          expect(side).not.toBeNull()
          answered++
        }
      }),
    )
    for (let n = 0; n < 6; n++) {
      const percent = n % 2 === 0 ? 60 : 10
      // As editors do, in turn: a new file over the old one, and the same file written anew.
      if (n % 2 === 0) {
        writeFileSync(`${banyan.tableFile}.new`, tableAt(percent))
        renameSync(`${banyan.tableFile}.new`, banyan.tableFile)
      } else writeFileSync(banyan.tableFile, tableAt(percent))
      await revision(banyan, n + 2)
    }
    stop = true
    await load
    expect(answered).toBeGreaterThan(100)
  })
})

test('an invalid edit changes nothing, is reported with its line, and the next good one applies', async () => {
  await withBanyan(tableAt(100), async (banyan, client) => {
    writeFileSync(banyan.tableFile, tableAt(0).replace('percent: 0', 'percnt: 0'))
    const refused = JSON.parse(await banyan.program.line((line) => line.includes('table-refused')))
    expect(refused.msg).toBe(`${banyan.tableFile}:14:5: routes.0.percnt: unknown key (did you mean \`percent\`?)`)
    expect((await client.get()).side).toBe('gtin')
    const ready = await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)
    expect(ready.status).toBe(200)
    expect(JSON.stringify(await ready.json())).toContain('percnt')
    writeFileSync(banyan.tableFile, tableAt(0))
    await revision(banyan, 2)
    expect((await client.get()).side).toBe('legacy')
  })
})

test('a percentage set by the API is in the file, with every other byte kept, and survives a restart', async () => {
  let text = ''
  await withBanyan(tableAt(5), async (banyan) => {
    await patch(banyan, 12.5)
    text = readFileSync(banyan.tableFile, 'utf8')
    expect(text).toBe(tableAt(5).replace('percent: 5 ', 'percent: 12.5 '))
  })
  await withBanyan(text, async (banyan) => {
    const route = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/gtin-lookup`)
    expect(await route.json()).toMatchObject({ percent: 12.5 })
  })
})

test('the legacy answers where the new service is gone, and the log calls it a fallback', async () => {
  const gone = await startGtin()
  await gone.stop()
  const table = lookupTable(legacy.port, [gone.port], 100, '    fallback: { on: [connect] }\n')
  await withBanyan(table, async (banyan, client) => {
    expect(await client.get()).toMatchObject({ status: 200, side: 'legacy' })
    const line = JSON.parse(await banyan.program.line((one) => one.includes('"reason":"fallback"')))
    expect(line).toMatchObject({ route: 'gtin-lookup', upstream: 'legacy', status: 200 })
  })
})

test('the cache keeps the two sides apart', async () => {
  await withBanyan(tableAt(100, '    cache: { ttl: 60s }\n'), async (banyan, client) => {
    const states: string[] = []
    for (let i = 0; i < 3; i++) expect((await client.get()).side).toBe('gtin')
    await patch(banyan, 0)
    expect((await client.get()).side).toBe('legacy')
    await patch(banyan, 100)
    expect((await client.get()).side).toBe('gtin')
    await banyan.program.line((line) => line.includes('"event":"admin-write"') && line.includes('"revision":3'))
    await banyan.program.line(() => banyan.log.filter((line) => line.includes('"cache":')).length === 5)
    for (const line of banyan.log) if (line.includes('"cache":')) states.push(JSON.parse(line).cache)
    // Taking the share back has purged what its side had answered.
    expect(states).toEqual(['miss', 'hit', 'hit', 'miss', 'miss'])
  })
})

test('SIGTERM lets a running exchange finish, then exits 0', async () => {
  const slow = await startLegacy(['--latency', 'none'])
  const banyan = await startBanyan({ table: lookupTable(slow.port, [slow.port], 0) })
  const answer = fetch(`http://127.0.0.1:${banyan.port}/reports/prices.csv?rows=2000`)
  const body = (await answer).text()
  const code = banyan.stop()
  expect((await body).length).toBeGreaterThan(10_000)
  expect(await code).toBe(0)
  await slow.stop()
})
