/**
 * Checks of what a table rewrites, sets and removes: placeholders, parameters, fields that are named twice.
 */
import { dashedName } from '../http/field-edits.ts'
import type { PathPattern } from '../patterns/path.ts'
import { parsePattern } from '../patterns/path.ts'
import { type FieldEditsDocument, flawOfFieldText } from '../rewriting/field-edits.ts'
import { flawOfRewrite } from '../rewriting/path.ts'
import { parseTemplate } from '../rewriting/placeholders.ts'
import type { RouteDocument } from '../table/schema.ts'
import type { Finding } from '../values/problem.ts'
import type { Flaw } from '../values/units.ts'

type Path = readonly (string | number)[]

function finding(path: Path, { message, hint }: Flaw, severity: Finding['severity'] = 'error'): Finding {
  return { path, message, hint, severity }
}

/** Variables of nginx, and what they are here. */
const VARIABLES: Readonly<Record<string, string>> = {
  remote_addr: '{client.ip}',
  realip_remote_addr: '{client.ip}',
  proxy_add_x_forwarded_for: '{client.ip}',
  host: '{host}',
  http_host: '{host}',
  request_id: '{request.id}',
}

/** A text that another proxy would fill in (`$remote_addr`, `%[src]`): here it is sent as it is. */
function foreignFindings(text: string, at: Path): Finding[] {
  const [variable, name = ''] = /\$([a-z][a-z_]+)|%\[[a-z]/.exec(text) ?? []
  if (variable === undefined) return []
  const hint = Object.hasOwn(VARIABLES, name) ? `write ${VARIABLES[name]}` : 'placeholders are written {client.ip}'
  return [finding(at, { message: `${variable} is sent as it is`, hint }, 'warning')]
}

/** Whether a path has no finding at or below it. */
type Sound = (path: Path) => boolean

/** The sound texts of a map, each with its place. */
function textsOf(map: unknown, path: Path, sound: Sound): { name: string; text: string; at: Path }[] {
  if (typeof map !== 'object' || map === null || Array.isArray(map)) return []
  return Object.entries(map)
    .map(([name, text]) => ({ name, text, at: [...path, name] }))
    .filter(({ text, at }) => typeof text === 'string' && sound(at))
}

/** The sound names of a list, each with its place. */
function namesOf(list: unknown, path: Path, sound: Sound): { name: string; at: Path }[] {
  if (!Array.isArray(list)) return []
  return list
    .map((name: unknown, index) => ({ name: name as string, at: [...path, index] }))
    .filter(({ name, at }) => typeof name === 'string' && sound(at))
}

/**
 * Findings of `headers` of an upstream or a route: of all of it that is sound.
 * @param params the `:name`s of the route's path, or null for an upstream
 */
export function fieldEditFindings(
  said: FieldEditsDocument | undefined,
  path: Path,
  params: readonly string[] | null,
  sound: Sound,
): Finding[] {
  const findings: Finding[] = []
  const seen = new Map<string, string>()
  const note = (name: string, at: Path, how: NonNullable<Finding['at']>): void => {
    const dashed = dashedName(name)
    const first = seen.get(dashed)
    if (first === undefined) seen.set(dashed, name)
    else findings.push({ ...finding(at, { message: `${name} is set or removed already, as ${first}` }), at: how })
  }
  for (const { name, text, at } of textsOf(said?.set, [...path, 'set'], sound)) {
    note(name, at, 'key')
    const flaw = flawOfFieldText(text, params)
    if (flaw !== null) findings.push(finding(at, flaw))
    else findings.push(...foreignFindings(text, at))
  }
  for (const { name, at } of namesOf(said?.remove, [...path, 'remove'], sound)) note(name, at, 'value')
  return findings
}

/** The parameters that every path has: a request has no others for sure. */
function knownParams(paths: readonly PathPattern[]): readonly string[] {
  const [first, ...others] = paths
  return first?.params.filter((name) => others.every(({ params }) => params.includes(name))) ?? []
}

/**
 * Findings of `rewrite` and `answer` of a route: of all of it that is sound.
 * @param paths of the route
 */
export function rewriteFindings(
  { rewrite, answer, cache }: Pick<Partial<RouteDocument>, 'rewrite' | 'answer' | 'cache'>,
  route: Path,
  paths: readonly PathPattern[],
  sound: Sound,
): Finding[] {
  const params = knownParams(paths)
  const at = [...route, 'rewrite']
  const findings = [
    ...fieldEditFindings(rewrite?.headers, [...at, 'headers'], params, sound),
    ...fieldEditFindings(answer?.headers, [...route, 'answer', 'headers'], params, sound),
  ]
  if (typeof rewrite?.path === 'string' && sound([...at, 'path'])) {
    const to = parsePattern(rewrite.path) as PathPattern
    const flaws = paths.map((from) => flawOfRewrite(from, to)).filter((flaw) => flaw !== null)
    findings.push(...flaws.map((flaw) => finding([...at, 'path'], flaw)))
  }
  const query = [...at, 'query']
  const set = textsOf(rewrite?.query?.set, [...query, 'set'], sound)
  for (const { text, at: place } of set) {
    const template = parseTemplate(text, params)
    if ('message' in template) findings.push(finding(place, template))
    else findings.push(...foreignFindings(text, place))
    if (!('message' in template) && cache !== undefined && text.includes('{request.id}')) {
      const message = 'each request is another one for the cache: nothing is reused'
      findings.push(finding(place, { message }, 'warning'))
    }
  }
  for (const { name, at: place } of namesOf(rewrite?.query?.remove, [...query, 'remove'], sound)) {
    if (set.some((one) => one.name === name)) findings.push(finding(place, { message: `${name} is set already` }))
  }
  if (rewrite !== undefined && cache?.shareAcrossUpstreams === true) {
    const message = 'has no effect with rewrite: the sides get different requests'
    findings.push(finding([...route, 'cache', 'shareAcrossUpstreams'], { message }, 'warning'))
  }
  return findings
}
