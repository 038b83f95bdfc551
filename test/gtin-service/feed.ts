/**
 * Test helpers: feeds as the enterprise product writes them, a sync with short waits, and what a data folder holds.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { checkDigit } from '../../gtin-service/gtin.ts'
import type { Product } from '../../gtin-service/product.ts'
import { type Facts, newestStore, Store } from '../../gtin-service/store.ts'
import type { SyncReport } from '../../gtin-service/sync/report.ts'
import { runSync, SYNC_DEFAULTS, type SyncOptions } from '../../gtin-service/sync/run.ts'
import { gtinData } from '../support/gtin-data.ts'

const MAIN = fileURLToPath(new URL('../../gtin-service/main.ts', import.meta.url))

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
    onRecords: () => {},
    onEvent: (event) => events?.push(event),
    ...options,
  })
}

/** Everything in force in a data folder, by key, in order; empty where there is nothing. */
export function productsIn(data: string): Map<number, Product> {
  const products = new Map<number, Product>()
  const path = newestStore(data)
  if (path === null) return products
  const store = new Store(path)
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    for (const { gtin } of database.prepare('SELECT gtin FROM products ORDER BY gtin').all()) {
      products.set(Number(gtin), store.find(Number(gtin)) as Product)
    }
    const checks = database.prepare('SELECT count(*) AS count FROM products INDEXED BY checks').get()
    expect(checks?.count).toBe(products.size)
    expect(store.facts().products).toBe(products.size)
  } finally {
    database.close()
    store.close()
  }
  return products
}

/** What the store in force tells of itself, with its file; null where there is none. */
export function inForce(data: string): (Facts & { readonly file: string }) | null {
  const path = newestStore(data)
  if (path === null) return null
  const store = new Store(path)
  try {
    return { ...store.facts(), file: basename(path) }
  } finally {
    store.close()
  }
}

/** A data folder that holds these products and goes with the test, made without a sync. */
export function storeOf(products: readonly Product[]): string {
  const { folder, remove } = gtinData(products)
  onTestFinished(remove)
  return folder
}

/** An enterprise product whose feed answers as told; the code tables are always well. */
export async function enterprise(answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/export/codes')) response.end(JSON.stringify(CODES))
    else answer(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Runs a sync as a process that can't make any file larger than so many blocks of 512 bytes. */
export async function syncWithin(blocks: number, from: string, data: string): Promise<SyncReport> {
  const program = [process.execPath, MAIN, 'sync', '--from', from, '--data', data, '--json']
  const script = `ulimit -f ${blocks}; exec "$@"`
  const child = spawn('sh', ['-c', script, 'sh', ...program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (chunk) => (out += chunk))
  await once(child, 'close')
  return JSON.parse(out) as SyncReport
}
