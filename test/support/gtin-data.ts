/**
 * Data of the GTIN service without a sync: a folder that holds the products given.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Product, recordOf } from '../../gtin-service/product.ts'
import { checksumOf, type Facts, SCHEMA } from '../../gtin-service/store.ts'

/** The product that is known by heart: GTIN 123456789012. */
export const SEED: Product = {
  key: 123456789012,
  sku: '1234567890',
  size1: 'SMALL',
  size2: '4',
  style: '0123456',
  originalRetail: 14_000,
  recommendRetail: 16_000,
  subdivision: "WOMEN'S SWEATERS",
  class: 'SWEATERS',
  subclass: 'FUZZY (2-4MM)',
  description: 'A warm fuzzy sweater.',
  color: 'FUSCHIA SA',
  supplier: 'iSWEATR',
  prices: [{ store: '3', regularRetail: 12_000, specialRetail: 1_500 }],
}

/** A data folder. */
export interface GtinData {
  readonly folder: string
  remove(): void
}

/** A new data folder that holds these products. */
export function gtinData(products: readonly Product[] = [SEED]): GtinData {
  const folder = mkdtempSync(join(tmpdir(), 'gtin-data-'))
  const database = new DatabaseSync(join(folder, 'gtin-000001.db'))
  database.exec(`PRAGMA journal_mode = WAL; BEGIN; ${SCHEMA}`)
  const insert = database.prepare('INSERT INTO products VALUES (?, ?, ?)')
  for (const one of products) insert.run(one.key, recordOf(one), checksumOf(one.key, recordOf(one)))
  const now = { syncedAtMs: Date.now(), fullAtMs: Date.now() }
  const facts: Facts = { asOf: '2026-01-01', ...now, products: products.length, unresolved: 0 }
  database.prepare(`INSERT INTO state VALUES ('facts', ?)`).run(JSON.stringify(facts))
  database.exec('COMMIT')
  database.close()
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
