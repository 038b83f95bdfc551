/**
 * The bytes of a product's answer, its entity tag, and the conditions a client may put on them (RFC 9110 section 13).
 */
import { crc32 } from 'node:zlib'
import { gtinText } from './gtin.ts'
import type { Cents, Product, StorePrice } from './source.ts'

/** A product as it is sent: the JSON of the contract, and its entity tag. */
export interface Representation {
  readonly body: string
  readonly tag: string
}

/** The body of `represent`. */
export function productJson(host: string, product: Product, askedStore: string): string {
  return represent(host, product, askedStore).body
}

/**
 * The JSON of the contract as text: its key order, every value a string, nothing between the tokens, no newline at the
 * end. `host` is the instance's name; the price of `askedStore` comes first where the product has one for it. And its
 * strong entity tag, with its quotes: the same bytes, the same tag, in every process (RFC 9110 section 8.8.3).
 *
 * Both by hand, since they are the most expensive steps of a lookup: JSON.stringify takes three times as long, and a hash
 * of the whole text as long as making it. The tag mixes all that the text is made of into 64 bits, name by name.
 */
export function represent(host: string, product: Product, askedStore: string): Representation {
  const { sku, style, originalRetail, recommendRetail } = product
  const { json: hostJson, hash } = known(host)
  const mix = new Mix(hash)
  const text = (value: string): string => {
    const { json, hash } = known(value)
    mix.add(hash)
    return json
  }
  mix.number(product.key)
  const gtin = gtinText(product.key)
  mix.digits(sku)
  mix.digits(style)
  mix.number(originalRetail)
  mix.number(recommendRetail)
  const body =
    `{"host":${hostJson},"gtin":"${gtin}","sku":${quoted(sku)},"size1":${text(product.size1)}` +
    `,"size2":${text(product.size2)},"style":${quoted(style)}` +
    `,"originalRetail":"${decimal(originalRetail)}","recommendRetail":"${decimal(recommendRetail)}"` +
    `,"subdivisionName":${text(product.subdivision)},"className":${text(product.class)}` +
    `,"subclassName":${text(product.subclass)},"description":${text(product.description)}` +
    `,"color":${text(product.color)},"supplierName":${text(product.supplier)}` +
    `,"storeDetail":[${storeDetail(product.prices, askedStore, mix)}]}`
  return { body, tag: mix.tag() }
}

function storeDetail(prices: readonly StorePrice[], asked: string, mix: Mix): string {
  let first = ''
  let others = ''
  for (let i = 0; i < prices.length; i++) {
    const { store, regularRetail, specialRetail } = prices[i] as StorePrice
    const { json, hash } = known(store)
    mix.add(hash)
    mix.number(regularRetail)
    mix.number(specialRetail)
    const price = `"price":{"regularRetail":"${decimal(regularRetail)}","specialRetail":"${decimal(specialRetail)}"}`
    const detail = `{"storeNumber":${json},${price}}`
    if (store !== asked) others += others === '' ? detail : `,${detail}`
    else {
      first = detail
      // Which one comes first is part of the text; that it is the first one anyway is not.
      if (i > 0) mix.add(i)
    }
  }
  return first === '' || others === '' ? first + others : `${first},${others}`
}

/** A text that many answers share: as a JSON string, and a number that stands for it in tags. */
interface Known {
  readonly json: string
  readonly hash: number
}

const KNOWN = new Map<string, Known>()
/** Names repeat; should they not, this is all the memory they get. */
const MAX_KNOWN = 50_000

function known(text: string): Known {
  const found = KNOWN.get(text)
  if (found !== undefined) return found
  if (KNOWN.size >= MAX_KNOWN) KNOWN.clear()
  const made = { json: quoted(text), hash: crc32(text) ^ text.length }
  KNOWN.set(text, made)
  return made
}

/** Numbers in their order, mixed into two times 32 bits as MurmurHash3 mixes them; no protection against forgery. */
class Mix {
  #low: number
  #high: number

  constructor(seed: number) {
    this.#low = seed
    this.#high = ~seed
  }

  /** A number of 32 bits. */
  add(value: number): void {
    const low = Math.imul(this.#low ^ value, 0xcc9e2d51)
    this.#low = Math.imul((low << 15) | (low >>> 17), 0x1b873593)
    const high = Math.imul(this.#high ^ value, 0x85ebca6b)
    this.#high = Math.imul((high << 13) | (high >>> 19), 0xc2b2ae35)
  }

  /** A whole number from 0 to 2^53 - 1. */
  number(value: number): void {
    this.add(value | 0)
    this.add(Math.floor(value / 2 ** 32))
  }

  /** A text that is mostly digits, and hardly ever comes again. */
  digits(text: string): void {
    this.add(text.length)
    let value = 0
    for (let i = 0; i < text.length; i++) {
      value = (Math.imul(value, 10) + text.charCodeAt(i)) | 0
      if (i % 9 === 8) {
        this.add(value)
        value = 0
      }
    }
    this.add(value)
  }

  tag(): string {
    const low = finished(this.#low)
    const high = finished(this.#high)
    return `"${pair(low >>> 20)}${pair(low >>> 8)}${pair((low << 4) | (high >>> 28))}${pair(high >>> 16)}${pair(high >>> 4)}${pair(high)}"`
  }
}

function finished(hash: number): number {
  const half = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return half ^ (half >>> 13)
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const PAIRS = Array.from({ length: 4_096 }, (_, i) => `${ALPHABET[i >> 6]}${ALPHABET[i & 63]}`)

/** The lowest twelve bits as two characters. */
function pair(bits: number): string {
  return PAIRS[bits & 4_095] as string
}

/** A text as a JSON string, as JSON.stringify writes it. */
export function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Quotes, backslashes, control characters and lone surrogates need escapes; none of them is in almost any name.
    if (code < 0x20 || code === 0x22 || code === 0x5c || code >= 0xd800) return JSON.stringify(text)
  }
  return `"${text}"`
}

/** `12000` as `120.00`. Throws a RangeError where the amount is no whole number of cents from 0 up. */
export function decimal(cents: Cents): string {
  if (!Number.isSafeInteger(cents) || cents < 0) throw new RangeError(`not an amount in cents: ${cents}`)
  const rest = cents % 100
  return `${(cents - rest) / 100}${rest < 10 ? '.0' : '.'}${rest}`
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
