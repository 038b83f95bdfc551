/**
 * All error responses of the admin API: problem+json (RFC 9457), with status and title in one table.
 */
import { andMore } from '../../rules/values/problem.ts'
import { requestIds } from '../../state/request-ids.ts'

/** Ids of requests to the admin API, distinct from those of the data plane. */
export const nextRequestId = requestIds('admin-')

const PROBLEMS = {
  'malformed-request': { status: 400, title: 'The request is not valid HTTP' },
  'malformed-json': { status: 400, title: 'The body is not valid JSON' },
  'malformed-body': { status: 400, title: 'The body could not be read' },
  'malformed-field': { status: 400, title: 'A header is malformed' },
  'malformed-query': { status: 400, title: 'The query is malformed' },
  'malformed-target': { status: 400, title: 'The request target is not a path' },
  unauthorized: { status: 401, title: 'A token is required' },
  'wrong-token': { status: 401, title: 'Invalid token' },
  'wrong-host': { status: 403, title: 'Unknown Host' },
  'cross-site': { status: 403, title: 'Cross-site request' },
  'read-only-token': { status: 403, title: 'The token is read-only' },
  'table-read-only': { status: 403, title: 'The table file is read-only' },
  'not-found': { status: 404, title: 'Not found' },
  'no-such-route': { status: 404, title: 'Unknown route' },
  'no-such-upstream': { status: 404, title: 'Unknown upstream' },
  'no-such-server': { status: 404, title: 'Unknown server' },
  'no-such-revision': { status: 404, title: 'Unknown revision' },
  'no-such-sample': { status: 404, title: 'Unknown sample' },
  'no-such-group': { status: 404, title: 'Unknown group' },
  'no-ramp': { status: 404, title: 'The route has no ramp' },
  'no-such-endpoint': { status: 404, title: 'Unknown endpoint' },
  'no-such-exchange': { status: 404, title: 'Unknown request' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time' },
  'not-owner': { status: 409, title: 'Another instance makes all changes' },
  'route-exists': { status: 409, title: 'The route already exists' },
  'last-server': { status: 409, title: 'It is the last server of the upstream' },
  'server-in-table': { status: 409, title: 'The server is in the table' },
  'revert-conflict': { status: 409, title: 'The revision has been changed over' },
  'no-predecessor': { status: 409, title: 'The earlier revision is not stored' },
  'too-many-kept': { status: 409, title: 'Too many revisions are marked to be kept' },
  'ramp-refused': { status: 409, title: 'The ramp does not allow it' },
  'server-leased': { status: 409, title: 'The server has a lease' },
  'table-refused': { status: 409, title: 'The table file is invalid' },
  'table-not-a-file': { status: 409, title: 'The table path is not a usable file' },
  'table-busy': { status: 409, title: 'The table file is being written to' },
  unmet: { status: 412, title: 'Precondition failed' },
  outdated: { status: 412, title: 'The table has changed' },
  'too-large': { status: 413, title: 'The body is too large' },
  'media-type': { status: 415, title: 'Unsupported media type' },
  invalid: { status: 422, title: 'The body is invalid' },
  'if-match-needed': { status: 428, title: 'If-Match is required' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'too-many-attempts': { status: 429, title: 'Too many invalid tokens from this address' },
  internal: { status: 500, title: 'Internal error' },
  'not-implemented': { status: 501, title: 'Unknown method' },
  'cluster-unavailable': { status: 503, title: 'The cluster can not be written to' },
  'cluster-unknown': { status: 503, title: 'The cluster has not answered' },
  'table-late': { status: 503, title: 'The table could not be checked in time' },
  'too-many-watchers': { status: 503, title: 'Too many clients read /live' },
  'no-data-plane': { status: 503, title: 'No worker is available' },
  'table-unwritable': { status: 500, title: 'The table file could not be written' },
  'no-space': { status: 507, title: 'No space left for the table file' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>

/** The closed set of errors; also the last part of the problem's type URI, and the word in the audit line. */
export type ProblemCode = keyof typeof PROBLEMS

/** An error of one value of a body. */
export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body. */
  readonly pointer: string
  readonly detail: string
  readonly hint?: string
}

/** The errors of a body. */
export interface FieldErrors {
  /** At most `MAX_PROBLEMS`. */
  readonly errors: readonly FieldError[]
  /** How many there are besides. */
  readonly more: number
}

/** Additional parts of a problem. */
export interface ProblemExtras {
  /** Further members of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>
  /** Header fields of the answer. */
  readonly fields?: Readonly<Record<string, string>>
}

/** An error response. `message` is its detail, for the client. */
export class AdminProblem extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly extras: ProblemExtras

  constructor(code: ProblemCode, detail: string, extras: ProblemExtras = {}) {
    super(detail)
    this.code = code
    this.status = PROBLEMS[code].status
    this.extras = extras
  }

  /** The problem document (RFC 9457 section 3). */
  document(requestId: string): Record<string, unknown> {
    const { title, status } = PROBLEMS[this.code]
    return {
      type: `urn:banyan:problem:${this.code}`,
      title,
      status,
      detail: this.message,
      requestId,
      ...this.extras.members,
    }
  }
}

/** The members of a list that may be cut; `more` only where it is. */
export function listed<List extends { readonly more: number }>({ more, ...list }: List): Record<string, unknown> {
  return more > 0 ? { ...list, more } : list
}

/** The 422 for a body whose JSON is well-formed and whose values are not. Lists the errors, the first one in words. */
export function invalidBody(errors: readonly FieldError[], more = 0): AdminProblem {
  const [first] = errors as readonly [FieldError]
  const where = first.pointer === '' ? '' : `${first.pointer}: `
  const hint = first.hint === undefined ? '' : ` (${first.hint})`
  const others = errors.length - 1 + more
  const rest = others > 0 ? `, ${andMore(others)}` : ''
  return new AdminProblem('invalid', `${where}${first.detail}${hint}${rest}`, { members: listed({ errors, more }) })
}
