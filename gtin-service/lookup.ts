/**
 * The lookup: answers each request of the contract from a source, in the same turn of the event loop where the source can.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { represent } from './answer.ts'
import { type Conditions, statusFor } from './conditions.ts'
import { readGtin } from './gtin.ts'
import { type LookupCounts, METRICS_TYPE, metricsText } from './metrics.ts'
import type { GtinSource, Product } from './source.ts'
import { type LookupPlace, placeOf } from './target.ts'
import { endWhole } from './whole-answer.ts'

const TEXT = 'text/plain; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'
const FRESHNESS = 'public, max-age=60'
/** What is the same in each answer of a product. */
const FOUND_HEAD = `Content-Type: ${JSON_TYPE}\r\nCache-Control: ${FRESHNESS}\r\n`
const ALLOW = 'GET, HEAD, OPTIONS'

/** What a lookup is made of. */
export interface LookupParts {
  /** The instance's name: `host` in the JSON and `[name]` in the error texts. */
  readonly name: string
  readonly source: GtinSource
  /** Told of the first failed lookup of a series, with its cause. */
  readonly report: (error: unknown) => void
}

/** Answers requests; knows whether the service is draining. */
export class Lookup {
  readonly #parts: LookupParts
  readonly #waiting = new WeakMap<Socket, number>()
  readonly #counts: LookupCounts = { found: 0, unknown: 0, failed: 0 }
  #draining = false
  #failing = false

  constructor(parts: LookupParts) {
    this.#parts = parts
  }

  /** From now on health answers 503 and each response ends its connection. Lookups go on. */
  drain(): void {
    this.#draining = true
  }

  /** Whether an exchange on this connection waits for the source: nothing else may be written to it meanwhile. */
  isAnswering(socket: Socket): boolean {
    return (this.#waiting.get(socket) ?? 0) > 0
  }

  /** Answers one request. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const place = placeOf(request.url as string)
    const method = request.method
    if (place.kind === 'bad-escape' || !hostIsSound(request)) this.#text(response, 400, '400 Bad Request')
    else if (place.kind === 'none') this.#text(response, 404, '404 page not found')
    else if (method === 'OPTIONS') this.#send(response, 204, ['Allow', ALLOW], '')
    else if ((method !== 'GET' && method !== 'HEAD') || place.kind === 'server') {
      this.#text(response, 405, '405 Method Not Allowed', ['Allow', ALLOW])
    } else if (place.kind === 'moved') {
      this.#send(response, 301, ['Location', place.location, 'Content-Length', '0'], '')
    } else if (place.kind === 'health') this.#health(response)
    else if (place.kind === 'metrics') this.#metrics(response)
    else this.#lookup(request, response, place)
  }

  #lookup(request: IncomingMessage, response: ServerResponse, { store, gtin }: LookupPlace): void {
    const key = readGtin(gtin)
    if (typeof key !== 'number') {
      this.#unknown(response)
      return
    }
    try {
      const found = this.#parts.source.lookup(key)
      if (found instanceof Promise) this.#answerLater(found, request, response, store)
      else this.#answer(found, request, response, store)
    } catch (error) {
      this.#failed(response, error)
    }
  }

  #answerLater(
    found: Promise<Product | null>,
    request: IncomingMessage,
    response: ServerResponse,
    store: string,
  ): void {
    const socket = request.socket
    this.#waiting.set(socket, (this.#waiting.get(socket) ?? 0) + 1)
    found
      .then((product) => this.#answer(product, request, response, store))
      .catch((error: unknown) => this.#failed(response, error))
      .finally(() => this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1))
  }

  #answer(product: Product | null, request: IncomingMessage, response: ServerResponse, store: string): void {
    if (product === null) this.#unknown(response)
    else {
      const { body, tag } = represent(this.#parts.name, product, store)
      const status = statusFor(conditionsOf(request.rawHeaders), tag)
      if (status === 412) this.#text(response, 412, '412 Precondition Failed')
      else if (status === 304) this.#send(response, 304, ['ETag', tag, 'Cache-Control', FRESHNESS], '')
      else if (
        this.#draining ||
        !endWhole(response, `${FOUND_HEAD}Content-Length: ${body.length}\r\nETag: ${tag}\r\n`, body)
      ) {
        const length = String(body.length)
        const head = ['Content-Type', JSON_TYPE, 'Content-Length', length, 'ETag', tag, 'Cache-Control', FRESHNESS]
        this.#send(response, 200, head, body, 'latin1')
      }
      this.#counts.found++
    }
    this.#failing = false
  }

  #unknown(response: ServerResponse): void {
    this.#counts.unknown++
    this.#text(response, 404, `[${this.#parts.name}] GTIN not found.`)
  }

  /** 503 and not 500: the proxy in front may then ask the other side of its route. */
  #failed(response: ServerResponse, error: unknown): void {
    if (!this.#failing) this.#parts.report(error)
    this.#failing = true
    this.#counts.failed++
    this.#text(response, 503, `[${this.#parts.name}] Lookup failed.`)
  }

  /** Health must not be stored: the proxy's cache may claim the very path of the lookups. */
  #health(response: ServerResponse): void {
    const trouble = this.#draining ? 'draining' : this.#parts.source.trouble()
    const facts = this.#parts.source.facts?.()
    // The body is the contract's: how old the data is stands beside it.
    const age = facts == null ? [] : ['Data-As-Of', facts.asOf, 'Data-Age', String(Math.floor(facts.ageMs / 1_000))]
    this.#text(response, trouble === null ? 200 : 503, trouble ?? 'Healthy', ['Cache-Control', 'no-store', ...age])
  }

