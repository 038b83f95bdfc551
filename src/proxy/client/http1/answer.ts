/**
 * Writes HTTP/1.1 answers (RFC 9112): status line, fields and framing as text, in as few writes as possible.
 */
import { isName } from '../../../wire/fields.ts'
import { onceWritten } from '../../../wire/read-memory.ts'
import { Answer, type Whole } from '../answer.ts'
import { dateNow } from '../date.ts'
import { PROBE_AFTER_MS } from '../probe-pauses.ts'

/** The connection that an answer is written on. */
export interface AnswerHost {
  /** The connection stays open after the answer, as far as is known now. */
  persistent: boolean
  /** The lines Connection and Keep-Alive for a persistent connection. */
  readonly keepAliveText: string
  readonly dead: boolean
  /**
   * Writes bytes; a string is Latin-1.
   * @param done called once they have been written to the socket, or undefined
   * @returns false if the client does not keep up
   */
  write(bytes: Buffer | string, done?: () => void): boolean
  /** Holds what is written until `uncork`, to send it together. */
  cork(): void
  uncork(): void
  /** The client was told to send the body. */
  continued(): void
  whenDrained(listener: () => void): void
  /** The answer has been written. */
  answered(): void
  /** @param silently the client would take a plain close for the end of the answer: reset the connection instead */
  cut(silently: boolean): void
}

const CLOSE = 'Connection: close\r\n'

/** The beginning of every answer. */
const BEGINNING = 'HTTP/1.1 '

/** How long to wait before checking again whether a probe is possible. */
const LOOK_AFTER_MS = 1000

/** An answer on an HTTP/1.1 or 1.0 connection. */
export class Http1Answer extends Answer {
  readonly #host: AnswerHost
  readonly #minor: 0 | 1
  protected readonly isHead: boolean
  /** Status line and fields, held to be sent with what follows; '' for none. */
  #unsent = ''
  #chunked = false
  /** The answer has no body, whatever is passed to `write` (RFC 9112 section 6.3). */
  #bodiless = false
  /** The body ends with the connection. */
  #openEnded = false
  /** All of it is written: the rest of the connection's life no longer concerns it. */
  #written = false
  /** Bytes that `probe` has sent since the last regular write. */
  #probed = 0

  constructor(host: AnswerHost, minor: 0 | 1, isHead: boolean) {
    super()
    this.#host = host
    this.#minor = minor
    this.isHead = isHead
  }

  get persistent(): boolean {
    return this.#host.persistent
  }

  closes(): void {
    this.#host.persistent = false
  }

  whenDrained(listener: () => void): void {
    this.#host.whenDrained(listener)
  }

  protected get dead(): boolean {
    return this.#host.dead
  }

  protected get hearsInterim(): boolean {
    return this.#minor === 1
  }

  protected sendInformation(status: number, reason: string, fields: readonly string[]): void {
    let text = `HTTP/1.1 ${status} ${reason}\r\n`
    for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
    if (status === 100) this.#host.continued()
    this.#host.write(this.withoutProbe(`${text}\r\n`))
  }

  protected open(status: number, reason: string, fields: readonly string[]): void {
    this.#unsent = this.#format(status, reason, fields)
  }

  protected sendHead(): boolean {
    const head = this.#unsent
    this.#unsent = ''
    return head === '' || this.#host.write(head)
  }

