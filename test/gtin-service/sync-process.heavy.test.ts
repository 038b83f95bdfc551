/**
 * The sync as a process, against the enterprise product as a process: killed at any moment and resumed, cut off, on the
 * next day, and while a service reads.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Product } from '../../gtin-service/product.ts'
import type { SyncReport } from '../../gtin-service/sync/report.ts'
import { BASE_DAY, CATALOG_SIZE, gtinOf, productOf, SEED_NUMBER } from '../../legacy-mock/catalog.ts'
import { formatDay } from '../../legacy-mock/units.ts'
import { type DemoProgram, startGtin, startLegacy } from '../support/demo.ts'
import { folder, productsIn } from './feed.ts'
import { ask } from './raw.ts'

// Each starts several processes.
const MAIN = fileURLToPath(new URL('../../gtin-service/main.ts', import.meta.url))
const SAMPLE = 4_500
const NUMBERS = Array.from({ length: CATALOG_SIZE / SAMPLE }, (_, i) => (SEED_NUMBER % SAMPLE) + i * SAMPLE)
const DAYS = [BASE_DAY, BASE_DAY + 1, BASE_DAY + 400]

const legacies = new Map<number, DemoProgram>()
beforeAll(async () => {
  for (const day of DAYS) legacies.set(day, await startLegacy(['--latency', 'none', '--as-of', formatDay(day)]))
})
afterAll(async () => {
  await Promise.all([...legacies.values()].map((legacy) => legacy.stop()))
})

const fromOf = (day: number, query: string) => `http://127.0.0.1:${legacies.get(day)?.port}/?sample=${SAMPLE}${query}`

/** Starts `sync`; it is killed at the end of the test if it still runs. */
function start(data: string, from: string, ...flags: string[]) {
  const args = [MAIN, 'sync', '--data', data, '--from', from, '--json', ...flags]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk) => (out += chunk))
  child.stderr?.on('data', (chunk) => (err += chunk))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended }
}

/** Runs `sync` to its end, which must be a good one. */
async function synced(data: string, from: string, ...flags: string[]): Promise<SyncReport> {
  const { code, out, err } = await start(data, from, ...flags).ended
  expect({ code, err }).toEqual({ code: 0, err: expect.anything() })
  return JSON.parse(out) as SyncReport
}

/** The catalog of a day in our words, by key, in order. */
function catalogOf(day: number): Map<number, Product> {
  const products = NUMBERS.map((number) => productOf(number, day)).filter(({ discontinued }) => !discontinued)
  return new Map(products.map((product) => [Number(product.gtin), inOurWords(product)]))
}

function inOurWords({ gtin, line, supplier, stores, ...product }: ReturnType<typeof productOf>): Product {
  const { sku, size1, size2, style, description, color } = product
  return {
    ...{ key: Number(gtin), sku, size1, size2, style, description, color, supplier: supplier.name },
    ...{ originalRetail: product.originalCents, recommendRetail: product.recommendCents },
    ...{ subdivision: line.subdivisionName, class: line.className, subclass: line.subclassName },
    prices: stores.map(({ store, regularCents, specialCents }) => {
      return { store: String(store), regularRetail: regularCents, specialRetail: specialCents }
    }),
  }
}

test('a full load holds the feed, product by product', async () => {
  const data = folder()
  const report = await synced(data, fromOf(BASE_DAY, ''))
  expect(report).toMatchObject({ outcome: 'done', mode: 'full', asOf: '2026-01-01', products: NUMBERS.length })
  expect(productsIn(data)).toEqual(catalogOf(BASE_DAY))
})

test.each([BASE_DAY + 1, BASE_DAY + 400])('changes up to day %i: the same as a full load of that day', async (day) => {
  const data = folder()
  await synced(data, fromOf(BASE_DAY, ''))
  const report = await synced(data, fromOf(day, ''))
  expect(report).toMatchObject({ mode: 'incremental', since: '2026-01-01', asOf: formatDay(day) })
  const expected = catalogOf(day)
  expect(productsIn(data)).toEqual(expected)
  expect(report.merged?.removed).toBe(NUMBERS.length - expected.size)
})

