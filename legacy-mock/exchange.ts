/**
 * One request and its answer inside the application, with the ways to answer that all pages share.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Clock } from './clock.ts'
import { httpDate } from './clock.ts'
import type { Kept } from './kept.ts'
import type { Latency } from './latency.ts'

/** What every exchange of a running application shares. */
export interface Legacy {
  /** The machine's name, as answers show it. */
  readonly name: string
  readonly clock: Clock
  readonly kept: Kept
  /** Whether time stands still, and the same request gets the same answer always. */
  readonly frozen: boolean
  readonly latency: Latency
  /** Whether slow streams take their time; false where latency is off. */
  readonly paced: boolean
  /** What absolute URLs begin with, or null for the Host of the request. */
  readonly origin: string | null
  /** The day (from 1970-01-01) that the catalog shows now. */
  today(): number
  /** Aborted when the application shuts down: whatever would go on for ever ends then. */
  readonly closing: AbortSignal
}

/** A header field as it goes on the wire: case, order and repetition are kept. */
export type Field = readonly [name: string, value: string]

/** The status line, beyond the standard one. */
export interface Status {
  readonly code: number
  readonly reason?: string
}

/** A refusal that the router turns into the application's error page. */
export class Refusal extends Error {
  readonly status: number
  readonly fields: readonly Field[]
  constructor(status: number, message: string, fields: readonly Field[] = []) {
    super(message)
    this.status = status
    this.fields = fields
  }
}

/** Thrown where the client went away: nobody is left to answer. */
export class Gone extends Error {}

const SERVER_FIELDS: readonly Field[] = [
  ['Server', 'CatalogEnterprise/7.2'],
  ['X-Powered-By', 'Servlet/2.5 JSP/2.1'],
]

