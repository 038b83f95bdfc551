/**
 * The admin API client of the command line: sends one request, returns the response, and turns failures into messages.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { andMore } from '../rules/values/problem.ts'
import type { Target } from './contexts.ts'
import { CommandError, EXIT, type Io, printable, printableLine } from './io.ts'

/** A response of the admin API. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body as JSON; null if it is not JSON. It is not validated. */
  // biome-ignore lint/suspicious/noExplicitAny: answers have the shapes that docs/reference/api.md gives them
  readonly json: any
}

/** Body and headers of a request. */
export interface Ask {
  readonly body?: unknown
  /** A table, instead of a JSON body. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Whether the members of the body are flags of the command: errors name these. */
  readonly fromFlags?: boolean
  /** Added to the usual timeout, in milliseconds. */
  readonly patienceMs?: number
}

/** For messages. */
const SUCH_AS = '127.0.0.1:8081'

/** On every response of the admin API, and on no other. */
const MARK = 'banyan-request-id'

/** An edit waits for the turn of others and, in a cluster, for its instances; a large table takes long to be read. */
const EDIT_TIMEOUTS = 4

/** Needs no token. */
const LIVENESS = '/livez'

/** A client for the running proxy. */
export class AdminClient {
  readonly #base: URL
  readonly #target: Target
  readonly #token: string | null
  readonly #timeoutMs: number
  readonly #err: (text: string) => void
  /** Whether the admin API has answered before. */
  #isKnown = false

  /**
   * @throws {CommandError} if the address or the token is invalid
   */
  constructor(target: Target, io: Pick<Io, 'timeoutMs'> & Partial<Pick<Io, 'err'>>) {
    this.#base = addressOf(target.admin)
    this.#target = target
    this.#token = tokenOf(target.token ?? '', target.tokenFrom)
    this.#timeoutMs = io.timeoutMs
    this.#err = (text) => io.err?.(text)
  }

  /** The address, for people: without user and password. */
  get address(): string {
    return this.#base.host
  }

  /** The name of the context; null where there is none. */
  get context(): string | null {
    return this.#target.context
  }

