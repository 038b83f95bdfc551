/**
 * A response shared with middleware, which may have set headers, wrapped methods, or may respond itself at any time.
 */
import type { ServerResponse } from 'node:http'
import { fieldValue } from '../../rules/http/exchange.ts'
import { NodeAnswer } from './node-answer.ts'

/**
 * Headers about framing, body or connection. If middleware has set them, they belong to another response than the one that is
 * sent (RFC 9112 section 6, RFC 9110 section 8).
 */
const OF_ANOTHER_ANSWER: ReadonlySet<string> = new Set([
  ...['content-length', 'transfer-encoding', 'trailer', 'connection', 'keep-alive', 'upgrade'],
  ...[
    'content-type',
    'content-encoding',
    'content-language',
    'content-location',
    'content-range',
    'content-disposition',
  ],
  ...['content-md5', 'content-digest', 'repr-digest', 'digest', 'etag', 'last-modified', 'accept-ranges'],
])

/** Headers that are added to those of the response; any other header of the response replaces one that was set. */
const ADDED: ReadonlySet<string> = new Set(['set-cookie', 'vary'])

interface Internals {
  /** Missing in the types of `ServerResponse`. */
  getRawHeaderNames(): string[]
  // node:http's flags for removed headers: they would affect framing or close the connection.
  _removedContLen?: boolean
  _removedTE?: boolean
  _removedConnection?: boolean
  strictContentLength?: boolean
  /** Whether the response may have a body. */
  _hasBody?: boolean
  /** The head as it will be sent. */
  _header?: string | null
  /** The connection ends with this response. */
  _last?: boolean
  /** A 100 has been sent: node's servers send it themselves if nothing listens to 'checkContinue'. */
  _sent100?: boolean
}

/** An error of other code ends this response and nothing else. */
export class SharedAnswer extends NodeAnswer {
  readonly #res: ServerResponse
  readonly #onFault: (error: unknown) => void
  #opening = false
  /** This object writes nothing more. */
  #lost = false

  /** @param onFault called with errors of other code */
  constructor(res: ServerResponse, onFault: (error: unknown) => void) {
    super(res)
    this.#res = res
    this.#onFault = onFault
  }

  override get isTaken(): boolean {
    return !this.#opening && this.#res.headersSent
  }

  override information(status: number, reason: string, fields: string[]): void {
    if (this.isTaken || (status === 100 && (this.#res as ServerResponse & Internals)._sent100 === true)) return
    try {
      super.information(status, reason, fields)
    } catch (error) {
      this.#lose(error)
    }
  }

  override body(piece: Buffer, spent = false): boolean {
    if (this.#lost) return true
    try {
      return super.body(piece, spent)
    } catch (error) {
      return this.#lose(error)
    }
  }

  override flush(): boolean {
    try {
      return super.flush()
    } catch (error) {
      return this.#lose(error)
    }
  }

  override end(trailers: string[]): void {
    try {
      super.end(trailers)
    } catch (error) {
      this.#lose(error)
    }
  }

  override sendNow(): void {
    if (this.#lost) return
    try {
      super.sendNow()
    } catch (error) {
      this.#lose(error)
    }
  }

  /** A response by other code is not ours to end. */
  override break(): void {
    if (this.isTaken) this.#leave()
    else super.break()
  }

  override withOthers(fields: readonly string[]): readonly string[] {
    const added = takeOver(this.#res, fields)
    const all: string[] = []
    for (const name of namesOf(this.#res)) {
      const lower = name.toLowerCase()
      if (lower.startsWith('sec-websocket-') || fieldValue(added, lower) !== undefined) continue
      for (const value of valuesOf(this.#res, name)) all.push(name, value)
    }
    return [...all, ...added]
  }

  protected override open(status: number, reason: string, fields: readonly string[]): void {
    if (this.isTaken) throw new Error('the response has already been sent')
    this.#opening = true
    const all = takeOver(this.#res, fields)
    super.open(status, reason, all)
    keepFraming(this.#res, all)
  }

  /** @returns true: there is nothing to wait for */
  #lose(error: unknown): true {
    if (this.isTaken) this.#leave()
    else {
      this.#lost = true
      this.#onFault(error)
      super.break()
    }
    return true
  }

  #leave(): void {
    this.#lost = true
    this.over = true
    this.status = this.#res.statusCode
  }
}

/**
 * Removes from a response what does not belong to the one that begins now.
 * @param fields of that one: name, value, name, value
 * @returns these, preceded by headers that middleware has set and that are added to
 */
function takeOver(res: ServerResponse, fields: readonly string[]): readonly string[] {
  const added: string[] = []
  for (const name of namesOf(res)) {
    const lower = name.toLowerCase()
    if (lower === 'connection' && valuesOf(res, name).some((value) => /(?:^|,)\s*close\s*(?:,|$)/i.test(value))) {
      res.shouldKeepAlive = false
    }
    if (OF_ANOTHER_ANSWER.has(lower)) res.removeHeader(name)
    else if (ADDED.has(lower) && fieldValue(fields, lower) !== undefined) {
      for (const value of valuesOf(res, name)) added.push(name, value)
    }
  }
  const internals = res as unknown as Internals
  // Middleware may have set it: chunked framing in a body of known length would be read as the next response.
  res.chunkedEncoding = false
  internals._removedContLen = false
  internals._removedTE = false
  internals._removedConnection = false
  internals.strictContentLength = false
  return added.length === 0 ? fields : [...added, ...fields]
}

const FRAMING = /\r\n(?:content-length:[ \t]*([^\r\n]*)|transfer-encoding:[^\r\n]*)/gi

/**
 * Restores the framing of an answer if middleware has changed it while the head was written, as npm `on-headers` allows: the
 * client would look for the next answer in the wrong place. A removed length does no harm: node:http then sends chunks, which is
 * what compressing middleware wants.
 * @param fields of the answer
 */
function keepFraming(res: ServerResponse, fields: readonly string[]): void {
  const internals = res as ServerResponse & Internals
  const head = internals._header
  if (typeof head !== 'string') return
  const own = fieldValue(fields, 'content-length')
  const hasBody = internals._hasBody !== false
  // A coding has no length.
  const said = [...head.matchAll(FRAMING)].map(([, length]) => length)
  const isKept = said.length === 1 && (said[0] === undefined ? hasBody : said[0] === own)
  if (said.length === 0 || isKept) return
  const chunked = own === undefined && hasBody && res.req.httpVersionMinor === 1
  const closes = own === undefined && hasBody && !chunked
  let owns = 0
  const framed = head
    .slice(0, -2)
    .replace(FRAMING, (line, length?: string) => (length !== undefined && length === own && owns++ === 0 ? line : ''))
  let end = ''
  if (chunked) end = 'Transfer-Encoding: chunked\r\n'
  else if (closes) end = 'Connection: close\r\n'
  else if (own !== undefined && owns === 0) end = `Content-Length: ${own}\r\n`
  internals._header = `${closes ? framed.replace(/\r\n(?:connection|keep-alive):[^\r\n]*/gi, '') : framed}${end}\r\n`
  internals._last ||= closes
  res.chunkedEncoding = chunked
}

function namesOf(res: ServerResponse): string[] {
  return (res as unknown as Internals).getRawHeaderNames()
}

function valuesOf(res: ServerResponse, name: string): string[] {
  return [res.getHeader(name) ?? []].flat().map(String)
}