/** One exchange. Handlers get it whole, and answer through it. */
export class Exchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly legacy: Legacy
  /** The request target as it came. */
  readonly target: string
  /** What `:name` segments of the route hold, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  #gone: AbortController | null = null

  constructor(req: IncomingMessage, res: ServerResponse, legacy: Legacy, params: Readonly<Record<string, string>>) {
    this.req = req
    this.res = res
    this.legacy = legacy
    this.target = req.url ?? '/'
    this.params = params
    const mark = this.target.indexOf('?')
    this.query = new URLSearchParams(mark < 0 ? '' : this.target.slice(mark + 1))
  }

  /** Aborted when the connection of an unfinished answer closes. */
  get gone(): AbortSignal {
    if (this.#gone === null) {
      const controller = new AbortController()
      this.#gone = controller
      if (this.res.destroyed) controller.abort()
      else this.res.once('close', () => this.res.writableFinished || controller.abort())
    }
    return this.#gone.signal
  }

  /** What absolute URLs to this application begin with. */
  get origin(): string {
    return this.legacy.origin ?? `http://${this.req.headers.host ?? 'localhost'}`
  }

  /** 32 hexadecimal digits for a purpose; the same for the same request where the clock is frozen. */
  token(purpose: string): string {
    return this.legacy.clock.token(purpose, `${this.req.method} ${this.target}`)
  }

  /** The session that the client brings along; undefined where it brings none. */
  get session(): string | undefined {
    return /(?:^|;\s*)JSESSIONID=([^;\s]+)/.exec(this.req.headers.cookie ?? '')?.[1]
  }

  /** The session cookie that the application sets with an answer: none where the client has a session that is open. */
  sessionCookie(): Field[] {
    const { frozen, kept } = this.legacy
    if (!frozen && this.session !== undefined && kept.isOpen(this.session)) return []
    const session = `${this.token('session').toUpperCase()}.${this.legacy.name}`
    if (!frozen) kept.open(session)
    return [['Set-Cookie', `JSESSIONID=${session}; Path=/; HttpOnly`]]
  }

  /** Begins the answer: the application's own fields, Date, then `fields` as given. */
  head(status: number | Status, fields: readonly Field[]): void {
    const { code, reason } = typeof status === 'number' ? { code: status, reason: undefined } : status
    const raw: string[] = []
    for (const [name, value] of SERVER_FIELDS) raw.push(name, value)
    raw.push('Date', httpDate(this.legacy.clock.nowMs()))
    for (const [name, value] of fields) raw.push(name, value)
    // A client that keeps the connection would send its next request into a server that is going away.
    if (this.legacy.closing.aborted) raw.push('Connection', 'close')
    if (reason === undefined) this.res.writeHead(code, raw)
    else this.res.writeHead(code, reason, raw)
  }

  /** Answers whole, with Content-Length. Text goes out as ISO-8859-1 unless it comes as bytes. */
  send(status: number | Status, type: string, body: string | Buffer, fields: readonly Field[] = []): void {
    const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
    this.head(status, [...fields, ['Content-Type', type], ['Content-Length', String(bytes.length)]])
    this.res.end(bytes)
  }

  /** Answers with JSON, indented by three as the application's formatter does. */
  json(status: number | Status, value: unknown, fields: readonly Field[] = []): void {
    this.send(status, 'application/json;charset=UTF-8', Buffer.from(`${JSON.stringify(value, null, 3)}\n`), fields)
  }

  /** Sends the client elsewhere, by an absolute URL of this application's own host. */
  redirect(path: string, fields: readonly Field[] = []): void {
    const url = `${this.origin}${path}`
    this.send(302, 'text/html; charset=ISO-8859-1', `<html><body>Moved to ${escapeHtml(url)}</body></html>\n`, [
      ['Location', url],
      ...fields,
    ])
  }

  /**
   * Waits, and returns true; or returns false as soon as the application shuts down, so that answers end and don't break.
   * @throws {Gone} where the client goes away meanwhile
   */
  async pause(ms: number): Promise<boolean> {
    const { gone } = this
    const { closing } = this.legacy
    if (gone.aborted) throw new Gone()
    if (closing.aborted) return false
    if (ms <= 0) return true
    return new Promise((resolve, reject) => {
      const settle = (how: () => void): void => {
        clearTimeout(timer)
        gone.removeEventListener('abort', leave)
        closing.removeEventListener('abort', hurry)
        how()
      }
      const leave = (): void => settle(() => reject(new Gone()))
      const hurry = (): void => settle(() => resolve(false))
      const timer = setTimeout(() => settle(() => resolve(true)), ms)
      gone.addEventListener('abort', leave)
      closing.addEventListener('abort', hurry)
    })
  }

  /**
   * Writes a piece of a streamed answer to `sink` (the answer, or a filter in front of it), and waits while it is full.
   * @throws {Gone} where the client goes away meanwhile
   */
  async write(chunk: Buffer | string, sink: Writable = this.res): Promise<void> {
    if (this.gone.aborted) throw new Gone()
    if (sink.write(chunk, 'latin1')) return
    try {
      await once(sink, 'drain', { signal: this.gone })
    } catch {
      throw new Gone()
    }
  }

  /**
   * The request body, piece by piece as it comes. A client that waits for 100 Continue gets it now, and not where a
   * handler answers without reading (RFC 9110 section 10.1.1).
   * @throws {Refusal} 413 where it is longer than `maxBytes`, before a byte of it is read if its length is told ahead
   */
  async *pieces(maxBytes: number): AsyncGenerator<Buffer> {
    const tooLarge = (): Refusal => new Refusal(413, 'REQUEST TOO LARGE', [['Connection', 'close']])
    if (Number(this.req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
    if (/^100-continue$/i.test(this.req.headers.expect ?? '')) this.res.writeContinue()
    let size = 0
    // Leaving the loop early must not destroy the request: its connection still has to carry the refusal.
    for await (const piece of this.req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += piece.length
      if (size > maxBytes) throw tooLarge()
      yield piece
    }
  }

  /**
   * The whole request body.
   * @throws {Refusal} as `pieces`
   */
  async body(maxBytes = 1_048_576): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.pieces(maxBytes)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** The connection, once this answer's turn on it has come; for answers that are not (good) HTTP/1.1. */
  async socket(): Promise<Socket> {
    return this.res.socket ?? ((await once(this.res, 'socket', { signal: this.gone })) as [Socket])[0]
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text made safe for the inside of HTML and XML elements and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char)
}
