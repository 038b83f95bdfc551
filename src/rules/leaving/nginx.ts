/**
 * A table as nginx has it: a file for its `http` block. Locations stand in the order of precedence; where a path alone does not
 * decide, maps of the conditions choose the place.
 */
import type { PathPattern } from '../patterns/path.ts'
import type { Condition } from '../patterns/predicates.ts'
import type { StickySource } from '../patterns/sticky.ts'
import type { Route, Table } from '../table/table.ts'
import { chainOf, claimsInOrder, covers, isAlone, isReadExactly, type ListedClaim } from './claims.ts'
import type { Frame, Written } from './frame.ts'
import { noteDraw, noteLosses } from './losses.ts'
import { type Atom, type ChoicePart, type ChoiceRow, MAX_ATOMS, NEVER, partsOf } from './nginx-choices.ts'
import { COMMON_FIELD_LINES, COMMON_LINES, NGINX_SAYS, placeLines, upstreamBlock } from './nginx-places.ts'
import { DOLLAR, fits, quoted } from './nginx-text.ts'
import { comment, Names, Notes } from './notes.ts'
import {
  cookieExpressions,
  hostExpression,
  hostFieldExpression,
  literal,
  pathExpression,
  queryExpressions,
  valueExpressions,
} from './patterns.ts'
import { isDrawn, keylessOf, type Share, sharesOf } from './shares.ts'
import { type Place, Places } from './targets.ts'

const HEAD = [
  'A file for the http block of nginx.',
  'nginx decodes paths and resolves dot segments, // and encoded slashes before it compares them: requests that banyan calls',
  'ambiguous, and sends to the default upstream, may reach a route here. Of repeated headers nginx before 1.23 reads the first,',
  'and an empty header is none for it.',
]

/** Writes a table for nginx. */
export function writeNginx(table: Table, frame: Frame): Written {
  return new NginxFile(table, frame).write()
}

class NginxFile {
  readonly #table: Table
  readonly #frame: Frame
  readonly #notes = new Notes('nginx')
  readonly #places: Places
  readonly #groups = new Map<string, string>()
  /** Blocks of the http level that the locations refer to, in the order of their making. */
  readonly #maps: string[] = []
  readonly #atoms = new Map<string, Atom>()
  /** By route: the variable that holds the name of its place. */
  readonly #draws = new Map<Route, string>()
  /** Places that a location names, and so must be there. */
  readonly #named = new Set<Place>()

  constructor(table: Table, frame: Frame) {
    this.#table = table
    this.#frame = frame
    this.#places = new Places(table)
    const names = new Names()
    for (const name of table.upstreams.keys()) this.#groups.set(name, names.take(name))
  }

