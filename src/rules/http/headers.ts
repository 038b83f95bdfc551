/**
 * Header fields on their way through (RFC 9110 section 7.6): which pass, which stay, and which banyan adds.
 */
import { fieldValues, UNIX_PEER } from './exchange.ts'
import { type DoneEdits, dashedName } from './field-edits.ts'
import { type FieldKind, kindOf } from './field-kinds.ts'
import { mayHoldOwn } from './own-cookies.ts'

/** What the fields of a request say about framing, routing and the connection, read in one pass. */
export interface RequestFields {
  /** How many Host lines there are; only one is allowed (RFC 9112 section 3.2). */
  hostCount: number
  host: string
  contentLength: string | null
  transferEncoding: string | null
  /** All Connection lines, joined by commas, or null. */
  connection: string | null
  upgrade: string | null
  expect: string | null
  /** `TE` names `trailers`. */
  acceptsTrailers: boolean
  forwardedFor: string | null
  forwardedProto: string | null
  forwardedHost: string | null
  hasForwardedPort: boolean
  maxForwards: string | null
  cdnLoop: string | null
  /** It carries NTLM or Negotiate, which log in the connection (RFC 4559 section 6). */
  bindsConnection: boolean
  /** A field that CGI and its heirs can't tell from Content-Length or Transfer-Encoding (RFC 3875 section 4.1.18). */
  disguisedFraming: boolean
  /** Its cookies may hold some of banyan's own. */
  ownCookies: boolean
}

/** Framing and routing never leave a request because a Connection field names them (RFC 9110 section 7.6.1). */
const NEVER_NAMED: ReadonlySet<string> = new Set([
  ...['host', 'content-length', 'transfer-encoding', 'connection', 'via'],
  // A loop that can be hidden is none that is found (RFC 8586 section 3).
  'cdn-loop',
])

/**
 * Fields that have no business in a trailer section, beside all that KINDS knows (framing, routing, the connection, what
 * banyan adds): content format, conditions, authentication, control data (RFC 9110 section 6.5.1).
 */
const NO_TRAILER: ReadonlySet<string> = new Set([
  ...['content-encoding', 'content-type', 'content-range', 'via', 'max-forwards', 'range', 'if-match', 'if-none-match'],
  ...['if-modified-since', 'if-unmodified-since', 'if-range', 'cache-control', 'pragma', 'authorization', 'cookie'],
  ...[
    'www-authenticate',
    'age',
    'date',
    'expires',
    'retry-after',
    'vary',
    'location',
    'content-location',
    'set-cookie',
  ],
])

/** Reads what a request's fields say about framing, routing and the connection. */
export function readRequestFields(rawHeaders: readonly string[]): RequestFields {
  const said: RequestFields = {
    hostCount: 0,
    host: '',
    contentLength: null,
    transferEncoding: null,
    connection: null,
    upgrade: null,
    expect: null,
    acceptsTrailers: false,
    forwardedFor: null,
    forwardedProto: null,
    forwardedHost: null,
    hasForwardedPort: false,
    maxForwards: null,
    cdnLoop: null,
    bindsConnection: false,
    disguisedFraming: false,
    ownCookies: false,
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const kind = kindOf(name)
    if (kind !== 'end-to-end') noteRequestField(said, kind, rawHeaders[i + 1] as string)
    else if (name.length === 6) said.ownCookies ||= isCookie(name) && mayHoldOwn(rawHeaders[i + 1] as string)
  }
  return said
}

function isCookie(name: string): boolean {
  return name === 'cookie' || name === 'Cookie' || name.toLowerCase() === 'cookie'
}

