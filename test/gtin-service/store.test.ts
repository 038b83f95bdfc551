/**
 * The store: what was written is found again, value by value; what is damaged is an error and never a wrong product, nor none.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { Data } from '../../gtin-service/data.ts'
import { checkDigit, gtinText } from '../../gtin-service/gtin.ts'
import { type Product, productOf, recordOf } from '../../gtin-service/product.ts'
import { Store } from '../../gtin-service/store.ts'
import { folder, storeOf } from './feed.ts'
import { ask, SEED, serve } from './raw.ts'

const text = fc.oneof(
  fc.constantFrom('', 'SMALL', '4', 'żółw "\\', '0', '000', '0123456'),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.stringMatching(/^[0-9]{1,20}$/),
)
const cents = fc.oneof(fc.nat(100_000), fc.maxSafeNat())
const product = fc.record({
  key: fc.nat(99_999_999_999_999),
  sku: text,
  size1: text,
  size2: text,
  style: text,
  originalRetail: cents,
  recommendRetail: cents,
  subdivision: text,
  class: text,
  subclass: text,
  description: fc.oneof(
    text,
    fc.string({ minLength: 100, maxLength: 400 }).filter((s) => s.isWellFormed()),
  ),
  color: text,
  supplier: text,
  prices: fc.array(fc.record({ store: text, regularRetail: cents, specialRetail: cents }), { maxLength: 5 }),
}) satisfies fc.Arbitrary<Product>

const pathIn = (data: string): string => join(data, 'gtin-000001.db')

function opened(data: string): Store {
  const store = new Store(pathIn(data))
  onTestFinished(() => store.close())
  return store
}

/** As many products as asked for, with keys far and near. */
function many(count: number): Product[] {
  return Array.from({ length: count }, (_, i) => ({
    ...SEED,
    key: i * 12_347 + Math.floor(i / 100) * 2 ** 33,
    sku: String(i),
  }))
}

test('a record tells the whole product', () => {
  fc.assert(
    fc.property(product, (one) => {
      expect(productOf(one.key, recordOf(one))).toEqual(one)
    }),
  )
})