  write(): Written {
    const { upstreams, routes } = this.#table
    noteLosses(this.#table, NGINX_SAYS, this.#notes)
    for (const [at, route] of routes.entries()) {
      this.#noteRoute(route, at)
      if (isDrawn(route)) this.#draw(route)
    }
    const groups = [...upstreams].map(([name, upstream]) =>
      upstreamBlock(upstream, this.#groups.get(name) as string, this.#notes),
    )
    const locations = this.#locations()
    const named = [...this.#named].map((place) =>
      block(`location @${place.name}`, placeLines(place, this.#groupOf(place), this.#notes)),
    )
    const server = [
      `    listen ${this.#frame.listen};\n\n`,
      ...[...COMMON_LINES, ...COMMON_FIELD_LINES].map((line) => `    ${line}\n`),
      ...[...locations, ...named].map((text) => `\n${text}`),
    ]
    const body = [
      ...groups,
      'map $http_upgrade $banyan_connection {\n    "" "";\n    default upgrade;\n}\n',
      ...this.#maps,
      `server {\n${server.join('')}}\n`,
    ].join('\n')
    const dollar = body.includes(DOLLAR) ? 'geo $banyan_dollar {\n    default "$";\n}\n\n' : ''
    const head = [...this.#frame.head, ...HEAD].map((line) => comment(line)).join('')
    return { text: `${head}\n${dollar}${body}`, findings: this.#notes.findings }
  }

  #noteRoute(route: Route, at: number): void {
    noteDraw(route, at, this.#notes, 'split_clients hashes their keys otherwise')
    if (route.reading.ignoresParameters)
      this.#notes.add(['routes', at, 'match'], 'an encoded semicolon (%3B) begins a path parameter, too')
    const isPlain = route.claims.every(({ path }) => path.segments.every((text) => !/[^\x00-\x7f]/.test(text ?? '')))
    if (route.reading.ignoresCase && !isPlain)
      this.#notes.add(['routes', at, 'match'], 'letters beyond ASCII are compared with their case')
  }

  #groupOf({ upstream }: Place): string {
    return this.#groups.get(upstream.name) as string
  }

  /** One location for each path, in the order in which the claims name them; those with nothing but literals are found first. */
  #locations(): string[] {
    const claims = claimsInOrder(this.#table)
    const seen = new Set<string>()
    const locations: string[] = []
    for (const [at, { path }] of claims.entries()) {
      const expression = pathExpression(path)
      if (seen.has(expression)) continue
      seen.add(expression)
      const exact = literalPathOf(path)
      // A location of one path is found before all others, whatever stands before it.
      const chain = chainOf(exact === null ? claims.slice(at) : claims, path)
      const match = exact === null ? `~ ${quoted(expression)}` : `= ${quoted(exact)}`
      if (fits(match)) locations.push(this.#location(match, path, chain))
      else for (const { index } of chain) this.#notes.add(['routes', index, 'match'], 'the path is too long')
    }
    const place = this.#places.ofDefault(this.#table)
    const rest = placeLines(place, this.#groupOf(place), this.#notes)
    return [...locations, block('location /', rest, [comment('Requests that no route has.', '    ')])]
  }

  #location(match: string, path: PathPattern, chain: readonly ListedClaim[]): string {
    const told = [...new Set(chain.map(({ index }) => index))].flatMap((index) => [
      comment(this.#frame.routeText(index), '    '),
      ...this.#notes.at(['routes', index]).map((text) => comment(text, '    ')),
    ])
    const [first] = chain as [ListedClaim]
    const only = isAlone(first, path) && !isDrawn(first.route) ? this.#onlyPlace(first.route) : null
    const lines =
      only === null
        ? [`try_files /.banyan @${this.#choice(chain, path)};`]
        : placeLines(only, this.#groupOf(only), this.#notes)
    return block(`location ${match}`, lines, told)
  }

  #onlyPlace(route: Route): Place | null {
    const [share, another] = sharesOf(route)
    return share === undefined || another !== undefined ? null : this.#places.of(route, share)
  }

  /** The variable that holds the name of the place, by the first claim that a request meets. */
  #choice(chain: readonly ListedClaim[], path: PathPattern): string {
    const rows: ChoiceRow[] = []
    for (const claim of chain) {
      const needed = this.#atomsOf(claim, path)
      if (needed.length <= MAX_ATOMS) rows.push({ needed, place: this.#placeText(claim.route) })
      else this.#notes.add(['routes', claim.index, 'match'], 'too many conditions: the route has no request here')
    }
    // One route takes them all, and is drawn.
    const [only] = rows
    if (only?.needed.length === 0) return only.place
    const isWhole = rows.at(-1)?.needed.length === 0
    let rest = isWhole ? (rows.pop() as ChoiceRow).place : this.#placeName(this.#places.ofDefault(this.#table))
    // From the last: a request that no row of a map takes is asked about in the next one.
    for (const part of partsOf(rows).reverse()) rest = this.#choiceMap(part, rest)
    return rest
  }

  #choiceMap({ rows, atoms }: ChoicePart, rest: string): string {
    const variable = `$banyan_choice${this.#maps.length}`
    const columns = [...atoms]
    const lines = rows.map(({ needed, place }) => {
      const pattern = columns.map((atom) => (needed.includes(atom) ? '1' : '.')).join('')
      return `"~^${pattern}" ${place};`
    })
    const key = columns.map((atom) => atom.word).join('')
    this.#maps.push(block(`map ${quoted(key)} ${variable}`, [...lines, `default ${rest};`], [], ''))
    return variable
  }

  /** What a request must meet besides the path of its location. */
  #atomsOf(claim: ListedClaim, path: PathPattern): Atom[] {
    const atoms: Atom[] = []
    if (!covers(claim.path, path)) atoms.push(this.#atom('$uri', [pathExpression(claim.path)], true))
    if (claim.hosts.length > 0) atoms.push(this.#hostAtom(claim))
    for (const condition of claim.conditions) atoms.push(this.#conditionAtom(condition, claim.index))
    return [...new Set(atoms)]
  }

  #hostAtom({ hosts }: ListedClaim): Atom {
    return hosts.some(({ port }) => port !== '')
      ? this.#atom('$http_host', hosts.map(hostFieldExpression), true)
      : this.#atom('$host', hosts.map(hostExpression), true)
  }

  #conditionAtom({ kind, name, test }: Condition, index: number): Atom {
    if (test === null) return NEVER
    const wanted = test.is !== 'absent'
    const isPresence = test.is === 'present' || test.is === 'absent'
    switch (kind) {
      case 'methods':
        return this.#atom('$request_method', valueExpressions(test), wanted)
      case 'query':
        return this.#atom('$args', queryExpressions(name ?? '', test), wanted)
      case 'cookies':
        return this.#atom('$http_cookie', cookieExpressions(name ?? '', test), wanted)
      case 'clients':
        return this.#networks(
          test.is === 'within' ? test.networks.map(({ address, prefix }) => `${address}/${prefix}`) : [],
        )
      default: {
        const variable = fieldVariable(name ?? '')
        if (variable !== null) return this.#atom(variable, isPresence ? ['(?s:.)'] : valueExpressions(test), wanted)
        this.#notes.add(
          ['routes', index, 'match'],
          `it has no variable for the header ${name}: the route has no request here`,
        )
        return NEVER
      }
    }
  }

  /** A variable that is 1 where one of the expressions matches, or where none does. */
  #atom(source: string, expressions: readonly string[], wanted: boolean): Atom {
    const [hit, rest] = wanted ? ['1', '0'] : ['0', '1']
    const words = expressions.map((expression) => quoted(`~${expression}`))
    const lines = [`default ${rest};`, ...words.filter(fits).map((word) => `${word} ${hit};`)]
    return this.#shared(`map ${source}`, lines)
  }

  #networks(networks: readonly string[]): Atom {
    return this.#shared('geo $remote_addr', ['default 0;', ...new Set(networks.map((network) => `${network} 1;`))])
  }

  #shared(head: string, lines: readonly string[]): Atom {
    const key = `${head}\n${lines.join('\n')}`
    const known = this.#atoms.get(key)
    if (known !== undefined) return known
    const name = `banyan_is${this.#atoms.size}`
    const atom = { word: `\${${name}}` }
    this.#atoms.set(key, atom)
    this.#maps.push(block(`${head} $${name}`, lines, [], ''))
    return atom
  }

  /** What stands for a route in a map: the name of its place, or the variable that draws it. */
  #placeText(route: Route): string {
    const only = isDrawn(route) ? null : this.#onlyPlace(route)
    return only === null ? this.#draw(route) : this.#placeName(only)
  }

  #placeName(place: Place): string {
    this.#named.add(place)
    return quoted(place.name)
  }