function noteRequestField(said: RequestFields, kind: FieldKind, value: string): void {
  switch (kind) {
    case 'host':
      said.hostCount++
      said.host = value
      break
    case 'content-length':
      said.contentLength = joined(said.contentLength, value)
      break
    case 'transfer-encoding':
      said.transferEncoding = joined(said.transferEncoding, value)
      break
    case 'connection':
      said.connection = joined(said.connection, value)
      break
    case 'upgrade':
      said.upgrade = joined(said.upgrade, value)
      break
    case 'expect':
      said.expect = joined(said.expect, value)
      break
    case 'te':
      said.acceptsTrailers ||= /(^|,)[ \t]*trailers[ \t]*(,|;|$)/i.test(value)
      break
    case 'forwarded-for':
      said.forwardedFor = joined(said.forwardedFor, value)
      break
    case 'forwarded-proto':
      said.forwardedProto = joined(said.forwardedProto, value)
      break
    case 'forwarded-host':
      said.forwardedHost = joined(said.forwardedHost, value)
      break
    case 'forwarded-port':
      said.hasForwardedPort = true
      break
    case 'max-forwards':
      said.maxForwards = joined(said.maxForwards, value)
      break
    case 'cdn-loop':
      said.cdnLoop = joined(said.cdnLoop, value)
      break
    case 'authorization':
      said.bindsConnection ||= /^(?:ntlm|nego|kerberos)/i.test(value)
      break
    case 'disguised':
      said.disguisedFraming = true
      break
  }
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`
}

/** The tokens of a Connection field in lower case, but those that every connection may say; null where none is left. */
function namedFields(connection: string | null): Set<string> | null {
  if (connection === null || connection === 'keep-alive' || connection === 'close') return null
  let named: Set<string> | null = null
  for (const part of connection.toLowerCase().split(',')) {
    const token = part.trim()
    if (token === '' || token === 'keep-alive' || token === 'close' || NEVER_NAMED.has(token)) continue
    named ??= new Set()
    named.add(token)
  }
  return named
}

/** The fields of a request less those that its Connection names; the same array where it names none. */
export function unnamedFields(rawHeaders: readonly string[], { connection }: RequestFields): readonly string[] {
  const named = namedFields(connection)
  return named === null ? rawHeaders : withoutNamed(rawHeaders, named)
}

/** The scheme that the client has used: what a proxy that is believed says of it, or the connection's own. */
export function schemeOf(
  { trusted, tls }: { readonly trusted: boolean; readonly tls: boolean },
  { forwardedProto }: RequestFields,
): 'http' | 'https' {
  const own = tls ? 'https' : 'http'
  if (!trusted || forwardedProto === null) return own
  const said = firstOf(forwardedProto).toLowerCase()
  return said === 'http' || said === 'https' ? said : own
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/

/** The X-Request-Id of a proxy that is believed, or null where it has none that can be one. */
export function saidRequestId(rawHeaders: readonly string[]): string | null {
  const [id, ...more] = fieldValues(rawHeaders, 'x-request-id')
  return id !== undefined && more.length === 0 && REQUEST_ID.test(id) ? id : null
}

/** The first member of a list: that of the proxy nearest to the client. */
export function firstOf(list: string): string {
  return (list.split(',', 1)[0] as string).replace(/^[ \t]+|[ \t]+$/g, '')
}

/** The port that a client has asked: the one that it names with the host, else the scheme's default. */
export function portOf(host: string, scheme: 'http' | 'https'): string {
  return /:([0-9]+)$/.exec(host)?.[1] ?? (scheme === 'https' ? '443' : '80')
}

/**
 * How many more proxies a request may pass (RFC 9110 section 7.6.2), or null where its sender sets no limit: the field counts
 * for OPTIONS and TRACE only, and what is no number does not count.
 */
export function forwardsLeft(method: string, { maxForwards }: RequestFields): number | null {
  if (maxForwards === null || (method !== 'OPTIONS' && method !== 'TRACE')) return null
  return /^[0-9]{1,15}$/.test(maxForwards) ? Number(maxForwards) : null
}

/** Fields that a recipient of TRACE keeps to itself (RFC 9110 section 9.3.8). */
const NOT_TRACED: ReadonlySet<string> = new Set([
  ...['authorization', 'proxy-authorization', 'cookie', 'cookie2', 'banyan-force'],
])

/** The head of a request as the answer to TRACE repeats it, less what may be secret. */
export function tracedHead(line: string, rawHeaders: readonly string[]): string {
  let head = `${line}\r\n`
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (!NOT_TRACED.has(name.toLowerCase().replaceAll('_', '-'))) head += `${name}: ${rawHeaders[i + 1]}\r\n`
  }
  return `${head}\r\n`
}

/** Whether a request has content, or chunks that may have some. */
export function hasBody({ contentLength, transferEncoding }: RequestFields): boolean {
  return transferEncoding !== null || (contentLength !== null && contentLength !== '0')
}

/** How the head of a forwarded request differs from the one received. */
export interface RequestRewrite {
  /** The Host to send instead of the one received, or null. */
  readonly host: string | null
  /** The peer of the client connection: an IP address, or `unix`, which has none to tell. */
  readonly peerAddress: string
  /** What the peer says in X-Forwarded-* and Forwarded is believed and added to, not replaced. */
  readonly peerTrusted: boolean
  readonly proto: 'http' | 'https'
  /** 0 where the client spoke HTTP/1.0, else 1; for Via. */
  readonly minor: number
  /** The upstream is told of banyan in Via (RFC 9110 section 7.6.3). */
  readonly via: boolean
  /** The id of this instance, for CDN-Loop (RFC 8586). */
  readonly instance: string
  /** The protocol to upgrade to, or null. */
  readonly upgrade: string | null
  /** The Max-Forwards to send instead of the one received, or null. */
  readonly maxForwards: string | null
  /** The length of a chunked body that is sent with Content-Length in its place, or null. */
  readonly bodyLength: number | null
  /** Fields that the table drops or adds, also of those that banyan adds by itself; null where it says nothing. */
  readonly edits: DoneEdits | null
}

/**
 * The head of the request for the upstream, with its empty line: fields in the order, case and number received, less the
 * hop-by-hop ones and those that Connection names, plus X-Forwarded-For, -Proto, -Host, -Port, CDN-Loop and, where it is wanted,
 * Via. The client's Connection tokens are applied before anything is added, so that they can't strip what banyan says.
 */
export function requestHead(
  line: string,
  rawHeaders: readonly string[],
  said: RequestFields,
  rewrite: RequestRewrite,
): string {
  const named = namedFields(said.connection)
  const { edits, bodyLength } = rewrite
  let head = line
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const kind = kindOf(name)
    if (kind !== 'end-to-end' && !passesUpstream(kind, said, rewrite)) continue
    if (named !== null && named.has(name.toLowerCase())) continue
    if (edits !== null && edits.drops.has(dashedName(name))) continue
    if (bodyLength !== null && ofChunks(kind)) {
      if (kind === 'transfer-encoding') head += `Content-Length: ${bodyLength}\r\n`
      continue
    }
    const replacement = kind === 'end-to-end' ? null : replacementOf(kind, rewrite)
    head += `${name}: ${replacement ?? rawHeaders[i + 1]}\r\n`
  }
  if (said.hostCount === 0 && rewrite.host !== null) head += `Host: ${rewrite.host}\r\n`
  // Most requests ask for nothing else: one text is cheaper to add than three.
  head +=
    rewrite.upgrade === null && !said.acceptsTrailers
      ? 'Connection: keep-alive\r\n'
      : `Connection: ${connectionOf(said, rewrite)}\r\n`
  if (rewrite.upgrade !== null) head += `Upgrade: ${rewrite.upgrade}\r\n`
  if (said.acceptsTrailers) head += 'TE: trailers\r\n'
  const added = rewrite.peerTrusted ? addedFields(said, rewrite) : addedForStranger(said.host, rewrite)
  return head + (edits === null ? added : edited(added, edits))
}

/** Fields that make no sense with a body that is there already: it has been read, without its trailers. */
function ofChunks(kind: FieldKind): boolean {
  return kind === 'transfer-encoding' || kind === 'trailer' || kind === 'expect'
}

/** What banyan adds, with its empty line, less what the table drops, and then what the table adds. */
function edited(lines: string, { drops, added }: DoneEdits): string {
  let text = ''
  for (const line of lines.split('\r\n')) {
    if (line !== '' && !drops.has(dashedName(line.slice(0, line.indexOf(':'))))) text += `${line}\r\n`
  }
  for (let i = 0; i < added.length; i += 2) text += `${added[i]}: ${added[i + 1]}\r\n`
  return `${text}\r\n`
}

/**
 * The values of one field in the head that `requestHead` makes of the same, in their order.
 * @param rawHeaders less the fields that Connection names (`unnamedFields`)
 * @param name in lower case
 */
export function sentValues(
  name: string,
  rawHeaders: readonly string[],
  said: RequestFields,
  rewrite: RequestRewrite,
): readonly string[] {
  const { edits } = rewrite
  if (edits !== null && edits.drops.has(dashedName(name))) return fieldValues(edits.added, name)
  switch (name) {
    case 'connection':
      return [connectionOf(said, rewrite)]
    case 'upgrade':
      return rewrite.upgrade === null ? [] : [rewrite.upgrade]
    case 'te':
      return said.acceptsTrailers ? ['trailers'] : []
    case 'host': {
      if (rewrite.host === null) return fieldValues(rawHeaders, name)
      return fieldValues(rawHeaders, name)
        .map(() => rewrite.host as string)
        .concat(said.hostCount === 0 ? rewrite.host : [])
    }
    case 'x-forwarded-for': {
      const chain = forwardedFor(rewrite.peerTrusted ? said.forwardedFor : null, rewrite.peerAddress)
      return chain === null ? [] : [chain]
    }
    case 'x-forwarded-proto':
      return rewrite.peerTrusted && said.forwardedProto !== null ? fieldValues(rawHeaders, name) : [rewrite.proto]
    case 'x-forwarded-host':
      if (rewrite.peerTrusted && said.forwardedHost !== null) return fieldValues(rawHeaders, name)
      return said.host === '' ? [] : [said.host]
    case 'x-forwarded-port':
      if (!rewrite.peerTrusted) return [portOf(said.host, rewrite.proto)]
      return said.hasForwardedPort ? fieldValues(rawHeaders, name) : [toldPort(said, rewrite)]
    case 'max-forwards':
      return fieldValues(rawHeaders, name).map((value) => rewrite.maxForwards ?? value)
    case 'via':
      return [...fieldValues(rawHeaders, name), ...(rewrite.via ? [`1.${rewrite.minor} banyan`] : [])]
    case 'cdn-loop':
      return [...fieldValues(rawHeaders, name), rewrite.instance]
  }
  const kind = kindOf(name)
  return kind === 'end-to-end' || passesUpstream(kind, said, rewrite) ? fieldValues(rawHeaders, name) : []
}

/** What banyan adds for a peer whose own word is believed, with the empty line. */
function addedFields(said: RequestFields, rewrite: RequestRewrite): string {
  const { peerAddress, proto } = rewrite
  let added = forwardedForLine(said.forwardedFor, peerAddress)
  if (said.forwardedProto === null) added += `X-Forwarded-Proto: ${proto}\r\n`
  if (said.forwardedHost === null && said.host !== '') added += `X-Forwarded-Host: ${said.host}\r\n`
  if (!said.hasForwardedPort) added += `X-Forwarded-Port: ${toldPort(said, rewrite)}\r\n`
  return added + ownFields(rewrite)
}

/** The chain of X-Forwarded-For: a peer without an address adds nothing to it. Null where there is none. */
function forwardedFor(before: string | null, peerAddress: string): string | null {
  if (peerAddress === UNIX_PEER) return before
  return before === null ? peerAddress : `${before}, ${peerAddress}`
}

function forwardedForLine(before: string | null, peerAddress: string): string {
  const chain = forwardedFor(before, peerAddress)
  return chain === null ? '' : `X-Forwarded-For: ${chain}\r\n`
}

/** The port that a client has asked, as the proxy that is believed tells host and scheme. */
function toldPort(said: RequestFields, { proto }: RequestRewrite): string {
  const host = said.forwardedHost === null ? said.host : firstOf(said.forwardedHost)
  return portOf(host, schemeOf({ trusted: true, tls: proto === 'https' }, said))
}

/** What banyan says of itself, with the empty line. */
function ownFields({ via, minor, instance }: RequestRewrite): string {
  return `${via ? `Via: 1.${minor} banyan\r\n` : ''}CDN-Loop: ${instance}\r\n\r\n`
}

/** The last one made: clients send many requests in a row, and one text is cheaper to write than a dozen pieces. */
const last = { peerAddress: '', proto: '', host: '', minor: -1, via: false, instance: '', text: '' }

/** What banyan adds for a peer whose own word is not believed, with the empty line. */
function addedForStranger(host: string, rewrite: RequestRewrite): string {
  const { peerAddress, proto, minor, via, instance } = rewrite
  const isSame = last.host === host && last.peerAddress === peerAddress && last.minor === minor && last.proto === proto
  if (isSame && last.via === via && last.instance === instance) return last.text
  const forwardedHost = host === '' ? '' : `X-Forwarded-Host: ${host}\r\n`
  const forwarded = `${forwardedForLine(null, peerAddress)}X-Forwarded-Proto: ${proto}\r\n${forwardedHost}X-Forwarded-Port: ${portOf(host, proto)}\r\n`
  const text = forwarded + ownFields(rewrite)
  Object.assign(last, { peerAddress, proto, host, minor, via, instance, text })
  return text
}

/** Servers such as Apache and Tomcat tell their keep-alive limit only where they are asked to keep the connection. */
function connectionOf({ acceptsTrailers }: RequestFields, { upgrade }: RequestRewrite): string {
  return `${upgrade === null ? 'keep-alive' : 'Upgrade'}${acceptsTrailers ? ', TE' : ''}`
}

/** What is sent in the place of a field's value, or null. */
function replacementOf(kind: FieldKind, { host, maxForwards }: RequestRewrite): string | null {
  return kind === 'host' ? host : kind === 'max-forwards' ? maxForwards : null
}

function passesUpstream(kind: FieldKind, said: RequestFields, rewrite: RequestRewrite): boolean {
  switch (kind) {
    case 'connection':
    case 'hop-by-hop':
    case 'te':
    case 'upgrade':
    case 'forwarded-for':
    case 'banyan':
      return false
    case 'trailer':
      return said.transferEncoding !== null
    case 'forwarded':
    case 'forwarded-proto':
    case 'forwarded-host':
    case 'forwarded-port':
      return rewrite.peerTrusted
    default:
      return true
  }
}

/**
 * Whether a request has been through an instance before (RFC 8586 section 2).
 * @param cdnLoop all lines of CDN-Loop, joined by commas
 */
export function hasPassed(cdnLoop: string, instance: string): boolean {
  return cdnLoop.split(',').some((info) => (info.split(';', 1)[0] as string).trim() === instance)
}

/**
 * The fields of an answer for the client: order, case and number as received, less the hop-by-hop ones and those that
 * Connection names, plus Via.
 * @param keepTrailer the answer goes on chunked, so that Trailer may announce its trailer fields again
 * @param minor of the upstream's HTTP version, for Via
 */
export function responseFields(rawHeaders: readonly string[], keepTrailer: boolean, minor: number): string[] {
  const fields: string[] = []
  let connection: string | null = null
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const value = rawHeaders[i + 1] as string
    const kind = kindOf(name)
    switch (kind) {
      case 'connection':
        connection = joined(connection, value)
        continue
      case 'hop-by-hop':
      case 'te':
      case 'transfer-encoding':
      case 'upgrade':
        continue
      case 'trailer':
        if (!keepTrailer) continue
        break
    }
    fields.push(name, value)
  }
  const named = namedFields(connection)
  const kept = named === null ? fields : withoutNamed(fields, named)
  kept.push('Via', minor === 1 ? '1.1 banyan' : '1.0 banyan')
  return kept
}

function withoutNamed(fields: readonly string[], named: ReadonlySet<string>): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (!named.has(name.toLowerCase())) kept.push(name, fields[i + 1] as string)
  }
  return kept
}

/**
 * The Upgrade that a 426 must offer (RFC 9110 section 15.5.22), announced anew for the next connection.
 * @param closes the client's connection ends with this answer
 */
export function upgradeFields(rawHeaders: readonly string[], closes: boolean): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (kindOf(rawHeaders[i] as string) === 'upgrade') fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }
  return fields.length === 0 ? fields : ['Connection', closes ? 'Upgrade, close' : 'Upgrade', ...fields]
}

/**
 * Interim fields (RFC 9110 section 15.2) as they may go on: less the hop-by-hop ones and those that Connection names.
 */
export function interimFields(rawHeaders: readonly string[]): string[] {
  const fields: string[] = []
  let connection: string | null = null
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const kind = kindOf(rawHeaders[i] as string)
    const value = rawHeaders[i + 1] as string
    if (kind === 'connection') connection = joined(connection, value)
    else if (kind === 'end-to-end') fields.push(rawHeaders[i] as string, value)
  }
  const named = namedFields(connection)
  return named === null ? fields : withoutNamed(fields, named)
}

/** Fields without Content-Length: what has no body must not announce one (RFC 9110 section 8.6). */
export function withoutLength(fields: readonly string[]): string[] {
  return withoutNamed(fields, LENGTH_ONLY)
}

const LENGTH_ONLY: ReadonlySet<string> = new Set(['content-length'])

/** Trailer fields that may go on: those that frame, route, authenticate or control are dropped (RFC 9110 section 6.5.1). */
export function trailerFields(rawTrailers: readonly string[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawTrailers.length; i += 2) {
    const name = rawTrailers[i] as string
    if (kindOf(name) === 'end-to-end' && !NO_TRAILER.has(name.toLowerCase())) {
      fields.push(name, rawTrailers[i + 1] as string)
    }
  }
  return fields
}
