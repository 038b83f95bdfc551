/**
 * The interim source holds the catalog's products, with the catalog's values, and nothing else.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { represent } from '../../gtin-service/answer.ts'
import { checkDigit, readGtin } from '../../gtin-service/gtin.ts'
import type { Product } from '../../gtin-service/source.ts'
import { demoSource } from '../../gtin-service/source-demo.ts'
import { CATALOG_SIZE, gtinOf, isDiscontinued, money, productOf } from '../../legacy-mock/catalog.ts'
import { SEED } from './raw.ts'

const anyNumber = fc.integer({ min: 0, max: CATALOG_SIZE - 1 })
const anyDay = fc.integer({ min: 20_000, max: 25_000 })

test('the seed product has exactly the values of the contract, on any day', () => {
  fc.assert(
    fc.property(anyDay, (day) => {
      expect(demoSource(day).lookup(SEED.key)).toEqual(SEED)
    }),
  )
  expect(demoSource().lookup(SEED.key)).toEqual(SEED)
})

test('every product of the catalog is answered with its values, from the first to the last, on the same day', () => {
  const source = demoSource(21_000)
  fc.assert(
    fc.property(fc.oneof(anyNumber, fc.constantFrom(0, CATALOG_SIZE - 1)), (number) => {
      const legacy = productOf(number, 21_000)
      const found = source.lookup(readGtin(legacy.gtin) as number) as Product | null
      if (legacy.discontinued) {
        expect(found).toBeNull()
        return
      }
      const json = JSON.parse(represent('h', found as Product, '').body)
      expect(json).toEqual({
        host: 'h',
        gtin: legacy.gtin,
        sku: legacy.sku,
        size1: legacy.size1,
        size2: legacy.size2,
        style: legacy.style,
        originalRetail: money(legacy.originalCents),
        recommendRetail: money(legacy.recommendCents),
        subdivisionName: legacy.line.subdivisionName,
        className: legacy.line.className,
        subclassName: legacy.line.subclassName,
        description: legacy.description,
        color: legacy.color,
        supplierName: legacy.supplier.name,
        storeDetail: legacy.stores.map((price) => ({
          storeNumber: String(price.store),
          price: { regularRetail: money(price.regularCents), specialRetail: money(price.specialCents) },
        })),
      })
    }),
  )
})

test('a product off sale is not found on that day', () => {
  const day = 22_000
  let number = 0
  while (!isDiscontinued(number, day)) number++
  const key = readGtin(gtinOf(number)) as number
  expect(demoSource(day).lookup(key)).toBeNull()
  expect(demoSource().lookup(key)).not.toBeNull()
})

test('the carton of a product, and numbers the catalog does not have, are not found', () => {
  const source = demoSource()
  fc.assert(
    fc.property(anyNumber, fc.integer({ min: 1, max: 9 }), (number, indicator) => {
      const body = `${indicator}0${gtinOf(number).slice(0, -1)}`
      expect(source.lookup(readGtin(body + checkDigit(body)) as number)).toBeNull()
    }),
  )
  for (const key of [0, 17, 96385074, 12345678905, 4006381333931, 99_999_999_999_999]) {
    expect(source.lookup(key)).toBeNull()
  }
})
