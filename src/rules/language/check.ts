/**
 * Checks beyond the schema: unknown names, ambiguous routes, keys that have no effect.
 */

import { type PathPattern, parsePattern } from '../patterns/path.ts'
import { parseSticky } from '../patterns/sticky.ts'
import { hiddenFindings, overlapFindings, type PlacedRoute } from '../routing/overlap.ts'
import type { RouteDocument, UpstreamDocument } from '../table/schema.ts'
import { didYouMean, type Finding, nameHint, pointerOf } from '../values/problem.ts'
import { hostFindings, matchFindings, readingAt, readingFindings } from './check-match.ts'
import { hasDefault, sidelessFindings } from './check-retirement.ts'
import { fieldEditFindings, rewriteFindings } from './check-rewrite.ts'
import { compileMatch, compileServer, type Pool, pathsOf, stickySources } from './compile.ts'
import { schemaFindings } from './findings.ts'

type Path = readonly (string | number)[]

/**
 * Checks a parsed document: against the schema, then what the schema cannot check, in all parts that the schema accepts.
 * Returns all findings, errors and warnings; if none is an error, the document is a `TableDocument`. Never throws.
 */
export function checkTable(document: unknown): Finding[] {
  const findings = schemaFindings(document)
  if (!isMap(document)) return findings
  const sound = soundness(findings)
  if (isMap(document.upstreams)) {
    for (const [name, said] of Object.entries(document.upstreams)) {
      if (isMap(said)) findings.push(...upstreamFindings(said, ['upstreams', name], sound))
    }
  }
  const routes = Array.isArray(document.routes) ? document.routes : []
  const placed: PlacedRoute[] = []
  const pool: Pool = new Map()
  const byId = new Map<unknown, unknown>()
  const upstreams = isMap(document.upstreams) ? document.upstreams : {}
  const reader = { upstreams, defaultUpstream: document.default, sound }
  for (const [at, said] of routes.entries()) {
    if (!isMap(said)) continue
    const path = ['routes', at]
    findings.push(...routeFindings(said, path, document.default, sound))
    if (!hasDefault(document.default)) findings.push(...sidelessFindings(said, path, (key) => sound([...path, key])))
    if (!sound([...path, 'match']) || !isMap(said.match)) continue
    const match = said.match as RouteDocument['match']
    const reading = readingAt(said, path, reader)
    const wrong = matchFindings(match, reading, [...path, 'match'])
    findings.push(...wrong, ...readingFindings(said, targetsOf(said.to), path, reader))
    if (sound([...path, 'shadow']) && isMap(said.shadow) && isMap(said.shadow.match)) {
      findings.push(
        ...matchFindings(said.shadow.match as RouteDocument['match'], reading, [...path, 'shadow', 'match']),
      )
    }
    if (wrong.length > 0) continue
    const first = byId.get(said.id)
    if (first === undefined) byId.set(said.id, said)
    else if (isRepeated(said, first)) continue
    const priority = typeof said.priority === 'number' ? said.priority : 0
    const takesAmbiguousPaths = said.ambiguousPaths === 'allow'
    placed.push({ id: String(said.id), at, priority, takesAmbiguousPaths, ...compileMatch(match, reading, pool) })
  }
  if (document.visitor !== undefined && !routes.some(keysVisitors)) {
    findings.push(warning(['visitor'], 'has no effect: no route has visitor in its sticky keys'))
  }
  findings.push(...nameFindings(document, routes), ...duplicateIds(routes))
  findings.push(...overlapFindings(placed), ...hiddenFindings(placed))
  return findings
}

/** The upstreams that `to` names, which may be unsound. */
function targetsOf(to: unknown): readonly string[] {
  return typeof to === 'string' ? [to] : isMap(to) ? Object.keys(to) : []
}

function keysVisitors(route: unknown): boolean {
  if (!isMap(route)) return false
  return [route.sticky].flat().some((entry) => (isMap(entry) ? entry.source : entry) === 'visitor')
}

/** Whether a path has no finding at or below it. A sound value has the type that the schema requires, or is absent. */
type Sound = (path: Path) => boolean

