/**
 * Backends: servers, and what is said to them, as HAProxy has it.
 */
import type { PathPlan } from '../rewriting/path.ts'
import type { HealthSettings, Server, Upstream } from '../table/table.ts'
import { formatted, haproxyTime, quoted } from './haproxy-text.ts'
import { type Says, timeoutsOf } from './losses.ts'
import { comment, type Notes } from './notes.ts'
import { answerChanges, type FieldChange, type Place, requestChanges, templateText } from './targets.ts'

/** The settings that are written here, or have notes of their own. */
export const HAPROXY_SAYS: Says = {
  route: ['caseInsensitivePaths', 'pathParameters', 'trailingSlash', 'rewrite.path', 'rewrite.headers', 'answer'],
  upstream: [
    'health',
    'ejection',
    'slowStart',
    'affinity',
    'headers',
    'tls',
    'timeouts.connect',
    'timeouts.idle',
    'timeouts.upgraded',
  ],
}

/** HAProxy has weights up to this. */
const MAX_WEIGHT = 256

/** Notes what an upstream loses. */
export function noteHaproxyUpstream(upstream: Upstream, notes: Notes): void {
  const { name, servers, affinity, host, document, health, tls } = upstream
  const at = ['upstreams', name]
  if (servers.length === 0)
    notes.add([...at, 'servers'], 'no server is known: those that register themselves are not listed')
  if (servers.some(({ weight }) => !Number.isInteger(weightOf(weight, servers))))
    notes.add([...at, 'servers'], `weights above ${MAX_WEIGHT} are scaled and rounded`)
  if (affinity !== null)
    notes.add([...at, 'affinity'], 'clients are drawn anew: each keeps the server that it gets now')
  if (affinity?.kind === 'cookie' && affinity.session !== null)
    notes.add([...at, 'affinity'], `the cookie is set at once, not with ${affinity.session}`)
  if (host === 'upstream' && servers.length > 1)
    notes.add([...at, 'host'], "Host is the first server's for all servers")
  if (health?.start === 'unhealthy')
    notes.add([...at, 'health', 'start'], 'servers get requests before their first check')
  if (document.health?.jitter !== undefined) notes.add([...at, 'health', 'jitter'], 'probes are not spread')
  if (document.ejection) notes.add([...at, 'ejection'], 'failing servers are left out by their checks only')
  if (upstream.idleTimeoutMs !== upstream.headersTimeoutMs)
    notes.add([...at, 'timeouts'], 'headers and idle are one time-out, the longer one')
  if (tls.key !== null) notes.add([...at, 'tls', 'key'], 'it reads the key from the file of the certificate')
  if ([tls.ca, tls.cert].some((path) => path?.startsWith('/') === false))
    notes.add([...at, 'tls'], 'relative paths of files are relative to its own folder')
  if (upstream.slowStartMs > 0 && health === null)
    notes.add([...at, 'slowStart'], 'it starts slowly only what it has checked')
}

/** One backend. */
export function backendText(place: Place, notes: Notes): string {
  const { upstream, route, index, name } = place
  const { headers, idle, upgraded } = timeoutsOf(upstream, route)
  if (route?.timeouts && headers !== idle)
    notes.add(['routes', index, 'timeouts'], 'headers and idle are one time-out, the longer one')
  const { affinity, health } = upstream
  const lines = [
    ...(affinity?.kind === 'ip' ? ['balance source', 'hash-type consistent'] : []),
    ...(affinity?.kind === 'cookie' ? ['cookie banyan_server insert indirect nocache httponly'] : []),
    `timeout connect ${haproxyTime(upstream.connectTimeoutMs)}`,
    `timeout server ${haproxyTime(Math.max(headers, idle))}`,
    `timeout tunnel ${haproxyTime(upgraded)}`,
    ...(health === null ? [] : healthLines(health)),
    ...rewriteLines(place, notes),
    ...fieldLines(place, notes),
    ...upstream.servers.map((server, at) => serverLine(server, at, upstream)),
  ]
  const told = route === null ? notes.at(['upstreams', upstream.name]) : []
  const comments = told.map((text) => comment(text, '    ')).join('')
  return `backend ${name}\n${comments}${lines.map((line) => `    ${line}\n`).join('')}`
}

function healthLines({ path, timeoutMs, status, body }: HealthSettings): string[] {
  const codes = status === null ? '200-299' : [...status].join(',')
  return [
    'option httpchk',
    `http-check send meth GET uri ${quoted(path)} ver HTTP/1.1 hdr Host localhost hdr Connection close`,
    `http-check expect status ${codes}`,
    ...(body === null ? [] : [`http-check expect string ${quoted(body)}`]),
    `timeout check ${haproxyTime(timeoutMs)}`,
  ]
}

