/**
 * The bytes of a product's answer, its entity tag, and the conditions a client may put on them (RFC 9110 section 13).
 */
import { hash } from 'node:crypto'
import { gtinText } from './gtin.ts'
import type { Cents, Product, StorePrice } from './source.ts'

/**
 * The JSON of the contract as text: its key order, every value a string, nothing between the tokens, no newline at the
 * end. `host` is the instance's name; the price of `askedStore` comes first where the product has one for it.
 */
export function productJson(host: string, product: Product, askedStore: string): string {
  return JSON.stringify({
    host,
    gtin: gtinText(product.key),
    sku: product.sku,
    size1: product.size1,
    size2: product.size2,
    style: product.style,
    originalRetail: decimal(product.originalRetail),
    recommendRetail: decimal(product.recommendRetail),
    subdivisionName: product.subdivision,
    className: product.class,
    subclassName: product.subclass,
    description: product.description,
    color: product.color,
    supplierName: product.supplier,
    storeDetail: askedFirst(product.prices, askedStore).map(storeDetail),
  })
}

function storeDetail(price: StorePrice) {
  return {
    storeNumber: price.store,
    price: { regularRetail: decimal(price.regularRetail), specialRetail: decimal(price.specialRetail) },
  }
}

function askedFirst(prices: readonly StorePrice[], asked: string): readonly StorePrice[] {
  const at = prices.findIndex((price) => price.store === asked)
  if (at <= 0) return prices
  return [prices[at] as StorePrice, ...prices.slice(0, at), ...prices.slice(at + 1)]
}

/** `12000` as `120.00`. Throws a RangeError where the amount is no whole number of cents from 0 up. */
export function decimal(cents: Cents): string {
  if (!Number.isSafeInteger(cents) || cents < 0) throw new RangeError(`not an amount in cents: ${cents}`)
  const rest = cents % 100
  return `${(cents - rest) / 100}${rest < 10 ? '.0' : '.'}${rest}`
}

/** The strong entity tag of a body, with its quotes: the same bytes, the same tag, in every process (RFC 9110 section 8.8.3). */
export function entityTag(body: string): string {
  return `"${hash('sha1', body, 'base64url')}"`
}

/** Conditions of a request as received; absent is undefined. */
export interface Conditions {
  readonly ifMatch: string | undefined
  readonly ifNoneMatch: string | undefined
}

/**
 * The status that a GET or HEAD gets for a representation with this tag: 412 where If-Match fails, else 304 where
 * If-None-Match holds the tag, else 200 (RFC 9110 section 13.2.2).
 */
export function statusFor(conditions: Conditions, tag: string): 200 | 304 | 412 {
  if (conditions.ifMatch !== undefined && !holdsTag(conditions.ifMatch, tag, 'strong')) return 412
  if (conditions.ifNoneMatch !== undefined && holdsTag(conditions.ifNoneMatch, tag, 'weak')) return 304
  return 200
}

/**
 * Whether a field value is `*` or a list of entity tags that holds the strong `tag`. The weak comparison takes `W/"x"`
 * for `"x"`, the strong one does not (RFC 9110 section 8.8.3.2). What follows a malformed member is not read.
 */
export function holdsTag(list: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (list === tag || list.trim() === '*') return true
  let at = 0
  for (;;) {
    while (list[at] === ' ' || list[at] === '\t' || list[at] === ',') at++
    const isWeak = list.startsWith('W/', at)
    if (isWeak) at += 2
    if (list[at] !== '"') return false
    const end = list.indexOf('"', at + 1)
    if (end < 0) return false
    if ((!isWeak || comparison === 'weak') && list.slice(at, end + 1) === tag) return true
    at = end + 1
  }
}