test('killed at random moments and started again, ten times: the feed, product by product', async () => {
  const data = folder()
  const from = fromOf(BASE_DAY, '&checkpoint=128')
  // From before its first line of code through all of its reading, where each run goes on from the one before; then in the merge.
  const moments = Array.from({ length: 10 }, (_, i) => () => recordsIn(data) >= (i / 9) * NUMBERS.length)
  let resumed = 0
  for (const isReached of moments) {
    const { child, ended } = start(data, from, '--full')
    let isOver = false
    void ended.then(() => (isOver = true))
    await until(() => isOver || isReached())
    await sleep(Math.random() * 10)
    child.kill('SIGKILL')
    const { out } = await ended
    if (out !== '') expect(JSON.parse(out)).toMatchObject({ outcome: 'done' })
    if (recordsIn(data) > 0) resumed++
  }
  const report = await synced(data, from)
  expect(report.outcome).toBe('done')
  expect(productsIn(data)).toEqual(catalogOf(BASE_DAY))
  expect(resumed).toBeGreaterThan(0)
})

/** Records that the run in the folder has committed. */
function recordsIn(data: string): number {
  const path = join(data, 'sync.part')
  if (!existsSync(path)) return 0
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const { value } = database.prepare(`SELECT value FROM state WHERE name = 'run'`).get() ?? {}
    return (JSON.parse(String(value)) as { tally: { records: number } }).tally.records
  } catch {
    // It is about to begin, or has just ended.
    return 0
  } finally {
    database.close()
  }
}

test('killed at random moments of a day of changes: the products are those of before or of after, and in the end of after', async () => {
  const data = folder()
  await synced(data, fromOf(BASE_DAY, ''))
  const [before, after] = [catalogOf(BASE_DAY), catalogOf(BASE_DAY + 400)]
  for (let kills = 0; kills < 8; kills++) {
    const { child, ended } = start(data, fromOf(BASE_DAY + 400, ''))
    await sleep(Math.random() * 150 * (kills + 1))
    child.kill('SIGKILL')
    await ended
    const products = productsIn(data)
    expect(products).toEqual(products.size === before.size ? before : after)
  }
  await synced(data, fromOf(BASE_DAY + 400, ''))
  expect(productsIn(data)).toEqual(after)
})

test('a feed that is cut off again and again is read to its end', async () => {
  const data = folder()
  const report = await synced(data, fromOf(BASE_DAY, '&checkpoint=256&cut=1500'))
  expect(report).toMatchObject({ outcome: 'done', products: NUMBERS.length, feed: { records: NUMBERS.length } })
  expect(report.retries).toBeGreaterThanOrEqual(2)
  expect(productsIn(data)).toEqual(catalogOf(BASE_DAY))
})

test('bad records are rejected, counted, and nothing else is lost', async () => {
  const data = folder()
  const report = await synced(data, fromOf(BASE_DAY, '&defects=on'), '--no-gzip')
  const { rejected, mended, records } = report.feed
  const count = (reason: keyof typeof rejected) => rejected[reason]?.count ?? 0
  const lost = count('check-digit') + count('unknown-code') + count('missing-field')
  expect(lost).toBeGreaterThan(0)
  expect(mended).toBeGreaterThan(0)
  expect(records).toBe(NUMBERS.length + count('duplicate'))
  expect(report.products).toBe(NUMBERS.length - lost)
  const expected = catalogOf(BASE_DAY)
  let differing = 0
  for (const [key, product] of productsIn(data)) {
    if (JSON.stringify(product.description) !== JSON.stringify(expected.get(key)?.description)) differing++
    expect({ ...product, description: '' }).toEqual({ ...expected.get(key), description: '' })
  }
  expect(differing).toBe(mended)
})

test('SIGTERM ends a run; the next one goes on', async () => {
  const data = folder()
  const from = fromOf(BASE_DAY, '&checkpoint=128&cut=1000')
  const { child, ended } = start(data, from)
  await until(() => recordsIn(data) > 0)
  child.kill('SIGTERM')
  const { code, out } = await ended
  if (code === 0) expect(JSON.parse(out)).toMatchObject({ outcome: 'done' })
  else expect(JSON.parse(out)).toMatchObject({ outcome: 'stopped', why: expect.stringMatching(/^interrupted/) })
  expect(await synced(data, from)).toMatchObject({ outcome: 'done', products: NUMBERS.length })
})

