/**
 * A strict streaming parser for HTTP/1.1 requests (RFC 9112), independent of sockets. It never guesses: what could be read in two
 * ways is refused. It doesn't check the form of the target, nor Host.
 */
import { ChunkFraming } from './chunks.ts'
import {
  type ConnectionWords,
  HeldBytes,
  isName,
  type Lines,
  MalformedMessage,
  MessageTooLarge,
  NO_FIELDS,
  noteConnection,
  type ReaderLimits,
  readContentLength,
  readFieldLines,
  TOKEN,
} from './fields.ts'

/** The head of one request. */
export interface RequestHead {
  /** Any token (RFC 9110 section 9.1). */
  readonly method: string
  /** As received: a Latin-1 string without white space or control characters, but possibly with bytes above 0x7F. */
  readonly target: string
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  readonly minor: 0 | 1
  /** Field names and values as received: name, value, name, value; Latin-1 strings. */
  readonly rawHeaders: string[]
  /** How the body ends (RFC 9112 section 6.3). */
  readonly framing: 'none' | 'length' | 'chunked'
  /** The body's length in bytes where framing is `length`, else 0. */
  readonly contentLength: number
  /** The client keeps the connection open after the answer (RFC 9112 section 9.3). */
  readonly keepAlive: boolean
  /** The client offers to switch to another protocol after this request (RFC 9110 section 7.8). */
  readonly offersUpgrade: boolean
}

/** Receives what the reader finds, in order: a head, body pieces, the end; then the next head. */
export interface RequestSink {
  onHead(head: RequestHead): void
  /** A piece of the body. It may be a view of the bytes that were pushed, whose memory is reused after `push` returns. */
  onBody(piece: Buffer): void
  /** The request is complete. Trailer fields as name, value, ...; empty for none. */
  onEnd(rawTrailers: string[]): void
}

/** Limits of one request. */
export interface RequestReaderLimits extends ReaderLimits {
  /** Characters of the target. */
  readonly maxTargetLength: number
}

/** Why a request is refused, as the name of a failure; `request-body` if its head had been reported already. */
export type RequestFault =
  | 'bad-request'
  | 'request-line-too-long'
  | 'head-too-large'
  | 'http-version'
  | 'transfer-coding'
  | 'request-body'

/** A request that is refused. Nothing that follows on the connection can be read. */
export class RefusedRequest extends MalformedMessage {
  readonly fault: RequestFault
  /** From the request line; '' if it could not be read. */
  readonly method: string
  readonly target: string

  constructor(fault: RequestFault, message: string, method: string, target: string) {
    super(message)
    this.fault = fault
    this.method = method
    this.target = target
  }
}

/** Empty lines before a request line (RFC 9112 section 2.2). */
const MAX_EMPTY_LINES = 16

const CR = 13
const LF = 10
const SP = 32
const DOT = 46
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1')

/** Characters allowed in a target: visible ones, and bytes that browsers and curl send unescaped. */
const inTarget = new Uint8Array(256)
for (let c = 0x21; c < 256; c++) if (c !== 0x7f) inTarget[c] = 1

const token = TOKEN

type State = 'between' | 'between-lf' | 'line' | 'fields' | 'length' | 'chunked' | 'trailers'

/**
 * Reads the requests of one connection, one after the other. Call `push` with what arrives. After it has thrown, the connection
 * can't be used any more.
 */
export class RequestReader {
  readonly #limits: RequestReaderLimits
  readonly #sink: RequestSink
  #state: State = 'between'
  #emptyLines = 0
  /** An incomplete line of a head or trailer section. */
  readonly #held = new HeldBytes()
  /** Bytes of the complete lines of this section. */
  #sectionBytes = 0
  #method = ''
  #target = ''
  #minor: 0 | 1 = 1
  #fields: string[] = NO_FIELDS
  /** Bytes of the body still to come, where they are known. */
  #remaining = 0
  #chunks: ChunkFraming | null = null
  #stopped = false

  constructor(sink: RequestSink, limits: RequestReaderLimits) {
    this.#sink = sink
    this.#limits = limits
  }

