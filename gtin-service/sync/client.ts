/**
 * The HTTP client of the sync: one GET at a time by `fetch`, which undoes gzip and follows redirects; and what its failures
 * mean for another attempt.
 */

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
  /** The server's word on when to come back, 0 where it said nothing usable. */
  readonly retryAfterMs: number

  constructor(message: string, kind: RequestFailure['kind'], retryAfterMs = 0) {
    super(message)
    this.kind = kind
    this.retryAfterMs = retryAfterMs
  }
}

/** Longer than this is a mistake, or means another day. */
const MAX_RETRY_AFTER_MS = 300_000

/**
 * The body of the answer to a GET, without its content coding, as it comes. Throws RequestFailure where there is no 200
 * answer, and where the answer breaks off or falls silent. A user and password in the URL go as Basic to that origin only.
 */
export async function* get(url: URL, { idleTimeoutMs, gzip, signal }: ClientOptions): AsyncGenerator<Buffer> {
  const silence = new AbortController()
  const patience = setTimeout(() => silence.abort(), idleTimeoutMs)
  // A connection of its own: a kept one might be closed by the server while we write, for nothing gained.
  const headers = { connection: 'close', 'accept-encoding': gzip ? 'gzip' : 'identity', ...basicOf(url) }
  let what = 'no response'
  try {
    const answer = await fetch(shown(url), { headers, signal: AbortSignal.any([signal, silence.signal]) })
    if (answer.status !== 200) {
      await answer.arrayBuffer()
      throw refused(url, answer)
    }
    if (url.protocol === 'https:' && !answer.url.startsWith('https:')) {
      throw new RequestFailure(`${shown(url)}: redirected from https to http`, 'final')
    }
    what = 'the response broke off'
    for await (const chunk of answer.body ?? []) {
      patience.refresh()
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      // What whoever reads it took is not the server's silence.
      patience.refresh()
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof RequestFailure) throw error
    if (silence.signal.aborted) {
      throw new RequestFailure(`${shown(url)}: nothing came for ${idleTimeoutMs / 1_000} s`, 'transient')
    }
    const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException
    const told = code === undefined || message.includes(code) ? message : `${message} (${code})`
    throw new RequestFailure(`${shown(url)}: ${what}: ${told}`, 'transient')
  } finally {
    clearTimeout(patience)
  }
}

/** A URL for people: without its password. */
export function shown(url: URL): string {
  const clean = new URL(url)
  clean.username = ''
  clean.password = ''
  return clean.href
}

function refused(url: URL, { status, headers }: Response): RequestFailure {
  const message = `${shown(url)}: status ${status}`
  if ([408, 425, 429].includes(status) || status >= 500) {
    return new RequestFailure(message, 'transient', retryAfterMs(headers.get('retry-after'), Date.now()))
  }
  return new RequestFailure(message, [400, 404, 410].includes(status) ? 'gone' : 'final')
}

/** Milliseconds of a Retry-After field, seconds or a date (RFC 9110 section 10.2.3); 0 for none, nonsense, or too long. */
export function retryAfterMs(field: string | null, nowMs: number): number {
  const ms = /^\d+$/.test(field ?? '') ? Number(field) * 1_000 : Date.parse(field ?? '') - nowMs
  return ms >= 0 && ms <= MAX_RETRY_AFTER_MS ? ms : 0
}

function basicOf({ username, password }: URL): { authorization?: string } {
  if (username === '' && password === '') return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}