  #metrics(response: ServerResponse): void {
    const { source } = this.#parts
    const body = metricsText(this.#counts, !this.#draining && source.trouble() === null, source.facts?.() ?? null)
    const length = String(Buffer.byteLength(body))
    this.#send(
      response,
      200,
      ['Content-Type', METRICS_TYPE, 'Content-Length', length, 'Cache-Control', 'no-store'],
      body,
    )
  }

  #text(response: ServerResponse, status: number, text: string, more: string[] = []): void {
    const length = String(Buffer.byteLength(text))
    this.#send(response, status, ['Content-Type', TEXT, 'Content-Length', length, ...more], text)
  }

  /** The last step of every answer. Its five parameters spare each of them an object. */
  #send(
    response: ServerResponse,
    status: number,
    head: string[],
    body: string,
    encoding: 'utf8' | 'latin1' = 'utf8',
  ): void {
    if (this.#draining) head.push('Connection', 'close')
    response.writeHead(status, head)
    // The head of an answer to HEAD has the length that GET would have (RFC 9110 section 9.3.2); node leaves its body out.
    response.end(body, encoding)
  }
}

/** Whether there is one Host line, or in HTTP/1.0 perhaps none (RFC 9112 section 3.2). */
function hostIsSound(request: IncomingMessage): boolean {
  const { rawHeaders } = request
  let lines = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string
    if (field.length === 4 && field.toLowerCase() === 'host') lines++
  }
  return lines === 1 || (lines === 0 && request.httpVersion === '1.0')
}

/** The two conditions of a request, each field's lines joined to one list (RFC 9110 section 5.3). */
function conditionsOf(rawHeaders: readonly string[]): Conditions {
  let ifMatch: string | undefined
  let ifNoneMatch: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string
    // By length first: this runs for each answer, and almost no other field has these lengths.
    if (field.length === 13 && field.toLowerCase() === 'if-none-match')
      ifNoneMatch = joined(ifNoneMatch, rawHeaders[i + 1])
    else if (field.length === 8 && field.toLowerCase() === 'if-match') ifMatch = joined(ifMatch, rawHeaders[i + 1])
  }
  return { ifMatch, ifNoneMatch }
}

function joined(before: string | undefined, line: string | undefined): string {
  return before === undefined ? (line ?? '') : `${before}, ${line ?? ''}`
}
