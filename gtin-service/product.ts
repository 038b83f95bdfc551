/**
 * A product as this service knows it: the model, its record in the store, and its answer.
 */
import { hash } from 'node:crypto'
import { type GtinKey, gtinText } from './gtin.ts'

/** A price in cents of the one currency that the catalog trades in. */
export type Cents = number

/** What a product costs in one store. */
export interface StorePrice {
  readonly store: string
  readonly regularRetail: Cents
  readonly specialRetail: Cents
}

/** A trade item. Immutable. */
export interface Product {
  readonly key: GtinKey
  readonly sku: string
  readonly size1: string
  readonly size2: string
  readonly style: string
  readonly originalRetail: Cents
  readonly recommendRetail: Cents
  readonly subdivision: string
  readonly class: string
  readonly subclass: string
  readonly description: string
  readonly color: string
  readonly supplier: string
  /** In the order to answer them; a store occurs once. */
  readonly prices: readonly StorePrice[]
}

/** The text that the store keeps of a product: its values as a JSON list, since the names would take half of the room. */
export function recordOf(p: Product): string {
  return JSON.stringify([
    ...[p.sku, p.size1, p.size2, p.style, p.originalRetail, p.recommendRetail],
    ...[p.subdivision, p.class, p.subclass, p.description, p.color, p.supplier],
    p.prices.map(({ store, regularRetail, specialRetail }) => [store, regularRetail, specialRetail]),
  ])
}

/** The inverse of `recordOf`. */
export function productOf(key: GtinKey, record: string): Product {
  const [sku, size1, size2, style, originalRetail, recommendRetail, ...names] = JSON.parse(record)
  const [subdivision, itsClass, subclass, description, color, supplier, list] = names
  const prices = list.map(([store, regularRetail, specialRetail]: [string, Cents, Cents]) => {
    return { store, regularRetail, specialRetail }
  })
  const texts = { subdivision, class: itsClass, subclass, description, color, supplier }
  return { key, sku, size1, size2, style, originalRetail, recommendRetail, ...texts, prices }
}

/** A product as it is sent: the JSON of the contract, and its strong entity tag with the quotes. */
export interface Representation {
  readonly body: string
  readonly tag: string
}

/**
 * The JSON of the contract: its key order, every value a string, nothing between the tokens; and its entity tag. `host` is
 * the instance's name; the price of `askedStore` comes first where the product has one for it.
 * Throws a RangeError where an amount is no whole number of cents from 0 up.
 */
export function represent(host: string, product: Product, askedStore: string): Representation {
  const asked = product.prices.filter(({ store }) => store === askedStore)
  const others = product.prices.filter(({ store }) => store !== askedStore)
  const body = JSON.stringify({
    host,
    gtin: gtinText(product.key),
    sku: product.sku,
    size1: product.size1,
    size2: product.size2,
    style: product.style,
    originalRetail: money(product.originalRetail),
    recommendRetail: money(product.recommendRetail),
    subdivisionName: product.subdivision,
    className: product.class,
    subclassName: product.subclass,
    description: product.description,
    color: product.color,
    supplierName: product.supplier,
    storeDetail: [...asked, ...others].map(({ store, regularRetail, specialRetail }) => ({
      storeNumber: store,
      price: { regularRetail: money(regularRetail), specialRetail: money(specialRetail) },
    })),
  })
  return { body, tag: `"${hash('sha256', body, 'base64url')}"` }
}

/** `140.00`. By the digits of the whole number: a division would round large amounts. */
function money(cents: Cents): string {
  if (!Number.isSafeInteger(cents) || cents < 0) throw new RangeError(`${cents} is no amount in cents`)
  const digits = String(cents).padStart(3, '0')
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}
