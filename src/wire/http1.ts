/**
 * A strict streaming parser for HTTP/1.1 responses (RFC 9112), independent of sockets. It never guesses; of what breaks the rules
 * it accepts only what common servers send and what can be read in one way only.
 */
import { ChunkFraming } from './chunks.ts'
import { HeldBytes, MalformedMessage, NO_FIELDS, type ReaderLimits } from './fields.ts'
import { type Repaired, repairHead } from './repair.ts'
import { PREFIX, parseHead, type ResponseHead, readTrailers } from './response-head.ts'

/** Receives what the reader finds, in order: interim heads, one final head, body pieces, the end. */
export interface ResponseSink {
  onInformation(head: ResponseHead): void
  onHead(head: ResponseHead): void
  /** A piece of the body. It may be a view of the bytes that were pushed, whose memory is reused after `push` returns. */
  onBody(piece: Buffer): void
  /** The body is complete. Trailer fields as name, value, ...; empty for none. */
  onEnd(rawTrailers: string[]): void
}

export const DEFAULT_LIMITS: ReaderLimits = { maxHeadBytes: 64 * 1024, maxFields: 1000 }

const CR = 13
const LF = 10
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1')
const BARE_HEAD_END = Buffer.from('\n\n', 'latin1')

type State = 'idle' | 'head' | 'length' | 'chunked' | 'trailers' | 'close' | 'tunnel'

/**
 * Reads the responses of one connection, one after the other. Call `begin` once per request, and `push` with what arrives.
 * After `push` has thrown, the connection can't be used any more.
 */
export class ResponseReader {
  readonly #limits: ReaderLimits
  readonly #lenient: boolean
  #sink: ResponseSink | null = null
  #state: State = 'idle'
  /** A head or trailer section that is not complete yet. */
  readonly #held = new HeldBytes()
  /** Bytes of the body still to come, where they are known. */
  #remaining = 0
  readonly #chunks = new ChunkFraming(true)
  #repaired = false
  /** Bytes of the interim heads so far: they are limited. */
  #interimBytes = 0
  #bodiless = false
  #upgradeAsked = false
  #rest: Buffer | null = null

  constructor(limits: ReaderLimits = DEFAULT_LIMITS, lenient = false) {
    this.#limits = limits
    this.#lenient = lenient
  }

  /** True while an answer is awaited or under way. */
  get busy(): boolean {
    return this.#state !== 'idle'
  }

  /** The current body has no declared length: it ends with the connection (RFC 9112 section 6.3). */
  get endsWithConnection(): boolean {
    return this.#state === 'close'
  }

  /** The current answer, or the last one, broke a rule and was accepted all the same. */
  get repaired(): boolean {
    return this.#repaired
  }

  /** Bytes after a 101 head in the same push, or null. */
  get rest(): Buffer | null {
    return this.#rest
  }

  /**
   * Expects the answer to a request.
   * @param method of the request: the answer to HEAD has no body (RFC 9110 section 9.3.2)
   * @param upgradeAsked a 101 is valid only if the request asked for it
   */
  begin(sink: ResponseSink, method: string, upgradeAsked: boolean): void {
    this.#sink = sink
    this.#state = 'head'
    this.#interimBytes = 0
    this.#repaired = false
    this.#bodiless = method === 'HEAD'
    this.#upgradeAsked = upgradeAsked
  }

