/**
 * An HTTP adapter for axios, with limits on time and size and without redirects and proxies. It also remembers the type of a refusal,
 * which acme-client leaves out of its errors.
 */
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'

/** For a request with its answer. */
const TIMEOUT_MS = 30_000

/** A directory, an order and a certificate chain are some kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024

/** The last answer of an authority. */
export interface AuthorityAnswer {
  readonly status: number
  /** The type of its problem document (RFC 8555 section 6.7), or null. */
  readonly type: string | null
  /** How long to wait before a retry (RFC 8555 section 6.6), or null. */
  readonly retryAfterMs: number | null
}

/** The request that axios passes to an adapter. */
interface AxiosRequest {
  readonly url?: string
  readonly method?: string
  readonly data?: unknown
  readonly headers?: { toJSON?(): Record<string, unknown> }
}

interface AxiosAnswer {
  readonly data: string
  readonly status: number
  readonly statusText: string
  readonly headers: IncomingMessage['headers']
  readonly config: AxiosRequest
}

/** Requests to one authority. */
export class AcmeTransport {
  last: AuthorityAnswer | null = null
  /** Why the last request got no answer; null if it got one. */
  unreachable: string | null = null

  /** For `axios.defaults.adapter`. Its errors pass through axios and acme-client unchanged, because they have no `config`. */
  readonly adapter = async (config: AxiosRequest): Promise<AxiosAnswer> => {
    this.last = null
    this.unreachable = null
    const { url = '' } = config
    try {
      const answer = await exchange(config)
      const { status, headers, data } = answer
      this.last = { status, type: typeOf(data), retryAfterMs: retryAfterOf(headers['retry-after']) }
      return answer
    } catch (error) {
      const { message } = error as Error
      this.unreachable = message
      throw new Error(
        `${URL.parse(url)?.origin ?? url} can't be reached: ${message || (error as { code?: string }).code}`,
      )
    }
  }
}

async function exchange(config: AxiosRequest): Promise<AxiosAnswer> {
  const { url = '', method = 'get', data, headers } = config
  const target = URL.parse(url)
  if (target === null || !/^https?:$/.test(target.protocol)) throw new Error('not a URL')
  const body = typeof data === 'string' ? data : undefined
  const fields = Object.entries(headers?.toJSON?.() ?? {}).filter(([, value]) => typeof value === 'string')
  const options = {
    method: method.toUpperCase(),
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: {
      ...(Object.fromEntries(fields) as Record<string, string>),
      'User-Agent': 'banyan (acme-client)',
      ...(body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) }),
    },
  }
  const res = await new Promise<IncomingMessage>((resolve, reject) => {
    const req =
      target.protocol === 'https:' ? secureRequest(target, options, resolve) : plainRequest(target, options, resolve)
    req.on('error', reject)
    req.end(body)
  })
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of res) {
    size += (piece as Buffer).length
    if (size > MAX_BODY_BYTES) throw new Error(`more than ${MAX_BODY_BYTES} bytes`)
    pieces.push(piece as Buffer)
  }
  const { statusCode: status = 0, statusMessage: statusText = '' } = res
  return { data: Buffer.concat(pieces).toString('utf8'), status, statusText, headers: res.headers, config }
}

function typeOf(data: string): string | null {
  try {
    const { type } = JSON.parse(data) as { type?: unknown }
    return typeof type === 'string' ? type : null
  } catch {
    return null
  }
}

/** Seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterOf(value: string | undefined): number | null {
  if (value === undefined) return null
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) || ms < 0 ? null : ms
}