function serverLine(server: Server, at: number, upstream: Upstream): string {
  const { tls, health, servers, slowStartMs, affinity } = upstream
  const host = server.address ?? server.hostname
  const port = `${host.includes(':') ? `[${host}]` : host}:${server.port}`
  const words = [
    `server s${at + 1} ${server.socketPath === null ? port : quoted(`unix@${server.socketPath}`)}`,
    `weight ${Math.max(1, Math.round(weightOf(server.weight, servers)))}`,
    'init-addr last,libc,none',
  ]
  if (affinity?.kind === 'cookie') words.push(`cookie s${at + 1}`)
  if (server.tls) {
    const name = tls.serverName ?? server.hostname
    const isAddress = /^[0-9.]+$|:/.test(name)
    words.push('ssl', `ssl-min-ver ${tls.minVersion ?? 'TLSv1.2'}`.replace(/TLSv1$/, 'TLSv1.0'))
    words.push(`ssl-max-ver ${tls.maxVersion ?? 'TLSv1.3'}`.replace(/TLSv1$/, 'TLSv1.0'))
    if (!isAddress) words.push(`sni ${quoted(`str(${name})`)}`)
    words.push(
      tls.verify
        ? `verify required ca-file ${quoted(tls.ca ?? '@system-ca')} verifyhost ${quoted(name)}`
        : 'verify none',
    )
    if (tls.cert !== null) words.push(`crt ${quoted(tls.cert)}`)
    if (tls.ciphers !== null) words.push(`ciphers ${quoted(tls.ciphers)}`)
  }
  if (health !== null) {
    words.push(`check inter ${haproxyTime(health.everyMs)} rise ${health.up} fall ${health.down}`)
    if (slowStartMs > 0) words.push(`slowstart ${haproxyTime(slowStartMs)}`)
  }
  return words.join(' ')
}

function weightOf(weight: number, servers: readonly Server[]): number {
  const most = Math.max(...servers.map((server) => server.weight))
  return most <= MAX_WEIGHT ? weight : (weight * MAX_WEIGHT) / most
}

/** What every request gets unless the table says otherwise. */
const COMMON_FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['X-Forwarded-For', '%[src]'],
  ['X-Forwarded-Proto', '%[ssl_fc,iif(https,http)]'],
  ['X-Forwarded-Host', '%[req.hdr(host)]'],
  ['X-Forwarded-Port', '%[dst_port]'],
]

function fieldLines(place: Place, notes: Notes): string[] {
  const { host, servers } = place.upstream
  const [first] = servers
  const own =
    typeof host === 'object' ? host.literal : host === 'upstream' && first !== undefined ? authorityOf(first) : null
  return [
    ...COMMON_FIELDS.map(([name, value]) => `http-request set-header ${name} ${quoted(value)}`),
    'http-request del-header Forwarded',
    ...changeLines('http-request', place, requestChanges(place), notes),
    ...(own === null ? [] : [`http-request set-header Host ${quoted(formatted(own))}`]),
    ...changeLines('http-response', place, answerChanges(place), notes),
  ]
}

function authorityOf({ hostname, port, tls }: Server): string {
  const name = hostname.includes(':') ? `[${hostname}]` : hostname
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`
}

const SOURCES = { 'client.ip': '%[src]', 'request.id': '%[uuid()]', host: '%[req.hdr(host),lower]' } as const

function changeLines(
  when: 'http-request' | 'http-response',
  place: Place,
  changes: readonly FieldChange[],
  notes: Notes,
): string[] {
  return changes.flatMap(({ name, value }) => {
    if (value === null) return [`${when} del-header ${quoted(name)}`]
    const said = templateText(value, place, { literal: formatted, source: (source) => SOURCES[source] })
    // Of a response the request is gone: only what is the same for all can be said.
    const isKnown = 'text' in said && (when === 'http-request' || !/%\[req/.test(said.text.replaceAll('%%', '')))
    if (isKnown) return [`${when} set-header ${quoted(name)} ${quoted(said.text)}`]
    const at =
      place.route === null
        ? ['upstreams', place.upstream.name, 'headers']
        : ['routes', place.index, when === 'http-request' ? 'rewrite' : 'answer']
    notes.add(at, `header ${name} is not set: it has no word for ${'unknown' in said ? said.unknown : '{host}'}`)
    return []
  })
}

/** By position, byte for byte: the rule has matched the path already. */
function rewriteLines({ route, side, index }: Place, notes: Notes): string[] {
  const plans = side === 'to' ? [...(route?.rewrite?.paths?.values() ?? [])] : []
  const shapes = new Set(plans.map(({ from }) => `${from.segments.length} ${from.rest}`))
  const at = ['routes', index, 'rewrite', 'path']
  const isApart = plans.length === 1 || (shapes.size === plans.length && plans.every(({ from }) => !from.rest))
  return plans.flatMap((plan) => {
    if (plan.prefixLength > 0) notes.add(at, 'X-Forwarded-Prefix is not sent')
    const line = isApart ? rewriteLine(plan) : null
    if (line === null) notes.add(at, `the path ${plan.from.text} stays as it came`)
    return line === null ? [] : [line]
  })
}

function rewriteLine({ from, to, forth }: PathPlan): string | null {
  const { ignoresParameters, ignoresFinalSlash } = from.reading
  const captured = forth.filter((piece) => typeof piece === 'number').length + (to.rest ? 1 : 0)
  if (captured > 9 || ignoresParameters) return null
  const places: number[] = []
  const segments = from.segments.map((_, at) => {
    if (!forth.includes(at)) return '/[^/]*'
    places.push(at)
    return '/([^/]*)'
  })
  const sent = forth.map((piece) => (typeof piece === 'number' ? `\\${places.indexOf(piece) + 1}` : replacement(piece)))
  const rest = !from.rest ? '/?' : to.rest ? (ignoresFinalSlash ? '/?(.*)' : '/(.*)') : '.*'
  const target = `/${[...sent, ...(to.rest ? [`\\${places.length + 1}`] : [])].join('/')}`
  return `http-request replace-path ${quoted(`^${segments.join('')}${rest}$`)} ${quoted(target)}`
}

/** Bytes of a path, where backslashes are groups and percent signs samples. */
function replacement(text: string): string {
  return formatted(text).replaceAll('\\', '\\\\')
}