  /**
   * Sends a request, and returns the response if its status is below 400. Nothing but a GET is sent to what is not known to be
   * the admin API of banyan.
   * @throws {CommandError} if there is no response, one of another server, or an error response, with the proxy's message
   */
  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    if (method !== 'GET' && !this.#isKnown) this.#expectOwn(await this.#send('GET', LIVENESS, {}))
    const answer = await this.#send(method, path, ask)
    this.#expectOwn(answer)
    if (answer.status >= 400) throw refusal(answer, ask.fromFlags === true, this.#target)
    const { inForce, instances } = inForceOf(answer)
    const [confirmed, wanted] = countsOf(answer, 'banyan-replicas')
    if (confirmed < wanted)
      this.#err(`confirmed by ${confirmed} of ${wanted} replicas of Redis: it may be lost if Redis fails now\n`)
    if (inForce < instances) this.#err(`in force at ${inForce} of ${instances} instances so far: see banyan status\n`)
    if (isJson(answer.headers) && (typeof answer.json !== 'object' || answer.json === null))
      throw unreachable(this.#base, this.#target, 'invalid JSON in the response')
    return answer
  }

  #expectOwn({ status, headers }: Answer): void {
    this.#isKnown = headers[MARK] !== undefined
    if (this.#isKnown) return
    const what = `${this.#base.origin} is not the admin API of banyan: it answered ${status}`
    throw new CommandError(EXIT.unreachable, `${what} (${addressHint(this.#target, 'the')})`)
  }

  #send(method: string, path: string, { body, text, headers: more = {}, patienceMs = 0 }: Ask): Promise<Answer> {
    const url = new URL(this.#base.pathname.replace(/\/+$/, '') + path, this.#base)
    // As bytes: node:http would write a string together with the headers, and the headers' Latin-1 as UTF-8.
    const said = text ?? (body === undefined ? null : JSON.stringify(body))
    const bytes = said === null ? null : Buffer.from(said)
    const type = text === undefined ? 'application/json' : 'application/yaml'
    const headers = {
      Accept: 'application/json, application/problem+json, */*;q=0.1',
      ...(bytes === null ? {} : { 'Content-Type': type, 'Content-Length': String(bytes.length) }),
      ...(this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` }),
      ...more,
    }
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const isEdit = method !== 'GET'
      const signal = AbortSignal.timeout(this.#timeoutMs * (isEdit ? EDIT_TIMEOUTS : 1) + patienceMs)
      const fail = (error: Error): void => {
        const why = signal.aborted ? 'timed out' : error
        reject(isEdit && !isRefused(why) ? unanswered(this.#base, why) : unreachable(this.#base, this.#target, why))
      }
      const req = send(url, { method, headers, agent: false, signal }, (res) => void read(res).then(resolve, fail))
      req.on('error', fail)
      req.end(bytes ?? undefined)
    })
  }
}

/** How many instances of the cluster have a change in force; none of none without a cluster. */
export function inForceOf({ headers }: Answer): { readonly inForce: number; readonly instances: number } {
  const [inForce, instances] = countsOf({ headers }, 'banyan-instances')
  return { inForce, instances }
}

/** Two counts in a header, as in `2/3`; zeros without it. */
function countsOf({ headers }: Pick<Answer, 'headers'>, name: string): readonly [number, number] {
  const [, some = '0', all = '0'] = /^(\d{1,6})\/(\d{1,6})$/.exec(String(headers[name])) ?? []
  return [Number(some), Number(all)]
}

/** The address of an admin API. @throws {CommandError} if the text is neither HOST:PORT nor a URL */
export function addressOf(text: string): URL {
  const isUrl = /^[a-z]+:\/\//i.test(text)
  // A number alone would be read as an IPv4 address, a name alone as port 80.
  const hasPort = /:[0-9]+$/.test(text)
  const url = URL.parse(isUrl ? text : `http://${text}`)
  if (url !== null && /^https?:$/.test(url.protocol) && (isUrl || hasPort)) return url
  const meant = /^:?[0-9]{1,5}$/.test(text) ? `127.0.0.1:${text.replace(':', '')}` : SUCH_AS
  throw new CommandError(
    EXIT.usage,
    `invalid admin API address '${text}': expected HOST:PORT or a URL, such as ${meant}`,
  )
}

/**
 * A token without white space around it; null if it is empty.
 * @param from where it comes from
 * @throws {CommandError} if it has an invalid character; the message omits the token, which is a secret
 */
export function tokenOf(text: string, from: string): string | null {
  const token = text.trim()
  if (/^[\x21-\x7e]*$/.test(token)) return token === '' ? null : token
  throw new CommandError(
    EXIT.usage,
    `invalid ${from === 'BANYAN_TOKEN' ? from : `token in ${from}`}: it contains a space, a line break or a non-ASCII character`,
  )
}

/** Larger than any response of the admin API. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024

/** @throws {Error} if the response breaks off or is too large */
async function read(res: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0, headers } = res
  const pieces: Buffer[] = []
  let size = 0
  // What another server says is of no interest, and may never end.
  if (headers[MARK] === undefined) res.destroy()
  else {
    for await (const piece of res) {
      size += pieces[pieces.push(piece as Buffer) - 1]!.length
      if (size > MAX_RESPONSE_BYTES)
        throw new Error(`the response is larger than ${MAX_RESPONSE_BYTES / 1024 / 1024} MiB`)
    }
  }
  const text = Buffer.concat(pieces).toString('utf8')
  return { status, headers, text, json: jsonOf(headers, text) }
}

function isJson(headers: Answer['headers']): boolean {
  return /\bjson\b/.test(String(headers['content-type'] ?? ''))
}

function jsonOf(headers: Answer['headers'], text: string): unknown {
  if (!isJson(headers)) return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Codes of OpenSSL for a certificate whose authority is not trusted. */
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN'],
  ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
])

function codeIn(why: Error | string): string | null {
  return typeof why === 'string' ? null : ((why as NodeJS.ErrnoException).code ?? null)
}

function isRefused(why: Error | string): boolean {
  return codeIn(why) === 'ECONNREFUSED'
}

/** An edit that was sent, and may have been made. */
function unanswered(base: URL, why: Error | string): CommandError {
  const reason = typeof why === 'string' ? why : why.message || codeIn(why)
  const hint = 'what was asked for may have been done all the same: see banyan status and banyan revisions'
  return new CommandError(EXIT.unreachable, `no answer from the admin API at ${base.origin}: ${reason} (${hint})`)
}

function unreachable(base: URL, target: Target, why: Error | string): CommandError {
  const code = codeIn(why)
  const reason = typeof why === 'string' ? why : isRefused(why) ? 'connection refused' : why.message || code
  const hint =
    code !== null && UNKNOWN_AUTHORITY.has(code)
      ? 'name a file with the certificate of its authority in NODE_EXTRA_CA_CERTS'
      : `is banyan running? ${addressHint(target)}`
  return new CommandError(EXIT.unreachable, `cannot reach the admin API at ${base.origin}: ${reason} (${hint})`)
}

function addressHint({ context }: Target, its = 'its'): string {
  return context === null
    ? `set ${its} address with --admin or BANYAN_ADMIN`
    : `${its} address is that of the context ${context}`
}

/** What the proxy says in terms of HTTP, in terms of the command line. */
function ownWords(
  { type, revision }: { readonly type?: string; readonly revision?: unknown },
  { context, tokenFrom }: Target,
): string | null {
  switch (type) {
    case 'urn:banyan:problem:unauthorized':
      return `the admin API needs a token: ${context === null ? 'set BANYAN_TOKEN' : `the context ${context} has none (banyan context add --token-file)`}`
    case 'urn:banyan:problem:wrong-token':
      return `the token in ${tokenFrom} is not one of this proxy`
    case 'urn:banyan:problem:if-match-needed':
      return 'this proxy needs --if-match ETAG, the revision that you have read (banyan revisions --json)'
    case 'urn:banyan:problem:outdated':
      return `the current revision is ${revision}, and --if-match names another`
    default:
      return null
  }
}

/** Hints that name a parameter of the API, as flags. */
function asFlags(hint: string): string {
  return hint.replaceAll(/\bforce=true\b/g, '--force')
}

/** A sentence of the API as a message of the command line. */
function asMessage(detail: string): string {
  return detail
    .replace(/^[A-Z](?=[a-z]+ )/, (letter) => letter.toLowerCase())
    .replace(/: (did you mean `[^`]+`\?)$/, ' ($1)')
    .replace(/\.$/, '')
}

/** `/shadow/percent` as `shadow.percent: `, or `/url` as `--url: `. */
function placeOf(pointer: string, fromFlags: boolean): string {
  const name = pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  return name === '' ? '' : `${fromFlags ? '--' : ''}${name}: `
}

function refusal({ status, json, text }: Answer, fromFlags: boolean, target: Target): CommandError {
  const problem = (json ?? {}) as {
    type?: string
    title?: string
    detail?: string
    errors?: unknown
    problems?: unknown
    more?: number
    hint?: string
    revision?: unknown
    conflicts?: unknown
  }
  const detail = problem.detail ?? problem.title ?? (text.slice(0, 200) || 'empty response')
  const first = Array.isArray(problem.errors) ? String(problem.errors[0]?.pointer ?? '') : ''
  const isPlaced = first !== '' && detail.startsWith(`${first}: `)
  const words = isPlaced ? placeOf(first, fromFlags) + detail.slice(first.length + 2) : asMessage(detail)
  const said = ownWords(problem, target) ?? printable(words)
  const rest = typeof problem.more === 'number' ? [andMore(problem.more)] : []
  const list = [
    ...lines(problem.errors, fromFlags),
    ...lines(problem.problems, fromFlags),
    ...conflictLines(problem.conflicts),
    ...rest,
  ]
  // A single error is already in the detail.
  const more = list.length === 1 && list[0] === said ? '' : list.map((line) => `\n  ${line}`).join('')
  const hint = problem.hint === undefined ? '' : ` (${asFlags(problem.hint)})`
  return new CommandError(
    codeOf(status, problem.type),
    `${said}${hint}${status >= 500 ? ` [${status}]` : ''}${more}`,
    json,
  )
}

function codeOf(status: number, type: string | undefined): CommandError['code'] {
  // Another token would not help.
  if (type === 'urn:banyan:problem:table-read-only') return EXIT.refused
  if (status === 401 || status === 403 || status === 429) return EXIT.notLetIn
  if (status === 412 || status === 428) return EXIT.outdated
  return EXIT.refused
}

/** Errors of a body and problems of a table, one per line. */
function lines(list: unknown, fromFlags: boolean): string[] {
  if (!Array.isArray(list)) return []
  return (list as Record<string, unknown>[]).map((one) => {
    const isInFile = one.line !== undefined
    const place = isInFile ? `${one.file}:${one.line}:${one.column}: ` : placeOf(String(one.pointer ?? ''), fromFlags)
    const hint = one.hint === undefined ? '' : ` (${one.hint})`
    return printableLine(`${place}${one.detail ?? one.message}${hint}`)
  })
}

/** Both sides of each conflict of a revert, where there are several. */
function conflictLines(conflicts: unknown): string[] {
  if (!Array.isArray(conflicts) || conflicts.length < 2) return []
  return (
    conflicts as {
      place: string
      before: string
      made: string
      now: string
      since?: { revision: number; author: string } | null
    }[]
  ).map(({ place, before, made, now, since }) => {
    const who = !since ? '' : `, by ${since.author} in revision ${since.revision}`
    return printableLine(`${place}: ${before ?? 'none'} -> ${made ?? 'none'}, now ${now ?? 'none'}${who}`)
  })
}
