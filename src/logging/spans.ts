/**
 * Sends spans to a collector: OTLP over HTTP, as JSON, in batches. Nothing waits for it: what it does not take is dropped and counted.
 * Loaded where tracing is asked for.
 */
import { randomBytes } from 'node:crypto'
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { type SpanSink, Tracer } from '../proxy/tracing/trace.ts'
import { envelope, type SpanData, spanText } from '../rules/tracing/otlp.ts'
import type { OtlpSettings } from '../settings/otlp.ts'
import { version } from '../version.ts'

/** Spans wait for so long before they are sent, unless a batch is full. */
const FLUSH_MS = 1_000
const BATCH_SPANS = 256
const BATCH_CHARACTERS = 512 * 1024
/** What waits for a collector that is slow or away; beyond it new spans are dropped. */
const QUEUE_SPANS = 4_096
const QUEUE_CHARACTERS = 8 * 1024 * 1024
/** A collector that has not answered after so long will not. */
const ANSWER_MS = 10_000
/** Of an answer no more is read. */
const ANSWER_BYTES = 64 * 1024
const FIRST_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 30_000
/** A batch that was refused so often is dropped. */
const MAX_TRIES = 4
/** At the end of the process the last spans have so long. */
const LAST_MS = 1_000
/** Statuses that ask for another try (OTLP specification, "Failures"). */
const RETRYABLE = new Set([429, 502, 503, 504])

/** What is told to the operator. */
interface Log {
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
}

/** Tracing of one process. */
export interface Tracing {
  readonly tracer: Tracer
  /** Sends what waits, as far as the collector takes it within a second. */
  close(): Promise<void>
}

/** Starts tracing. */
export function openTracing({ url, headers, resource, share }: OtlpSettings, log: Log): Tracing {
  const exporter = new Exporter(new URL(url), headers, envelope(resource, version()), log)
  const tracer = new Tracer({ sink: exporter, share, random: hexDigits() })
  return { tracer, close: () => exporter.close() }
}

/** Random bytes as hexadecimal digits, from a store that is filled many at a time. */
export function hexDigits(): (bytes: number) => string {
  let store = ''
  let at = 0
  return (bytes) => {
    const length = bytes * 2
    if (at + length > store.length) {
      store = randomBytes(4096).toString('hex')
      at = 0
    }
    at += length
    return store.slice(at - length, at)
  }
}

/** The queue and its one request at a time. */
export class Exporter implements SpanSink {
  readonly #url: URL
  readonly #headers: readonly string[]
  readonly #envelope: readonly [string, string]
  readonly #log: Log
  readonly #agent: HttpAgent
  readonly #timer: NodeJS.Timeout
  #waiting: string[] = []
  #characters = 0
  /** The batch under way, or to be tried again. */
  #batch: { readonly body: Buffer; readonly spans: number; tries: number } | null = null
  #request: ClientRequest | null = null
  #pauseMs = 0
  #notBeforeMs = 0
  #dropped = 0
  #isFailing = false
  #onIdle: (() => void) | null = null

  constructor(url: URL, headers: readonly string[], ends: readonly [string, string], log: Log) {
    this.#url = url
    this.#headers = headers
    this.#envelope = ends
    this.#log = log
    const options = { keepAlive: true, maxSockets: 1 }
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS)
    this.#timer.unref()
  }

  span(span: SpanData): void {
    if (this.#waiting.length >= QUEUE_SPANS || this.#characters >= QUEUE_CHARACTERS) {
      this.#dropped++
      return
    }
    const text = spanText(span)
    this.#waiting.push(text)
    this.#characters += text.length
    if (this.#waiting.length >= BATCH_SPANS && this.#request === null) this.#flush()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    if (this.#waiting.length > 0 || this.#batch !== null) {
      const sent = new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
      this.#notBeforeMs = 0
      this.#flush()
      let late: NodeJS.Timeout | undefined
      const patience = new Promise<void>((resolve) => {
        late = setTimeout(resolve, LAST_MS)
      })
      await Promise.race([sent, patience])
      clearTimeout(late)
    }
    this.#request?.destroy()
    this.#agent.destroy()
  }

  #flush(): void {
    if (this.#request !== null || performance.now() < this.#notBeforeMs) return
    this.#batch ??= this.#nextBatch()
    if (this.#batch === null) {
      this.#onIdle?.()
      return
    }
    try {
      this.#send(this.#batch)
    } catch (error) {
      this.#failed((error as Error).message)
    }
  }

  #nextBatch(): { body: Buffer; spans: number; tries: number } | null {
    if (this.#waiting.length === 0) return null
    let characters = 0
    let count = 0
    while (count < this.#waiting.length && count < BATCH_SPANS && characters < BATCH_CHARACTERS)
      characters += (this.#waiting[count++] as string).length
    const taken = this.#waiting.slice(0, count)
    this.#waiting = this.#waiting.slice(count)
    this.#characters -= characters
    const [begin, end] = this.#envelope
    return { body: Buffer.from(`${begin}${taken.join(',')}${end}`), spans: count, tries: 0 }
  }

  #send(batch: { readonly body: Buffer; tries: number }): void {
    batch.tries++
    const make = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = make(this.#url, {
      method: 'POST',
      agent: this.#agent,
      headers: { ...headersOf(this.#headers), 'Content-Type': 'application/json', 'Content-Length': batch.body.length },
    })
    this.#request = request
    const late = setTimeout(() => request.destroy(new Error('no answer in time')), ANSWER_MS)
    late.unref()
    let over = false
    const ended = (problem: string | null, again = true): void => {
      if (over) return
      over = true
      clearTimeout(late)
      this.#request = null
      if (problem === null) this.#succeeded()
      else this.#failed(problem, again)
    }
    request.on('error', (error: NodeJS.ErrnoException) => ended(error.code ?? error.message))
    request.on('close', () => ended('the connection was closed'))
    request.on('response', (response) => readAnswer(response, request, ended))
    request.end(batch.body)
  }

  #succeeded(): void {
    this.#batch = null
    this.#pauseMs = 0
    this.#notBeforeMs = 0
    if (this.#isFailing) {
      this.#isFailing = false
      this.#log.info({ event: 'otlp', dropped: this.#dropped }, 'spans are sent again')
      this.#dropped = 0
    }
    if (this.#waiting.length >= BATCH_SPANS || this.#onIdle !== null) this.#flush()
  }

  #failed(problem: string, again = true): void {
    const batch = this.#batch
    if (batch !== null && (!again || batch.tries >= MAX_TRIES)) {
      this.#dropped += batch.spans
      this.#batch = null
    }
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs === 0 ? FIRST_PAUSE_MS : this.#pauseMs * 2)
    this.#notBeforeMs = performance.now() + this.#pauseMs
    if (this.#isFailing) return
    this.#isFailing = true
    this.#log.warn(
      { event: 'otlp' },
      `spans can't be sent to ${this.#url.origin}: ${problem}; what does not fit the queue is dropped`,
    )
  }
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let at = 0; at < pairs.length; at += 2) headers[pairs[at] as string] = pairs[at + 1] as string
  return headers
}

/** Reads an answer to its end, or as far as it is worth it. */
function readAnswer(
  response: IncomingMessage,
  request: ClientRequest,
  ended: (problem: string | null, again?: boolean) => void,
): void {
  const status = response.statusCode ?? 0
  const isDone = status >= 200 && status < 300
  let bytes = 0
  const over = (): void => ended(isDone ? null : `status ${status}`, RETRYABLE.has(status))
  response.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes <= ANSWER_BYTES) return
    over()
    request.destroy()
  })
  response.on('end', over)
  response.on('error', over)
}