  /**
   * Parses the next bytes and reports to the sink what is complete in them.
   * @throws {MalformedMessage} the bytes break RFC 9112, or no response is expected
   */
  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(bytes, at)
          break
        case 'length': {
          const end = Math.min(bytes.length, at + this.#remaining)
          this.#remaining -= end - at
          const piece = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end)
          at = end
          this.#sink!.onBody(piece)
          if (this.#remaining === 0) this.#finish(NO_FIELDS)
          break
        }
        case 'close':
          this.#sink!.onBody(at === 0 ? bytes : bytes.subarray(at))
          at = bytes.length
          break
        case 'trailers':
          at = this.#readTrailers(bytes, at)
          break
        case 'tunnel':
          this.#rest = bytes.subarray(at)
          return
        case 'idle':
          throw new MalformedMessage(`${bytes.length - at} bytes after the end of the response`)
        case 'chunked':
          at = this.#readChunked(bytes, at)
      }
    }
  }

  /**
   * The peer closed its side.
   * @returns true if that is the proper end of the answer, false if the answer was truncated
   */
  end(): boolean {
    if (this.#state !== 'close') return this.#state === 'idle' || this.#state === 'tunnel'
    this.#finish(NO_FIELDS)
    return true
  }

  #finish(rawTrailers: string[]): void {
    const sink = this.#sink!
    this.#state = 'idle'
    this.#sink = null
    sink.onEnd(rawTrailers)
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#held.length
    const section = this.#section(bytes, at, before)
    if (section === null) return bytes.length
    const next = at + section.length - before
    const head = parseHead(section, this.#limits.maxFields, this.#lenient)
    // parseHead allows this for a lenient reader only.
    this.#repaired ||= head.minor === 0 && head.framing === 'chunked'
    if (head.status < 200 && head.status !== 101) {
      if (head.framing !== 'none') throw new MalformedMessage(`${head.status} with a body`)
      this.#interimBytes += section.length
      if (this.#interimBytes > this.#limits.maxHeadBytes) throw new MalformedMessage('interim responses too large')
      this.#sink!.onInformation(head)
      return next
    }
    this.#startBody(head)
    return next
  }

  #startBody(head: ResponseHead): void {
    const sink = this.#sink!
    if (head.status === 101) {
      if (!this.#upgradeAsked) throw new MalformedMessage('101 without an upgrade request')
      this.#state = 'tunnel'
      sink.onHead(head)
      return
    }
    const framing = this.#bodiless ? 'none' : head.framing
    if (framing === 'none' || (framing === 'length' && head.contentLength === 0)) {
      sink.onHead(head)
      this.#finish(NO_FIELDS)
      return
    }
    if (framing === 'length') {
      this.#state = 'length'
      this.#remaining = head.contentLength
    } else if (framing === 'chunked') {
      this.#state = 'chunked'
      this.#chunks.begin()
    } else this.#state = 'close'
    sink.onHead(head)
  }

  /**
   * The text of a head or trailer section up to its last CRLF, or null until held and new bytes make it complete. Of its length,
   * `before` bytes were held already; the rest is in `bytes`.
   */
  #section(bytes: Buffer, at: number, before: number): Repaired | null {
    const section = before === 0 ? this.#find(bytes, at, at) : this.#findHeld(bytes, at)
    if (section === null) {
      if (before === 0) this.#hold(bytes, at)
      this.#checkHeld(before)
      return null
    }
    if (section.length > this.#limits.maxHeadBytes) throw new MalformedMessage('response headers too large')
    if (before > 0) this.#held.clear()
    this.#repaired ||= section.repaired
    return section
  }

  /** @param unseen where the bytes begin that have not been searched yet */
  #find(bytes: Buffer, start: number, unseen: number): Repaired | null {
    // Without a line end in the new bytes the section can't be complete: a head may arrive one byte at a time.
    const lf = bytes.indexOf(LF, unseen)
    if (lf === -1) return null
    if (this.#lenient) return hasEmptyLine(bytes, start, lf) ? repairHead(bytes.toString('latin1', start)) : null
    const first = unseen === start ? lf : bytes.indexOf(LF, start)
    const bare = this.#state === 'head' && isBareLf(bytes, start, first)
    return bare ? bareSection(bytes, start, unseen) : strictSection(bytes, start, unseen)
  }

  #findHeld(bytes: Buffer, at: number): Repaired | null {
    const before = this.#held.length
    this.#hold(bytes, at)
    return this.#find(this.#held.bytes, 0, before)
  }

  /** Holds at most one byte more than the limit, enough to see that the section is too large. */
  #hold(bytes: Buffer, at: number): void {
    this.#held.add(bytes, at, Math.min(bytes.length, at + this.#limits.maxHeadBytes + 1 - this.#held.length))
  }

  /** Refuses at once, not after a timeout, what can never become a head. */
  #checkHeld(before: number): void {
    const held = this.#held.bytes
    if (held.length > this.#limits.maxHeadBytes) throw new MalformedMessage('response headers too large')
    if (this.#state === 'head' && before < PREFIX.length) {
      const begin = held.toString('latin1', 0, Math.min(PREFIX.length, held.length))
      if (!PREFIX.startsWith(begin)) throw new MalformedMessage('not an HTTP/1 response')
    }
    if (this.#lenient) return
    if (this.#state === 'head' && endsInBareLf(held, 0)) refuseCr(held)
    else {
      for (let i = before; i < held.length; i++) {
        if (held[i] === LF && (i === 0 || held[i - 1] !== CR)) throw new MalformedMessage('line ends in a bare LF')
      }
    }
  }

  #readTrailers(bytes: Buffer, at: number): number {
    // Most trailer sections are just the empty line, without a CRLF CRLF to search for.
    const before = this.#held.length
    const isHeld = before > 0
    const first = isHeld ? this.#held.bytes[0] : bytes[at]
    if (first === CR) {
      if (!isHeld && at + 1 === bytes.length) {
        this.#hold(bytes, at)
        return at + 1
      }
      const lf = isHeld ? at : at + 1
      if (bytes[lf] !== LF) throw new MalformedMessage('CR without LF after the last chunk')
      if (isHeld) this.#held.clear()
      this.#finish(NO_FIELDS)
      return lf + 1
    }
    const section = this.#section(bytes, at, before)
    if (section === null) return bytes.length
    this.#finish(readTrailers(section, this.#limits.maxFields))
    return at + section.length - before
  }

  #readChunked(bytes: Buffer, from: number): number {
    const chunks = this.#chunks
    const at = chunks.read(bytes, from, this.#sink!)
    if (chunks.ended) {
      this.#repaired ||= chunks.padded
      this.#state = 'trailers'
    }
    return at
  }
}