function soundness(findings: readonly Finding[]): Sound {
  // In a large table the texts of the paths would cost more than the checks.
  if (findings.length === 0) return () => true
  const unsound = new Set<string>()
  for (const { path } of findings) {
    for (let length = 0; length <= path.length; length++) unsound.add(pointerOf(path.slice(0, length)))
  }
  return (path) => !unsound.has(pointerOf(path))
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function error(path: Path, message: string, hint?: Finding['hint']): Finding {
  return { path, message, hint, severity: 'error' }
}

function warning(path: Path, message: string, hint?: string): Finding {
  return { path, message, hint, severity: 'warning' }
}

function upstreamFindings(said: Partial<UpstreamDocument>, path: Path, sound: Sound): Finding[] {
  const findings: Finding[] = []
  const servers = sound([...path, 'servers']) && said.servers ? said.servers.map(compileServer) : null
  const seen = new Map<string, number>()
  for (const [at, { id }] of (servers ?? []).entries()) {
    const earlier = seen.get(id)
    if (earlier === undefined) seen.set(id, at)
    else findings.push(error([...path, 'servers', at], `duplicate id ${id}: already used by servers.${earlier}`))
  }
  const first = firstPlaces((servers ?? []).map(({ url }) => url))
  for (const [at, { id, url }] of (servers ?? []).entries()) {
    const earlier = first.get(url) as number
    if (earlier === at || servers?.[earlier]?.id === id) continue
    const message = `same URL as servers.${earlier}: it gets both shares, and is checked and ejected twice`
    findings.push(warning([...path, 'servers', at], message, 'write weight for a larger share'))
  }
  const { tls, host } = said
  if (isMap(tls)) {
    const pair = ['cert', 'key'].filter((key) => Object.hasOwn(tls, key))
    if (pair.length === 1) findings.push(error([...path, 'tls'], 'cert and key must be set together'))
    if (servers && !servers.some((server) => server.tls)) {
      findings.push(warning([...path, 'tls'], 'no server of this upstream uses https'))
    }
    const { minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3' } = tls
    if (sound([...path, 'tls']) && minVersion > maxVersion) {
      const key = tls.minVersion === undefined ? 'maxVersion' : 'minVersion'
      const bound = key === 'minVersion' ? `above maxVersion ${maxVersion}` : `below minVersion ${minVersion}`
      findings.push(error([...path, 'tls', key], `invalid version ${tls[key]}: it is ${bound}`))
    }
  }
  if (servers && sound([...path, 'protocol'])) {
    const { protocol } = said
    if (protocol === 'h2' && !servers.every((server) => server.tls)) {
      findings.push(
        error([...path, 'protocol'], 'h2 is HTTP/2 over TLS, for https servers', 'write h2c for http servers'),
      )
    } else if (protocol === 'h2c' && servers.some((server) => server.tls)) {
      findings.push(
        error([...path, 'protocol'], 'h2c is HTTP/2 without TLS, for http servers', 'write h2 for https servers'),
      )
    }
    if (protocol !== undefined && protocol !== 'http1' && isMap(said.health)) {
      findings.push(
        warning([...path, 'health'], 'checks speak HTTP/1.1: servers that speak HTTP/2 alone never pass them'),
      )
    }
  }
  if (isMap(said.headers)) findings.push(...fieldEditFindings(said.headers, [...path, 'headers'], null, sound))
  if (isMap(said.queue) && said.maxConcurrent === undefined) {
    findings.push(warning([...path, 'queue'], 'has no effect without maxConcurrent', 'set maxConcurrent too'))
  }
  const words = ['preserve', 'upstream']
  if (typeof host === 'string' && sound([...path, 'host']) && !host.includes('.') && !words.includes(host)) {
    const hint = didYouMean(host, words)
    if (hint !== undefined) findings.push(warning([...path, 'host'], `${host} is sent as a literal host name`, hint))
  }
  return findings
}

/** References to unknown upstreams. */
function nameFindings(document: Record<string, unknown>, routes: readonly unknown[]): Finding[] {
  if (!isMap(document.upstreams)) return []
  const said = Object.values(document.upstreams)
  if (said.length > 0 && !said.some(isMap)) return []
  const known = Object.keys(document.upstreams)
  const names: { path: Path; name: unknown; at?: 'key' }[] = [{ path: ['default'], name: document.default }]
  for (const [at, route] of routes.entries()) {
    if (!isMap(route)) continue
    names.push({ path: ['routes', at, 'from'], name: route.from })
    const to = ['routes', at, 'to']
    if (typeof route.to === 'string') names.push({ path: to, name: route.to })
    for (const name of isMap(route.to) ? Object.keys(route.to) : [])
      names.push({ path: [...to, name], name, at: 'key' })
  }
  const set = new Set(known)
  return names.flatMap(({ path, name, at }) =>
    typeof name !== 'string' || set.has(name)
      ? []
      : [
          {
            ...error(path, `unknown upstream ${JSON.stringify(name)}`, () => nameHint(name, known)),
            ...(at && { at }),
          },
        ],
  )
}

/** Whether a route is written again, id and conditions: that is one mistake. */
function isRepeated(route: Record<string, unknown>, first: unknown): boolean {
  return isMap(first) && JSON.stringify(first.match) === JSON.stringify(route.match)
}

function duplicateIds(routes: readonly unknown[]): Finding[] {
  const seen = new Map<string, number>()
  const findings: Finding[] = []
  for (const [at, route] of routes.entries()) {
    if (!isMap(route) || typeof route.id !== 'string') continue
    const earlier = seen.get(route.id)
    if (earlier === undefined) seen.set(route.id, at)
    else {
      // An alias of a whole route is the mistake, not the id at its anchor.
      const path = route === routes[earlier] ? ['routes', at] : ['routes', at, 'id']
      const hint = route === routes[earlier] ? 'an alias can stand for a part of a route' : undefined
      findings.push(error(path, `duplicate id ${JSON.stringify(route.id)}: already used by routes.${earlier}`, hint))
    }
  }
  return findings
}

function routeFindings(said: Partial<RouteDocument>, path: Path, defaultUpstream: unknown, sound: Sound): Finding[] {
  const findings: Finding[] = []
  const match = isMap(said.match) ? (said.match as RouteDocument['match']) : {}
  if (sound([...path, 'match', 'hosts'])) findings.push(...hostFindings(match.hosts ?? [], [...path, 'match', 'hosts']))
  if (sound([...path, 'sticky']) && sound([...path, 'match', 'path']) && sound([...path, 'match', 'paths'])) {
    findings.push(...stickyFindings(said.sticky, pathsOf(match), [...path, 'sticky']))
  }
  if (sound([...path, 'noKey']) && said.noKey !== undefined && sound([...path, 'sticky'])) {
    const all = stickySources(said.sticky).map(({ source }) => source)
    const end = all.at(-1)
    if (end === undefined || end === 'request' || end === 'ip' || end === 'visitor') {
      const why =
        end === undefined || end === 'request' ? 'each request is drawn by itself' : `${end} gives everybody a key`
      findings.push(warning([...path, 'noKey'], `has no effect: without another key ${why}`))
    }
  }
  const sides = ['rewrite', 'answer'].filter((key) => isMap(said[key as keyof typeof said]))
  if (sides.length > 0 && sound([...path, 'match', 'path']) && sound([...path, 'match', 'paths'])) {
    const paths = pathsOf(match).map((text) => parsePattern(text) as PathPattern)
    findings.push(...rewriteFindings(said, path, paths, sound))
  }
  const { percent = 0, from = defaultUpstream, to } = said
  if (sound([...path, 'percent']) && percent > 0 && from === to && to !== undefined && sides.length === 0) {
    findings.push(warning([...path, 'percent'], `from and to are both ${to}: percent has no effect`))
  }
  if (isMap(said.breaker) && from === to && to !== undefined) {
    findings.push(warning([...path, 'breaker'], `from and to are both ${to}: the breaker has no effect`))
  }
  if (isMap(said.shadow) && from === to && to !== undefined) {
    findings.push(warning([...path, 'shadow'], `from and to are both ${to}: there is no other side to compare with`))
  }
  if (isMap(said.shadow) && said.shadow.percent !== 0) findings.push(...uncopiedFindings(said, said.shadow, path))
  if (sound([...path, 'to']) && isMap(to)) findings.push(...splitFindings(to, from, [...path, 'to']))
  if (said.pinAfterWrite !== undefined && sound([...path, 'sticky'])) {
    const hasKey = stickySources(said.sticky).some(({ source }) => source !== 'request')
    const hint = 'add sticky: [cookie:NAME]'
    if (!hasKey)
      findings.push(error([...path, 'pinAfterWrite'], 'needs a sticky key: requests are drawn one by one', hint))
  }
  const { fallback } = said
  if (isMap(fallback) && fallback.maxReplay !== undefined && (fallback.methods ?? 'safe') === 'safe') {
    const hint = 'write methods: idempotent'
    findings.push(
      warning([...path, 'fallback', 'maxReplay'], 'has no effect with safe methods: their bodies are not kept', hint),
    )
  }
  if (isMap(said.cache) && sound([...path, 'cache'])) findings.push(...cacheFindings(said.cache, [...path, 'cache']))
  return findings
}

/** Why no request at all is copied to be compared. @param path of the route */
export function uncopiedFindings(
  said: Partial<RouteDocument>,
  shadow: NonNullable<RouteDocument['shadow']>,
  path: Path,
): Finding[] {
  const findings: Finding[] = []
  const isAllTo = said.percent === 100 && said.noKey === undefined && said.ramp === undefined
  if (isAllTo && (shadow.sides ?? 'from') === 'from') {
    const why = 'copies nothing: at percent 100 no request is answered by from'
    findings.push(warning([...path, 'shadow'], why, 'write sides: to'))
  }
  for (const [place, match] of [
    [['match', 'methods'], said.match],
    [['shadow', 'match', 'methods'], shadow.match],
  ] as const) {
    const methods: unknown = isMap(match) ? match.methods : undefined
    if (!Array.isArray(methods) || methods.includes('GET') || methods.includes('HEAD')) continue
    findings.push(warning([...path, ...place], 'shadow copies nothing: only GET and HEAD requests are copied'))
  }
  return findings
}

/** What is wrong with the weights of several targets. */
function splitFindings(to: Readonly<Record<string, number>>, from: unknown, path: Path): Finding[] {
  if (!Object.values(to).some((weight) => weight > 0))
    return [error(path, 'expected an upstream with a weight above 0')]
  if (typeof from !== 'string' || !Object.hasOwn(to, from)) return []
  const hint = 'it has the rest already; lower the percent'
  return [{ ...error([...path, from], `${from} is the upstream in from: it can't be in to as well`, hint), at: 'key' }]
}

function cacheFindings(said: NonNullable<RouteDocument['cache']>, path: Path): Finding[] {
  const findings: Finding[] = []
  if (said.mode === 'forced' && said.ttl === undefined) {
    findings.push(warning([...path, 'mode'], 'without ttl, responses keep their own lifetimes'))
  }
  if (said.force !== undefined && said.mode !== 'forced') {
    findings.push(warning([...path, 'force'], 'has no effect', 'write mode: forced'))
  }
  const { query } = said.key ?? {}
  if (query?.keep !== undefined && query.drop !== undefined) {
    findings.push(error([...path, 'key', 'query'], 'expected keep or drop, not both'))
  }
  return findings
}

function stickyFindings(said: RouteDocument['sticky'], paths: readonly string[], sticky: Path): Finding[] {
  // A key must be there whichever of the paths the request has.
  const all = paths.map((path) => (parsePattern(path) as PathPattern).params)
  const params = all.reduce((common, names) => common.filter((name) => names.includes(name)))
  const sources = stickySources(said)
  const texts = sources.map(({ source }) => source)
  const end = texts.indexOf('request')
  const visitor = texts.indexOf('visitor')
  const first = firstPlaces(texts)
  return texts.flatMap((text, at) => {
    const path = Array.isArray(said) ? [...sticky, at] : sticky
    const source = parseSticky(text, params)
    if ('message' in source) {
      const isOfSome = all.some((names) => names.includes(text.slice('param:'.length)))
      const message = isOfSome ? `not every path of the route has ${text.replace('param', '')}` : source.message
      return [error(path, message, source.hint)]
    }
    if (end !== -1 && at > end) return [error(path, `${text} is never reached: request ends the chain`)]
    if (visitor !== -1 && at > visitor) return [error(path, `${text} is never reached: visitor gives everybody a key`)]
    return (first.get(text) as number) < at ? [error(path, `duplicate ${text}`)] : []
  })
}

/** The first index of each word in a list. */
function firstPlaces(words: readonly string[]): Map<string, number> {
  return new Map(words.map((word, at): [string, number] => [word, at]).reverse())
}
