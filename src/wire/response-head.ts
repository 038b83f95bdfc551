/**
 * Parses the head of a response (RFC 9112 sections 4 and 6): its status line, and its fields about framing and the connection.
 */
import {
  type ConnectionWords,
  FORBIDDEN,
  isName,
  type Lines,
  MalformedMessage,
  noteConnection,
  readContentLength,
  readFieldLines,
} from './fields.ts'
import type { Repaired } from './repair.ts'

/** The head of one response, interim (1xx) or final. */
export interface ResponseHead {
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  readonly minor: 0 | 1
  /** 100 to 999. */
  readonly status: number
  /** The reason phrase as received, often ''. A Latin-1 string. */
  readonly reason: string
  /** Field names and values as received: name, value, name, value; Latin-1 strings. */
  readonly rawHeaders: string[]
  /** How the body ends (RFC 9112 section 6.3). */
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
  /** The body's length in bytes where framing is `length`, else 0. */
  readonly contentLength: number
  /** The peer keeps the connection open after this answer (RFC 9112 section 9.3). */
  readonly keepAlive: boolean
  /** The peer's `Keep-Alive: timeout` in milliseconds, or -1 for none. */
  readonly keepAliveTimeoutMs: number
  /**
   * The peer authenticates connections, not requests: it offers NTLM or Negotiate, or says `Persistent-Auth: true` (RFC 4559
   * section 6).
   */
  readonly bindsConnection: boolean
}

const LF = 10
const SP = 32

/** The beginning of every response, up to the minor version. */
export const PREFIX = 'HTTP/1.'

/**
 * A scheme that authenticates the connection, anywhere in a list of challenges. A false match in a quoted string only costs
 * a connection of its own.
 */
const CONNECTION_SCHEME = /(?:^|[\s,])(?:ntlm|nego|kerberos)/i

/** The fields about framing and persistence. */
interface Framing extends ConnectionWords {
  contentLength: number
  chunked: boolean
  transferEncoded: boolean
  /** The only transfer coding is a word that no RFC defines. */
  unheardOf: boolean
  keepAliveTimeoutMs: number
  bindsConnection: boolean
}

/**
 * Parses a head.
 * @param maxFields how many fields it may have
 * @param lenient accepts what was repaired, but doesn't keep the connection: others may read its next answer differently
 * @throws {MalformedMessage} it is not a valid head, or its framing can't be trusted
 */
export function parseHead(section: Repaired, maxFields: number, lenient: boolean): ResponseHead {
  const { text, repaired } = section
  if (!text.startsWith(PREFIX)) throw new MalformedMessage('not an HTTP/1 response')
  const minor = text.charCodeAt(7) - 48
  if ((minor !== 0 && minor !== 1) || text.charCodeAt(8) !== SP) throw new MalformedMessage('invalid HTTP version')
  const status = threeDigits(text, 9)
  if (status < 100) throw new MalformedMessage('invalid status code')
  const lineEnd = text.indexOf('\r', 12)
  // Many servers omit the space before an empty reason phrase, which can be read in one way only.
  if (lineEnd !== 12 && text.charCodeAt(12) !== SP) throw new MalformedMessage('invalid status line')
  for (let i = 13; i < lineEnd; i++) {
    if (FORBIDDEN[text.charCodeAt(i)] === 1) throw new MalformedMessage('control character in the reason phrase')
  }
  if (text.charCodeAt(lineEnd + 1) !== LF) throw new MalformedMessage('CR without LF in the status line')
  const rawHeaders: string[] = []
  readSection(section, lineEnd + 2, rawHeaders, maxFields)
  const said = framingSaid(rawHeaders)
  if (said.transferEncoded) {
    // RFC 9112 section 6.1: with Content-Length as well, with a coding that we don't decode, or from HTTP/1.0, the framing can't
    // be trusted. An undefined word is not a coding: such a body ends with the connection (section 6.3).
    if (said.contentLength !== -1) throw new MalformedMessage('both Content-Length and Transfer-Encoding')
    if (!said.chunked && !said.unheardOf) throw new MalformedMessage('a transfer coding other than chunked')
    if (minor === 0 && !lenient) throw new MalformedMessage('Transfer-Encoding in HTTP/1.0')
  }
  const doubtful = lenient && (repaired || (minor === 0 && said.transferEncoded))
  return {
    minor,
    status,
    reason: lineEnd > 13 ? text.slice(13, lineEnd) : '',
    rawHeaders,
    framing: framingOf(status, said),
    contentLength: said.contentLength === -1 ? 0 : said.contentLength,
    keepAlive: !said.close && !said.unheardOf && !doubtful && (minor === 1 || said.keepAlive),
    keepAliveTimeoutMs: said.keepAliveTimeoutMs,
    bindsConnection: said.bindsConnection,
  }
}

