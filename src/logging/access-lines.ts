/**
 * Access log lines, built by hand because a general serializer costs more than the rest of a line, and written in batches.
 */
import type { Exchange } from '../proxy/exchange.ts'
import { causeText } from '../rules/failures/cause.ts'
import { escapedJson } from '../rules/values/unprintable.ts'

/** The level that pino gives to `info`: all lines of a log can be read by the same tools. */
const INFO = 30
const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * One JSON object and a newline: level, time, then the given fields in their order.
 * @param time ISO 8601
 * @param fields names that need no escaping; `undefined` is left out, as JSON.stringify does
 */
export function accessLine(time: string, fields: Readonly<Record<string, unknown>>): string {
  let text = `{"level":${INFO},"time":"${time}"`
  for (const name in fields) {
    const value = fields[name]
    if (typeof value === 'string') text += `,"${name}":${quoted(value)}`
    else if (value === null) text += `,"${name}":null`
    else if (typeof value === 'number') text += `,"${name}":${Number.isFinite(value) ? value : null}`
    else if (value !== undefined) text += `,"${name}":${JSON.stringify(value)}`
  }
  return `${text}}\n`
}

/**
 * The line of an exchange: what `accessLine` makes of `logFields`, without making the fields first.
 * @param time ISO 8601
 * @param durationMs in milliseconds
 */
export function exchangeLine(time: string, exchange: Exchange, durationMs: number): string {
  const { decision, answer, view, retries, fallbackOn, shadow, failure, cause } = exchange
  let text = `{"level":${INFO},"time":"${time}","id":"${exchange.id}","method":${quoted(view.method)},"host":${quoted(view.host)},"target":${quoted(view.target)},"client":${quoted(view.clientAddress)},"status":${answer.status},"bytes":${answer.bodyBytes},"requestBytes":${exchange.requestBytes},"durationMs":${milliseconds(durationMs)},"route":${orNull(decision.routeId)},"upstream":${orNull(decision.upstream || null)},"server":${orNull(exchange.server)},"bucket":${decision.bucket},"percent":${decision.percent},"reason":"${decision.reason}","cache":"${exchange.cache}","revision":${exchange.revision.number}`
  if (retries > 0) text += `,"retries":${retries}`
  if (fallbackOn !== null) {
    text += `,"fallbackOn":${quoted(fallbackOn)},"failedServer":${orNull(exchange.failedServer)}`
    if (exchange.failedCause !== null) text += `,"failedCause":${quoted(causeText(exchange.failedCause))}`
  }
  if (exchange.trace !== null) text += `,"traceId":"${exchange.trace.traceId}"`
  if (shadow !== null) text += `,"shadow":"${shadow}"`
  if (failure !== null) text += `,"failure":"${failure}"`
  if (cause !== null) text += `,"cause":${quoted(causeText(cause))}`
  return `${text}}\n`
}

function orNull(text: string | null): string {
  return text === null ? 'null' : quoted(text)
}

/** As `logFields` rounds it. Whole numbers become text at a fraction of what others cost. */
function milliseconds(ms: number): string {
  const micros = Math.round(ms * 1000)
  const rest = micros % 1000
  return `${(micros - rest) / 1000}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`
}

/** A JSON string (RFC 8259 section 7). */
function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit > 0x7e || unit === QUOTE || unit === BACKSLASH) {
      return escapedJson(JSON.stringify(text))
    }
  }
  return `"${text}"`
}

/** The time of now as the lines give it; one text for all lines of a millisecond. */
export function isoTime(nowMs: number): string {
  if (nowMs !== last.ms) {
    last.ms = nowMs
    last.text = new Date(nowMs).toISOString()
  }
  return last.text
}

const last = { ms: -1, text: '' }

/** Bytes that are gathered before they are written. */
const BATCH_BYTES = 32 * 1024

/** UTF-8 needs no more for one unit of a string. */
const MAX_BYTES_A_UNIT = 3

/**
 * Lines on their way to a sink, a batch at a time. They are made bytes at once: texts that wait for the rest of their batch
 * would outlive collections.
 */
export class LineBatch {
  readonly #sink: (lines: Buffer) => void
  readonly #bytes = Buffer.allocUnsafeSlow(2 * BATCH_BYTES)
  #length = 0

  /** @param sink takes lines that are gone after the call */
  constructor(sink: (lines: Buffer) => void) {
    this.#sink = sink
  }

  add(line: string): void {
    const most = line.length * MAX_BYTES_A_UNIT
    if (this.#length + most > this.#bytes.length) this.flush()
    if (most > this.#bytes.length) {
      this.#sink(Buffer.from(line))
      return
    }
    this.#length += this.#bytes.write(line, this.#length)
    if (this.#length >= BATCH_BYTES) this.flush()
  }

  /** Hands over what has been gathered. */
  flush(): void {
    if (this.#length === 0) return
    const lines = this.#bytes.subarray(0, this.#length)
    this.#length = 0
    this.#sink(lines)
  }
}
