/**
 * A product as the bytes of a record, and back. The key is not part of them: it stands in the index.
 */
import type { GtinKey } from '../gtin.ts'
import type { Product, StorePrice } from '../source.ts'
import { ByteReader, type ByteWriter } from './bytes.ts'
import type { Dictionary, SharedField } from './dictionary.ts'

/** A record may be this long; block offsets are 16 bits wide. Some six thousand store prices. */
export const MAX_RECORD_BYTES = 60_000

/** Numbers as text, such as a SKU: up to this many digits they are stored as a number of so many digits. */
const MAX_DIGITS = 15

/**
 * Appends the record of a product; texts that repeat go into the dictionary. The same product and dictionary give the
 * same bytes. Throws a RangeError, and appends nothing, where an amount is no whole number of cents from 0 up or the
 * record gets longer than MAX_RECORD_BYTES.
 */
export function writeProduct(out: ByteWriter, product: Product, dictionary: Dictionary): void {
  const start = out.length
  try {
    writeFields(out, product, dictionary)
    if (out.length - start > MAX_RECORD_BYTES) throw new RangeError(`a record of ${out.length - start} bytes`)
  } catch (error) {
    out.length = start
    throw error
  }
}

function writeFields(out: ByteWriter, product: Product, dictionary: Dictionary): void {
  writeDigits(out, product.sku)
  writeDigits(out, product.style)
  writeShared(out, dictionary, 'size1', product.size1)
  writeShared(out, dictionary, 'size2', product.size2)
  out.number(product.originalRetail)
  out.number(product.recommendRetail)
  writeShared(out, dictionary, 'subdivision', product.subdivision)
  writeShared(out, dictionary, 'class', product.class)
  writeShared(out, dictionary, 'subclass', product.subclass)
  writeShared(out, dictionary, 'description', product.description)
  writeShared(out, dictionary, 'color', product.color)
  writeShared(out, dictionary, 'supplier', product.supplier)
  out.number(product.prices.length)
  for (const price of product.prices) {
    writeShared(out, dictionary, 'store', price.store)
    out.number(price.regularRetail)
    out.number(price.specialRetail)
  }
}

/** Reads the records of one dictionary. */
export class ProductReader {
  readonly #texts: Readonly<Record<SharedField, readonly string[]>>
  readonly #bytes = new ByteReader()

  constructor(dictionary: Dictionary) {
    this.#texts = {
      size1: dictionary.textsOf('size1'),
      size2: dictionary.textsOf('size2'),
      subdivision: dictionary.textsOf('subdivision'),
      class: dictionary.textsOf('class'),
      subclass: dictionary.textsOf('subclass'),
      description: dictionary.textsOf('description'),
      color: dictionary.textsOf('color'),
      supplier: dictionary.textsOf('supplier'),
      store: dictionary.textsOf('store'),
    }
  }

  /** The product of the record from `start` to `end`. Throws a RangeError where the bytes are no such record. */
  read(key: GtinKey, bytes: Buffer, start: number, end: number): Product {
    const texts = this.#texts
    this.#bytes.from(bytes, start, end)
    // Members are evaluated in the order they stand: that of the record.
    return {
      key,
      sku: this.#digits(),
      style: this.#digits(),
      size1: this.#shared(texts.size1),
      size2: this.#shared(texts.size2),
      originalRetail: this.#bytes.number(),
      recommendRetail: this.#bytes.number(),
      subdivision: this.#shared(texts.subdivision),
      class: this.#shared(texts.class),
      subclass: this.#shared(texts.subclass),
      description: this.#shared(texts.description),
      color: this.#shared(texts.color),
      supplier: this.#shared(texts.supplier),
      prices: this.#prices(texts.store),
    }
  }

  #prices(stores: readonly string[]): StorePrice[] {
    const prices: StorePrice[] = []
    for (let left = this.#bytes.number(); left > 0; left--) {
      prices.push({
        store: this.#shared(stores),
        regularRetail: this.#bytes.number(),
        specialRetail: this.#bytes.number(),
      })
    }
    return prices
  }

  #shared(texts: readonly string[]): string {
    const code = this.#bytes.number()
    if (code === 0) return this.#bytes.text()
    const text = texts[code - 1]
    if (text === undefined) throw new RangeError(`no text has the code ${code}`)
    return text
  }

  #digits(): string {
    const digits = this.#bytes.byte()
    return digits === 0 ? this.#bytes.text() : String(this.#bytes.number()).padStart(digits, '0')
  }
}

function writeShared(out: ByteWriter, dictionary: Dictionary, field: SharedField, text: string): void {
  const code = dictionary.codeOf(field, text)
  out.number(code)
  if (code === 0) out.text(text)
}

function writeDigits(out: ByteWriter, text: string): void {
  if (text.length > 0 && text.length <= MAX_DIGITS && isDigits(text)) {
    out.byte(text.length)
    out.number(Number(text))
  } else {
    out.byte(0)
    out.text(text)
  }
}

function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}
