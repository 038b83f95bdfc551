/**
 * Access-log lines: built by hand, since a general serialiser costs more than the rest of a line, and written in batches.
 */
import { closeSync, openSync, writeSync } from 'node:fs'

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

/** A JSON string (RFC 8259 section 7). */
function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Controls, the quote, the backslash, and surrogates, of which one may be without its other half.
    if (unit < 0x20 || unit === QUOTE || unit === BACKSLASH || (unit >= 0xd800 && unit < 0xe000)) {
      return JSON.stringify(text)
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

/** Characters that are gathered before they are written. */
const BATCH = 32 * 1024

/** Lines on their way to a sink, a batch at a time. */
export class LineBatch {
  readonly #sink: (lines: string) => void
  #lines = ''

  constructor(sink: (lines: string) => void) {
    this.#sink = sink
  }

  add(line: string): void {
    this.#lines += line
    if (this.#lines.length >= BATCH) this.flush()
  }

  /** Hands over what has been gathered. */
  flush(): void {
    if (this.#lines === '') return
    const lines = this.#lines
    this.#lines = ''
    this.#sink(lines)
  }
}

/** A file that lines are appended to. A full disk ends nothing: lines are lost until there is room, and that is told once. */
export class LineFile {
  readonly #path: string
  #fd: number
  readonly #onFault: (error: NodeJS.ErrnoException) => void
  #failing = false
  /** What of a batch did not fit: the file must not go on in the middle of a line. */
  #torn = false

  /** @throws {Error} the file can't be opened for appending */
  constructor(path: string, onFault: (error: NodeJS.ErrnoException) => void) {
    this.#path = path
    this.#fd = openSync(path, 'a')
    this.#onFault = onFault
  }

  /** Opens the path anew, since what was there may have been moved away; where that fails, goes on with the old file. */
  reopen(): void {
    try {
      const fd = openSync(this.#path, 'a')
      closeSync(this.#fd)
      this.#fd = fd
      this.#torn = false
    } catch (error) {
      this.#onFault(error as NodeJS.ErrnoException)
    }
  }

  /** Writes whole lines. Synchronous: the page cache takes them in microseconds, and at exit nothing is left behind. */
  write(lines: string): void {
    const bytes = Buffer.from(this.#torn ? `\n${lines}` : lines)
    let at = 0
    try {
      while (at < bytes.length) at += writeSync(this.#fd, bytes, at)
      this.#failing = false
      this.#torn = false
    } catch (error) {
      if (at > 0) this.#torn = true
      if (!this.#failing) this.#onFault(error as NodeJS.ErrnoException)
      this.#failing = true
    }
  }
}
