/**
 * Reads responses with the wire's own reader and tells what it found, for tests.
 */
import { MalformedMessage } from '../../src/wire/fields.ts'
import { ResponseReader, type ResponseSink } from '../../src/wire/http1.ts'
import type { ResponseHead } from '../../src/wire/response-head.ts'

export interface Seen {
  readonly interim: number[]
  status: number
  reason: string
  rawHeaders: string[]
  body: Buffer
  trailers: string[]
  complete: boolean
  /** The head says that the connection stays open. */
  keepAlive: boolean
  /** It broke a rule and was taken all the same. */
  repaired: boolean
  /** What the reader complained of, or null. */
  problem: string | null
}

export interface ReadOptions {
  readonly method?: string
  readonly lenient?: boolean
  readonly upgradeAsked?: boolean
  /** The peer closes behind the last piece. */
  readonly closes?: boolean
  readonly maxHeadBytes?: number
  readonly maxFields?: number
}

/** Pushes the pieces one after the other, as reads of a socket would. */
export function readPieces(pieces: readonly Buffer[], options: ReadOptions = {}): Seen {
  const body: Buffer[] = []
  const seen: Seen = {
    interim: [],
    status: 0,
    reason: '',
    rawHeaders: [],
    body: Buffer.alloc(0),
    trailers: [],
    complete: false,
    keepAlive: false,
    repaired: false,
    problem: null,
  }
  const sink: ResponseSink = {
    onInformation: (head: ResponseHead) => {
      seen.interim.push(head.status)
    },
    onHead: (head: ResponseHead) => {
      seen.status = head.status
      seen.reason = head.reason
      seen.rawHeaders = head.rawHeaders
      seen.keepAlive = head.keepAlive
    },
    // A copy: the piece may be a window of a buffer that is used again.
    onBody: (piece) => body.push(Buffer.from(piece)),
    onEnd: (rawTrailers) => {
      seen.trailers = rawTrailers
      seen.complete = true
    },
  }
  const limits = { maxHeadBytes: options.maxHeadBytes ?? 65536, maxFields: options.maxFields ?? 1000 }
  const reader = new ResponseReader(limits, options.lenient ?? false)
  reader.begin(sink, options.method ?? 'GET', options.upgradeAsked ?? false)
  try {
    for (const piece of pieces) reader.push(piece)
    if (options.closes === true) reader.end()
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error
    seen.problem = error.message
  }
  seen.body = Buffer.concat(body)
  seen.repaired = reader.repaired
  return seen
}

/** The same for a text of Latin-1 characters in one piece. */
export function readText(text: string, options: ReadOptions = {}): Seen {
  return readPieces([Buffer.from(text, 'latin1')], options)
}
