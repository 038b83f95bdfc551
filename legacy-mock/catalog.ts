/**
 * The catalog of 18 million products. Nothing is stored: a product is computed from its number, and its number from its GTIN-12 or SKU.
 */
import {
  ADJECTIVES,
  COLORS,
  LINES,
  type Line,
  QUALITIES,
  STORE_COUNT,
  SUPPLIERS,
  type Supplier,
} from './merchandise.ts'
import { mix, pick } from './mix.ts'

/** Products are numbered from 0 to one below this. */
export const CATALOG_SIZE = 18_000_000

/** The day (from 1970-01-01) that the catalog shows unless told otherwise: 2026-01-01. All products are on sale on it. */
export const BASE_DAY = 20_454

/** What one store asks for a product. */
export interface StorePrice {
  readonly store: number
  readonly regularCents: number
  readonly specialCents: number
}

/** One product as it stands on one day. */
export interface Product {
  readonly number: number
  /** 12 digits, the last one being the check digit. */
  readonly gtin: string
  /** 10 digits. */
  readonly sku: string
  readonly size1: string
  /** May be empty. */
  readonly size2: string
  /** 7 digits. */
  readonly style: string
  readonly originalCents: number
  readonly recommendCents: number
  readonly line: Line
  readonly description: string
  readonly color: string
  readonly supplier: Supplier
  /** By store number, at least one. */
  readonly stores: readonly StorePrice[]
  /** The day of its last change. */
  readonly changedDay: number
  /** Taken off sale: lookups don't find it, and the feed tells of it once. */
  readonly discontinued: boolean
}

// A GTIN without its check digit is FIRST + number * STEP + offset, where the offset wanders through [0, STEP) so that
// bar codes don't look counted. 617 is coprime to 1000; 575 puts the seed product's 12345678901 on number 11,345,678.
const FIRST = 1_000_000_000
const STEP = 1_000
const offsetOf = (number: number): number => (number * 617 + 575) % STEP

/** The number of the product whose values are known by heart: GTIN 123456789012. */
export const SEED_NUMBER = 11_345_678

/**
 * The GTIN-12 of a product, its check digit included. A higher number has a higher GTIN.
 * @throws {RangeError} where `number` is not a whole number from 0 to 17,999,999
 */
export function gtinOf(number: number): string {
  const body = bodyOf(number)
  return String(body * 10 + checkDigit(body)).padStart(12, '0')
}

/** The number of the product with this GTIN-12 (exactly 12 digits), or null where the catalog has none. */
export function numberOfGtin(gtin: string): number | null {
  if (!/^\d{12}$/.test(gtin)) return null
  const value = Number(gtin)
  const body = Math.floor(value / 10)
  if (checkDigit(body) !== value % 10) return null
  const number = Math.floor((body - FIRST) / STEP)
  return isProductNumber(number) && bodyOf(number) === body ? number : null
}

/**
 * The SKU of a product: its GTIN without the last two digits.
 * @throws {RangeError} as `gtinOf`
 */
export function skuOf(number: number): string {
  return String(Math.floor(bodyOf(number) / 10)).padStart(10, '0')
}

/** The number of the product with this SKU (exactly 10 digits), or null where the catalog has none. */
export function numberOfSku(sku: string): number | null {
  if (!/^\d{10}$/.test(sku)) return null
  const number = Math.floor((Number(sku) * 10 - FIRST) / STEP)
  return isProductNumber(number) && skuOf(number) === sku ? number : null
}

/** Whether the catalog has a product of this number. */
export function isProductNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number < CATALOG_SIZE
}

/** The check digit of a GTIN body of up to 11 digits (GS1 General Specifications, section 7.9.1). */
export function checkDigit(body: number): number {
  let sum = 0
  let rest = body
  for (let weight = 3; rest > 0; weight = 4 - weight) {
    sum += (rest % 10) * weight
    rest = Math.floor(rest / 10)
  }
  return (10 - (sum % 10)) % 10
}

function bodyOf(number: number): number {
  if (!isProductNumber(number)) throw new RangeError(`product number ${number} is not in [0, ${CATALOG_SIZE})`)
  return FIRST + number * STEP + offsetOf(number)
}

// Each product changes every 100th day, on a day of its own: that is one per cent of the catalog a day, and the last
// change before any day is known without looking at the days between.
const CHANGE_EVERY_DAYS = 100
const phaseOf = (number: number): number => mix(number, 1) % CHANGE_EVERY_DAYS

