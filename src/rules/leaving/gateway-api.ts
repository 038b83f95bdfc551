/**
 * A table as objects of Kubernetes: an HTTPRoute for each route and the default, and the Services that they send to.
 */
import { blockText } from '../language/yaml-print.ts'
import type { Route, Table, Upstream } from '../table/table.ts'
import type { Plain } from '../values/plain.ts'
import { escapedJson } from '../values/unprintable.ts'
import { claimsInOrder, type ListedClaim } from './claims.ts'
import type { Frame, Written } from './frame.ts'
import {
  isPreferred,
  isReadAsSaid,
  matchesOf,
  mayMeet,
  pathMatch,
  type RouteMatch,
  takesBarePrefix,
} from './gateway-matches.ts'
import { type BackendService, labelOf, noteGatewayUpstream, servicesOf } from './gateway-services.ts'
import { noteDraw, noteLosses, type Says } from './losses.ts'
import { comment, Names, Notes } from './notes.ts'
import { isDrawn, sharesOf } from './shares.ts'
import { answerChanges, type FieldChange, Places, requestChanges, templateText } from './targets.ts'

const SAYS: Says = {
  route: ['caseInsensitivePaths', 'pathParameters', 'trailingSlash', 'rewrite.path', 'rewrite.headers', 'answer'],
  upstream: ['headers', 'timeouts.total'],
}

const HEAD = [
  'HTTPRoutes of the Gateway API v1. They belong to a Gateway named banyan: write the name of yours in parentRefs.',
  'Which requests an implementation takes for the same path (dot segments, //, encoded slashes) is its own choice.',
]

const MAX = { matches: 64, hostnames: 16, backends: 16, filters: 16, weight: 1_000_000 } as const

/** Writes a table as objects of the Gateway API. */
export function writeGatewayApi(table: Table, frame: Frame): Written {
  return new GatewayFile(table, frame).write()
}

class GatewayFile {
  readonly #table: Table
  readonly #frame: Frame
  readonly #notes = new Notes('gateway-api')
  readonly #names = new Names()
  readonly #services = new Map<string, readonly BackendService[]>()
  readonly #places: Places

  constructor(table: Table, frame: Frame) {
    this.#table = table
    this.#frame = frame
    this.#places = new Places(table)
    const names = new Names()
    for (const [name, upstream] of table.upstreams) this.#services.set(name, servicesOf(upstream, names))
  }

