/**
 * A table as HAProxy has it: a frontend that asks its rules in the order of precedence, and a backend for each place.
 */
import type { HostPattern } from '../patterns/host.ts'
import type { Condition } from '../patterns/predicates.ts'
import type { StickySource } from '../patterns/sticky.ts'
import type { ValueTest } from '../patterns/value-test.ts'
import type { Route, Table } from '../table/table.ts'
import { claimsInOrder, isReadExactly, type ListedClaim } from './claims.ts'
import type { Frame, Written } from './frame.ts'
import { backendText, HAPROXY_SAYS, noteHaproxyUpstream } from './haproxy-places.ts'
import { fits, haproxyTime, quoted, WORD } from './haproxy-text.ts'
import { noteDraw, noteLosses } from './losses.ts'
import { comment, Notes } from './notes.ts'
import { cookieExpressions, hostFieldExpression, literal, pathExpression, queryExpressions } from './patterns.ts'
import { isDrawn, keylessOf, sharesOf } from './shares.ts'
import { Places } from './targets.ts'

const HEAD = [
  'HAProxy compares decoded paths: requests that banyan calls ambiguous (dot segments, //, encoded slashes), and sends to the default',
  'upstream, may reach a route here. Of repeated headers one line that passes is enough.',
]

/** Draws are made in millionths. */
const WHOLE = 1_000_000

/** A line may have 64 words. */
const MAX_CONDITIONS = 50

/** Writes a table for HAProxy. */
export function writeHaproxy(table: Table, frame: Frame): Written {
  return new HaproxyFile(table, frame).write()
}

class HaproxyFile {
  readonly #table: Table
  readonly #frame: Frame
  readonly #notes = new Notes('haproxy')
  readonly #places: Places
  /** By what they test: the name of the list, and its lines. */
  readonly #lists = new Map<string, string>()
  readonly #lines: string[] = []
  readonly #draws = new Map<Route, number>()

  constructor(table: Table, frame: Frame) {
    this.#table = table
    this.#frame = frame
    this.#places = new Places(table)
  }

