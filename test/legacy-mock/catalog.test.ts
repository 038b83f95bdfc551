/**
 * The catalog: numbers, GTINs and SKUs belong together one to one, and a product is always the same.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BASE_DAY,
  CATALOG_SIZE,
  changedDayOf,
  gtinOf,
  isDiscontinued,
  numberOfGtin,
  numberOfSku,
  productOf,
  SEED_NUMBER,
  skuOf,
} from '../../legacy-mock/catalog.ts'
import { answerOf } from '../../legacy-mock/lookup.ts'

const number = fc.integer({ min: 0, max: CATALOG_SIZE - 1 })
const day = fc.integer({ min: BASE_DAY, max: BASE_DAY + 3_000 })

/** The check digit by the book, digit by digit from the right (GS1 General Specifications, section 7.9.1). */
function hasCheckDigit(gtin: string): boolean {
  const sum = [...gtin].reverse().reduce((total, digit, at) => total + Number(digit) * (at % 2 === 0 ? 1 : 3), 0)
  return sum % 10 === 0
}

describe('numbers', () => {
  test('every number has a GTIN-12 with its check digit, and finds its way back', () => {
    fc.assert(
      fc.property(number, (n) => {
        expect(gtinOf(n)).toMatch(/^\d{12}$/)
        expect(hasCheckDigit(gtinOf(n))).toBe(true)
        expect(numberOfGtin(gtinOf(n))).toBe(n)
        expect(skuOf(n)).toMatch(/^\d{10}$/)
        expect(numberOfSku(skuOf(n))).toBe(n)
      }),
      { numRuns: 2_000 },
    )
  })

  test('GTINs and SKUs ascend with the numbers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: CATALOG_SIZE - 2 }), (n) => {
        expect(gtinOf(n) < gtinOf(n + 1)).toBe(true)
        expect(skuOf(n) < skuOf(n + 1)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a GTIN that is found is the one of the product found', () => {
    const near = fc.tuple(number, fc.integer({ min: -2_000, max: 2_000 })).map(([n, by]) => Number(gtinOf(n)) + by)
    const any = fc.oneof(near, fc.integer({ min: 0, max: 999_999_999_999 }))
    fc.assert(
      fc.property(any, (value) => {
        const gtin = String(value).padStart(12, '0')
        const found = numberOfGtin(gtin)
        if (found !== null) expect(gtinOf(found)).toBe(gtin)
      }),
      { numRuns: 5_000 },
    )
  })

  test.each(['', '12345678901', '123456789013', '0123456789012', '12345678901a', ' 23456789012', '000000000000'])(
    'no product has the GTIN %j',
    (gtin) => expect(numberOfGtin(gtin)).toBeNull(),
  )

  test.each([-1, CATALOG_SIZE, 1.5, Number.NaN])('%d is no product number', (n) => {
    expect(() => gtinOf(n)).toThrow(RangeError)
    expect(() => productOf(n)).toThrow(RangeError)
  })
})

describe('products', () => {
  test('the seed product has exactly the values of the contract, on any day', () => {
    expect(numberOfGtin('123456789012')).toBe(SEED_NUMBER)
    fc.assert(
      fc.property(day, (on) => {
        const product = productOf(SEED_NUMBER, on)
        expect(product.discontinued).toBe(false)
        expect(answerOf(product, '3')).toEqual({
          gtin: '123456789012',
          sku: '1234567890',
          size1: 'SMALL',
          size2: '4',
          style: '0123456',
          originalRetail: '140.00',
          recommendRetail: '160.00',
          subdivisionName: "WOMEN'S SWEATERS",
          className: 'SWEATERS',
          subclassName: 'FUZZY (2-4MM)',
          description: 'A warm fuzzy sweater.',
          color: 'FUSCHIA SA',
          supplierName: 'iSWEATR',
          storeDetail: [{ storeNumber: '3', price: { regularRetail: '120.00', specialRetail: '15.00' } }],
        })
      }),
    )
  })

  test('each is complete, and its prices are in order', () => {
    fc.assert(
      fc.property(number, day, (n, on) => {
        const product = productOf(n, on)
        expect(productOf(n, on)).toEqual(product)
        for (const text of [product.size1, product.description, product.color, product.supplier.name]) {
          expect(text).toMatch(/^[\x20-\x7e]+$/)
        }
        expect(product.color.length).toBeLessThanOrEqual(10)
        expect(product.style).toMatch(/^\d{7}$/)
        expect(product.originalCents).toBeLessThanOrEqual(product.recommendCents)
        const stores = product.stores.map(({ store }) => store)
        expect(stores.length).toBeGreaterThan(0)
        expect(stores).toEqual([...new Set(stores)].sort((a, b) => a - b))
        for (const { regularCents, specialCents } of product.stores) {
          expect(specialCents).toBeGreaterThan(0)
          expect(specialCents).toBeLessThanOrEqual(regularCents)
          expect(regularCents).toBeLessThanOrEqual(product.originalCents)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('the asked store comes first where it sells the product', () => {
    const product = productOf(5_000_000)
    const last = String(product.stores.at(-1)?.store)
    const order = (storeId: string) => answerOf(product, storeId).storeDetail.map(({ storeNumber }) => storeNumber)
    expect(order('none')).toEqual(product.stores.map(({ store }) => String(store)))
    expect(order(last)[0]).toBe(last)
    expect([...order(last)].sort()).toEqual([...order('none')].sort())
  })

  test('a product is the same from one change to the next, and about one per cent change a day', () => {
    fc.assert(
      fc.property(number, day, (n, on) => {
        const changed = changedDayOf(n, on)
        expect(changed).toBeLessThanOrEqual(on)
        expect(on - changed).toBeLessThan(100)
        expect(changedDayOf(n, changed)).toBe(changed)
        if (changed >= BASE_DAY) expect(productOf(n, changed)).toEqual(productOf(n, on))
      }),
    )
    let changes = 0
    for (let n = 0; n < 100_000; n++) if (changedDayOf(n, BASE_DAY + 7) === BASE_DAY + 7) changes++
    expect(changes).toBeGreaterThan(800)
    expect(changes).toBeLessThan(1_200)
  })

  test('all are on sale on the base day, a few are off sale later', () => {
    let [early, gone] = [0, 0]
    for (let n = 0; n < 100_000; n++) {
      if (isDiscontinued(n, BASE_DAY)) early++
      if (isDiscontinued(n, BASE_DAY + 100)) gone++
    }
    expect(early).toBe(0)
    expect(gone).toBeGreaterThan(300)
    expect(gone).toBeLessThan(700)
  })
})
