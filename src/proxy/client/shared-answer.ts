/**
 * A response shared with middleware, which may have set headers, wrapped methods, or may respond itself at any time.
 */
import type { ServerResponse } from 'node:http'
import { fieldValue } from '../../rules/http/exchange.ts'
import { Answer } from './answer.ts'

/**
 * Fields that frame an answer, describe its body or speak of its connection. Left on a response, they are those of another
 * answer than the one that is sent (RFC 9112 section 6, RFC 9110 section 8).
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

/** Fields that are added to those of the answer; any other field of the answer takes the place of one that was set. */
const ADDED: ReadonlySet<string> = new Set(['set-cookie', 'vary'])

interface Internals {
  /** Not among the types of `ServerResponse`. */
  getRawHeaderNames(): string[]
  // What node:http remembers of fields that were removed: it would frame the answer, or end the connection, by that.
  _removedContLen?: boolean
  _removedTE?: boolean
  _removedConnection?: boolean
  strictContentLength?: boolean
}

/** Whatever others throw ends this answer, and nothing else. */
export class SharedAnswer extends Answer {
  readonly #res: ServerResponse
  readonly #onFault: (error: unknown) => void
  #opening = false
  /** Nothing more is written by this answer. */
  #lost = false

  /** @param onFault told of what others throw */
  constructor(res: ServerResponse, onFault: (error: unknown) => void) {
    super(res)
    this.#res = res
    this.#onFault = onFault
  }

  override get isTaken(): boolean {
    return !this.#opening && this.#res.headersSent
  }

  override information(status: number, fields: string[]): void {
    if (this.isTaken) return
    try {
      super.information(status, fields)
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

  /** The answer of others is theirs to end. */
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

  protected override openingFields(fields: readonly string[]): readonly string[] {
    if (this.isTaken) throw new Error('the response has already been sent')
    this.#opening = true
    return takeOver(this.#res, fields)
  }

  /** @returns that there is nothing to wait for */
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
 * Takes off a response what belongs to another answer than the one that begins now.
 * @param fields of that one: name, value, name, value
 * @returns these, with the fields in front that middleware has set and that are added to
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
  // A flag that middleware may have set: chunks in a body of known length would be read as the next answer.
  res.chunkedEncoding = false
  internals._removedContLen = false
  internals._removedTE = false
  internals._removedConnection = false
  internals.strictContentLength = false
  return added.length === 0 ? fields : [...added, ...fields]
}

function namesOf(res: ServerResponse): string[] {
  return (res as unknown as Internals).getRawHeaderNames()
}

function valuesOf(res: ServerResponse, name: string): string[] {
  return [res.getHeader(name) ?? []].flat().map(String)
}
