/**
 * The anti-corruption layer: the enterprise product's records, in its own column names, codes and paddings, become changes
 * in this service's words, or are rejected with the reason. This file and legacy-feed.ts are the only ones that know them.
 *
 * One line of the feed is a JSON object. `REC_TYP` P is a product, D a product that is no more; columns are padded with
 * spaces to the width of the database's; groupings and suppliers are codes, whose names come apart (`readCodes`); amounts
 * are in cents; prices per store stand in one text, `0003:12000:1500;...`.
 */
import { type GtinKey, readGtin } from '../gtin.ts'
import type { Product, StorePrice } from '../source.ts'
import type { Change, RejectReason } from './change.ts'

/** The code columns, and what they group in our words. */
const CODE_COLUMNS = {
  subdivision: 'SUBDIV_CD',
  class: 'CLS_CD',
  subclass: 'SBCLS_CD',
  supplier: 'SUPP_CD',
} as const
type Grouping = keyof typeof CODE_COLUMNS

/** The names behind the codes. */
export type Codes = Readonly<Record<Grouping, ReadonlyMap<string, string>>>

/** The columns of one record. */
export type LegacyRecord = Readonly<Record<string, unknown>>

/** The code tables as the product tells them. Throws an Error where one is missing or is no table of names. */
export function readCodes(document: unknown): Codes {
  const table = (column: string): ReadonlyMap<string, string> => {
    const names: unknown = isRecord(document) ? document[column] : undefined
    if (!isRecord(names)) throw new Error(`the code tables have no ${column}`)
    const entries = Object.entries(names).map(([code, name]): [string, string] => {
      if (typeof name !== 'string') throw new Error(`${column} ${code} has no name`)
      return [code, name.trim()]
    })
    return new Map(entries)
  }
  return {
    subdivision: table(CODE_COLUMNS.subdivision),
    class: table(CODE_COLUMNS.class),
    subclass: table(CODE_COLUMNS.subclass),
    supplier: table(CODE_COLUMNS.supplier),
  }
}

/** Whether a JSON value is an object of columns. */
export function isRecord(value: unknown): value is LegacyRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a record of a product means. Never throws; what can't be understood is a `reject` with the first reason found. */
export function translate(record: LegacyRecord, codes: Codes): Change {
  const kind = record.REC_TYP
  if (kind !== 'P' && kind !== 'D') return { kind: 'reject', reason: 'unknown-record', key: null }
  const upc = record.PROD_UPC
  if (typeof upc !== 'string') return { kind: 'reject', reason: 'missing-field', key: null }
  const key = readGtin(upc.trim())
  if (typeof key !== 'number') {
    return { kind: 'reject', reason: key === 'check-digit' ? 'check-digit' : 'bad-gtin', key: null }
  }
  // ACT_IND N is the product's older word for a deletion; both may say it.
  if (kind === 'D' || record.ACT_IND === 'N') return { kind: 'remove', key }
  if (record.ACT_IND !== 'Y') return refusal(record.ACT_IND === undefined ? 'missing-field' : 'unknown-code', key)
  const translated = productOf(record, key, codes)
  return typeof translated === 'string' ? refusal(translated, key) : { kind: 'put', product: translated }
}

function refusal(reason: RejectReason, key: GtinKey): Change {
  return { kind: 'reject', reason, key }
}

function productOf(record: LegacyRecord, key: GtinKey, codes: Codes): Product | RejectReason {
  const sku = textOf(record.SKU_NBR)
  const style = textOf(record.STYL_NBR)
  const size1 = textOf(record.SZ_1_DSC)
  const size2 = textOf(record.SZ_2_CD)
  const color = textOf(record.CLR_NM)
  const description = textOf(record.PROD_DSC)
  if (sku === null || style === null || size1 === null || size2 === null) return whyNoText(record)
  if (color === null || description === null) return whyNoText(record)
  if (sku === '') return 'missing-field'

  const subdivision = nameOf(codes, 'subdivision', record)
  const itsClass = nameOf(codes, 'class', record)
  const subclass = nameOf(codes, 'subclass', record)
  const supplier = nameOf(codes, 'supplier', record)
  if (subdivision === null || itsClass === null || subclass === null || supplier === null) return whyNoName(record)

  const { PRC_ORIG_CENTS: originalRetail, PRC_RCMD_CENTS: recommendRetail, STR_PRC: prices } = record
  if (originalRetail === undefined || recommendRetail === undefined || prices === undefined) return 'missing-field'
  if (!isCents(originalRetail) || !isCents(recommendRetail)) return 'bad-value'
  const storePrices = typeof prices === 'string' ? pricesOf(prices) : null
  if (storePrices === null) return 'bad-value'
  return {
    key,
    sku,
    size1,
    size2,
    style,
    originalRetail,
    recommendRetail,
    subdivision,
    class: itsClass,
    subclass,
    description,
    color,
    supplier,
    prices: storePrices,
  }
}

/** A column's text without its padding; null where it has none, or one that no UTF-8 can hold. */
function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.isWellFormed() ? value.trim() : null
}

const TEXT_COLUMNS = ['SKU_NBR', 'STYL_NBR', 'SZ_1_DSC', 'SZ_2_CD', 'CLR_NM', 'PROD_DSC']

function whyNoText(record: LegacyRecord): RejectReason {
  return TEXT_COLUMNS.some((column) => record[column] === undefined) ? 'missing-field' : 'bad-value'
}

function nameOf(codes: Codes, grouping: Grouping, record: LegacyRecord): string | null {
  const code = record[CODE_COLUMNS[grouping]]
  return typeof code === 'string' ? (codes[grouping].get(code.trim()) ?? null) : null
}

function whyNoName(record: LegacyRecord): RejectReason {
  const columns = Object.values(CODE_COLUMNS)
  if (columns.some((column) => record[column] === undefined)) return 'missing-field'
  return columns.some((column) => typeof record[column] !== 'string') ? 'bad-value' : 'unknown-code'
}

function isCents(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** `0003:12000:1500;0012:...`: store, regular and special price. Null where it isn't that, or names a store twice. */
function pricesOf(text: string): StorePrice[] | null {
  const prices: StorePrice[] = []
  if (text === '') return prices
  for (const entry of text.split(';')) {
    const [store = '', regular = '', special = '', ...more] = entry.split(':')
    if (more.length > 0 || !isNumeral(store) || !isNumeral(regular) || !isNumeral(special)) return null
    const number = String(Number(store))
    for (const price of prices) if (price.store === number) return null
    prices.push({ store: number, regularRetail: Number(regular), specialRetail: Number(special) })
  }
  return prices
}

/** One to twelve digits: exact as a number. */
function isNumeral(text: string): boolean {
  if (text.length === 0 || text.length > 12) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}