test('any products are found again as they were, and no others', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(product, { selector: (one) => one.key, maxLength: 200 }),
      fc.array(fc.nat(99_999_999_999_999), { maxLength: 20 }),
      (products, others) => {
        const data = storeOf(products)
        const store = new Store(pathIn(data))
        try {
          expect(store.facts().products).toBe(products.length)
          for (const one of products) expect(store.find(one.key)).toEqual(one)
          const keys = new Set(products.map(({ key }) => key))
          for (const key of others) if (!keys.has(key)) expect(store.find(key)).toBeNull()
        } finally {
          store.close()
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('neighbours of every key are not found, over many pages', () => {
  const products = many(3_000)
  const store = opened(storeOf(products))
  for (const { key } of products) {
    expect(store.find(key)?.key).toBe(key)
    expect(store.find(key + 1)).toBeNull()
    expect(store.find(key - 1)).toBeNull()
  }
})

test('a damaged byte anywhere is an error, or changes nothing: never another product, and never none', () => {
  const products = many(60)
  const data = storeOf(products)
  const path = pathIn(data)
  const sound = readFileSync(path)
  const found = new Set<string>()
  for (let at = 0; at < sound.length; at += 101) {
    const bytes = Buffer.from(sound)
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8))
    writeFileSync(path, bytes)
    let store: Store
    try {
      store = new Store(path)
    } catch {
      found.add('open')
      continue
    }
    for (const one of products) {
      let is: Product | null
      try {
        is = store.find(one.key)
      } catch {
        found.add('find')
        continue
      }
      expect(is, `byte ${at}`).toEqual(one)
    }
    store.close()
  }
  expect([...found].sort()).toEqual(['find', 'open'])
})

test.each([0, 10, 100, 1_000])('a file cut to %i bytes is refused', (length) => {
  const data = storeOf(many(60))
  truncateSync(pathIn(data), length)
  expect(() => new Store(pathIn(data))).toThrow()
})

test('a store of no products finds none', () => {
  const store = opened(storeOf([]))
  expect(store.find(1)).toBeNull()
  expect(() => store.probe()).not.toThrow()
})

test('a store of another format is refused by name', () => {
  const data = storeOf([SEED])
  const database = new DatabaseSync(pathIn(data))
  database.exec('PRAGMA user_version = 2')
  database.close()
  expect(() => new Store(pathIn(data))).toThrow(/format 2, this version reads 1/)
})

/** A service on a folder. */
async function serving(data: string) {
  const reports: string[] = []
  const report = (error: unknown) => void reports.push((error as Error).message)
  const source = new Data({ folder: data, pollMs: 5, report })
  const { port } = await serve({ source, report })
  const statusOf = async ({ key }: Product) => (await ask(port, 'GET', `/stores/3/gtins/${gtinText(key)}`)).status
  return { port, reports, statusOf, source }
}

/** As many products with GTINs that can be asked for. */
function askable(count: number): Product[] {
  return Array.from({ length: count }, (_, i) => {
    const body = String(12_345_678_901 + i)
    return { ...SEED, key: Number(`${body}${checkDigit(body)}`) }
  })
}

test('one damaged record: 503 for it and nobody else, told in the log, in the metrics, by health and to the sync', async () => {
  const products = askable(50)
  const data = storeOf(products)
  const [victim, ...others] = products as [Product, ...Product[]]
  const database = new DatabaseSync(pathIn(data))
  database.prepare(`UPDATE products SET record = replace(record, 'fuzzy', 'fuzzz') WHERE gtin = ?`).run(victim.key)
  database.close()
  const { port, reports, statusOf } = await serving(data)
  for (let times = 0; times < 3; times++) expect(await statusOf(victim)).toBe(503)
  for (const one of others) expect(await statusOf(one)).toBe(200)
  expect(reports).toEqual([`the record of ${victim.key} is damaged`])
  const health = await ask(port, 'GET', '/stores/health/gtins/check')
  expect(health).toMatchObject({ status: 200, body: 'Healthy', headers: { 'data-damaged': '1' } })
  expect((await ask(port, 'GET', '/metrics')).body).toMatch(/^gtin_data_damaged_products 1$/m)
  expect(readFileSync(join(data, 'damaged'), 'utf8')).toMatch(/is damaged/)
})

test.each([0, 1])('a product whose key is damaged in tree %i of two is damaged, not unknown', async (tree) => {
  const data = storeOf([SEED])
  const bytes = readFileSync(pathIn(data))
  // In the records' tree the key stands as a varint, in that of the checksums as a number of six bytes.
  const key = Buffer.from([tree === 0 ? varint(SEED.key) : sixBytes(SEED.key)].flat())
  const at = bytes.indexOf(key)
  expect(at).toBeGreaterThan(0)
  bytes[at + key.length - 1]! ^= 1
  writeFileSync(pathIn(data), bytes)
  const { statusOf } = await serving(data)
  expect(await statusOf(SEED)).toBe(503)
})

/** Seven bits to a byte, all but the last with the highest bit set. */
function varint(value: number): number[] {
  const digits = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(128 + (rest % 128))
  return digits
}

function sixBytes(value: number): number[] {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  return [...bytes]
}

test.each([
  ['to nothing', 0],
  ['in half', 0.5],
  ['by a page', 0.99],
])('a data file that is cut %s under a running service: health says so', async (_, share) => {
  const products = askable(3_000)
  const data = storeOf(products)
  const { port, statusOf } = await serving(data)
  expect(await statusOf(products[0] as Product)).toBe(200)
  truncateSync(pathIn(data), Math.floor((readFileSync(pathIn(data)).length * share) / 4_096) * 4_096)
  expect(await ask(port, 'GET', '/stores/health/gtins/check')).toMatchObject({
    status: 503,
    body: expect.stringMatching(/^the data can't be read: /),
  })
  expect((await ask(port, 'GET', '/metrics')).body).toMatch(/^gtin_ready 0$/m)
})

test('a data file that is overwritten under a running service: health says so', async () => {
  const products = askable(3_000)
  const data = storeOf(products)
  const { port } = await serving(data)
  const { length } = readFileSync(pathIn(data))
  writeFileSync(pathIn(data), Buffer.alloc(length, 0x5a))
  const health = await ask(port, 'GET', '/stores/health/gtins/check')
  expect(health).toMatchObject({ status: 503, body: expect.stringMatching(/^the data can't be read: /) })
})

test('a folder that is not there, and a file that is no store, are trouble in one line', async () => {
  const missing = new Data({ folder: join(folder(), 'none') })
  onTestFinished(() => missing.close())
  expect(missing.trouble()).toBe('no data yet: run a sync')
  expect(() => missing.find(1)).toThrow(/no data yet/)
  const data = folder()
  writeFileSync(pathIn(data), 'this is no database, and long enough to be looked at as if it were one'.repeat(100))
  const reports: unknown[] = []
  const broken = new Data({ folder: data, pollMs: 1, report: (error) => reports.push(error) })
  onTestFinished(() => broken.close())
  broken.look()
  expect(broken.trouble()).toMatch(/^no data: /)
  expect(reports).toHaveLength(1)
})
