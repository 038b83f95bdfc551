/**
 * "How would you route this request?", asked of the table in force: the description of a request, and the full answer.
 */
import { isIP } from 'node:net'
import { decide } from '../rules/decide.ts'
import type { Decision, RequestView } from '../rules/exchange.ts'
import { fieldValue } from '../rules/exchange.ts'
import { explainMatch, matchRoute } from '../rules/match.ts'
import { didYouMean } from '../rules/problem.ts'
import { TOKEN } from '../rules/schema.ts'
import type { Table } from '../rules/table.ts'
import { type FieldError, invalidBody } from './admin-problem.ts'

/** What banyan would do with a request. */
export interface Explanation {
  /** The request as it was understood. */
  readonly request: RequestView
  readonly decision: Decision
  /** Each route that could have claimed the request, and why it lost. */
  readonly candidates: ReturnType<typeof explainMatch>
}

/** What a description leaves out. */
export interface ExplainDefaults {
  readonly clientAddress: string
  /** In [0, 1). */
  readonly chance: number
}

const MEMBERS = ['method', 'url', 'headers', 'clientAddress', 'chance']
const MAX_URL_LENGTH = 65_536

/** Decides as the proxy would; no request is made. `isAvailable` says whether an upstream's breaker lets it be asked. */
export function explain(table: Table, request: RequestView, isAvailable: (upstream: string) => boolean): Explanation {
  const decision = decide(table, matchRoute(table, request), request, isAvailable)
  return { request, decision, candidates: explainMatch(table, request) }
}

/**
 * Reads the description of a request: `url` (a path, or an http URL whose host stands for a Host field that is not given),
 * and if they matter `method`, `headers` (an object, or a list of pairs), `clientAddress` and `chance`.
 * Texts beyond ASCII become the UTF-8 bytes that a client would send. The URL is taken byte for byte, never normalised.
 * @throws {AdminProblem} invalid: with every error and its JSON pointer
 */
export function readRequest(body: unknown, defaults: ExplainDefaults): RequestView {
  const errors: FieldError[] = []
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidBody([{ pointer: '', detail: 'expected an object such as {"method": "GET", "url": "/stores/3"}' }])
  }
  const said = body as Readonly<Record<string, unknown>>
  for (const name of Object.keys(said)) if (!MEMBERS.includes(name)) errors.push(unknownMember(name))
  const method = readText(said.method ?? 'GET', '/method', 'a method such as GET', (text) => TOKEN.test(text), errors)
  const url = readText(said.url, '/url', 'a path or an http URL without spaces', isUrl, errors)
  const rawHeaders = readHeaders(said.headers ?? [], errors)
  const address = said.clientAddress ?? defaults.clientAddress
  const clientAddress = readText(address, '/clientAddress', 'an IP address', (text) => isIP(text) !== 0, errors)
  const chance = readChance(said.chance ?? defaults.chance, errors)
  if (errors.length > 0) throw invalidBody(errors)
  const { authority, target } = splitUrl(bytesOf(url))
  const host = (fieldValue(rawHeaders, 'host') ?? authority).toLowerCase()
  return { method, target, host, rawHeaders, clientAddress, chance }
}

function unknownMember(name: string): FieldError {
  const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  const hint = didYouMean(name, MEMBERS)
  return { pointer, detail: 'unknown member', ...(hint === undefined ? {} : { hint }) }
}

function readText(
  value: unknown,
  pointer: string,
  what: string,
  ...[isGood, errors]: [(text: string) => boolean, FieldError[]]
): string {
  if (typeof value === 'string' && isGood(value)) return value
  errors.push({ pointer, detail: `expected ${what}` })
  return ''
}

function isUrl(text: string): boolean {
  return text.length <= MAX_URL_LENGTH && /^(?:\/|https?:\/\/[^/?#])/i.test(text) && !/[\x00-\x20\x7f]/.test(text)
}

function readChance(value: unknown, errors: FieldError[]): number {
  if (typeof value === 'number' && value >= 0 && value < 1) return value
  errors.push({ pointer: '/chance', detail: 'expected a number from 0 up to, not including, 1' })
  return 0
}

/** Name, value, name, value: Latin-1 strings of the bytes, as the proxy sees them. */
function readHeaders(value: unknown, errors: FieldError[]): string[] {
  if (typeof value !== 'object' || value === null) {
    errors.push({ pointer: '/headers', detail: 'expected an object, or a list of [name, value] pairs' })
    return []
  }
  const rawHeaders: string[] = []
  for (const [pointer, name, text] of fieldsOf(value)) {
    if (typeof name !== 'string' || !TOKEN.test(name)) errors.push({ pointer, detail: 'expected a field name' })
    else if (typeof text !== 'string' || /[\0\r\n]/.test(text))
      errors.push({ pointer, detail: 'expected a field value' })
    else rawHeaders.push(name, bytesOf(text))
  }
  return rawHeaders
}

/** Pointer, name and value of each field, none of them checked. A name in an object may have a list of values. */
function* fieldsOf(headers: object): Generator<[string, unknown, unknown]> {
  if (Array.isArray(headers)) {
    for (const [at, pair] of headers.entries()) {
      const [name, value] = Array.isArray(pair) && pair.length === 2 ? pair : []
      yield [`/headers/${at}`, name, value]
    }
    return
  }
  for (const [name, value] of Object.entries(headers)) {
    const pointer = `/headers/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    for (const one of Array.isArray(value) ? value : [value]) yield [pointer, name, one]
  }
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** What a client makes of a URL: user information and fragment are never sent, and an empty path is `/`. */
function splitUrl(url: string): { authority: string; target: string } {
  const [, origin, rest] = /^(https?:\/\/[^/?#]*)?([^#]*)/i.exec(url) as unknown as [string, string | undefined, string]
  const authority = origin === undefined ? '' : origin.replace(/^https?:\/\/(?:.*@)?/i, '')
  return { authority, target: rest.startsWith('/') ? rest : `/${rest}` }
}