function framingOf(status: number, said: Framing): ResponseHead['framing'] {
  if (status === 204 || status === 304 || status === 101) return 'none'
  if (status < 200) return said.transferEncoded || said.contentLength > 0 ? 'length' : 'none'
  if (said.chunked) return 'chunked'
  return said.contentLength === -1 ? 'close' : 'length'
}

function threeDigits(text: string, at: number): number {
  let value = 0
  for (let i = at; i < at + 3; i++) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit <= 9)) throw new MalformedMessage('invalid status code')
    value = value * 10 + digit
  }
  return value
}

/**
 * Reads a trailer section (RFC 9112 section 7.1.2).
 * @param text its lines, each with its CRLF
 * @returns name, value, ...
 * @throws {MalformedMessage} it is invalid, or its framing fields are; valid framing fields, meaningless here, are dropped later
 */
export function readTrailers(section: Lines, maxFields: number): string[] {
  const fields: string[] = []
  readSection(section, 0, fields, maxFields)
  framingSaid(fields)
  return fields
}

/** Reads field lines from `at` to the end of a section into `out`. */
function readSection(section: Lines, at: number, out: string[], maxFields: number): void {
  const end = readFieldLines(section, at, out, maxFields)
  if (end !== section.text.length) throw new MalformedMessage('a field line without a valid name')
}

/** Lengths of the names that `noteFraming` looks for. */
const NOTED_LENGTHS = new Uint8Array(32)
for (const length of [10, 14, 15, 16, 17, 18]) NOTED_LENGTHS[length] = 1

function framingSaid(rawHeaders: readonly string[]): Framing {
  const said: Framing = {
    contentLength: -1,
    chunked: false,
    transferEncoded: false,
    unheardOf: false,
    close: false,
    keepAlive: false,
    upgrade: false,
    keepAliveTimeoutMs: -1,
    bindsConnection: false,
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (NOTED_LENGTHS[name.length] === 1) noteFraming(said, name, rawHeaders[i + 1] as string)
  }
  return said
}

function noteFraming(said: Framing, name: string, value: string): void {
  switch (name.length) {
    case 15:
      if (name.toLowerCase() === 'persistent-auth') said.bindsConnection ||= /^true$/i.test(value)
      break
    case 16:
      if (name.toLowerCase() === 'www-authenticate') said.bindsConnection ||= CONNECTION_SCHEME.test(value)
      break
    case 18:
      if (name.toLowerCase() === 'proxy-authenticate') said.bindsConnection ||= CONNECTION_SCHEME.test(value)
      break
    case 14:
      if (isName(name, 'Content-Length', 'content-length')) {
        if (said.contentLength !== -1) throw new MalformedMessage('several Content-Length fields')
        said.contentLength = readContentLength(value)
      }
      break
    case 17:
      if (isName(name, 'Transfer-Encoding', 'transfer-encoding')) {
        if (said.transferEncoded) throw new MalformedMessage('several Transfer-Encoding fields')
        said.transferEncoded = true
        said.chunked = value.toLowerCase() === 'chunked'
        said.unheardOf = isUnheardOf(value)
      }
      break
    case 10:
      if (isName(name, 'Connection', 'connection')) noteConnection(said, value)
      else if (isName(name, 'Keep-Alive', 'keep-alive')) {
        const hint = /(?:^|[,\s])timeout\s*=\s*"?([0-9]{1,9})/i.exec(value)
        if (hint !== null) said.keepAliveTimeoutMs = Number(hint[1]) * 1000
      }
  }
}

/**
 * A single word that neither is nor was a transfer coding (RFC 9112 section 7, RFC 2616 section 3.6), and that no parser is
 * likely to read as one.
 */
function isUnheardOf(value: string): boolean {
  return /^[a-z0-9-]+$/i.test(value) && !/chunk|identity|zip|compress|deflate|zstd|^br$/i.test(value)
}
