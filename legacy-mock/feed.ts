/**
 * GET /export/gtins: the whole catalog, or what changed since a day, as NDJSON; streamed in constant memory, resumable by cursor.
 */
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip, type Gzip } from 'node:zlib'
import { CATALOG_SIZE, changedDayOf, isDiscontinued, type Product, productOf, SEED_NUMBER } from './catalog.ts'
import { type Exchange, type Field, Gone, Refusal } from './exchange.ts'
import { codeTables, defectiveLine, defectOf, goneLine, productLine } from './feed-records.ts'
import type { Route } from './router.ts'
import { formatDay, parseCount, parseDay } from './units.ts'

/** The routes of this family. */
export const feedRoutes: readonly Route[] = [
  { path: '/export/gtins', methods: { GET: gtins } },
  { path: '/export/codes', methods: { GET: (x) => x.json(200, codeTables()) } },
]

/** What one request of the feed asks for. */
interface Wish {
  /** First product number to look at. */
  readonly from: number
  /** The day that the records show, fixed by the first request and kept by the cursor. */
  readonly day: number
  /** First day of change that counts; null for the whole catalog. */
  readonly sinceDay: number | null
  readonly limit: number
  /** Every how many-th product is in the feed, the seed product among them; 1 for all. */
  readonly sample: number
  /** A checkpoint stands behind so many records. */
  readonly checkpointEvery: number
  readonly defects: boolean
  /** The name of a supplier whose special prices are a dollar too high; null for none. */
  readonly wrongPrices: string | null
  /** Cut the connection after this many records; null to go to the end. */
  readonly cut: number | null
}

/** How the stream stands. */
interface Progress {
  /** Next product number to look at. */
  next: number
  /** Product and deletion records written, duplicates counted. */
  records: number
}

/** Products looked at between two writes: some 40 KiB of text, and a pause short enough for other requests. */
const NUMBERS_PER_STEP = 128
/** Where few products have changed, more are looked at before the step ends. */
const MAX_SKIPS_PER_STEP = 20_000
const CHECKPOINT_EVERY = 10_000
/** Pages up to this long announce the next one in a Link field, which needs the count ahead. */
const MAX_LINKED_LIMIT = 10_000

async function gtins(x: Exchange): Promise<void> {
  const wish = wishOf(x)
  const zipped = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|\s|$))/i.test(String(x.req.headers['accept-encoding'] ?? ''))
  x.head(200, [
    ['Content-Type', 'application/x-ndjson'],
    ['Vary', 'Accept-Encoding'],
    ...(zipped ? ([['Content-Encoding', 'gzip']] as const) : []),
    ...linkOf(x, wish),
    ['Trailer', 'X-Export-Count, X-Export-SHA256, X-Export-Next-Cursor'],
  ])
  if (x.req.method === 'HEAD') return void x.res.end()
  const gzip = zipped ? createGzip({ level: constants.Z_BEST_SPEED, chunkSize: 65_536 }) : null
  const sent = gzip === null ? Promise.resolve() : pipeline(gzip, x.res, { end: false })
  // Awaited at the end; until then a client that leaves is noticed by the writer.
  sent.catch(() => {})
  const work: Work = { wish, hash: createHash('sha256'), progress: { next: wish.from, records: 0 } }
  try {
    await writeRecords(x, gzip ?? x.res, work)
    if (isCut(wish, work.progress)) return await cutOff(x, gzip)
    gzip?.end()
    await sent
  } finally {
    gzip?.destroy()
  }
  x.res.addTrailers([
    ['X-Export-Count', String(work.progress.records)],
    ['X-Export-SHA256', work.hash.digest('hex')],
    ['X-Export-Next-Cursor', nextCursor(wish, work.progress.next) ?? 'END'],
  ])
  x.res.end()
}

function wishOf(x: Exchange): Wish {
  const bad = (name: string): never => {
    throw new Refusal(400, `BAD ${name}`)
  }
  const { query } = x
  const cursor = query.get('cursor')
  const at =
    cursor === null || cursor === '' ? { from: 0, day: x.legacy.today() } : (readCursor(cursor) ?? bad('CURSOR'))
  const since = query.get('since')
  const cut = query.get('cut')
  const limit = parseCount(query.get('limit') ?? String(CATALOG_SIZE))
  return {
    ...at,
    sinceDay: since === null ? null : (parseDay(since) ?? bad('SINCE')),
    // A page of nothing would be followed by itself for ever.
    limit: limit === null || limit === 0 ? bad('LIMIT') : limit,
    sample: parseCount(query.get('sample') ?? '1') || bad('SAMPLE'),
    checkpointEvery: parseCount(query.get('checkpoint') ?? String(CHECKPOINT_EVERY)) || bad('CHECKPOINT'),
    defects: query.get('defects') === 'on',
    wrongPrices: query.get('wrong-prices'),
    cut: cut === null ? null : (parseCount(cut) ?? bad('CUT')),
  }
}

/** Opaque to clients: the place in the catalog and the day of the records, so that a feed read over midnight is of one day. */
function writeCursor(from: number, day: number): string {
  return Buffer.from(`ce1:${from}:${day}`).toString('base64url')
}

