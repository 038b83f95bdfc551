/**
 * The HTTP client of the sync: one GET at a time, its answer streamed, gzip undone, redirects followed; and what its
 * failures mean for another attempt.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'

/** How requests are made. */
export interface ClientOptions {
  /** No byte for this long ends a request. */
  readonly idleTimeoutMs: number
  /** Whether to ask for gzip. */
  readonly gzip: boolean
  /** Ends a request at once when aborted. */
  readonly signal: AbortSignal
}

/**
 * A request that failed.
 *
 * - `transient`: the same request may work later
 * - `gone`: the place asked for is no more (a cursor that the server forgot)
 * - `final`: the same request will fail again
 */
export class RequestFailure extends Error {
  readonly kind: 'transient' | 'gone' | 'final'
  /** The server's word on when to come back; null where it said nothing usable. */
  readonly retryAfterMs: number | null

  constructor(message: string, kind: RequestFailure['kind'], retryAfterMs: number | null = null) {
    super(message)
    this.kind = kind
    this.retryAfterMs = retryAfterMs
  }
}

const MAX_REDIRECTS = 5
/** Longer than this is a mistake, or means another day. */
const MAX_RETRY_AFTER_MS = 300_000
const REDIRECTS = [301, 302, 303, 307, 308]

/**
 * The body of the answer to a GET, without its content coding. It fails while it is read where the connection breaks, the
 * gzip is damaged or ends early, or nothing comes for the idle timeout; `failureOf` tells what that means. Rejects with
 * RequestFailure where there is no 200 answer. A user and password in the URL go as Basic to that origin only.
 */
export async function get(url: URL, options: ClientOptions): Promise<Readable> {
  let at = url
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await send(at, at.origin === url.origin ? basicOf(url) : null, options)
    const status = answer.statusCode ?? 0
    if (status === 200) return decoded(answer)
    answer.destroy()
    if (!REDIRECTS.includes(status)) throw refused(at, answer)
    at = redirected(at, answer)
  }
  throw new RequestFailure(`${shown(url)}: more than ${MAX_REDIRECTS} redirects`, 'final')
}

/** The whole body as text. Rejects with RequestFailure, also where it is longer than `maxBytes`. */
export async function getText(url: URL, options: ClientOptions, maxBytes = 8_388_608): Promise<string> {
  const body = await get(url, options)
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > maxBytes) throw new RequestFailure(`${shown(url)}: more than ${maxBytes} bytes`, 'final')
      chunks.push(chunk)
    }
  } catch (error) {
    throw failureOf(error)
  }
  return Buffer.concat(chunks).toString()
}

/** What an error of a body says. An abort stays itself: it is no failure of the request. */
export function failureOf(error: unknown): Error {
  if (error instanceof RequestFailure || (error as Error).name === 'AbortError') return error as Error
  const { code, message } = error as NodeJS.ErrnoException
  const isWire = typeof code === 'string' && /^(E[A-Z]+|Z_[A-Z_]+|HPE_\w+|ERR_STREAM_PREMATURE_CLOSE)$/.test(code)
  return isWire ? new RequestFailure(`the answer broke off: ${message} (${code})`, 'transient') : (error as Error)
}

/** A URL for people: without its password. */
export function shown(url: URL): string {
  const clean = new URL(url)
  clean.username = ''
  clean.password = ''
  return clean.href
}

function send(url: URL, authorization: string | null, options: ClientOptions): Promise<IncomingMessage> {
  const { idleTimeoutMs, gzip, signal } = options
  const make = url.protocol === 'https:' ? httpsRequest : httpRequest
  const headers: Record<string, string> = { accept: '*/*', 'accept-encoding': gzip ? 'gzip' : 'identity' }
  if (authorization !== null) headers.authorization = authorization
  const target = new URL(url)
  target.username = ''
  target.password = ''
  return new Promise((resolve, reject) => {
    // A connection of its own: a kept-alive one might be closed by the server while we write, for nothing gained.
    const request = make(target, { headers, signal, agent: false, timeout: idleTimeoutMs })
    let answer: IncomingMessage | null = null
    request.once('response', (response) => {
      answer = response
      resolve(response)
    })
    request.once('timeout', () => {
      const failure = new RequestFailure(`${shown(url)}: nothing came for ${idleTimeoutMs / 1_000} s`, 'transient')
      // Whoever reads the answer gets the reason, and not only that it broke off.
      ;(answer ?? request).destroy(failure)
    })
    request.once('error', (error: NodeJS.ErrnoException) => {
      if (error.name === 'AbortError' || error instanceof RequestFailure) reject(error)
      else reject(new RequestFailure(`${shown(url)}: ${error.message || error.code}`, 'transient'))
    })
    request.end()
  })
}

/** Undoes the content coding (RFC 9110 section 8.4). */
function decoded(answer: IncomingMessage): Readable {
  const coding = (answer.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (coding === 'identity') return answer
  if (coding !== 'gzip' && coding !== 'x-gzip') {
    answer.destroy()
    throw new RequestFailure(`content coding ${coding} was not asked for`, 'final')
  }
  // The pipeline hands an error of either to the reader of the last.
  return pipeline(answer, createGunzip({ chunkSize: 65_536 }), () => {})
}

function refused(url: URL, { statusCode: status = 0, headers }: IncomingMessage): RequestFailure {
  const message = `${shown(url)}: status ${status}`
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return new RequestFailure(message, 'transient', retryAfterMs(headers['retry-after'], Date.now()))
  }
  return new RequestFailure(message, status === 400 || status === 404 || status === 410 ? 'gone' : 'final')
}

function redirected(from: URL, { headers, statusCode }: IncomingMessage): URL {
  const { location } = headers
  const to = location === undefined ? null : URL.parse(location, from)
  if (to === null || !/^https?:$/.test(to.protocol)) {
    throw new RequestFailure(`${shown(from)}: status ${statusCode} without a place to go`, 'final')
  }
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw new RequestFailure(`${shown(from)}: redirected from https to http`, 'final')
  }
  return to
}

/** Milliseconds of a Retry-After field, seconds or a date (RFC 9110 section 10.2.3); null for none, nonsense, or too long. */
export function retryAfterMs(field: string | undefined, nowMs: number): number | null {
  if (field === undefined) return null
  const ms = /^\d+$/.test(field) ? Number(field) * 1_000 : Date.parse(field) - nowMs
  return ms <= MAX_RETRY_AFTER_MS ? Math.max(0, ms) : null
}

function basicOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return null
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}
