/**
 * The bytes of a product's answer, and its entity tag.
 */
import { customaryDigits } from './gtin.ts'
import { JsonBytes, Parts } from './json-bytes.ts'
import type { Product, StorePrice } from './source.ts'

/** A product as it is sent. */
export interface Representation {
  /** The JSON of the contract. Each character is one byte of its UTF-8, so that `latin1` sends it as it is. */
  readonly body: string
  /** The strong entity tag, with its quotes. */
  readonly tag: string
}

const out = new JsonBytes()

/**
 * The JSON of the contract: its key order, every value a string, nothing between the tokens, no newline at the end; and
 * its entity tag. `host` is the instance's name; the price of `askedStore` comes first where the product has one for it.
 * Throws a RangeError where an amount is no whole number of cents from 0 up.
 */
export function represent(host: string, product: Product, askedStore: string): Representation {
  out.begin()
  out.put(HOST.of(host))
  out.digits(product.key, customaryDigits(product.key))
  out.put(SKU)
  out.quoted(product.sku)
  out.put(SIZE_1.of(product.size1))
  out.put(SIZE_2.of(product.size2))
  out.quoted(product.style)
  out.put(ORIGINAL_RETAIL)
  out.decimal(product.originalRetail)
  out.put(RECOMMEND_RETAIL)
  out.decimal(product.recommendRetail)
  out.put(SUBDIVISION.of(product.subdivision))
  out.put(CLASS.of(product.class))
  out.put(SUBCLASS.of(product.subclass))
  out.put(DESCRIPTION.of(product.description))
  out.put(COLOR.of(product.color))
  out.put(SUPPLIER.of(product.supplier))
  writeStores(product.prices, askedStore)
  return { body: out.text(), tag: out.tag() }
}

function writeStores(prices: readonly StorePrice[], asked: string): void {
  const start = out.length
  let first = -1
  for (let i = 0; i < prices.length; i++) if ((prices[i] as StorePrice).store === asked) first = i
  if (first >= 0) writeStore(prices[first] as StorePrice)
  for (let i = 0; i < prices.length; i++) if (i !== first) writeStore(prices[i] as StorePrice)
  // Each one begins with a comma: that of the first gives way to the bracket.
  if (prices.length === 0) out.put(OPENING)
  else out.replace(start, OPENING[0] as number)
  out.put(CLOSING)
}

function writeStore({ store, regularRetail, specialRetail }: StorePrice): void {
  out.put(STORE.of(store))
  out.decimal(regularRetail)
  out.put(SPECIAL_RETAIL)
  out.decimal(specialRetail)
  out.put(STORE_END)
}

// What stands between the values. A part of a name that repeats ends with the name, any other with the next value's begin.
const HOST = new Parts('{"host":', ',"gtin":"')
const SKU = bytesOf('","sku":')
const SIZE_1 = new Parts(',"size1":')
const SIZE_2 = new Parts(',"size2":', ',"style":')
const ORIGINAL_RETAIL = bytesOf(',"originalRetail":"')
const RECOMMEND_RETAIL = bytesOf('","recommendRetail":"')
const SUBDIVISION = new Parts('","subdivisionName":')
const CLASS = new Parts(',"className":')
const SUBCLASS = new Parts(',"subclassName":')
const DESCRIPTION = new Parts(',"description":')
const COLOR = new Parts(',"color":')
const SUPPLIER = new Parts(',"supplierName":', ',"storeDetail":')
const STORE = new Parts(',{"storeNumber":', ',"price":{"regularRetail":"')
const SPECIAL_RETAIL = bytesOf('","specialRetail":"')
const STORE_END = bytesOf('"}}')
const OPENING = bytesOf('[')
const CLOSING = bytesOf(']}')

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}
