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

/** A line of the feed and what it means. */
export interface FeedRecord {
  readonly change: Change
  readonly line: string
  /** Whether its bytes were no UTF-8, and were read as Latin-1. */
  readonly mended: boolean
}

/** What has come up to a checkpoint, and is what was sent. */
export interface Batch {
  readonly records: readonly FeedRecord[]
  /** From where to ask for the rest; null where there is none: the feed is at its end. */
  readonly cursor: string | null
  /** The day that the data shows; null before the feed's end. */
  readonly asOf: string | null
}

/** What came is not what was sent, or not the feed at all. Asking again from the last checkpoint may help. */
export class BrokenFeed extends Error {}

/** A longer line is no record; the beginning is kept to tell of it. */
const MAX_LINE_BYTES = 1_048_576
const KEPT_BYTES = 600
/** The feed has a checkpoint every ten thousand records: without one for this long it is another feed. */
const MAX_UNVERIFIED = 100_000

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
  return meaningOf(parsed(line), codes)
}

/** Reads one answer of the feed, piece by piece. */
export class FeedReader {
  readonly #codes: Codes
  readonly #hash = createHash('sha256')
  /** The beginning of a line whose end has not come. */
  #rest: Buffer = Buffer.alloc(0)
  /** The beginning of a line that is longer than a record may be, and goes on. */
  #tooLong: Buffer | null = null
  #unverified: FeedRecord[] = []
  #records = 0
  #closing: Batch | null = null

  constructor(codes: Codes) {
    this.#codes = codes
  }

  /** Takes the next bytes; yields what checkpoints in them verify. Throws BrokenFeed where they can't be the feed's. */
  *take(chunk: Buffer): Generator<Batch> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let hashed = 0
    let start = 0
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      if (this.#closing !== null) throw new BrokenFeed('lines behind the closing line')
      const checkpoint = this.#line(bytes.subarray(start, end))
      if (checkpoint !== null) {
        this.#hash.update(bytes.subarray(hashed, start))
        hashed = start
        const batch = this.#verified(checkpoint)
        if (this.#closing === null) yield batch
      }
      start = end + 1
    }
    this.#hash.update(bytes.subarray(hashed, start))
    this.#rest = Buffer.from(bytes.subarray(start))
    if (this.#rest.length <= MAX_LINE_BYTES) return
    this.#tooLong ??= this.#rest.subarray(0, KEPT_BYTES)
    this.#hash.update(this.#rest)
    this.#rest = Buffer.alloc(0)
  }

  /** What the closing line verifies, once the answer is over. Throws BrokenFeed where that line was not the last thing. */
  end(): Batch {
    if (this.#closing === null) throw new BrokenFeed('the feed ended without its closing line')
    if (this.#rest.length > 0) throw new BrokenFeed('bytes behind the closing line')
    return this.#closing
  }

  /** Takes a record, or returns the columns of a checkpoint. */
  #line(bytes: Buffer): LegacyRecord | null {
    const tooLong = this.#tooLong ?? (bytes.length > MAX_LINE_BYTES ? bytes.subarray(0, KEPT_BYTES) : null)
    this.#tooLong = null
    const mended = tooLong === null && !isUtf8(bytes)
    const line = (tooLong ?? bytes).toString(tooLong === null && !mended ? 'utf8' : 'latin1')
    const record = tooLong === null ? parsed(line) : null
    if (record !== null && (record.REC_TYP === 'C' || record.REC_TYP === 'T')) return record
    if (this.#unverified.length === MAX_UNVERIFIED) throw new BrokenFeed(`no checkpoint in ${MAX_UNVERIFIED} records`)
    this.#records++
    this.#unverified.push({ change: meaningOf(record, this.#codes), line, mended })
    return null
  }

  #verified(checkpoint: LegacyRecord): Batch {
    const isClosing = checkpoint.REC_TYP === 'T'
    const cursor = isClosing ? checkpoint.NXT_CURSOR : checkpoint.CURSOR
    const { CNT: count, SHA256: sha256, AS_OF: asOf } = checkpoint
    const isSound = (typeof cursor === 'string' && cursor !== '') || (isClosing && cursor === null)
    if (!isSound || (isClosing && !isDay(asOf))) throw new BrokenFeed('a checkpoint without its columns')
    if (count !== this.#records) throw new BrokenFeed(`${this.#records} records came, the feed counts ${count}`)
    const digest = this.#hash.copy().digest('hex')
    if (sha256 !== digest) throw new BrokenFeed(`the checksum is ${digest}, the feed says ${sha256}`)
    // A closing line with a cursor closes one page of several.
    const batch = { records: this.#unverified, cursor, asOf: cursor === null ? asOf : null } as Batch
    this.#unverified = []
    if (isClosing) this.#closing = batch
    return batch
  }
}

function isDay(value: unknown): boolean {
  return typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value)
}

/** `record`: null where the line was no JSON object. */
function meaningOf(record: LegacyRecord | null, codes: Codes): Change {
  return record === null ? { kind: 'reject', reason: 'malformed', key: null } : translate(record, codes)
}

function parsed(line: string): LegacyRecord | null {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}