/** @param unseen where the bytes begin that have not been searched yet */
function strictSection(bytes: Buffer, start: number, unseen: number): Repaired | null {
  const end = bytes.indexOf(HEAD_END, Math.max(start, unseen - HEAD_END.length + 1))
  if (end === -1) return null
  const text = bytes.toString('latin1', start, end + 2)
  return { text, bytes, from: start, length: end + 4 - start, repaired: false }
}

/** Whether the LF at `lf` has no CR before it. */
function isBareLf(bytes: Buffer, start: number, lf: number): boolean {
  return lf === start || bytes[lf - 1] !== CR
}

/** Whether the first complete line has no CR before its LF. */
function endsInBareLf(bytes: Buffer, start: number): boolean {
  const lf = bytes.indexOf(LF, start)
  return lf !== -1 && isBareLf(bytes, start, lf)
}

/** Whether one of the line ends from `lf` on ends an empty line. A cheap test before the lenient parser runs. */
function hasEmptyLine(bytes: Buffer, start: number, lf: number): boolean {
  for (let at = lf; at !== -1; at = bytes.indexOf(LF, at + 1)) {
    const before = at > start && bytes[at - 1] === CR ? at - 2 : at - 1
    if (before >= start && bytes[before] === LF) return true
  }
  return false
}

/**
 * A head whose lines all end in LF alone, as CGI programs write them (RFC 9112 section 2.2). If only some do, an LF may be part of a
 * value that an attacker has chosen.
 */
function bareSection(bytes: Buffer, start: number, unseen: number): Repaired | null {
  const end = bytes.indexOf(BARE_HEAD_END, Math.max(start, unseen - 1))
  if (end === -1) return null
  const head = bytes.subarray(start, end + 1)
  const text = head.toString('latin1')
  if (!text.startsWith(PREFIX)) throw new MalformedMessage('not an HTTP/1 response')
  refuseCr(head)
  const mended = text.replaceAll('\n', '\r\n')
  return { text: mended, bytes: Buffer.from(mended, 'latin1'), from: 0, length: head.length + 1, repaired: true }
}

function refuseCr(bytes: Buffer): void {
  if (bytes.includes(CR)) throw new MalformedMessage('mixed line endings, LF and CRLF')
}