  #draw(route: Route): string {
    const known = this.#draws.get(route)
    if (known !== undefined) return known
    const shares = sharesOf(route)
    const number = this.#draws.size
    const key = this.#key(route, number)
    const drawn = `$banyan_draw${number}`
    const names = shares.map((share) => this.#placeName(this.#places.of(route, share)))
    const percents = this.#percentsOf(shares, route)
    const lines = percents.map((percent, at) => `${percent}% ${names[at]};`)
    this.#maps.push(
      block(`split_clients ${quoted(`${route.salt}:${key}`)} ${drawn}`, [...lines, `* ${names.at(-1)};`], [], ''),
    )
    const keyless = keylessOf(route)
    const variable = keyless === 'random' ? drawn : `$banyan_side${number}`
    if (keyless !== 'random') {
      const [share] = sharesOf({ ...route, percent: keyless === 'from' ? 0 : 100 })
      const place = this.#placeName(this.#places.of(route, share as NonNullable<typeof share>))
      this.#maps.push(block(`map ${quoted(key)} ${variable}`, [`"" ${place};`, `default ${drawn};`], [], ''))
    }
    this.#draws.set(route, variable)
    return variable
  }

  /** The percents of all shares but the last. nginx draws in hundredths of a percent; none has all, or nothing, by rounding. */
  #percentsOf(shares: readonly Share[], route: Route): string[] {
    let left = 10_000
    return shares.slice(0, -1).map(({ part }, at) => {
      const exact = part * 100
      const after = shares.length - 1 - at
      const hundredths = Math.min(Math.max(1, Math.round(exact * 100)), left - after)
      left -= hundredths
      const percent = hundredths / 100
      if (Math.abs(percent - exact) > 1e-9)
        this.#notes.add(['routes', this.#table.routes.indexOf(route), 'percent'], `${exact} % is ${percent} % there`)
      return String(percent)
    })
  }

  /** The variable of the sticky key: the first source that has a value. */
  #key(route: Route, number: number): string {
    let next = keylessOf(route) === 'random' ? '$request_id' : ''
    for (const [at, source] of [...route.sticky.entries()].reverse()) {
      const found = this.#keyMap(route, source)
      if (found === null) continue
      const variable = `$banyan_key${number}_${at}`
      const rest = next === '' ? '""' : next
      const lines = [`default ${rest};`, ...found.found.filter(fits).map((word) => `${word} $1;`)]
      this.#maps.push(
        block(`map ${found.from} ${variable}`, [...found.ignored.map((word) => `${word} ${rest};`), ...lines], [], ''),
      )
      next = variable
    }
    return next
  }

  /** Where a key is read from, and the expressions that capture it. */
  #keyMap(route: Route, source: StickySource): KeyMap | null {
    const name = source.text.slice(source.text.indexOf(':') + 1)
    const after = (from: string, start: string, value: string, end: string): KeyMap => ({
      from,
      ignored: source.ignored.map((text) => quoted(`~${start}${literal(text)}${end}`)),
      found: [quoted(`~${start}(${value})${end}`)],
    })
    switch (source.kind) {
      case 'cookie':
        return after('$http_cookie', cookieExpressions(name, PRESENT).join(''), '[^;]*[^; \\t]', '[ \\t]*(?:;|\\z)')
      case 'query':
        return after('$args', queryExpressions(name, ANY_VALUE).join(''), '[^&]+', '(?:&|\\z)')
      case 'header': {
        const variable = fieldVariable(name.toLowerCase())
        return variable === null ? null : after(variable, '^', '(?s:.+)', '\\z')
      }
      case 'param': {
        const words = paramExpressions(route, name).map((one) => quoted(`~${one}`))
        return { from: '$uri', ignored: [], found: words }
      }
      case 'ip':
      case 'visitor':
        return after('$remote_addr', '^', '.+', '\\z')
      default:
        return null
    }
  }
}