describe('the command line', () => {
  test.each([
    ['--from', []],
    ['--from', ['--from', 'ftp://a']],
    ['--max-drop', ['--from', 'http://a', '--max-drop', '5']],
    ['--every', ['--from', 'http://a', '--every=1ms']],
    ['--full', ['--from', 'http://a', '--full=yes']],
  ])('a mistake is one line that names it (%s), and exit status 2', async (name, args) => {
    const child = spawn(process.execPath, [MAIN, 'sync', ...args], { stdio: 'pipe' })
    let err = ''
    child.stderr.on('data', (chunk) => (err += chunk))
    expect(await once(child, 'close')).toEqual([2, null])
    expect(err).toMatch(/^gtin-service: [^\n]+\n$/)
    expect(err).toContain(name)
  })

  test('the data goes to gtin-data where no folder is given', async () => {
    const cwd = folder()
    const child = spawn(process.execPath, [MAIN, 'sync', '--from', fromOf(BASE_DAY, '')], { cwd, stdio: 'ignore' })
    expect(await once(child, 'close')).toEqual([0, null])
    expect(productsIn(join(cwd, 'gtin-data')).size).toBe(NUMBERS.length)
  })

  test('--every runs on, and SIGTERM ends it with 0', async () => {
    const data = folder()
    const { child, ended } = start(data, fromOf(BASE_DAY, ''), '--every', '1h')
    await until(() => existsSync(join(data, 'last-sync.json')))
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 0 })
  })

  test('a feed that is not there ends with 1 and the reason', async () => {
    const { code, out } = await start(folder(), fromOf(BASE_DAY, '').replace('/?', '/nowhere?')).ended
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/codes: status 404/) })
  })
})

describe('a service that follows the folder', () => {
  const target = `/stores/3/gtins/${gtinOf(SEED_NUMBER)}`

  test('is unready without data, serves it once it is there, and what came after it', async () => {
    const data = folder()
    const service = await startGtin(['--data', data, '--name', 's', '--drain-delay', '1ms'])
    onTestFinished(async () => void (await service.stop()))
    // Another follower of the same files.
    const second = await startGtin(['--data', data, '--name', 's', '--drain-delay', '1ms'])
    onTestFinished(async () => void (await second.stop()))
    expect(await ask(service.port, 'GET', '/stores/health/gtins/check')).toMatchObject({
      status: 503,
      body: 'no data yet: run a sync',
    })
    expect((await ask(service.port, 'GET', target)).status).toBe(503)
    await synced(data, fromOf(BASE_DAY, ''))
    await until(async () => (await ask(service.port, 'GET', target)).status === 200)
    const health = await ask(service.port, 'GET', '/stores/health/gtins/check')
    expect(health).toMatchObject({ status: 200, body: 'Healthy', headers: { 'data-as-of': '2026-01-01' } })
    expect(Number(health.headers['data-age'])).toBeLessThan(60)

    const later = catalogOf(BASE_DAY + 400)
    const number = NUMBERS.find((one) => !later.has(Number(gtinOf(one)))) as number
    const removed = `/stores/3/gtins/${gtinOf(number)}`
    expect((await ask(service.port, 'GET', removed)).status).toBe(200)
    const syncing = synced(data, fromOf(BASE_DAY + 400, ''))
    await until(async () => {
      const { status } = await ask(service.port, 'GET', removed)
      expect([200, 404]).toContain(status)
      return status === 404
    })
    await syncing
    await until(async () => (await ask(second.port, 'GET', removed)).status === 404)
    expect((await ask(second.port, 'GET', target)).body).toBe((await ask(service.port, 'GET', target)).body)
    const metrics = await ask(service.port, 'GET', '/metrics')
    expect(metrics.body).toMatch(new RegExp(`^gtin_data_products ${later.size}$`, 'm'))
    expect(metrics.body).toMatch(/^gtin_data_info\{generation="gtin-000001\.db",as_of="2027-02-05"\} 1$/m)
    expect(metrics.body).toMatch(/^gtin_data_age_seconds \d/m)
    expect(metrics.body).toMatch(/^gtin_ready 1$/m)
  })

  test('is unready when the data is too old', async () => {
    const data = folder()
    await synced(data, fromOf(BASE_DAY, ''))
    const service = await startGtin(['--data', data, '--stale-after', '1ms', '--drain-delay', '1ms'])
    onTestFinished(async () => void (await service.stop()))
    const health = await ask(service.port, 'GET', '/stores/health/gtins/check')
    expect(health).toMatchObject({ status: 503, body: expect.stringMatching(/^stale: data as of 2026-01-01/) })
    expect((await ask(service.port, 'GET', target)).status).toBe(200)
  })
})

/** Looks again and again until it is so. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(5)
}
