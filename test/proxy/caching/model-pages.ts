/**
 * The pages of the model: what the upstreams have for each request exactly as they get it, in one edition after the other.
 */
import { hash } from 'node:crypto'
import type { RawResponse } from '../../support/message.ts'
import type { UpstreamRequest } from '../../support/upstream.ts'
import { fieldIn, type Rig, reply } from './rig.ts'

/** Bodies up to here are stored. */
export const MAX_BODY = 512

export type Side = 'legacy' | 'modern'

/** What Vary and key may name. */
const READS = ['host', 'x-forwarded-host', 'x-forwarded-proto', 'x-tenant', 'accept-language', 'cookie']

/** What of a request counts: what neither key nor Vary names is the operator's word. */
function countedFields(vary: readonly string[], cache: string): string[] {
  const named = vary.map((name) => name.toLowerCase())
  if (cache.includes('x-tenant')) named.push('x-tenant')
  const cookies = cache.includes('lang]')
  return READS.filter(
    (name) => /^(?:host|x-forwarded)/.test(name) || named.includes(name) || (cookies && name === 'cookie'),
  )
}

/** What a page says of a request. @param lang of Cookie the pairs of that name count only */
function saidOf(request: UpstreamRequest, names: readonly string[], lang: boolean): string {
  const said = names.map((name) => {
    const values = request.fields.filter(([found]) => found.toLowerCase() === name).map(([, text]) => text)
    if (name === 'cookie') {
      const text = values.join('|')
      if (!lang) return text
      const pairs = text.split(/[;|]/).filter((part) => /lang/i.test(part))
      return pairs.map((part) => part.replace(/^ +/, '')).join(';')
    }
    // RFC 9111 section 4.1: lines combined, white space around commas.
    return `${name}=${values.join(',').replace(/[ \t]*,[ \t]*/g, ',')}#${values.length === 0}`
  })
  return [request.target, ...said].join(' ')
}

const tagOf = (text: string): string => `"${hash('sha1', text, 'base64url')}"`

/** The pages of one scenario. */
export class Pages {
  readonly #vary: readonly string[]
  readonly #names: readonly string[]
  readonly #lang: boolean
  /** Goes up with each change of the pages. */
  edition = 0
  /** How the upstreams fail, while they do. */
  failing: 503 | 'cut' | null = null
  /** Answers are kept back while it is set; it is told of each, and releases it. */
  hold: ((release: () => void) => void) | null = null

  constructor(vary: readonly string[], cache: string) {
    this.#vary = vary
    this.#names = countedFields(vary, cache)
    this.#lang = cache.includes('lang]') && !vary.includes('Cookie')
  }

  /** Answers the requests of both sides. */
  serve({ legacy, modern }: Rig): void {
    for (const [side, upstream] of [
      ['legacy', legacy],
      ['modern', modern],
    ] as const) {
      upstream.handler = (request) => {
        if (request.method !== 'GET') {
          this.edition++
          void request.send(reply(204))
          return
        }
        const { failing } = this
        const answer = failing === null ? this.#answerOf(request, side) : null
        const send = (): void => {
          if (answer !== null) void request.send(answer)
          else if (failing === 'cut') request.connection.socket.destroy()
          else void request.send(reply(503, [], 'failed'))
        }
        if (this.hold === null) send()
        else this.hold(send)
      }
    }
  }

  #answerOf(request: UpstreamRequest, side: Side): string {
    const kind = /^\/\d+\/([a-z-]+)/.exec(request.target)?.[1]
    const said = saidOf(request, this.#names, this.#lang)
    const text = textOf(kind === 'long' ? said.padEnd(MAX_BODY + 100, '.') : said, side, this.edition)
    const fields = [`Cache-Control: ${kind === 'no-store' ? 'no-store' : 'max-age=60'}`, `ETag: ${tagOf(text)}`]
    if (this.#vary.length > 0) fields.push(`Vary: ${this.#vary.join(', ')}`)
    if (request.field('if-none-match') === tagOf(text)) return reply(304, fields)
    if (kind === 'chunked') {
      const head = `HTTP/1.1 200 OK\r\n${fields.map((one) => `${one}\r\n`).join('')}Transfer-Encoding: chunked\r\n\r\n`
      const half = text.length >> 1
      const chunks = [text.slice(0, half), text.slice(half)].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      return `${head}${chunks.join('')}0\r\n\r\n`
    }
    const range = rangeOf(request.field('range'), request.field('if-range'), text)
    if (range === null) return reply(200, fields, text)
    if (range === 'none') return reply(416, [`Content-Range: bytes */${text.length}`])
    const [first, last] = range
    return reply(206, [...fields, `Content-Range: bytes ${first}-${last}/${text.length}`], text.slice(first, last + 1))
  }
}

/** A page: what it says, whose it is, and in which edition. */
function textOf(said: string, side: Side, edition: number): string {
  return `${said} of ${side}, edition ${edition}`
}

/** What a page says, without the rest. */
export function saidIn(text: string): string {
  return text.replace(/ of \w+, edition \d+$/, '')
}

/** Fields as they are sent: `SAME` stands for the entity tag of the page. */
export function withTag(fields: readonly string[], said: string, side: Side, edition: number): string[] {
  return fields.map((one) => one.replace('SAME', tagOf(textOf(said, side, edition))))
}

/**
 * What is wrong with a response to a request for a page in this edition; a body of unknown length may come whole.
 * @param lines the client's own conditions and range
 */
export function flawOf(
  response: RawResponse,
  lines: readonly string[],
  [said, side, edition]: readonly [said: string, side: Side, edition: number],
): string | null {
  const text = textOf(said, side, edition)
  const value = (name: string) => lines.find((one) => one.startsWith(`${name}: `))?.slice(name.length + 2)
  const { status, body } = response
  if (value('If-None-Match') === tagOf(text)) return status === 304 ? null : `${status} in place of 304`
  const range = rangeOf(value('Range'), value('If-Range'), text)
  if (status === 200) return body.text === text ? null : `${body.text} in place of ${text}`
  if (range === 'none') return status === 416 ? null : `${status} in place of 416`
  if (status !== 206 || range === null) return `${status} (${body.text}) in place of ${text}`
  const [first, last] = range
  const span = fieldIn(response, 'content-range')
  if (span !== `bytes ${first}-${last}/${text.length}`) return `Content-Range: ${span}`
  const part = text.slice(first, last + 1)
  return body.text === part ? null : `${body.text} in place of ${part}`
}

function rangeOf(
  range: string | undefined,
  ifRange: string | undefined,
  text: string,
): [first: number, last: number] | 'none' | null {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range ?? '')
  if (found === null || (ifRange !== undefined && ifRange !== tagOf(text))) return null
  const [, from = '', to = ''] = found
  const last = text.length - 1
  if (from === '') return [Math.max(text.length - Number(to), 0), last]
  if (Number(from) > last) return 'none'
  return [Number(from), to === '' ? last : Math.min(Number(to), last)]
}