  /** Where the reader is: between two requests, in a head, or in a body. */
  get phase(): 'between' | 'head' | 'body' {
    switch (this.#state) {
      case 'between':
      case 'between-lf':
        return 'between'
      case 'line':
      case 'fields':
        return 'head'
      default:
        return 'body'
    }
  }

  /** Ends the current `push` once the sink returns, or in a chunked body once all its data has been reported; the next `push` goes on. */
  stop(): void {
    this.#stopped = true
  }

  /**
   * Parses bytes and reports to the sink what is complete in them, up to the end of a request: call again for the next one.
   * @param from where the bytes begin that have not been taken yet
   * @returns the end of the bytes taken: all of them, unless a request ended earlier or the sink called `stop`
   * @throws {RefusedRequest} the request is malformed, ambiguous or over a limit
   */
  push(bytes: Buffer, from = 0): number {
    try {
      return this.#read(bytes, from)
    } catch (error) {
      if (error instanceof MalformedMessage && !(error instanceof RefusedRequest)) throw this.#refusalFor(error)
      throw error
    }
  }

  #read(bytes: Buffer, from: number): number {
    let at = from
    this.#stopped = false
    while (at < bytes.length && !this.#stopped) {
      switch (this.#state) {
        case 'between':
          if (bytes[at] === CR) {
            at++
            this.#state = 'between-lf'
          } else if (bytes[at] === LF) throw new MalformedMessage('bare LF before the request line')
          else this.#begin()
          break
        case 'between-lf':
          if (bytes[at++] !== LF) throw new MalformedMessage('bare CR before the request line')
          if (++this.#emptyLines > MAX_EMPTY_LINES)
            throw new MalformedMessage('too many empty lines before the request line')
          this.#state = 'between'
          break
        case 'length': {
          const end = Math.min(bytes.length, at + this.#remaining)
          this.#remaining -= end - at
          this.#sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end))
          at = end
          if (this.#remaining === 0) this.#finish(NO_FIELDS)
          break
        }
        case 'chunked':
          at = this.#readChunked(bytes, at, this.#chunks as ChunkFraming)
          break
        default:
          at = this.#readLines(bytes, at)
      }
    }
    return at
  }

  #begin(): void {
    this.#state = 'line'
    this.#sectionBytes = 0
    this.#fields = []
  }

  #finish(rawTrailers: string[]): void {
    this.#state = 'between'
    this.#emptyLines = 0
    this.#fields = NO_FIELDS
    this.#stopped = true
    this.#sink.onEnd(rawTrailers)
  }

  #readChunked(bytes: Buffer, from: number, chunks: ChunkFraming): number {
    const at = chunks.read(bytes, from, this.#sink)
    if (chunks.ended) {
      this.#state = 'trailers'
      this.#sectionBytes = 0
      this.#fields = []
    }
    return at
  }

  /** Reads the complete lines of a head or trailer section up to its end, and holds an incomplete line. */
  #readLines(bytes: Buffer, from: number): number {
    let at = from
    if (this.#held.length > 0) {
      const lf = bytes.indexOf(LF, at)
      const end = lf === -1 ? bytes.length : lf + 1
      this.#hold(bytes, at, end)
      if (lf === -1) return end
      const line = this.#held.bytes
      this.#held.clear()
      this.#takeLines({ text: line.toString('latin1'), bytes: line, from: 0 })
      return end
    }
    const limit = at + this.#limits.maxHeadBytes - this.#sectionBytes
    const headEnd = bytes.indexOf(HEAD_END, at)
    let end = headEnd === -1 ? bytes.lastIndexOf(LF) + 1 : headEnd + HEAD_END.length
    if (end > limit) end = limit > at ? bytes.lastIndexOf(LF, limit - 1) + 1 : at
    if (end > at) {
      at += this.#takeLines({ text: bytes.toString('latin1', at, end), bytes, from: at })
      if (this.#state !== 'fields' && this.#state !== 'trailers') return at
    }
    this.#hold(bytes, at, bytes.length)
    return bytes.length
  }

