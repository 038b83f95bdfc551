/**
 * Every way an exchange can break: whose fault it is, and which status the client gets where no answer has begun.
 */

/** Who caused a failure. `client` never counts against an upstream. */
export type Culprit = 'client' | 'upstream' | 'banyan'

interface FailureRow {
  readonly culprit: Culprit
  /** Status of banyan's own answer; 0 where nobody is left to answer. */
  readonly status: number
  /** One sentence for the client; it says nothing about the inside. */
  readonly detail: string
}

/** The closed set of failures, named by where the exchange broke. */
export const FAILURES = {
  'bad-request': { culprit: 'client', status: 400, detail: 'The request is malformed.' },
  'request-line-too-long': { culprit: 'client', status: 414, detail: 'The request target is too long.' },
  'head-too-large': { culprit: 'client', status: 431, detail: 'The request headers are too large.' },
  'request-timeout': { culprit: 'client', status: 408, detail: 'Timed out waiting for the request.' },
  'http-version': { culprit: 'client', status: 505, detail: 'Only HTTP/1.0 and HTTP/1.1 are supported.' },
  'transfer-coding': { culprit: 'client', status: 501, detail: 'Only the chunked transfer coding is supported.' },
  'method-connect': { culprit: 'client', status: 501, detail: 'CONNECT is not supported.' },
  misdirected: {
    culprit: 'client',
    status: 421,
    detail: 'The scheme or the host of the request does not match the connection.',
  },
  'needs-http1': { culprit: 'client', status: 0, detail: '' },
  'body-too-large': { culprit: 'client', status: 413, detail: 'The request body is too large.' },
  'unsafe-path': { culprit: 'client', status: 400, detail: 'A part of the path has more than one reading.' },
  loop: { culprit: 'client', status: 508, detail: 'Request loop detected.' },
  'upgrade-refused': { culprit: 'banyan', status: 403, detail: 'Upgrades are not supported here.' },
  'force-refused': { culprit: 'client', status: 403, detail: 'The link is not valid, or has expired.' },
  'client-stalled': { culprit: 'client', status: 0, detail: '' },
  'client-gone': { culprit: 'client', status: 0, detail: '' },
  'request-body': { culprit: 'client', status: 400, detail: 'The request body is incomplete or malformed.' },
  connect: { culprit: 'upstream', status: 502, detail: 'Could not connect to the upstream.' },
  'connect-timeout': { culprit: 'upstream', status: 504, detail: 'Timed out connecting to the upstream.' },
  'request-send': { culprit: 'upstream', status: 502, detail: 'The upstream stopped reading the request.' },
  'response-head': {
    culprit: 'upstream',
    status: 502,
    detail: 'The upstream closed the connection without a response.',
  },
  'refused-stream': { culprit: 'upstream', status: 503, detail: 'The upstream has not taken the request.' },
  'headers-timeout': { culprit: 'upstream', status: 504, detail: 'Timed out waiting for the upstream.' },
  'response-malformed': {
    culprit: 'upstream',
    status: 502,
    detail: 'The upstream sent an invalid HTTP response.',
  },
  'response-body': { culprit: 'upstream', status: 502, detail: 'The upstream aborted its response.' },
  'idle-timeout': { culprit: 'upstream', status: 504, detail: 'The upstream connection was idle for too long.' },
  upgrade: { culprit: 'upstream', status: 502, detail: 'The upgraded connection broke.' },
  'no-server': { culprit: 'upstream', status: 503, detail: 'No server is available.' },
  deadline: { culprit: 'upstream', status: 504, detail: 'The request exceeded its total timeout.' },
  overloaded: { culprit: 'banyan', status: 503, detail: 'Too many requests in flight.' },
  'queue-timeout': { culprit: 'banyan', status: 503, detail: 'Too many requests in flight.' },
  'only-if-cached': {
    culprit: 'banyan',
    status: 504,
    detail: 'No usable response is stored, and the request is only-if-cached.',
  },
  internal: { culprit: 'banyan', status: 500, detail: 'Internal error of the proxy.' },
} as const satisfies Record<string, FailureRow>

/** Where and how an exchange broke; also the word in log and metrics. */
export type FailureCode = keyof typeof FAILURES

/** After how many seconds a client may ask again (RFC 9110 section 10.2.3), or null where nothing is known of that. */
export function retryAfterSeconds(failure: FailureCode): number | null {
  return failure === 'overloaded' || failure === 'queue-timeout' ? 1 : null
}
