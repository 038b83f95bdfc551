/**
 * A product as the bulk feed tells it: the application's own column names, codes and paddings; and records gone wrong, on request.
 */
import type { Product } from './catalog.ts'
import { LINES, SUPPLIERS } from './merchandise.ts'
import { mix } from './mix.ts'
import { formatDay } from './units.ts'

/** The ways in which a record can be wrong. */
export const DEFECTS = ['check-digit', 'unknown-code', 'missing-field', 'latin1', 'duplicate'] as const
export type Defect = (typeof DEFECTS)[number]

/** One record in this many is defective where defects are on. */
const DEFECT_EVERY = 200

/** The defect of a product's record, the same always; null for most, and for the seed product. */
export function defectOf(number: number, seedNumber: number): Defect | null {
  const hash = mix(number, 60)
  if (hash % DEFECT_EVERY !== 0 || number === seedNumber) return null
  return DEFECTS[Math.floor(hash / DEFECT_EVERY) % DEFECTS.length] ?? null
}

const dayTexts = new Map<number, string>()
/** A feed of one day shows a hundred days of change; beyond some feeds' worth the texts are made anew. */
const MAX_DAY_TEXTS = 1_000

/** `YYYYMMDD`. */
function compactDay(day: number): string {
  let text = dayTexts.get(day)
  if (text === undefined) {
    if (dayTexts.size >= MAX_DAY_TEXTS) dayTexts.clear()
    text = formatDay(day).replaceAll('-', '')
    dayTexts.set(day, text)
  }
  return text
}

/** One NDJSON line per product on sale. All text is ASCII. Column widths are the database's: names are cut and padded to them. */
export function productLine(product: Product): string {
  const { line } = product
  // Put together by hand: JSON.stringify would cost half of the feed's time, and no value needs escaping but the description.
  return `{"REC_TYP":"P","PROD_UPC":"00${product.gtin}","SKU_NBR":"${product.sku}","STYL_NBR":"${product.style}","SZ_1_DSC":"${product.size1}","SZ_2_CD":"${product.size2}","CLR_NM":"${product.color.padEnd(10)}","PRC_ORIG_CENTS":${product.originalCents},"PRC_RCMD_CENTS":${product.recommendCents},"SUBDIV_CD":"${line.subdivisionCode}","CLS_CD":"${line.classCode}","SBCLS_CD":"${line.subclassCode}","SUPP_CD":"${product.supplier.code}","PROD_DSC":${JSON.stringify(product.description)},"STR_PRC":"${storePrices(product)}","CHG_DT":"${compactDay(product.changedDay)}","ACT_IND":"Y"}\n`
}

/** `0003:12000:1500;...`: store in four digits, regular and special price in cents. */
function storePrices(product: Product): string {
  let text = ''
  for (const { store, regularCents, specialCents } of product.stores) {
    text += `${text === '' ? '' : ';'}${String(store).padStart(4, '0')}:${regularCents}:${specialCents}`
  }
  return text
}

/** The line for a product that is off sale: nothing but its key. */
export function goneLine(product: Product): string {
  return `{"REC_TYP":"D","PROD_UPC":"00${product.gtin}","CHG_DT":"${compactDay(product.changedDay)}","ACT_IND":"N"}\n`
}

/** The line (or, for a duplicate, two lines) of a product with a defect. Its characters stand for single bytes: `\xe9` is no UTF-8. */
export function defectiveLine(product: Product, defect: Defect): string {
  const line = productLine(product)
  switch (defect) {
    case 'check-digit': {
      const wrong = (Number(product.gtin.at(-1)) + 1 + (product.number % 9)) % 10
      return line.replace(`"00${product.gtin}"`, `"00${product.gtin.slice(0, 11)}${wrong}"`)
    }
    case 'unknown-code':
      return line.replace(/"SBCLS_CD":"[^"]*"/, '"SBCLS_CD":"9999-9"')
    case 'missing-field':
      return line.replace(/"PRC_ORIG_CENTS":\d+,/, '')
    case 'latin1':
      return line.replace('"PROD_DSC":"A ', '"PROD_DSC":"A d\xe9cor\xe9 ')
    case 'duplicate':
      return line + line
  }
}

/** The names behind the codes, as `GET /export/codes` tells them. */
export function codeTables() {
  const named = (code: keyof (typeof LINES)[number], name: keyof (typeof LINES)[number]) =>
    Object.fromEntries(LINES.map((line) => [line[code], line[name]]))
  return {
    SUBDIV_CD: named('subdivisionCode', 'subdivisionName'),
    CLS_CD: named('classCode', 'className'),
    SBCLS_CD: named('subclassCode', 'subclassName'),
    SUPP_CD: Object.fromEntries(SUPPLIERS.map(({ code, name }) => [code, name])),
    ACT_IND: { Y: 'ACTIVE', N: 'DELETED' },
  }
}