  /** Holds an incomplete line, at most one byte more than the limit: enough to see that it is too long. */
  #hold(bytes: Buffer, from: number, to: number): void {
    const before = this.#held.length
    const room = this.#limits.maxHeadBytes - this.#sectionBytes - before
    this.#held.add(bytes, from, Math.min(to, from + room + 1))
    // What can never become a request is refused at once, not after a timeout.
    if (this.#state === 'line') refuseOddLine(this.#held.bytes, before)
    if (to - from > room) throw new MessageTooLarge('head or trailer section too large')
  }

  /**
   * @returns how much of the text was taken: all of it, unless the section ended earlier
   */
  #takeLines(lines: Lines): number {
    const { text } = lines
    let at = 0
    if (this.#state === 'line') {
      at = this.#takeRequestLine(text)
      this.#state = 'fields'
    }
    at = readFieldLines(lines, at, this.#fields, this.#limits.maxFields)
    this.#sectionBytes += at
    if (at === text.length) {
      refuseTab(text)
      return at
    }
    if (this.#state === 'fields') this.#finishHead(this.#fields, text.slice(0, at))
    else this.#finishTrailers(this.#fields)
    return at + 2
  }

  /** RFC 9112 section 3. Several spaces count as one: they can be read in one way only, and one is sent on. */
  #takeRequestLine(text: string): number {
    let i = 0
    while (token[text.charCodeAt(i)] === 1) i++
    if (i === 0 || text.charCodeAt(i) !== SP) throw new MalformedMessage('a request line without a method')
    const method = text.slice(0, i)
    while (text.charCodeAt(i) === SP) i++
    const start = i
    while (inTarget[text.charCodeAt(i)] === 1) i++
    const target = text.slice(start, i)
    if (target === '') throw new MalformedMessage('a request line without a target')
    if (text.charCodeAt(i) === CR && text.charCodeAt(i + 1) === LF) {
      this.#method = method
      this.#target = target
      throw this.#refusal('http-version', 'HTTP/0.9')
    }
    if (text.charCodeAt(i) !== SP) throw new MalformedMessage('control character in the request line')
    while (text.charCodeAt(i) === SP) i++
    const [major, minor] = [text.charCodeAt(i + 5) - 48, text.charCodeAt(i + 7) - 48]
    const isVersion = text.startsWith('HTTP/', i) && isDigit(major) && text.charCodeAt(i + 6) === DOT && isDigit(minor)
    if (!isVersion || text.charCodeAt(i + 8) !== CR || text.charCodeAt(i + 9) !== LF) {
      throw new MalformedMessage('a request line that does not end in a valid HTTP version')
    }
    this.#method = method
    this.#target = target
    if (major !== 1 || minor > 1) throw this.#refusal('http-version', `HTTP/${major}.${minor}`)
    if (target.length > this.#limits.maxTargetLength) throw new MessageTooLarge('target too long')
    this.#minor = minor as 0 | 1
    return i + 10
  }

  /** @param text the last lines of the head, which `refuseTab` has not checked yet */
  #finishHead(rawHeaders: string[], text: string): void {
    const minor = this.#minor
    const said = framingSaid(rawHeaders)
    if (said.coding !== null) {
      refuseTab(text)
      if (said.contentLength !== -1) throw new MalformedMessage('both Content-Length and Transfer-Encoding')
      if (minor === 0) throw new MalformedMessage('Transfer-Encoding in HTTP/1.0')
      if (said.coding !== 'chunked') throw this.#codingRefusal(said.coding)
    }
    const framing = said.coding !== null ? 'chunked' : said.contentLength > 0 ? 'length' : 'none'
    const head: RequestHead = {
      method: this.#method,
      target: this.#target,
      minor,
      rawHeaders,
      framing,
      contentLength: said.contentLength === -1 ? 0 : said.contentLength,
      keepAlive: !said.close && (minor === 1 || said.keepAlive),
      offersUpgrade: said.upgrade && said.hasUpgrade && minor === 1,
    }
    // An idle connection must not keep the head of its last request in memory.
    this.#method = ''
    this.#target = ''
    this.#fields = NO_FIELDS
    if (framing === 'chunked') {
      this.#state = 'chunked'
      this.#chunks ??= new ChunkFraming(false)
      this.#chunks.begin()
    } else {
      this.#state = 'length'
      this.#remaining = head.contentLength
    }
    this.#sink.onHead(head)
    if (framing === 'none') this.#finish(NO_FIELDS)
  }

