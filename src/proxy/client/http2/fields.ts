/**
 * Converts HTTP/2 fields (RFC 9113 section 8) to those of HTTP/1.1, which the rest of banyan uses, and back.
 */
import { randomBytes } from 'node:crypto'
import type { FailureCode } from '../../../rules/failures/failure.ts'
import { kindOf } from '../../../rules/http/field-kinds.ts'
import { dateNow } from '../date.ts'

/** A request in the form of HTTP/1.1. */
export interface RequestHead {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  /** The value of Content-Length; Infinity for none. */
  readonly contentLength: number
  /** For a WebSocket (RFC 8441), the generated Sec-WebSocket-Key, which HTTP/2 clients don't send; null for other requests. */
  readonly webSocketKey: string | null
}

/** An invalid request, with what is known of it. */
export interface RefusedHead {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly failure: FailureCode
}

/**
 * Reads the header section of a request.
 * @param raw name, value, name, value; not one that `flawOfRequest` wants reset
 * @param hasBody END_STREAM was not set
 * @param scheme of the connection; null if `:scheme` may differ from it: HAProxy sends https for all of its clients
 * @param isFlawed `flawOfRequest` found a flaw: the request is refused
 */
export function readHead(
  raw: readonly string[],
  hasBody: boolean,
  scheme: 'http' | 'https' | null,
  isFlawed: boolean,
): RequestHead | RefusedHead {
  let method = ''
  let path: string | null = null
  let authority: string | null = null
  let protocol: string | null = null
  let said: string | null = null
  let host: string | null = null
  let contentLength = Number.POSITIVE_INFINITY
  let cookieAt = -1
  // Host first, as in HTTP/1.1.
  const rawHeaders: string[] = ['Host', '']
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    switch (name) {
      case ':method':
        method = value
        continue
      case ':path':
        path = value
        continue
      case ':authority':
        authority = value
        continue
      case ':scheme':
        said = value.toLowerCase()
        continue
      case ':protocol':
        protocol = value
        continue
      case 'host':
        // Keep a second Host: it is invalid in HTTP/1.1 too, and refused later.
        if (host === null) host = value
        else rawHeaders.push(name, value)
        continue
      case 'content-length':
        // A WebSocket has no body: a server would wait for one, and take the next bytes for it.
        if (protocol !== null) continue
        contentLength = Number(value)
        break
      case 'cookie':
        // RFC 9113 section 8.2.3: one field, split for compression.
        if (cookieAt !== -1) {
          rawHeaders[cookieAt] += `; ${value}`
          continue
        }
        cookieAt = rawHeaders.length + 1
        break
      case 'sec-websocket-key':
        if (protocol !== null) continue
    }
    rawHeaders.push(name, value)
  }
  const named = authority ?? host
  if (named === null) rawHeaders.splice(0, 2)
  else rawHeaders[1] = named
  const target = path ?? ''
  // RFC 9113 section 8.3.1: they must not differ.
  const isElsewhere = authority !== null && host !== null && authority.toLowerCase() !== host.toLowerCase()
  if (isFlawed || isElsewhere) return { method, target, rawHeaders, failure: 'bad-request' }
  if (method === 'CONNECT') return readConnect({ path, authority: named, protocol, rawHeaders })
  if (hasBody && contentLength === Number.POSITIVE_INFINITY) rawHeaders.push('Transfer-Encoding', 'chunked')
  // In an absolute target, for the engine to refuse.
  const isOther = said !== null && scheme !== null && said !== scheme && target !== '*'
  const absolute = isOther ? `${said}://${named ?? ''}${target}` : target
  return { method, target: absolute, rawHeaders, contentLength, webSocketKey: null }
}

/** CONNECT with `:protocol` websocket (RFC 8441 section 5) becomes GET with Upgrade. */
function readConnect(parts: {
  readonly path: string | null
  readonly authority: string | null
  readonly protocol: string | null
  readonly rawHeaders: string[]
}): RequestHead | RefusedHead {
  const { path, authority, protocol, rawHeaders } = parts
  const isWebSocket = protocol !== null && protocol.toLowerCase() === 'websocket' && path !== null
  if (!isWebSocket) {
    return { method: 'CONNECT', target: path ?? authority ?? '', rawHeaders, failure: 'method-connect' }
  }
  const webSocketKey = randomBytes(16).toString('base64')
  rawHeaders.push('Sec-WebSocket-Key', webSocketKey)
  return { method: 'GET', target: path, rawHeaders, contentLength: Number.POSITIVE_INFINITY, webSocketKey }
}

/** Bytes of a header section as `--max-header-size` counts them. */
export function headBytes(raw: readonly string[]): number {
  let bytes = 0
  // A colon, a space and a line end for each field, as in HTTP/1.1.
  for (let i = 0; i < raw.length; i += 2) bytes += (raw[i] as string).length + (raw[i + 1] as string).length + 4
  return bytes
}

/**
 * The header section of a response: names in lower case, without connection-specific fields (RFC 9113 section 8.2.2).
 * @param fields name, value, name, value
 * @param dated adds Date if there is none (RFC 9110 section 6.6.1)
 * @returns `:status`, then the fields
 */
export function responseHead(status: number, fields: readonly string[], dated: boolean): string[] {
  const head: string[] = [':status', String(status)]
  let hasDate = !dated
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (isOfConnection(name)) continue
    if (name === 'date') hasDate = true
    head.push(name, fields[i + 1] as string)
  }
  if (!hasDate) head.push('date', dateNow())
  return head
}

function isOfConnection(name: string): boolean {
  switch (kindOf(name)) {
    case 'connection':
    case 'transfer-encoding':
    case 'upgrade':
    case 'te':
      return true
    case 'hop-by-hop':
      // Whether other hop-by-hop fields are forwarded is decided elsewhere.
      return name === 'keep-alive' || name === 'proxy-connection' || name === 'http2-settings'
    default:
      return false
  }
}
