/**
 * The anti-corruption layer: the enterprise product's records, in its own column names, codes and paddings, become changes
 * in this service's words, or are rejected with the reason. This file and feed.ts are the only ones that know them.
 *
 * One line of the feed is a JSON object. `REC_TYP` P is a product, D a product that is no more; columns are padded with
 * spaces to the width of the database's; groupings and suppliers are codes, whose names come apart (`readCodes`); amounts
 * are in cents; prices per store stand in one text, `0003:12000:1500;...`.
 */
import { type GtinKey, readGtin } from '../gtin.ts'
import type { Product, StorePrice } from '../product.ts'

/**
 * Why a record was not taken:
 *
 * - `malformed`: no JSON object, or longer than a record may be
 * - `unknown-record`: neither a product nor a deletion
 * - `missing-field`: a column that a product needs is not there
 * - `bad-gtin`: the GTIN has other characters than digits, or no customary length
 * - `check-digit`: the GTIN's last digit does not follow from the others
 * - `unknown-code`: a code that the code tables have no name for
 * - `bad-value`: an amount, a price list or a text that is none
 * - `duplicate`: the product came before in the same feed; the later record is taken
 */
export type RejectReason =
  | ('malformed' | 'unknown-record' | 'missing-field' | 'bad-gtin' | 'check-digit')
  | ('unknown-code' | 'bad-value' | 'duplicate')

/** A product to hold from now on, one to hold no longer, or a record that can't be understood. */
export type Change =
  | { readonly kind: 'put'; readonly product: Product }
  | { readonly kind: 'remove'; readonly key: GtinKey }
  /** Where the key is known, the product stays as it was: an old price is better than none. */
  | { readonly kind: 'reject'; readonly reason: RejectReason; readonly key: GtinKey | null }

/** The code columns, and what they group in our words. */
const CODE_COLUMNS = { subdivision: 'SUBDIV_CD', class: 'CLS_CD', subclass: 'SBCLS_CD', supplier: 'SUPP_CD' } as const
type Grouping = keyof typeof CODE_COLUMNS
const GROUPINGS = Object.keys(CODE_COLUMNS) as Grouping[]

/** The names behind the codes. */
export type Codes = Readonly<Record<Grouping, ReadonlyMap<string, string>>>

/** The columns of one record. */
export type LegacyRecord = Readonly<Record<string, unknown>>

/** The code tables as the product tells them. Throws an Error where one is missing or is no table of names. */
export function readCodes(document: unknown): Codes {
  const tables = GROUPINGS.map((grouping) => {
    const column = CODE_COLUMNS[grouping]
    const names: unknown = isRecord(document) ? document[column] : undefined
    if (!isRecord(names)) throw new Error(`the code tables have no ${column}`)
    const entries = Object.entries(names).map(([code, name]): [string, string] => {
      if (typeof name !== 'string') throw new Error(`${column} ${code} has no name`)
      return [code, name.trim()]
    })
    return [grouping, new Map(entries)]
  })
  return Object.fromEntries(tables) as Codes
}

/** Whether a JSON value is an object of columns. */
export function isRecord(value: unknown): value is LegacyRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a record of a product means. Never throws; what can't be understood is a `reject` with the first reason found. */
export function translate(record: LegacyRecord, codes: Codes): Change {
  const { REC_TYP: kind, PROD_UPC: upc, ACT_IND: active } = record
  if (kind !== 'P' && kind !== 'D') return { kind: 'reject', reason: 'unknown-record', key: null }
  if (typeof upc !== 'string') return { kind: 'reject', reason: 'missing-field', key: null }
  const key = readGtin(upc.trim())
  if (typeof key !== 'number') {
    return { kind: 'reject', reason: key === 'check-digit' ? 'check-digit' : 'bad-gtin', key: null }
  }
  // ACT_IND N is the product's older word for a deletion; both may say it.
  if (kind === 'D' || active === 'N') return { kind: 'remove', key }
  const product = productOf(record, key, codes)
  return typeof product === 'string' ? { kind: 'reject', reason: product, key } : { kind: 'put', product }
}

const TEXT_COLUMNS = [
  'SKU_NBR',
  'STYL_NBR',
  'SZ_1_DSC',
  'SZ_2_CD',
  'CLR_NM',
  'PROD_DSC',
  ...Object.values(CODE_COLUMNS),
]
const COLUMNS = [...TEXT_COLUMNS, 'PRC_ORIG_CENTS', 'PRC_RCMD_CENTS', 'STR_PRC', 'ACT_IND']

function productOf(record: LegacyRecord, key: GtinKey, codes: Codes): Product | RejectReason {
  for (const column of COLUMNS) if (record[column] === undefined) return 'missing-field'
  if (record.ACT_IND !== 'Y') return 'unknown-code'
  for (const column of TEXT_COLUMNS) if (!isText(record[column])) return 'bad-value'
  const textOf = (column: string): string => (record[column] as string).trim()
  const [subdivision, itsClass, subclass, supplier] = GROUPINGS.map((grouping) => {
    return codes[grouping].get(textOf(CODE_COLUMNS[grouping]))
  })
  if (subdivision === undefined || itsClass === undefined || subclass === undefined || supplier === undefined) {
    return 'unknown-code'
  }
  const { PRC_ORIG_CENTS: originalRetail, PRC_RCMD_CENTS: recommendRetail, STR_PRC: list } = record
  const prices = pricesOf(list)
  if (!isCents(originalRetail) || !isCents(recommendRetail) || prices === null) return 'bad-value'
  const sku = textOf('SKU_NBR')
  if (sku === '') return 'missing-field'
  return {
    key,
    sku,
    size1: textOf('SZ_1_DSC'),
    size2: textOf('SZ_2_CD'),
    style: textOf('STYL_NBR'),
    originalRetail,
    recommendRetail,
    subdivision,
    class: itsClass,
    subclass,
    description: textOf('PROD_DSC'),
    color: textOf('CLR_NM'),
    supplier,
    prices,
  }
}

/** Whether a column is a text that UTF-8 can hold. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed()
}

function isCents(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Store, regular and special price: one to twelve digits each, which are exact as numbers. */
const STORE_PRICE = /^(\d{1,12}):(\d{1,12}):(\d{1,12})$/

/** `0003:12000:1500;0012:...`. Null where it isn't that, or names a store twice. */
function pricesOf(list: unknown): StorePrice[] | null {
  const prices: StorePrice[] = []
  if (typeof list !== 'string') return null
  for (const entry of list === '' ? [] : list.split(';')) {
    const parts = STORE_PRICE.exec(entry)
    const store = String(Number(parts?.[1]))
    if (parts === null || prices.some((price) => price.store === store)) return null
    prices.push({ store, regularRetail: Number(parts[2]), specialRetail: Number(parts[3]) })
  }
  return prices
}
