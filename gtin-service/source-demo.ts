/**
 * The interim source: the wrapped application's catalog computed in place, translated into the service's own model.
 *
 * The only file of the service that knows the catalog: its numbers, its field names, its GTIN-12 as text. It stands in
 * for data of the service's own, so that both sides of a split answer alike for each of the 18 million products.
 */
import { BASE_DAY, numberOfGtin, productOf } from '../legacy-mock/catalog.ts'
import { type GtinKey, gtinText } from './gtin.ts'
import type { GtinSource, Product } from './source.ts'

/**
 * A source of the catalog as it stands on `day`, counted from 1970-01-01; by default the day that the catalog shows
 * unless told otherwise. It answers at once and is always well; nothing is stored.
 */
export function demoSource(day: number = BASE_DAY): GtinSource {
  return { lookup: (key) => lookup(key, day), trouble: () => null, close: () => {} }
}

function lookup(key: GtinKey, day: number): Product | null {
  // All of the catalog is GTIN-12, whose customary form is its own: a key of another length names none of its products.
  const number = numberOfGtin(gtinText(key))
  if (number === null) return null
  const found = productOf(number, day)
  if (found.discontinued) return null
  return {
    key,
    sku: found.sku,
    size1: found.size1,
    size2: found.size2,
    style: found.style,
    originalRetail: found.originalCents,
    recommendRetail: found.recommendCents,
    subdivision: found.line.subdivisionName,
    class: found.line.className,
    subclass: found.line.subclassName,
    description: found.description,
    color: found.color,
    supplier: found.supplier.name,
    prices: found.stores.map((price) => ({
      store: String(price.store),
      regularRetail: price.regularCents,
      specialRetail: price.specialCents,
    })),
  }
}
