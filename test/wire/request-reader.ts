/**
 * Reads requests with the wire's own reader, as a connection would, and tells what it found, for tests.
 */
import {
  RefusedRequest,
  type RequestFault,
  type RequestHead,
  RequestReader,
  type RequestReaderLimits,
  type RequestSink,
} from '../../src/wire/requests.ts'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  readonly minor: 0 | 1
  readonly rawHeaders: string[]
  readonly keepAlive: boolean
  readonly offersUpgrade: boolean
  /** Where its bytes begin, with empty lines before it. */
  readonly from: number
  /** Latin-1 text. */
  body: string
  trailers: string[]
  complete: boolean
}

export interface SeenRequests {
  readonly requests: SeenRequest[]
  /** Why the reader gave up, or null. */
  fault: RequestFault | null
  /** What it complained of, or null. */
  problem: string | null
  /** What it took up of the bytes: what is behind belongs to whoever goes on with the connection. */
  taken: number
}

export const LIMITS: RequestReaderLimits = { maxHeadBytes: 32 * 1024, maxFields: 256, maxTargetLength: 16_384 }

/**
 * Pushes the pieces one after the other, as reads of a socket would. It reads no further behind a request that ends the
 * connection, offers an upgrade, or is a CONNECT.
 */
export function readRequests(pieces: readonly Buffer[], limits: Partial<RequestReaderLimits> = {}): SeenRequests {
  const seen: SeenRequests = { requests: [], fault: null, problem: null, taken: 0 }
  let body: string[] = []
  let isLast = false
  let hasEnded = false
  let from = 0
  const sink: RequestSink = {
    onHead({ method, target, minor, rawHeaders, keepAlive, offersUpgrade }: RequestHead) {
      body = []
      isLast = !keepAlive || offersUpgrade || method === 'CONNECT'
      const request = { method, target, minor, rawHeaders, keepAlive, offersUpgrade, from }
      seen.requests.push({ ...request, body: '', trailers: [], complete: false })
    },
    // A copy: the piece may be a window of a buffer that is used again.
    onBody: (piece) => body.push(piece.toString('latin1')),
    onEnd(rawTrailers) {
      hasEnded = true
      Object.assign(seen.requests.at(-1) as SeenRequest, { body: body.join(''), trailers: rawTrailers, complete: true })
    },
  }
  const reader = new RequestReader(sink, { ...LIMITS, ...limits })
  const ended = (): boolean => isLast && reader.phase === 'between'
  try {
    for (const piece of pieces) {
      // The memory of a piece is filled again once it has been taken.
      const bytes = Buffer.from(piece)
      for (let at = 0; at < bytes.length && !ended(); ) {
        const next = reader.push(bytes, at)
        seen.taken += next - at
        at = next
        if (hasEnded) from = seen.taken
        hasEnded = false
      }
      bytes.fill('!')
    }
  } catch (error) {
    if (!(error instanceof RefusedRequest)) throw error
    seen.fault = error.fault
    seen.problem = error.message
  }
  return seen
}

/** The same for a text of Latin-1 characters in one piece. */
export function readRequestText(text: string, limits: Partial<RequestReaderLimits> = {}): SeenRequests {
  return readRequests([Buffer.from(text, 'latin1')], limits)
}

/** The same a byte at a time. */
export function readByteByByte(text: string, limits: Partial<RequestReaderLimits> = {}): SeenRequests {
  return readRequests(
    [...Buffer.from(text, 'latin1')].map((byte) => Buffer.from([byte])),
    limits,
  )
}