  write(): Written {
    const { routes, upstreams } = this.#table
    noteLosses(this.#table, HAPROXY_SAYS, this.#notes)
    for (const upstream of upstreams.values()) noteHaproxyUpstream(upstream, this.#notes)
    for (const [at, route] of routes.entries()) this.#noteRoute(route, at)
    const claims = claimsInOrder(this.#table).map((claim) => this.#rules(claim))
    const draws = [...this.#draws].map(([route, number]) => this.#drawText(route, number))
    const backends = this.#places.all.map((place) => backendText(place, this.#notes))
    const frontend = [
      `    bind ${this.#frame.listen}\n`,
      `    timeout client ${haproxyTime(this.#clientTimeout())}\n`,
      '    http-request set-var(txn.path) path,url_dec\n',
      ...this.#lines.map((line) => `    ${line}\n`),
      ...draws,
      ...claims,
      `    default_backend ${this.#places.ofDefault(this.#table).name}\n`,
    ]
    const parts = [
      [...this.#frame.head, ...HEAD].map((line) => comment(line)).join(''),
      'defaults banyan\n    mode http\n    option redispatch\n    timeout http-request 60s\n    timeout connect 1s\n    timeout server 60s\n',
      `frontend banyan\n${frontend.join('')}`,
      ...backends,
    ]
    return { text: parts.join('\n'), findings: this.#notes.findings }
  }

  /** The longest that any side may be silent. */
  #clientTimeout(): number {
    return Math.max(...[...this.#table.upstreams.values()].map(({ idleTimeoutMs }) => idleTimeoutMs))
  }

  #noteRoute(route: Route, at: number): void {
    noteDraw(route, at, this.#notes, 'their keys are hashed by xxh32')
    if (route.reading.ignoresParameters)
      this.#notes.add(['routes', at, 'match'], 'an encoded semicolon (%3B) begins a path parameter, too')
    const isPlain = route.claims.every(({ path }) => path.segments.every((text) => !/[^\x00-\x7f]/.test(text ?? '')))
    if (route.reading.ignoresCase && !isPlain)
      this.#notes.add(['routes', at, 'match'], 'letters beyond ASCII are compared with their case')
  }

  /** The rules of one claim: one for each place of its route. */
  #rules(claim: ListedClaim): string {
    const { route, index } = claim
    const wanted = this.#conditions(claim)
    const told = [this.#frame.routeText(index), ...this.#notes.at(['routes', index])]
    const comments = told.map((text) => comment(text, '    ')).join('')
    if (wanted === null || wanted.length > MAX_CONDITIONS) {
      if (wanted !== null)
        this.#notes.add(['routes', index, 'match'], 'too many conditions: the route has no request here')
      return `\n${comment(`${this.#frame.routeText(index)}: no rule can say it`, '    ')}`
    }
    const condition = wanted.length === 0 ? '' : wanted.join(' ')
    const shares = sharesOf(route)
    if (!isDrawn(route))
      return `\n${comments}${this.#rule(route, shares[0] as NonNullable<(typeof shares)[0]>, [condition])}`
    const number = this.#drawOf(route)
    let below = 0
    const rules = shares.map((share, at) => {
      below += share.part * WHOLE
      // Without a key there is no draw, and the last one has the request.
      if (at === shares.length - 1 && share.side === 'from') return this.#rule(route, share, [condition])
      return this.#rule(route, share, [
        condition,
        this.#list(`d${number}_${at}`, `var(txn.d${number}) -m int`, [`lt ${Math.round(below)}`]),
      ])
    })
    if (shares.at(-1)?.side === 'to') rules.push(this.#rule(route, { upstream: route.from, side: 'from' }, [condition]))
    return `\n${comments}${rules.join('')}`
  }

  #rule(route: Route, share: { upstream: string; side: 'from' | 'to' }, conditions: readonly string[]): string {
    const words = conditions.filter((word) => word !== '').join(' ')
    return `    use_backend ${this.#places.of(route, share).name}${words === '' ? '' : ` if ${words}`}\n`
  }

  /** The names of the lists that a request must be in; null where one can't be written. */
  #conditions(claim: ListedClaim): string[] | null {
    const { path, hosts, conditions, index } = claim
    const names: string[] = []
    if (path.text !== '/*') {
      const exact = literalPathOf(claim)
      const test = exact === null ? `-m reg ${quoted(pathExpression(path))}` : `-m str -- ${quoted(exact)}`
      if (!fits(test)) {
        this.#notes.add(['routes', index, 'match'], 'the path is too long: the route has no request here')
        return null
      }
      names.push(this.#list('path', 'var(txn.path)', [test]))
    }
    if (hosts.length > 0) names.push(this.#list('host', 'req.hdr(host),lower', hosts.map(hostTest)))
    for (const condition of conditions) {
      const name = this.#condition(condition, index)
      if (name === null) return null
      names.push(name)
    }
    return names
  }

  #condition({ kind, name, test }: Condition, index: number): string | null {
    if (test === null) return null
    const sign = test.is === 'absent' ? '!' : ''
    const expressions = (made: readonly string[]): string[] => made.map((one) => `-m reg ${quoted(one)}`).filter(fits)
    switch (kind) {
      case 'methods':
        return this.#list('method', 'method', valueTests(test))
      case 'query':
        return sign + this.#list('query', 'query', expressions(queryExpressions(name ?? '', test)))
      case 'cookies':
        return sign + this.#list('cookie', 'req.fhdr(cookie)', expressions(cookieExpressions(name ?? '', test)))
      case 'clients':
        return this.#list(
          'client',
          'src',
          test.is === 'within' ? test.networks.map(({ address, prefix }) => `${address}/${prefix}`) : [],
        )
      default: {
        if (WORD.test(name ?? '')) return sign + this.#list('header', `req.fhdr(${name})`, valueTests(test))
        this.#notes.add(
          ['routes', index, 'match'],
          `it has no word for the header ${name}: the route has no request here`,
        )
        return null
      }
    }
  }

  /** A list of tests, one of which must pass. @returns its name */
  #list(kind: string, sample: string, tests: readonly string[]): string {
    // A list without a line would be an error: this one is never met.
    const all = tests.length === 0 ? ['-m str -- never'] : tests
    const key = `${sample}\n${all.join('\n')}`
    const known = this.#lists.get(key)
    if (known !== undefined) return known
    const name = `${kind}_${this.#lists.size}`
    this.#lists.set(key, name)
    for (const test of all) this.#lines.push(`acl ${name} ${sample} ${test}`)
    return name
  }

  #drawOf(route: Route): number {
    const number = this.#draws.get(route) ?? this.#draws.size
    this.#draws.set(route, number)
    return number
  }

  /** The lines that give a request its key, and its place in the draw. */
  #drawText(route: Route, number: number): string {
    const [key, draw] = [`txn.k${number}`, `txn.d${number}`]
    const has = `{ var(${key}) -m len gt 0 }`
    const lines = route.sticky.flatMap((source) => {
      const sample = this.#sampleOf(route, source)
      if (sample === null) return []
      const ignored = source.ignored.map((text) => `http-request unset-var(${key}) if { var(${key}) ${equals(text)} }`)
      return [`http-request set-var(${key}) ${sample} unless ${has}`, ...ignored]
    })
    const keyless = keylessOf(route)
    const other = { from: null, to: 'int(0)', random: `rand(${WHOLE})` }[keyless]
    if (other !== null) lines.push(`http-request set-var(${draw}) ${other} unless ${has}`)
    lines.push(`http-request set-var(${draw}) var(${key}),xxh32(${seedOf(route.salt)}),mod(${WHOLE}) if ${has}`)
    return `\n${comment(`The draw of ${route.id}.`, '    ')}${lines.map((line) => `    ${line}\n`).join('')}`
  }

  #sampleOf(route: Route, source: StickySource): string | null {
    const name = source.text.slice(source.text.indexOf(':') + 1)
    const named = (sample: string): string | null => {
      if (WORD.test(name)) return `${sample}(${name})`
      this.#notes.add(['routes', this.#table.routes.indexOf(route), 'sticky'], `it has no word for ${source.text}`)
      return null
    }
    switch (source.kind) {
      case 'cookie':
        return named('req.cook')
      case 'header':
        return named('req.fhdr')
      case 'query':
        return named('url_param')
      case 'param':
        return this.#paramSample(route, name)
      case 'ip':
      case 'visitor':
        return 'src'
      default:
        return null
    }
  }

