/**
 * Every error answer of the admin API: problem+json (RFC 9457), its status and its title in one table.
 */
import { andMore } from '../../rules/values/problem.ts'

const PROBLEMS = {
  'malformed-json': { status: 400, title: 'The body is not valid JSON' },
  'malformed-body': { status: 400, title: 'The body could not be read' },
  'malformed-field': { status: 400, title: 'A header field is malformed' },
  'malformed-query': { status: 400, title: 'The query is malformed' },
  'malformed-target': { status: 400, title: 'The request target is no path' },
  unauthorized: { status: 401, title: 'A token is needed' },
  'wrong-token': { status: 401, title: 'The token is not valid' },
  'wrong-host': { status: 403, title: 'The Host is not one of this server' },
  'cross-site': { status: 403, title: 'The request comes from another site' },
  'read-only-token': { status: 403, title: 'The token may only read' },
  'table-read-only': { status: 403, title: 'The table file may not be written to' },
  'not-found': { status: 404, title: 'There is nothing at this path' },
  'no-such-route': { status: 404, title: 'There is no such route' },
  'no-such-upstream': { status: 404, title: 'There is no such upstream' },
  'no-such-server': { status: 404, title: 'There is no such server' },
  'no-such-revision': { status: 404, title: 'There is no such revision' },
  'no-such-exchange': { status: 404, title: 'There is no such exchange' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'route-exists': { status: 409, title: 'There is such a route already' },
  'last-server': { status: 409, title: 'It is the last server of its upstream' },
  'server-in-table': { status: 409, title: 'The table has this server' },
  'server-leased': { status: 409, title: 'The server has a lease' },
  'table-refused': { status: 409, title: 'The table file is not valid' },
  'table-busy': { status: 409, title: 'The table file is being written to' },
  unmet: { status: 412, title: 'The route is not as the request wants it' },
  outdated: { status: 412, title: 'The table has changed' },
  'too-large': { status: 413, title: 'The body is too large' },
  'media-type': { status: 415, title: 'The media type is not understood' },
  invalid: { status: 422, title: 'The body is not valid' },
  'if-match-needed': { status: 428, title: 'If-Match is needed' },
  'too-many-attempts': { status: 429, title: 'Too many wrong tokens came from this address' },
  internal: { status: 500, title: 'banyan failed' },
  'not-implemented': { status: 501, title: 'The method is not known' },
  'no-data-plane': { status: 503, title: 'There is no data plane to ask' },
  'table-unwritable': { status: 500, title: 'The table file could not be written' },
  'no-space': { status: 507, title: 'There is no space left for the table file' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>

/** The closed set of errors; also the last part of the problem's type URI, and the word in the audit line. */
export type ProblemCode = keyof typeof PROBLEMS

/** What is wrong with one value of a body. */
export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body. */
  readonly pointer: string
  readonly detail: string
  readonly hint?: string
}

/** What is wrong with a body. */
export interface FieldErrors {
  /** At most `MAX_PROBLEMS`. */
  readonly errors: readonly FieldError[]
  /** How many there are besides. */
  readonly more: number
}

/** What a problem has besides its code and detail. */
export interface ProblemExtras {
  /** Further members of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>
  /** Header fields of the answer. */
  readonly fields?: Readonly<Record<string, string>>
}

/** An error answer. `message` is its detail: it is for whoever asked. */
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
