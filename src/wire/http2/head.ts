/**
 * Converts heads between HTTP/1.1, which banyan uses internally, and HTTP/2 (RFC 9113 section 8).
 */
import type { ResponseHead } from '../response-head.ts'

/** Reason phrases (RFC 9110 section 15); HTTP/2 doesn't send them. */
const REASONS: Readonly<Record<number, string>> = {
  ...{ 200: 'OK', 201: 'Created', 202: 'Accepted', 203: 'Non-Authoritative Information', 204: 'No Content' },
  ...{ 205: 'Reset Content', 206: 'Partial Content', 300: 'Multiple Choices', 301: 'Moved Permanently', 302: 'Found' },
  ...{
    303: 'See Other',
    304: 'Not Modified',
    307: 'Temporary Redirect',
    308: 'Permanent Redirect',
    103: 'Early Hints',
  },
  ...{ 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed' },
  ...{ 406: 'Not Acceptable', 408: 'Request Timeout', 409: 'Conflict', 410: 'Gone', 411: 'Length Required' },
  ...{ 412: 'Precondition Failed', 413: 'Content Too Large', 414: 'URI Too Long', 415: 'Unsupported Media Type' },
  ...{
    416: 'Range Not Satisfiable',
    417: 'Expectation Failed',
    421: 'Misdirected Request',
    422: 'Unprocessable Content',
  },
  ...{ 425: 'Too Early', 426: 'Upgrade Required', 428: 'Precondition Required', 429: 'Too Many Requests' },
  ...{ 431: 'Request Header Fields Too Large', 451: 'Unavailable For Legal Reasons', 500: 'Internal Server Error' },
  ...{ 501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout' },
  ...{ 505: 'HTTP Version Not Supported', 100: 'Continue', 102: 'Processing' },
}

/** Fields that concern one HTTP/1.1 connection only (RFC 9113 section 8.2.2). */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings', 'te'],
])

/**
 * The header section of a request.
 * @param head request line and fields, with the empty line; a Latin-1 string
 * @returns name, value, name, value
 */
export function requestFields(head: string, scheme: 'http' | 'https'): string[] {
  const lines = head.split('\r\n')
  const [method = '', target = ''] = (lines[0] as string).split(' ')
  const fields = [':method', method, ':scheme', scheme, ':path', target]
  const rest: string[] = []
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === 'host') fields.push(':authority', value)
    else if (name === 'te' && /(?:^|,)[ \t]*trailers/i.test(value)) rest.push('te', 'trailers')
    else if (!OF_CONNECTION.has(name)) rest.push(name, value)
  }
  return [...fields, ...rest]
}

/** The trailer fields after a last chunk, as an object for node:http2. */
export function trailersOf(lastChunk: string): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {}
  for (const line of lastChunk.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = fields[name]
    fields[name] = before === undefined ? value : [before, value].flat()
  }
  return fields
}

/**
 * The head of a response.
 * @param raw name, value, name, value; `:status` among the first
 * @param isBodiless no body follows
 */
export function responseHeadOf(raw: readonly string[], isBodiless: boolean): ResponseHead {
  let status = 0
  let length: number | null = null
  const rawHeaders: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    if (name === ':status') status = Number(value)
    else if (name.charCodeAt(0) !== 0x3a) {
      if (name === 'content-length') length = Number(value)
      rawHeaders.push(name, value)
    }
  }
  const isEmpty = isBodiless || status === 204 || status === 304 || status < 200
  return {
    minor: 1,
    status,
    reason: REASONS[status] ?? '',
    rawHeaders,
    framing: isEmpty ? 'none' : length === null ? 'chunked' : 'length',
    contentLength: isEmpty ? 0 : (length ?? 0),
    keepAlive: true,
    keepAliveTimeoutMs: -1,
    // Streams share the connection, so it can't be authenticated for one client.
    bindsConnection: false,
  }
}
