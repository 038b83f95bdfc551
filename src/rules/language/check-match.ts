/**
 * Checks what a route matches beyond the schema: how its paths are read, several paths, `anyOf`.
 */
import { type HostPattern, parseHost } from '../patterns/host.ts'
import { type PathPattern, type PathReading, parsePattern } from '../patterns/path.ts'
import type { MatchBlock } from '../patterns/predicates.ts'
import type { RouteDocument, UpstreamDocument } from '../table/schema.ts'
import type { Finding } from '../values/problem.ts'
import { compileReading, pathsOf } from './compile.ts'

type Path = readonly (string | number)[]
type Match = RouteDocument['match']

/** A route makes one claim for each of its paths with each block of `anyOf`. */
const MAX_CLAIMS = 256

/** Whether a path has no finding at or below it. */
type Sound = (path: Path) => boolean

/** What of a document says how the paths of a route are read. */
interface ReadingPlace {
  readonly upstreams: Readonly<Record<string, unknown>>
  readonly defaultUpstream: unknown
  readonly sound: Sound
}

const READING_KEYS = ['caseInsensitivePaths', 'pathParameters', 'trailingSlash'] as const

type ReadingKeys = Pick<UpstreamDocument, (typeof READING_KEYS)[number]>

/** How the paths of a route are read; what is unsound counts as absent. */
export function readingAt(said: Partial<RouteDocument>, path: Path, place: ReadingPlace): PathReading {
  const from = said.from ?? place.defaultUpstream
  return compileReading(keysOf(said, path, place.sound), upstreamKeys(from, place))
}

function upstreamKeys(name: unknown, { upstreams, sound }: ReadingPlace): ReadingKeys {
  if (typeof name !== 'string' || !Object.hasOwn(upstreams, name)) return {}
  const said = upstreams[name]
  return typeof said === 'object' && said !== null ? keysOf(said, ['upstreams', name], sound) : {}
}

function keysOf(map: object, path: Path, sound: Sound): ReadingKeys {
  const said = READING_KEYS.filter((key) => Object.hasOwn(map, key) && sound([...path, key]))
  return Object.fromEntries(said.map((key) => [key, (map as ReadingKeys)[key]]))
}

const UNLIKE: Readonly<Record<keyof PathReading, string>> = {
  ignoresCase:
    'matches paths in any case, but NAME distinguishes them (write caseInsensitivePaths: true there if it does not)',
  ignoresParameters: 'ignores path parameters, but NAME does not (write pathParameters: ignore there if it does)',
  ignoresFinalSlash: 'ignores a final slash, but NAME does not (write trailingSlash: ignore there if it does)',
}

/** Whether the spelling of a path goes on: a rewrite has one for all but what `*` stands for, and a final slash. */
function keepsSpelling(rewritten: string | undefined, of: keyof PathReading): boolean {
  return rewritten === undefined || rewritten.endsWith('/*') || of === 'ignoresFinalSlash'
}

/** A warning for each way in which `to` reads paths otherwise than the route does, where it gets them as they came. */
export function readingFindings(
  said: Partial<RouteDocument>,
  targets: readonly string[],
  path: Path,
  place: ReadingPlace,
): Finding[] {
  const from = said.from ?? place.defaultUpstream
  const reading = readingAt(said, path, place)
  return targets
    .filter((name) => name !== from && Object.hasOwn(place.upstreams, name))
    .flatMap((name) => {
      const other = compileReading({}, upstreamKeys(name, place))
      const unlike = (Object.keys(UNLIKE) as (keyof PathReading)[]).filter(
        (key) => reading[key] && !other[key] && keepsSpelling(said.rewrite?.path, key),
      )
      return unlike.map((key) => {
        const [, message = '', hint] = /^(.*) \((.*)\)$/.exec(UNLIKE[key].replace('NAME', name)) ?? []
        return { path: [...path, 'to'], message: `this route ${message}`, hint, severity: 'warning' as const }
      })
    })
}

/** What is wrong with the paths of a `match` that the schema accepts, read in the way of its route, and with its `anyOf`. */
export function matchFindings(match: Match, reading: PathReading, path: Path): Finding[] {
  const findings: Finding[] = []
  if (match.path !== undefined && match.paths !== undefined) {
    findings.push(error([...path, 'paths'], 'expected path or paths, not both', 'move the path to paths'))
  }
  findings.push(...pathFindings(match, reading, path))
  const blocks = match.anyOf ?? []
  const seen = new Map<string, number>()
  for (const [at, block] of blocks.entries()) {
    const place = [...path, 'anyOf', at]
    const text = JSON.stringify(block)
    const earlier = seen.get(text)
    if (earlier !== undefined) findings.push(error(place, `duplicate block: equals anyOf.${earlier}`))
    else seen.set(text, at)
    findings.push(...repeatedFindings(block, match, place), ...hostFindings(block.hosts ?? [], [...place, 'hosts']))
  }
  const claims = pathsOf(match).length * Math.max(1, blocks.length)
  if (claims > MAX_CLAIMS) {
    const message = `${pathsOf(match).length} paths with ${blocks.length} blocks of anyOf: at most ${MAX_CLAIMS} combinations`
    findings.push(error([...path, 'anyOf'], message, 'write several routes'))
  }
  return findings
}

function pathFindings(match: Match, reading: PathReading, path: Path): Finding[] {
  const seen = new Map<string, number>()
  return pathsOf(match).flatMap((text, at) => {
    const place = match.paths === undefined ? [...path, 'path'] : [...path, 'paths', at]
    const pattern = parsePattern(text, reading)
    if ('message' in pattern) return [error(place, pattern.message, pattern.hint)]
    const shape = shapeOf(pattern)
    const earlier = seen.get(shape)
    if (earlier !== undefined) return [error(place, `duplicate path: matches the same requests as paths.${earlier}`)]
    seen.set(shape, at)
    return []
  })
}

function shapeOf({ segments, rest }: PathPattern): string {
  return segments.map((literal) => (literal === null ? ':' : `=${literal}`)).join('/') + (rest ? '/*' : '')
}

/** Conditions of a block on what `match` has a condition on already. */
function repeatedFindings(block: MatchBlock, match: Match, path: Path): Finding[] {
  const findings: Finding[] = []
  const repeated = (place: Path): void => {
    findings.push(error(place, 'match has a condition on this already', 'remove one of them'))
  }
  for (const key of ['hosts', 'methods', 'clients'] as const) {
    if (block[key] !== undefined && match[key] !== undefined) repeated([...path, key])
  }
  for (const key of ['headers', 'query', 'cookies'] as const) {
    const form = (name: string): string => (key === 'headers' ? name.toLowerCase() : name)
    const own = new Set(Object.keys(match[key] ?? {}).map(form))
    for (const name of Object.keys(block[key] ?? {})) if (own.has(form(name))) repeated([...path, key, name])
  }
  return findings
}

/** Hosts of a list that are the same. */
export function hostFindings(texts: readonly string[], hosts: Path): Finding[] {
  const keys = texts.map((text) => (parseHost(text) as HostPattern).key)
  const first = new Map(keys.map((key, at): [string, number] => [key, at]).reverse())
  return keys.flatMap((key, at) =>
    (first.get(key) as number) < at ? [error([...hosts, at], `duplicate host ${key}`)] : [],
  )
}

function error(path: Path, message: string, hint?: string): Finding {
  return { path, message, hint, severity: 'error' }
}
