/**
 * The anti-corruption layer: how the enterprise product's feed is asked for, and what its lines are.
 *
 * Lines are products, deletions, checkpoints (`REC_TYP` C, every so many records) and one closing line (T). Checkpoints
 * and the closing line tell the records so far and the SHA-256 of all bytes before them, so that what came is known to be
 * whole up to there; and a cursor, from which another request goes on. A cursor also keeps the day of the data.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { type Change, type Codes, isRecord, type LegacyRecord, readCodes, translate } from './records.ts'

/** A place in the feed up to which everything has come, and is what was sent. */
export interface Checkpoint {
  /** From where to ask for the rest; null where there is none: the feed is at its end. */
  readonly cursor: string | null
  /** Whether this closes the answer. */
  readonly closing: boolean
  /** The day that the data shows; only the closing line tells it. */
  readonly asOf: string | null
}

/** Who is told of the feed's lines, in their order. What comes after the last checkpoint is not yet sure. */
export interface FeedHandler {
  /** One record and what it means. `mended`: its bytes were no UTF-8, and were read as Latin-1. */
  record(change: Change, line: string, mended: boolean): void
  checkpoint(checkpoint: Checkpoint): void
}

/** What came is not what was sent, or not the feed at all. Asking again from the last checkpoint may help. */
export class BrokenFeed extends Error {}

/** A longer line is no record; the beginning is kept to tell of it. */
const MAX_LINE_BYTES = 1_048_576
const KEPT_BYTES = 600
const MALFORMED: Change = { kind: 'reject', reason: 'malformed', key: null }

/** What to ask for. `since`: first day of change that counts, null for all products. `cursor`: null for the beginning. */
export function feedUrl(from: URL, since: string | null, cursor: string | null): URL {
  const url = below(from, 'export/gtins')
  if (since !== null) url.searchParams.set('since', since)
  if (cursor !== null) url.searchParams.set('cursor', cursor)
  return url
}

/** The URL of the code tables. */
export function codesUrl(from: URL): URL {
  const url = below(from, 'export/codes')
  url.search = ''
  return url
}

function below(from: URL, path: string): URL {
  const url = new URL(from)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`
  return url
}

/** The code tables from the body of their answer. Throws BrokenFeed where it is none. */
export function parseCodes(body: string): Codes {
  try {
    return readCodes(JSON.parse(body))
  } catch (error) {
    throw new BrokenFeed(`code tables: ${(error as Error).message}`)
  }
}

/** What the line of a record means. */
export function readLine(line: string, codes: Codes): Change {
  const record = parsed(line)
  return record === null ? MALFORMED : translate(record, codes)
}

/** Reads one answer of the feed, piece by piece. */
export class FeedReader {
  readonly #codes: Codes
  readonly #handler: FeedHandler
  readonly #hash = createHash('sha256')
  /** The beginning of a line whose end has not come. */
  #rest: Buffer = Buffer.alloc(0)
  /** The beginning of a line that is longer than a record may be, and goes on. */
  #tooLong: string | null = null
  #records = 0
  #closed = false

  constructor(codes: Codes, handler: FeedHandler) {
    this.#codes = codes
    this.#handler = handler
  }

  /** Takes the next bytes. Throws BrokenFeed where they can't be the feed's. */
  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let hashed = 0
    let start = 0
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      if (this.#closed) throw new BrokenFeed('lines behind the closing line')
      this.#line(bytes.subarray(start, end), () => {
        this.#hash.update(bytes.subarray(hashed, start))
        hashed = start
      })
      start = end + 1
    }
    this.#hash.update(bytes.subarray(hashed, start))
    this.#rest = Buffer.from(bytes.subarray(start))
    if (this.#rest.length > MAX_LINE_BYTES) {
      this.#tooLong ??= this.#rest.toString('latin1', 0, KEPT_BYTES)
      this.#hash.update(this.#rest)
      this.#rest = Buffer.alloc(0)
    }
  }

  /** The answer is over. Throws BrokenFeed where its closing line has not come. */
  end(): void {
    if (!this.#closed) throw new BrokenFeed('the feed ended without its closing line')
    if (this.#rest.length > 0) throw new BrokenFeed('bytes behind the closing line')
  }

  #line(bytes: Buffer, hashUpToHere: () => void): void {
    const mended = !isUtf8(bytes)
    const tooLong = this.#tooLong ?? (bytes.length > MAX_LINE_BYTES ? bytes.toString('latin1', 0, KEPT_BYTES) : null)
    const line = tooLong ?? bytes.toString(mended ? 'latin1' : 'utf8')
    const record = tooLong === null ? parsed(line) : null
    this.#tooLong = null
    if (record !== null && (record.REC_TYP === 'C' || record.REC_TYP === 'T')) {
      hashUpToHere()
      this.#checkpoint(record)
      return
    }
    this.#records++
    this.#handler.record(record === null ? MALFORMED : translate(record, this.#codes), line, mended)
  }

  #checkpoint(record: LegacyRecord): void {
    const closing = record.REC_TYP === 'T'
    const cursor = closing ? record.NXT_CURSOR : record.CURSOR
    const { CNT: count, SHA256: sha256, AS_OF: asOf } = record
    const isSound = (typeof cursor === 'string' && cursor !== '') || (closing && cursor === null)
    if (!isSound || (closing && !isDay(asOf))) throw new BrokenFeed('a checkpoint without its columns')
    if (count !== this.#records) throw new BrokenFeed(`${this.#records} records came, the feed counts ${count}`)
    const digest = this.#hash.copy().digest('hex')
    if (sha256 !== digest) throw new BrokenFeed(`the checksum is ${digest}, the feed says ${sha256}`)
    this.#closed = closing
    this.#handler.checkpoint({ cursor: cursor as string | null, closing, asOf: closing ? (asOf as string) : null })
  }
}

function isDay(value: unknown): boolean {
  return typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value)
}

function parsed(line: string): LegacyRecord | null {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}