function readCursor(text: string): { from: number; day: number } | null {
  const [, from = '', day = ''] =
    /^ce1:(\d{1,8}):(\d{1,6})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? []
  return from === '' || Number(from) > CATALOG_SIZE ? null : { from: Number(from), day: Number(day) }
}

function nextCursor(wish: Wish, next: number): string | null {
  return next >= CATALOG_SIZE ? null : writeCursor(next, wish.day)
}

/** Whether a product has a record in this feed. */
function isDue(number: number, { sinceDay, day, sample }: Wish): boolean {
  if (sample > 1 && number % sample !== SEED_NUMBER % sample) return false
  return sinceDay === null ? !isDiscontinued(number, day) : changedDayOf(number, day) >= sinceDay
}

function linesOf(number: number, wish: Wish): { text: string; records: number } {
  const product = priced(productOf(number, wish.day), wish)
  if (product.discontinued) return { text: goneLine(product), records: 1 }
  const defect = wish.defects ? defectOf(number, SEED_NUMBER) : null
  if (defect === null) return { text: productLine(product), records: 1 }
  return { text: defectiveLine(product, defect), records: defect === 'duplicate' ? 2 : 1 }
}

/** A mistake that no status and no log shows: what an export in use may get wrong. */
function priced(product: Product, { wrongPrices }: Wish): Product {
  if (wrongPrices === null || product.supplier.name !== wrongPrices) return product
  return { ...product, stores: product.stores.map((one) => ({ ...one, specialCents: one.specialCents + 100 })) }
}

function linkOf(x: Exchange, wish: Wish): Field[] {
  if (wish.limit > MAX_LINKED_LIMIT) return []
  let next = wish.from
  for (let products = 0; products < wish.limit && next < CATALOG_SIZE; next++) if (isDue(next, wish)) products++
  const cursor = nextCursor(wish, next)
  if (cursor === null) return []
  const query = new URLSearchParams(x.query)
  query.set('cursor', cursor)
  return [['Link', `<${x.origin}/export/gtins?${query}>; rel="next"`]]
}

function isCut({ cut }: Wish, { records }: Progress): boolean {
  return cut !== null && records >= cut
}

type Work = { readonly wish: Wish; readonly hash: Hash; readonly progress: Progress }

/** Writes records, a checkpoint after each ten thousand, and the closing line unless the feed is to be cut. Ends nothing. */
async function writeRecords(x: Exchange, sink: Writable, { wish, hash, progress }: Work): Promise<void> {
  const budget = { products: wish.limit }
  let checkpoint = wish.checkpointEvery
  while (budget.products > 0 && progress.next < CATALOG_SIZE && !isCut(wish, progress)) {
    let bytes = Buffer.from(step(wish, progress, budget), 'latin1')
    hash.update(bytes)
    if (progress.records >= checkpoint) {
      const line = Buffer.from(checkpointLine(wish, progress, hash))
      hash.update(line)
      bytes = Buffer.concat([bytes, line])
      checkpoint = progress.records + wish.checkpointEvery
    }
    if (bytes.length > 0) await x.write(bytes, sink)
    else if (x.gone.aborted) throw new Gone()
    // A sink that is never full would keep all other requests waiting.
    await new Promise(setImmediate)
  }
  if (isCut(wish, progress)) return
  const closing = {
    REC_TYP: 'T',
    CNT: progress.records,
    AS_OF: formatDay(wish.day),
    NXT_CURSOR: nextCursor(wish, progress.next),
    SHA256: hash.copy().digest('hex'),
  }
  const bytes = Buffer.from(`${JSON.stringify(closing)}\n`)
  hash.update(bytes)
  await x.write(bytes, sink)
}

/** A place to go on from, with what proves that all before it has come whole: the records, and the checksum of their bytes. */
function checkpointLine(wish: Wish, { next, records }: Progress, hash: Hash): string {
  const sha256 = hash.copy().digest('hex')
  const cursor = writeCursor(next, wish.day)
  return `${JSON.stringify({ REC_TYP: 'C', CURSOR: cursor, CNT: records, SHA256: sha256 })}\n`
}

/** The text of the next products; moves `progress` and the budget on. */
function step(wish: Wish, progress: Progress, budget: { products: number }): string {
  let text = ''
  const stop = Math.min(CATALOG_SIZE, progress.next + MAX_SKIPS_PER_STEP)
  for (let left = NUMBERS_PER_STEP; left > 0 && progress.next < stop && budget.products > 0; progress.next++) {
    if (isCut(wish, progress)) break
    if (!isDue(progress.next, wish)) continue
    const { text: lines, records } = linesOf(progress.next, wish)
    text += lines
    progress.records += records
    budget.products--
    left--
  }
  return text
}

/** Closes the connection behind what was written, with the last chunk and (zipped) the end of the gzip missing. */
async function cutOff(x: Exchange, gzip: Gzip | null): Promise<void> {
  if (gzip !== null) {
    await new Promise<void>((resolve) => gzip.flush(constants.Z_SYNC_FLUSH, resolve))
    while (gzip.readableLength > 0 && !x.gone.aborted) {
      if (x.res.writableNeedDrain) await once(x.res, 'drain', { signal: x.gone })
      else await new Promise(setImmediate)
    }
  }
  x.res.socket?.destroySoon()
}