/** The day (from 1970-01-01) of the last change of a product, seen on `day`. */
export function changedDayOf(number: number, day: number): number {
  return day - ((day - phaseOf(number)) % CHANGE_EVERY_DAYS)
}

/** How many times a product has changed since the base day; 0 on it and before. */
function versionOf(number: number, day: number): number {
  if (day <= BASE_DAY) return 0
  return (changedDayOf(number, day) - changedDayOf(number, BASE_DAY)) / CHANGE_EVERY_DAYS
}

/** Whether a product is off sale on `day`. About one change in 200 takes a product off sale, until its next change. */
export function isDiscontinued(number: number, day: number): boolean {
  const version = versionOf(number, day)
  return version > 0 && number !== SEED_NUMBER && mix(number + version * CATALOG_SIZE, 2) % 200 === 0
}

// 24 products share a style: six sizes in four colours.
const VARIANTS = 24
const STYLE_COLORS = 4
const FIRST_STYLE = 1_000_000

/** How many styles the catalog has. A style's line is `LINES[index % LINES.length]`. */
export const STYLE_COUNT = CATALOG_SIZE / VARIANTS

/** The first product of a style, by the style's index. */
export function firstOfStyle(index: number): number {
  return index * VARIANTS
}

/**
 * A product as it stands on a day (counted from 1970-01-01).
 * @throws {RangeError} as `gtinOf`
 */
export function productOf(number: number, day: number = BASE_DAY): Product {
  const gtin = gtinOf(number)
  const styleIndex = Math.floor(number / VARIANTS)
  const variant = number % VARIANTS
  const line = LINES[styleIndex % LINES.length] as Line
  const [size1, size2] = line.sizes[Math.floor(variant / STYLE_COLORS)] ?? ['', '']
  const version = versionOf(number, day)
  const recommendCents = recommendCentsOf(styleIndex, line)
  const originalCents = Math.round((recommendCents * (80 + (mix(styleIndex, 3) % 16))) / 100)
  const product: Product = {
    number,
    gtin,
    sku: skuOf(number),
    size1,
    size2,
    style: String(FIRST_STYLE + styleIndex),
    originalCents,
    recommendCents,
    line,
    description: `A ${pick(ADJECTIVES, styleIndex, 4)} ${pick(QUALITIES, styleIndex, 5)} ${line.noun}.`,
    color: COLORS[(mix(styleIndex, 6) + (variant % STYLE_COLORS) * 7) % COLORS.length] as string,
    supplier: pick(SUPPLIERS, styleIndex, 7),
    stores: storesOf(number, originalCents, version),
    changedDay: changedDayOf(number, day),
    discontinued: isDiscontinued(number, day),
  }
  return number === SEED_NUMBER ? { ...product, ...SEED_VALUES } : product
}

/** Prices end in .00, .50 or .99, as price tags do. */
function recommendCentsOf(styleIndex: number, line: Line): number {
  const [low, high] = line.dollars
  const ending = [0, 50, 99][mix(styleIndex, 8) % 3] ?? 0
  return (low + (mix(styleIndex, 9) % (high - low))) * 100 + ending
}

/** One to four stores, spread over the chain, with a price each; every change of the product moves its prices. */
function storesOf(number: number, originalCents: number, version: number): StorePrice[] {
  const count = 1 + (mix(number, 10) % 4)
  const first = mix(number, 11) % STORE_COUNT
  const stores: StorePrice[] = []
  for (let i = 0; i < count; i++) {
    const store = 1 + ((first + i * 53) % STORE_COUNT)
    const hash = mix(number + version * CATALOG_SIZE, 12 + i)
    const regularCents = Math.round((originalCents * (75 + (hash % 26))) / 100)
    stores.push({ store, regularCents, specialCents: Math.round((regularCents * (30 + ((hash >>> 8) % 61))) / 100) })
  }
  return stores.sort((a, b) => a.store - b.store)
}

const SEED_VALUES = {
  size1: 'SMALL',
  size2: '4',
  style: '0123456',
  originalCents: 14_000,
  recommendCents: 16_000,
  line: LINES[0] as Line,
  description: 'A warm fuzzy sweater.',
  color: 'FUSCHIA SA',
  supplier: SUPPLIERS[0] as Supplier,
  stores: [{ store: 3, regularCents: 12_000, specialCents: 1_500 }],
} as const

/** Cents as the application writes money: `120.00`. */
export function money(cents: number): string {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
}
