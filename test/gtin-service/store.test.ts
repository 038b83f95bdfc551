/**
 * The store: what was written is found again, value by value; what is damaged is an error and never a wrong product.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import type { Product } from '../../gtin-service/source.ts'
import { ByteWriter } from '../../gtin-service/store/bytes.ts'
import { writeProduct } from '../../gtin-service/store/codec.ts'
import { Dictionary } from '../../gtin-service/store/dictionary.ts'
import { Generation } from '../../gtin-service/store/generation.ts'
import { GenerationWriter } from '../../gtin-service/store/generation-writer.ts'
import { DamagedGeneration } from '../../gtin-service/store/layout.ts'
import { folder } from './feed.ts'
import { SEED } from './raw.ts'

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

/** Writes products in order of key into a new file. */
function write(path: string, products: readonly Product[]): void {
  const writer = new GenerationWriter(path)
  const dictionary = new Dictionary()
  const out = new ByteWriter()
  for (const one of products) {
    out.length = 0
    writeProduct(out, one, dictionary)
    writer.add(one.key, out.bytes, 0, out.length)
  }
  writer.finish(dictionary)
}

async function opened(path: string, limitBytes?: number): Promise<Generation> {
  const generation = await Generation.open(path, limitBytes)
  onTestFinished(() => generation.close())
  return generation
}

/** As many products as asked for, with keys far and near. */
function many(count: number): Product[] {
  return Array.from({ length: count }, (_, i) => ({
    ...SEED,
    key: i * 12_347 + Math.floor(i / 100) * 2 ** 33,
    sku: String(i),
  }))
}

test('any products are found again as they were, and no others, whatever is kept in memory', async () => {
  const path = join(folder(), 'a')
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(product, { selector: (one) => one.key, maxLength: 200 }),
      fc.array(fc.nat(99_999_999_999_999), { maxLength: 20 }),
      fc.constantFrom(0, 10_000, 1_000_000),
      async (products, others, limitBytes) => {
        const sorted = products.toSorted((a, b) => a.key - b.key)
        write(path, sorted)
        const generation = await Generation.open(path, limitBytes)
        try {
          expect(generation.products).toBe(products.length)
          for (const one of products) expect(generation.find(one.key)).toEqual(one)
          const keys = new Set(products.map(({ key }) => key))
          for (const key of others) if (!keys.has(key)) expect(generation.find(key)).toBeNull()
          const records = generation.records()
          for (const one of sorted) {
            expect(records.next()).toBe(true)
            expect(generation.read(records.key, records.bytes, records.start, records.end)).toEqual(one)
          }
          expect(records.next()).toBe(false)
        } finally {
          await generation.close()
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('neighbours of every key are not found, over many blocks', async () => {
  const path = join(folder(), 'a')
  const products = many(3_000)
  write(path, products)
  const generation = await opened(path, 20_000)
  for (const { key } of products) {
    expect(generation.find(key)?.key).toBe(key)
    expect(generation.find(key + 1)).toBeNull()
    expect(generation.find(key - 1)).toBeNull()
  }
})

test('a store that was read into memory as a whole answers the same, and does not need its file', async () => {
  const path = join(folder(), 'a')
  const products = many(30_000)
  write(path, products)
  const generation = await opened(path, 100_000_000)
  generation.find(products[7_000]?.key as number)
  await generation.fill()
  writeFileSync(path, '')
  for (const one of products) expect(generation.find(one.key)).toEqual(one)
})

test('filling ends at what is damaged, whose lookups fail', async () => {
  const path = join(folder(), 'a')
  const products = many(100)
  write(path, products)
  const bytes = readFileSync(path)
  bytes[60] = (bytes[60] as number) ^ 1
  writeFileSync(path, bytes)
  const generation = await opened(path, 100_000_000)
  await expect(generation.fill()).rejects.toThrow(DamagedGeneration)
  expect(() => generation.find(products[0]?.key as number)).toThrow(DamagedGeneration)
})

test('a damaged byte anywhere is an error, or changes nothing: never another product', async () => {
  const path = join(folder(), 'a')
  const products = many(60)
  write(path, products)
  const sound = readFileSync(path)
  const found = new Set<string>()
  for (let at = 0; at < sound.length; at += 3) {
    const bytes = Buffer.from(sound)
    bytes[at] = (bytes[at] as number) ^ 0x40
    writeFileSync(path, bytes)
    let generation: Generation
    try {
      generation = await Generation.open(path)
    } catch (error) {
      expect(error).toBeInstanceOf(DamagedGeneration)
      found.add('open')
      continue
    }
    try {
      for (const one of products) expect(generation.find(one.key)).toEqual(one)
    } catch (error) {
      expect(error).toBeInstanceOf(DamagedGeneration)
      found.add('find')
    } finally {
      await generation.close()
    }
  }
  expect([...found].sort()).toEqual(['find', 'open'])
})

test.each([0, 10, 100, 1_000])('a file cut to %i bytes is refused', async (length) => {
  const path = join(folder(), 'a')
  write(path, many(60))
  truncateSync(path, length)
  await expect(Generation.open(path)).rejects.toThrow(DamagedGeneration)
})

test('a store of no products finds none', async () => {
  const path = join(folder(), 'a')
  write(path, [])
  const generation = await opened(path)
  expect(generation.find(1)).toBeNull()
  expect(generation.records().next()).toBe(false)
})

test('records must come in ascending order of key', () => {
  const writer = new GenerationWriter(join(folder(), 'a'))
  onTestFinished(() => writer.abort())
  writer.add(5, Buffer.alloc(1), 0, 1)
  expect(() => writer.add(5, Buffer.alloc(1), 0, 1)).toThrow(RangeError)
  expect(() => writer.add(4, Buffer.alloc(1), 0, 1)).toThrow(RangeError)
})

test('equal products are equal bytes, also with a dictionary that was read again', () => {
  fc.assert(
    fc.property(fc.array(product, { maxLength: 20 }), (products) => {
      const dictionary = new Dictionary()
      const first = new ByteWriter()
      for (const one of products) writeProduct(first, one, dictionary)
      const again = Dictionary.readLines(dictionary.linesFrom(0))
      const second = new ByteWriter()
      for (const one of products) writeProduct(second, one, again)
      expect(second.bytes.subarray(0, second.length)).toEqual(first.bytes.subarray(0, first.length))
    }),
  )
})

test('a full dictionary makes records longer, not wrong', async () => {
  const path = join(folder(), 'a')
  const products = Array.from({ length: 66_000 }, (_, key) => ({ ...SEED, key, description: `text ${key}` }))
  write(path, products)
  const generation = await opened(path, 1_000_000)
  for (let key = 0; key < 66_000; key += 331) expect(generation.find(key)).toEqual(products[key])
  expect(generation.find(65_999)).toEqual(products[65_999])
})

test('a product that is too large, or has no price, is refused and leaves nothing behind', () => {
  const out = new ByteWriter()
  const prices = Array.from({ length: 20_000 }, (_, i) => ({ store: String(i), regularRetail: 1, specialRetail: 1 }))
  expect(() => writeProduct(out, { ...SEED, prices }, new Dictionary())).toThrow(RangeError)
  expect(() => writeProduct(out, { ...SEED, originalRetail: 1.5 }, new Dictionary())).toThrow(RangeError)
  expect(() => writeProduct(out, { ...SEED, originalRetail: -1 }, new Dictionary())).toThrow(RangeError)
  expect(out.length).toBe(0)
})