interface KeyMap {
  readonly from: string
  /** Words that match values that are no key. */
  readonly ignored: readonly string[]
  /** Words that capture one that is. */
  readonly found: readonly string[]
}

const PRESENT = { is: 'present' } as const
const ANY_VALUE = { is: 'startsWith', text: '' } as const

/** `$http_NAME`, or null for a header that has no such variable. */
function fieldVariable(name: string): string | null {
  return /^[a-z0-9-]{1,40}$/.test(name) ? `$http_${name.replaceAll('-', '_')}` : null
}

/** Paths of a route with the value of one `:name` captured. */
function paramExpressions({ claims }: Route, name: string): readonly string[] {
  const paths = claims.map(({ path }) => path).filter(({ params }) => params.includes(name))
  return [...new Set(paths.map((path) => pathExpression(path, path.params.indexOf(name))))]
}

/** The decoded text of a path without a `:name`, `*` or anything that is ignored; null for any other. */
function literalPathOf(path: PathPattern): string | null {
  if (path.rest || !isReadExactly(path) || path.segments.includes(null)) return null
  const text = `/${path.segments.join('/')}`
  // What nginx itself would take for an end of the word, or can't hold.
  return /[\x00-\x1f\x7f]/.test(text) ? null : text
}

function block(head: string, lines: readonly string[], told: readonly string[] = [], indent = '    '): string {
  const inner = lines.map((line) => `${indent}    ${line}\n`).join('')
  return `${indent}${head} {\n${told.map((text) => `${indent}${text}`).join('')}${inner}${indent}}\n`
}