  write(): Written {
    const { routes, upstreams } = this.#table
    noteLosses(this.#table, SAYS, this.#notes)
    for (const upstream of upstreams.values()) noteGatewayUpstream(upstream, this.#notes)
    for (const [at, route] of routes.entries())
      noteDraw(route, at, this.#notes, 'each request is drawn by itself, and clients do not stay on their side')
    const claims = claimsInOrder(this.#table)
    this.#notePrecedence(claims)
    const documents = [
      ...routes.map((route, at) => this.#routeText(route, at)),
      this.#documentText(
        this.#httpRoute(
          'default',
          [],
          [{ path: { type: 'PathPrefix', value: '/' } }],
          this.#backends([{ upstream: this.#table.default, part: 1 }]),
          [],
          this.#timeouts(null),
        ),
        ['Requests that no route has.'],
      ),
      ...[...upstreams.keys()].map((name) => this.#upstreamText(name)),
    ]
    const head = [...this.#frame.head, ...HEAD].map((line) => comment(line)).join('')
    return { text: `${head}${documents.join('')}`, findings: this.#notes.findings }
  }

  /** Notes each route of which it is not certain that it is asked before those that the table asks after it. */
  #notePrecedence(claims: readonly ListedClaim[]): void {
    const noted = new Set<number>()
    for (const [at, claim] of claims.entries()) {
      if (noted.has(claim.index)) continue
      const rival = claims
        .slice(at + 1)
        .find((other) => other.index !== claim.index && mayMeet(claim, other) && !isPreferred(claim, other))
      if (rival === undefined) continue
      noted.add(claim.index)
      this.#notes.add(
        ['routes', claim.index, 'match'],
        `${rival.route.id} may be asked before it, which has less precedence`,
      )
    }
  }

  #routeText(route: Route, index: number): string {
    const claims = route.claims.map((claim) => ({ ...claim, route, index }))
    const at = ['routes', index, 'match']
    const objects: Plain[] = []
    const filters = this.#filters(route, index, claims)
    const backends = this.#backends(sharesOf(route))
    for (const alike of Map.groupBy(claims, ({ hosts }) => hosts.map(({ key }) => key).join(' ')).values()) {
      const hosts = (alike[0] as ListedClaim).hosts
      if (hosts.some(({ port }) => port !== '')) this.#notes.add(at, 'ports of hosts are not compared')
      const matches = alike.flatMap((claim) => this.#matches(claim))
      const names = [...new Set(hosts.map(({ name, wildcard }) => (wildcard ? `*${name}` : name)))]
      const valid = names.filter((name) => HOSTNAME.test(name))
      if (valid.length < names.length) this.#notes.add(at, 'hosts that are addresses or have _ are left out')
      if (names.length > 0 && valid.length === 0) continue
      for (const some of chunks(valid, MAX.hostnames)) {
        for (const few of chunks(matches, MAX.matches, false))
          objects.push(this.#httpRoute(route.id, some, few, backends, filters, this.#timeouts(route)))
      }
    }
    const told = [this.#frame.routeText(index), ...this.#notes.at(['routes', index])]
    if (objects.length === 0) return `---\n${told.map((text) => comment(text)).join('')}`
    return objects.map((object) => this.#documentText(object, told)).join('')
  }

  #matches(claim: ListedClaim): readonly RouteMatch[] {
    const at = ['routes', claim.index, 'match']
    if (pathMatch(claim.path).type === 'RegularExpression')
      this.#notes.add(at, `the path ${claim.path.text} is an expression, which not every implementation takes`)
    if (takesBarePrefix(claim)) this.#notes.add(at, `${pathMatch(claim.path).value} itself is matched, too`)
    if (!isReadAsSaid(claim)) this.#notes.add(at, 'how paths are read (case, parameters, final slash) is not said')
    const matches = matchesOf(claim)
    if (!('unsaid' in matches)) return matches
    this.#notes.add(at, `it can't say ${matches.unsaid}: requests that need it go elsewhere`)
    return []
  }

  #httpRoute(
    name: string,
    hostnames: readonly string[],
    matches: readonly RouteMatch[],
    backendRefs: readonly Plain[],
    filters: readonly Plain[],
    timeouts: Plain | undefined,
  ): Plain {
    const rule = { matches, filters: filters.length === 0 ? undefined : filters, timeouts, backendRefs }
    return {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: this.#names.take(labelOf(name)) },
      spec: {
        parentRefs: [{ name: 'banyan' }],
        hostnames: hostnames.length === 0 ? undefined : hostnames,
        rules: [rule],
      },
    } as unknown as Plain
  }

  /** The Services of these upstreams, with whole weights. */
  #backends(shares: readonly { readonly upstream: string; readonly part: number }[]): Plain[] {
    const parts = shares.flatMap(({ upstream, part }) =>
      (this.#services.get(upstream) ?? []).map((service) => ({ service, part: part * service.part })),
    )
    const [only] = parts
    if (parts.length > MAX.backends) {
      const [{ upstream }] = shares as [(typeof shares)[number]]
      this.#notes.add(
        ['upstreams', upstream, 'servers'],
        `a rule takes ${MAX.backends} backends: the others are left out`,
      )
    }
    if (parts.length === 1 && only !== undefined) return [{ name: only.service.name, port: only.service.port }]
    const weights = wholeWeights(parts.map(({ part }) => part))
    return parts
      .slice(0, MAX.backends)
      .map(({ service: { name, port } }, at) => ({ name, port, weight: weights[at] as number }))
  }

  /** What is changed of requests and responses, where all of the route's have one place. */
  #filters(route: Route, index: number, claims: readonly ListedClaim[]): Plain[] {
    const at = ['routes', index]
    const [share] = sharesOf(route)
    if (share === undefined) return []
    const place = this.#places.of(route, share)
    if (isDrawn(route)) {
      if (route.rewrite !== null || route.answer !== null || place.upstream.headers !== null)
        this.#notes.add([...at, 'percent'], 'headers and paths are not changed while requests are shared')
      return []
    }
    const changed = (changes: readonly FieldChange[]): Plain | null => {
      const set = changes.flatMap(({ name, value }) => {
        if (value === null) return []
        const said = templateText(value, place, { literal: (text) => text, source: () => UNKNOWN })
        if ('text' in said && !said.text.includes(UNKNOWN) && said.text !== '') return [{ name, value: said.text }]
        this.#notes.add([...at, 'to'], `header ${name} is not set: placeholders have no words`)
        return []
      })
      const remove = changes.filter(({ value }) => value === null).map(({ name }) => name)
      if (set.length + remove.length === 0) return null
      if (Math.max(set.length, remove.length) > MAX.filters) {
        this.#notes.add([...at, 'to'], `of headers ${MAX.filters} are changed`)
      }
      return {
        ...(set.length === 0 ? {} : { set: set.slice(0, MAX.filters) }),
        ...(remove.length === 0 ? {} : { remove: remove.slice(0, MAX.filters) }),
      }
    }
    const request = changed(requestChanges(place))
    const answer = changed(answerChanges(place))
    const urlRewrite = { ...this.#pathRewrite(route, index, claims, share.side), ...hostRewrite(place.upstream) }
    return [
      ...(request === null ? [] : [{ type: 'RequestHeaderModifier', requestHeaderModifier: request }]),
      ...(answer === null ? [] : [{ type: 'ResponseHeaderModifier', responseHeaderModifier: answer }]),
      ...(Object.keys(urlRewrite).length === 0 ? [] : [{ type: 'URLRewrite', urlRewrite }]),
    ]
  }

  /** A whole path, or a prefix in the place of the prefix that is matched. */
  #pathRewrite(
    { rewrite }: Route,
    index: number,
    claims: readonly ListedClaim[],
    side: 'from' | 'to',
  ): Record<string, Plain> {
    const plans = side === 'to' ? [...(rewrite?.paths?.values() ?? [])] : []
    const [plan] = plans
    if (plan === undefined) return {}
    const target = pathMatch(plan.to)
    if (target.type === 'Exact' && target.value.length <= 1024)
      return { path: { type: 'ReplaceFullPath', replaceFullPath: target.value } }
    const arePrefixes = claims.every(({ path }) => pathMatch(path).type === 'PathPrefix')
    if (plans.length === 1 && target.type === 'PathPrefix' && arePrefixes && claims.length === 1)
      return { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: target.value } }
    this.#notes.add(['routes', index, 'rewrite', 'path'], 'the path stays as it came')
    return {}
  }

  /** The API counts whole responses. */
  #timeouts(route: Route | null): Plain | undefined {
    const names = route === null ? [this.#table.default] : sharesOf(route).map(({ upstream }) => upstream)
    const upstreams = names.map((name) => this.#table.upstreams.get(name) as Upstream)
    const totals = upstreams.map(({ totalTimeoutMs }) => totalTimeoutMs).filter((ms) => ms !== null)
    const said = upstreams.filter(({ document }) => document.timeouts?.headers !== undefined)
    const own = route?.timeouts?.headersMs ?? null
    const headers =
      own ?? (said.length === 0 ? null : Math.max(...upstreams.map(({ headersTimeoutMs }) => headersTimeoutMs)))
    if (own !== null && route !== null)
      this.#notes.add(
        ['routes', this.#table.routes.indexOf(route), 'timeouts', 'headers'],
        'the time-out is that of the whole response, not of its headers',
      )
    if (route?.timeouts?.idleMs != null)
      this.#notes.add(
        ['routes', this.#table.routes.indexOf(route), 'timeouts', 'idle'],
        'it has no time-out of its own for idle exchanges',
      )
    const request = totals.length < upstreams.length ? null : Math.max(...totals)
    if (headers === null && request === null) return undefined
    return {
      ...(request === null ? {} : { request: gatewayDuration(request) }),
      ...(headers === null
        ? {}
        : { backendRequest: gatewayDuration(request === null ? headers : Math.min(headers, request)) }),
    }
  }

  #upstreamText(name: string): string {
    const told = [`Upstream ${name}.`, ...this.#notes.at(['upstreams', name])]
    const objects = (this.#services.get(name) ?? []).flatMap((service) => service.objects)
    return objects.map((object, at) => this.#documentText(object, at === 0 ? told : [])).join('')
  }

  #documentText(object: Plain, told: readonly string[]): string {
    return `---\n${told.map((text) => comment(text)).join('')}${escapedJson(blockText(object, 0))}\n`
  }
}

const UNKNOWN = '\0'

/** What the API takes for a host name: labels of letters, digits and hyphens, with `*.` before them. */
const HOSTNAME =
  /^(?=.{1,253}$)(?:\*\.)?(?![0-9.]+$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

function hostRewrite({ host }: Upstream): Record<string, Plain> {
  const name = typeof host === 'object' ? host.literal.toLowerCase() : ''
  return HOSTNAME.test(name) && !name.startsWith('*') ? { hostname: name } : {}
}

/** Whole numbers in these proportions, at most 1,000,000, the smallest above 0. */
function wholeWeights(parts: readonly number[]): number[] {
  const rounded = parts.map((part) => Math.max(1, Math.round(part * MAX.weight)))
  const divisor = rounded.reduce(commonDivisor)
  return rounded.map((weight) => weight / divisor)
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}

/** At least one chunk, unless `empty` is false. */
function chunks<Item>(items: readonly Item[], size: number, empty = true): readonly (readonly Item[])[] {
  const parts: (readonly Item[])[] = []
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size))
  return parts.length === 0 && empty ? [[]] : parts
}

/** GEP-2257: up to four numbers of five digits, with their units. */
function gatewayDuration(ms: number): string {
  const units: readonly (readonly [string, number])[] = [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ]
  let rest = ms
  return units
    .map(([unit, size]) => {
      const whole = Math.floor(rest / size)
      rest -= whole * size
      return whole === 0 ? '' : `${whole}${unit}`
    })
    .join('')
}