  protected write(piece: Buffer | string, spent: boolean): boolean {
    if (this.#bodiless || piece.length === 0) return true
    this.#probed = 0
    const host = this.#host
    const head = this.#unsent
    this.#unsent = ''
    if (typeof piece === 'string') {
      const text = head + this.#framed(piece)
      return text === '' || host.write(text)
    }
    const done = spent ? onceWritten(piece) : undefined
    if (!this.#chunked && head === '') return host.write(piece, done)
    host.cork()
    if (this.#chunked) {
      host.write(`${head}${piece.length.toString(16)}\r\n`)
      host.write(piece, done)
      const keepsUp = host.write('\r\n')
      host.uncork()
      return keepsUp
    }
    host.write(head)
    const keepsUp = host.write(piece, done)
    host.uncork()
    return keepsUp
  }

  protected finish(last: Buffer | string | null, spent: boolean, trailers: readonly string[]): void {
    const host = this.#host
    const end = this.#chunked ? lastChunk(trailers) : ''
    if (Buffer.isBuffer(last) && !this.#bodiless) {
      host.cork()
      this.write(last, spent)
      if (end !== '') host.write(end)
      host.uncork()
    } else {
      let text = this.#unsent
      this.#unsent = ''
      if (typeof last === 'string' && !this.#bodiless) text += this.#framed(last)
      text += end
      if (text !== '') host.write(text)
    }
    this.#written = true
    host.answered()
  }

  protected finishWhole({ head, more, bodyHeld }: Whole): boolean {
    if (head === null || this.#minor === 0) return false
    let text = head
    for (let i = 0; i < more.length; i += 2) text += `${more[i]}: ${more[i + 1]}\r\n`
    const host = this.#host
    this.#unsent = this.withoutProbe(`${text}${host.persistent ? host.keepAliveText : CLOSE}\r\n`)
    this.finish(bodyHeld, false, NO_FIELDS)
    return true
  }

  protected cut(opened: boolean): void {
    if (!this.#written) this.#host.cut(opened && this.#openEnded)
  }

  /**
   * Sends one byte that is certain to come next: of the status line, or a leading zero of the next chunk size (RFC 9112 section
   * 7.1). A client that has left and one that has only half-closed look alike until something is sent to them: one that has left
   * replies with a reset, which the next write notices. A body with a length offers no such byte.
   * @returns when to do it again, in milliseconds
   */
  probe(): number {
    if (this.#probed > PROBE_AFTER_MS.length) return LOOK_AFTER_MS
    if (!this.left) this.#host.write(BEGINNING.charAt(this.#probed))
    else if (this.#chunked && !this.#written) this.#host.write('0')
    else return LOOK_AFTER_MS
    return PROBE_AFTER_MS[this.#probed++] ?? LOOK_AFTER_MS
  }

  /** A head without the bytes of it that `probe` has sent. */
  withoutProbe(head: string): string {
    if (this.#probed === 0) return head
    const rest = head.slice(this.#probed)
    this.#probed = 0
    return rest
  }

  /** A piece as a chunk, if chunked. An empty one is left out: it would be the last chunk. */
  #framed(piece: string): string {
    return this.#chunked && piece !== '' ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece
  }

  /** The given fields, then Date, Connection, and the framing (RFC 9112 section 6). */
  #format(status: number, reason: string, fields: readonly string[]): string {
    const host = this.#host
    let text = `HTTP/1.1 ${status} ${reason}\r\n`
    let dated = false
    let hasLength = false
    let connection = ''
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string
      // Only these fields matter here, and few other names have their lengths.
      switch (name.length) {
        case 4:
          dated ||= isName(name, 'Date', 'date')
          break
        case 10:
          if (isName(name, 'Connection', 'connection')) connection = fields[i + 1] as string
          break
        case 14:
          hasLength ||= isName(name, 'Content-Length', 'content-length')
      }
      text += `${name}: ${fields[i + 1]}\r\n`
    }
    const hasBody = !this.isHead && status !== 204 && status !== 304
    this.#bodiless = !hasBody
    this.#chunked = hasBody && !hasLength && this.#minor === 1
    this.#openEnded = hasBody && !hasLength && this.#minor === 0
    // In HTTP/1.0 only a length tells where the answer ends.
    if (this.#minor === 0 && !hasLength) host.persistent = false
    if (connection !== '' && /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(connection)) host.persistent = false
    const { persistent } = host
    // Fixes what the client is told: the getter may depend on what happens later.
    host.persistent = persistent
    if (!dated) text += `Date: ${dateNow()}\r\n`
    if (connection === '') text += persistent ? host.keepAliveText : CLOSE
    return this.withoutProbe(`${text}${this.#chunked ? 'Transfer-Encoding: chunked\r\n\r\n' : '\r\n'}`)
  }
}

const NO_FIELDS: readonly string[] = []

function lastChunk(trailers: readonly string[]): string {
  if (trailers.length === 0) return '0\r\n\r\n'
  let text = '0\r\n'
  for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}: ${trailers[i + 1]}\r\n`
  return `${text}\r\n`
}