  /** The segment of the path, where all paths of the route have the value in the same one. */
  #paramSample({ claims }: Route, name: string): string | null {
    const places = new Set(claims.map(({ path }) => placeOf(path.segments, path.params.indexOf(name))))
    const [place] = places
    return places.size === 1 && place !== undefined && place > 0 ? `var(txn.path),field(${place + 1},/)` : null
  }
}

/** From 1; 0 where there is none. */
function placeOf(segments: readonly (string | null)[], param: number): number {
  let seen = -1
  for (const [at, text] of segments.entries()) {
    if (text === null) seen++
    if (text === null && seen === param) return at + 1
  }
  return 0
}

/** Any number that is the same for equal salts. */
function seedOf(salt: string): number {
  let seed = 0
  for (const unit of salt) seed = (seed * 31 + unit.charCodeAt(0)) % 0x7fff_ffff
  return seed
}

function literalPathOf({ path }: ListedClaim): string | null {
  if (path.rest || !isReadExactly(path) || path.segments.includes(null)) return null
  const text = `/${path.segments.join('/')}`
  return isPlain(text) ? text : null
}

function hostTest(host: HostPattern): string {
  return `-m reg ${quoted(hostFieldExpression(host))}`
}

const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)

function equals(text: string): string {
  return isPlain(text) && text !== '' ? `-m str -- ${quoted(text)}` : `-m reg ${quoted(`^${literal(text)}\\z`)}`
}

/** The tests of one value. */
function valueTests(test: ValueTest): string[] {
  switch (test.is) {
    case 'present':
    case 'absent':
      return ['-m found']
    case 'anyOf':
      return test.values.map(equals).filter(fits)
    case 'startsWith':
      return [
        isPlain(test.text) ? `-m beg -- ${quoted(test.text)}` : `-m reg ${quoted(`^${literal(test.text)}`)}`,
      ].filter(fits)
    case 'contains':
      return [isPlain(test.text) ? `-m sub -- ${quoted(test.text)}` : `-m reg ${quoted(literal(test.text))}`].filter(
        fits,
      )
    case 'within':
      return []
  }
}
