/**
 * Test helpers: feeds as the enterprise product writes them, a sync with short waits, and what a data folder holds.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { checkDigit } from '../../gtin-service/gtin.ts'
import type { Product } from '../../gtin-service/source.ts'
import { readCurrent } from '../../gtin-service/store/current.ts'
import { Generation } from '../../gtin-service/store/generation.ts'
import { SYNC_DEFAULTS, type SyncOptions } from '../../gtin-service/sync/options.ts'
import type { SyncReport } from '../../gtin-service/sync/report.ts'
import { runSync } from '../../gtin-service/sync/sync.ts'

/** The code tables that `productLine` uses. */
export const CODES = {
  SUBDIV_CD: { S011: "WOMEN'S SWEATERS" },
  CLS_CD: { '1102': 'SWEATERS' },
  SBCLS_CD: { '1102-1': 'FUZZY (2-4MM)' },
  SUPP_CD: { '1001': 'iSWEATR' },
}

/** A record of the seed product's kind, as an object; changed as given. */
export function record(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    REC_TYP: 'P',
    PROD_UPC: '00123456789012',
    SKU_NBR: '1234567890',
    STYL_NBR: '0123456',
    SZ_1_DSC: 'SMALL',
    SZ_2_CD: '4',
    CLR_NM: 'FUSCHIA SA',
    PRC_ORIG_CENTS: 14_000,
    PRC_RCMD_CENTS: 16_000,
    SUBDIV_CD: 'S011',
    CLS_CD: '1102',
    SBCLS_CD: '1102-1',
    SUPP_CD: '1001',
    PROD_DSC: 'A warm fuzzy sweater.',
    STR_PRC: '0003:12000:1500',
    CHG_DT: '20260101',
    ACT_IND: 'Y',
    ...change,
  }
}

/** The key of the n-th product of `line`, and its 14 digits. */
export function upc(n: number): string {
  const body = `00${String(10_000_000_000 + n)}`
  return `0${body}${checkDigit(body)}`.slice(-14)
}

/** The line of the n-th product. */
export function line(n: number, change: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify(record({ PROD_UPC: upc(n), SKU_NBR: String(n), ...change }))
}

/** How a feed's answer ends, and where it has checkpoints. */
export interface FeedShape {
  readonly asOf?: string
  /** A checkpoint after so many lines; its cursor is the number of lines before it. */
  readonly every?: number
  /** Lines of earlier answers, which cursors count too. */
  readonly before?: number
  readonly next?: string | null
}

/** The bytes of one answer: the lines, checkpoints, and the closing line. */
export function feed(
  lines: readonly string[],
  { asOf = '2026-01-01', every, before = 0, next = null }: FeedShape = {},
) {
  const hash = createHash('sha256')
  let text = ''
  const put = (one: string) => {
    hash.update(`${one}\n`)
    text += `${one}\n`
  }
  for (const [i, one] of lines.entries()) {
    put(one)
    if (every !== undefined && (i + 1) % every === 0) {
      const SHA256 = hash.copy().digest('hex')
      put(JSON.stringify({ REC_TYP: 'C', CURSOR: String(before + i + 1), CNT: i + 1, SHA256 }))
    }
  }
  put(
    JSON.stringify({
      REC_TYP: 'T',
      CNT: lines.length,
      AS_OF: asOf,
      NXT_CURSOR: next,
      SHA256: hash.copy().digest('hex'),
    }),
  )
  return text
}

/** A folder that goes with the test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'gtin-test-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Runs a sync with short waits; `events` gets what it says on its way. */
export function sync(
  from: string,
  data: string,
  more: Partial<SyncOptions> & { events?: string[] } = {},
): Promise<SyncReport> {
  const { events, ...options } = more
  return runSync({
    ...SYNC_DEFAULTS,
    from: new URL(from),
    folder: data,
    firstWaitMs: 1,
    signal: new AbortController().signal,
    onProgress: () => {},
    onEvent: (event) => events?.push(event),
    ...options,
  })
}

/** Everything in force in a data folder, by key, in order; empty where there is nothing. */
export async function productsIn(data: string): Promise<Map<number, Product>> {
  const products = new Map<number, Product>()
  const current = readCurrent(data)
  if (current === null) return products
  const generation = await Generation.open(join(data, current.file))
  const records = generation.records()
  while (records.next()) {
    products.set(records.key, generation.read(records.key, records.bytes, records.start, records.end))
  }
  await generation.close()
  return products
}
