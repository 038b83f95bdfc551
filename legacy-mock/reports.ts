/**
 * The price report: CSV of any length, always gzipped, streamed as chunked with its checksum in the trailer.
 */
import { createHash } from 'node:crypto'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { CATALOG_SIZE, money, type Product, productOf } from './catalog.ts'
import { type Exchange, Refusal } from './exchange.ts'
import type { Route } from './router.ts'
import { parseCount, parseDurationMs } from './units.ts'

/** The routes of this family. */
export const reportRoutes: readonly Route[] = [{ path: '/reports/prices.csv', methods: { GET: prices } }]

const ROWS_PER_STEP = 250
const DEFAULT_ROWS = 1_000
const DEFAULT_PACE_MS = 10

/** `rows` (up to the catalog's size) and `pace`, the rest between two pieces of 250 rows, come in the query. */
async function prices(x: Exchange): Promise<void> {
  const rows = parseCount(x.query.get('rows') ?? String(DEFAULT_ROWS))
  const paceText = x.query.get('pace')
  const paceMs = paceText === null ? (x.legacy.paced ? DEFAULT_PACE_MS : 0) : parseDurationMs(paceText)
  if (rows === null || rows > CATALOG_SIZE || paceMs === null) throw new Refusal(400, 'BAD REPORT PARAMETERS')
  x.head(200, [
    ['Content-Type', 'text/csv; charset=ISO-8859-1'],
    ['Content-Encoding', 'gzip'],
    ['Content-Disposition', 'attachment; filename=prices.csv'],
    ['Trailer', 'Content-MD5, X-Row-Count'],
  ])
  if (x.req.method === 'HEAD') return void x.res.end()
  // Content-MD5 covers the bytes of the body as sent, gzip and all (RFC 1864).
  const hash = createHash('md5')
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  const gzip = createGzip({ level: 6 })
  const sent = pipeline(gzip, tap, x.res, { end: false })
  await Promise.all([sent, writeRows(x, gzip, { rows, paceMs })]).catch((error: unknown) => {
    gzip.destroy()
    throw error
  })
  x.res.addTrailers([
    ['Content-MD5', hash.digest('base64')],
    ['X-Row-Count', String(rows)],
  ])
  x.res.end()
}

async function writeRows(x: Exchange, gzip: ReturnType<typeof createGzip>, plan: { rows: number; paceMs: number }) {
  const day = x.legacy.today()
  gzip.write('GTIN;SKU;DESCRIPTION;SUBCLASS;COLOR;STORES;ORIGINAL;LOWEST\r\n')
  for (let from = 0; from < plan.rows; from += ROWS_PER_STEP) {
    let text = ''
    for (let number = from; number < Math.min(plan.rows, from + ROWS_PER_STEP); number++)
      text += rowOf(productOf(number, day))
    await x.write(text, gzip)
    if (plan.paceMs > 0) {
      // Waited for: where it meets rows that come later, the compressed bytes would depend on how busy the machine is.
      await new Promise<void>((done) => gzip.flush(done))
      await x.pause(plan.paceMs)
    }
  }
  gzip.end()
}

function rowOf(product: Product): string {
  const lowest = Math.min(...product.stores.map((at) => at.specialCents))
  const cells = [
    product.gtin,
    product.sku,
    product.description,
    product.line.subclassName,
    product.color,
    String(product.stores.length),
    money(product.originalCents),
    money(lowest),
  ]
  return `${cells.map((cell) => (/[;"]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(';')}\r\n`
}