  /** RFC 9112 sections 6.1 and 6.3: if another coding follows chunked, the end of the body is unknown. */
  #codingRefusal(coding: string): MalformedMessage {
    const codings = coding.split(',').map((one) => one.replace(/^[ \t]+|[ \t]+$/g, ''))
    if (coding === '' || codings.slice(0, -1).includes('chunked'))
      return new MalformedMessage('invalid Transfer-Encoding')
    return this.#refusal('transfer-coding', 'a transfer coding other than chunked')
  }

  #finishTrailers(rawTrailers: string[]): void {
    for (let i = 0; i < rawTrailers.length; i += 2) {
      // A server that merges trailers into the head would frame the body differently (RFC 9110 section 6.5.1).
      if (FRAMES.test(rawTrailers[i] as string)) throw new MalformedMessage(`${rawTrailers[i]} among the trailers`)
    }
    this.#finish(rawTrailers)
  }

  #refusalFor(error: MalformedMessage): RefusedRequest {
    if (this.phase === 'body') return this.#refusal('request-body', error.message)
    if (!(error instanceof MessageTooLarge)) return this.#refusal('bad-request', error.message)
    return this.#refusal(this.#state === 'line' ? 'request-line-too-long' : 'head-too-large', error.message)
  }

  #refusal(fault: RequestFault, message: string): RefusedRequest {
    return new RefusedRequest(fault, message, this.#method, this.#target)
  }
}

/** A tab is white space (RFC 9110 section 5.6.3), but some servers take it as part of the coding, and llhttp refuses it. */
const TAB_BEHIND_CODING = /^transfer-encoding:[^\r]*\t\r/im

const FRAMES = /^(?:content-length|transfer-encoding)$/i

/** Refuses a head with a tab after a transfer coding. @param text a part of the head */
function refuseTab(text: string): void {
  if (TAB_BEHIND_CODING.test(text)) throw new MalformedMessage('a tab after a transfer coding')
}

function isDigit(value: number): boolean {
  return value >= 0 && value <= 9
}

/**
 * Refuses bytes that can't be the beginning of a request line, such as those of a TLS handshake.
 * @param unseen where the bytes begin that have not been checked yet
 */
function refuseOddLine(line: Buffer, unseen: number): void {
  for (let i = unseen; i < line.length; i++) {
    const c = line[i] as number
    const isProper = c === LF ? i > 0 && line[i - 1] === CR : c === CR || c === SP || inTarget[c] === 1
    if (!isProper || (c !== LF && i > 0 && line[i - 1] === CR))
      throw new MalformedMessage('control character in the request line')
  }
}

interface Framing extends ConnectionWords {
  /** -1 for none. */
  contentLength: number
  /** All lines of Transfer-Encoding in lower case, joined by commas, or null. */
  coding: string | null
  hasUpgrade: boolean
}

function framingSaid(rawHeaders: readonly string[]): Framing {
  const said: Framing = {
    contentLength: -1,
    coding: null,
    hasUpgrade: false,
    close: false,
    keepAlive: false,
    upgrade: false,
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    switch (name.length) {
      case 7:
        if (isName(name, 'Upgrade', 'upgrade')) said.hasUpgrade = true
        break
      case 10:
        if (isName(name, 'Connection', 'connection')) noteConnection(said, rawHeaders[i + 1] as string)
        break
      case 14:
        if (isName(name, 'Content-Length', 'content-length')) {
          if (said.contentLength !== -1) throw new MalformedMessage('several Content-Length fields')
          said.contentLength = readContentLength(rawHeaders[i + 1] as string)
        }
        break
      case 17:
        if (isName(name, 'Transfer-Encoding', 'transfer-encoding')) {
          const coding = (rawHeaders[i + 1] as string).toLowerCase()
          said.coding = said.coding === null ? coding : `${said.coding}, ${coding}`
        }
        break
    }
  }
  return said
}
