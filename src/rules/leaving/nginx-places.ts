/**
 * Upstreams, and what is said to their servers, as nginx has it.
 */

import { dashedName } from '../http/field-edits.ts'
import { decodePart } from '../patterns/path.ts'
import type { PathPlan } from '../rewriting/path.ts'
import type { Server, Upstream } from '../table/table.ts'
import { type Says, timeoutsOf } from './losses.ts'
import { fits, interpolated, nginxTime, quoted } from './nginx-text.ts'
import { comment, type Notes } from './notes.ts'
import { literal } from './patterns.ts'
import { answerChanges, type FieldChange, type Place, requestChanges, templateText } from './targets.ts'

/** The settings that are written here, or have notes of their own. */
export const NGINX_SAYS: Says = {
  route: ['caseInsensitivePaths', 'pathParameters', 'trailingSlash', 'rewrite.path', 'rewrite.headers', 'answer'],
  upstream: [
    'ejection',
    'affinity',
    'bufferRequests',
    'headers',
    'tls',
    'maxIdleConnections',
    'keepAlive',
    'timeouts.connect',
    'timeouts.idle',
  ],
}

/** Debian's bundle: nginx verifies against a file only. */
const SYSTEM_CA = '/etc/ssl/certs/ca-certificates.crt'

/** One `upstream` block. @param name unique among them */
export function upstreamBlock(upstream: Upstream, name: string, notes: Notes): string {
  noteUpstream(upstream, notes)
  const { servers, affinity, maxIdleConnections, keepAliveMs, ejection } = upstream
  const passive =
    ejection === null ? 'max_fails=0' : `max_fails=${ejection.failures} fail_timeout=${nginxTime(ejection.pauseMs)}`
  const lines = servers.map((server) => {
    const weight = server.weight === 1 ? '' : ` weight=${server.weight}`
    return `server ${addressOf(server)}${weight} ${passive};`
  })
  if (lines.length === 0) lines.push('server 127.0.0.1:9 down;')
  if (affinity?.kind === 'ip') lines.unshift('hash $remote_addr consistent;')
  // It keeps none unless told to, and takes no 0.
  if (maxIdleConnections > 0)
    lines.push(`keepalive ${maxIdleConnections};`, `keepalive_timeout ${nginxTime(keepAliveMs)};`)
  const told = notes.at(['upstreams', upstream.name]).map((text) => comment(text, '    '))
  return `upstream ${name} {\n${told.join('')}${lines.map((line) => `    ${line}\n`).join('')}}\n`
}

function noteUpstream(upstream: Upstream, notes: Notes): void {
  const { name, servers, affinity, host, document, tls } = upstream
  const at = ['upstreams', name]
  if ([tls.ca, tls.cert, tls.key].some((path) => path?.startsWith('/') === false))
    notes.add([...at, 'tls'], 'relative paths of files are relative to its own folder')
  if (servers.length === 0)
    notes.add([...at, 'servers'], 'no server is known: those that register themselves are not listed')
  if (new Set(servers.map(({ tls }) => tls)).size > 1)
    notes.add([...at, 'servers'], 'http and https servers in one upstream: all are asked by the first one’s scheme')
  const first = servers[0]
  if (
    first?.tls === true &&
    servers.some(({ hostname }) => hostname !== first.hostname) &&
    upstream.tls.serverName === null
  )
    notes.add([...at, 'servers'], `certificates of all servers are verified for one name, ${first.hostname}`)
  if (affinity?.kind === 'cookie') notes.add([...at, 'affinity'], 'no cookie keeps clients on one server')
  if (affinity?.kind === 'ip')
    notes.add([...at, 'affinity'], 'clients are drawn anew: their address is hashed otherwise')
  if (host === 'upstream' && servers.length > 1)
    notes.add([...at, 'host'], 'Host is the first server’s for all servers')
  const { errors, maxPause } = document.ejection === false ? {} : (document.ejection ?? {})
  if (errors !== undefined) notes.add([...at, 'ejection', 'errors'], 'responses with 5xx eject no server')
  if (maxPause !== undefined) notes.add([...at, 'ejection', 'maxPause'], 'the pause does not grow')
  if (upstream.idleTimeoutMs !== upstream.headersTimeoutMs)
    notes.add([...at, 'timeouts'], 'headers and idle are one time-out, the longer one')
}

function addressOf({ hostname, port, address, socketPath }: Server): string {
  if (socketPath !== null) return quoted(`unix:${socketPath}`)
  const host = address ?? hostname
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What all requests get unless a place says otherwise; it stands once, in the server block. */
export const COMMON_LINES = [
  'proxy_http_version 1.1;',
  'proxy_buffering off;',
  'proxy_request_buffering off;',
  'client_max_body_size 0;',
  'proxy_redirect off;',
]

/** The header lines of every request. */
const COMMON_FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['Host', '$http_host'],
  ['Connection', '$banyan_connection'],
  ['Upgrade', '$http_upgrade'],
  ['X-Forwarded-For', '$remote_addr'],
  ['X-Forwarded-Proto', '$scheme'],
  ['X-Forwarded-Host', '$http_host'],
  ['X-Forwarded-Port', '$server_port'],
  ['Forwarded', ''],
]

export const COMMON_FIELD_LINES = COMMON_FIELDS.map(([name, value]) => fieldLine(name, value))

function fieldLine(name: string, value: string): string {
  return `proxy_set_header ${quoted(name)} ${quoted(value)};`
}

/** The directives that send a request to a place. @param group the name of the `upstream` block */
export function placeLines(place: Place, group: string, notes: Notes): string[] {
  const { upstream, route } = place
  const { headers, idle } = timeoutsOf(upstream, route)
  if (route?.timeouts && headers !== idle)
    notes.add(['routes', place.index, 'timeouts'], 'headers and idle are one time-out, the longer one')
  const first = upstream.servers[0]
  return [
    ...rewriteLines(place, notes),
    ...fieldLines(place, notes),
    ...answerLines(place, notes),
    `proxy_connect_timeout ${nginxTime(upstream.connectTimeoutMs)};`,
    `proxy_read_timeout ${nginxTime(Math.max(headers, idle))};`,
    `proxy_send_timeout ${nginxTime(idle)};`,
    ...(upstream.bufferRequestBytes === null ? [] : ['proxy_request_buffering on;']),
    ...(first?.tls === true ? tlsLines(upstream, first) : []),
    `proxy_pass ${first?.tls === true ? 'https' : 'http'}://${group};`,
  ]
}

function fieldLines(place: Place, notes: Notes): string[] {
  const { host, servers } = place.upstream
  const fields = new Map(COMMON_FIELDS.map(([name, value]) => [dashedName(name), { name, value }]))
  const own =
    typeof host === 'object' ? interpolated(host.literal) : host === 'upstream' ? authorityOf(servers[0]) : null
  if (own !== null) fields.set('host', { name: 'Host', value: own })
  let changed = own !== null
  for (const { name, value } of changesOf(place, requestChanges(place), notes)) {
    fields.set(dashedName(name), { name, value })
    changed = true
  }
  // nginx takes those of the server block only where a location has none of its own.
  return changed ? [...fields.values()].map(({ name, value }) => fieldLine(name, value)) : []
}

function authorityOf(server: Server | undefined): string | null {
  if (server === undefined) return null
  const isUsual = server.port === (server.tls ? 443 : 80)
  const name = server.hostname.includes(':') ? `[${server.hostname}]` : server.hostname
  return isUsual ? name : `${name}:${server.port}`
}

/** Headers with their values in nginx' words; one that is removed is set to nothing. */
function changesOf(
  place: Place,
  changes: readonly FieldChange[],
  notes: Notes,
  key: 'rewrite' | 'answer' = 'rewrite',
): { name: string; value: string }[] {
  return changes.flatMap(({ name, value }) => {
    if (value === null) return [{ name, value: '' }]
    const said = templateText(value, place, { literal: interpolated, source: (source) => SOURCES[source] })
    const problem =
      'unknown' in said ? `it has no word for ${said.unknown}` : fits(said.text) ? null : 'the value is too long'
    if (problem === null && 'text' in said) return [{ name, value: said.text }]
    const at = place.route === null ? ['upstreams', place.upstream.name, 'headers'] : ['routes', place.index, key]
    notes.add(at, `header ${name} is not set: ${problem}`)
    return []
  })
}

const SOURCES = { 'client.ip': '$remote_addr', 'request.id': '$request_id', host: '$host' } as const

function answerLines(place: Place, notes: Notes): string[] {
  return changesOf(place, answerChanges(place), notes, 'answer').flatMap(({ name, value }) => [
    `proxy_hide_header ${quoted(name)};`,
    ...(value === '' ? [] : [`add_header ${quoted(name)} ${quoted(value)} always;`]),
  ])
}

/** nginx rewrites the decoded path, and encodes it again. */
function rewriteLines({ route, side, index }: Place, notes: Notes): string[] {
  const plans = side === 'to' ? [...(route?.rewrite?.paths?.values() ?? [])] : []
  const lines: string[] = []
  for (const plan of plans) {
    const line = rewriteLine(plan)
    if (line === null || !fits(line))
      notes.add(['routes', index, 'rewrite', 'path'], `the path ${plan.from.text} stays as it came`)
    else lines.push(line)
    if (plan.prefixLength > 0) notes.add(['routes', index, 'rewrite', 'path'], 'X-Forwarded-Prefix is not sent')
  }
  return lines
}

function rewriteLine({ from, to, forth }: PathPlan): string | null {
  const { ignoresCase, ignoresParameters, ignoresFinalSlash } = from.reading
  if (ignoresParameters) return null
  // PCRE and nginx know $1 to $9.
  const captured = forth.filter((piece) => typeof piece === 'number').length + (to.rest ? 1 : 0)
  if (captured > 9) return null
  const places: number[] = []
  const segments = from.segments.map((text, at) => {
    if (!forth.includes(at)) return `/${text === null ? '[^/]+' : literal(text)}`
    places.push(at)
    return '/([^/]*)'
  })
  const sent = forth.map((piece) => {
    if (typeof piece === 'number') return `$${places.indexOf(piece) + 1}`
    const text = decodePart(piece)
    return text === null || text.includes('?') ? null : interpolated(text)
  })
  if (sent.includes(null)) return null
  const rest = !from.rest ? '/?' : to.rest ? (ignoresFinalSlash ? '/?(.*)' : '/(.*)') : '.*'
  const target = `/${[...sent, ...(to.rest ? [`$${places.length + 1}`] : [])].join('/')}`
  return `rewrite ${quoted(`(?s${ignoresCase ? 'i' : ''})^${segments.join('')}${rest}\\z`)} ${quoted(target)} break;`
}

function tlsLines({ tls, servers }: Upstream, first: Server): string[] {
  const name = tls.serverName ?? servers[0]?.hostname ?? first.hostname
  const isAddress = tls.serverName === null && /^[0-9.]+$|:/.test(name)
  const lines = [
    ...(isAddress ? [] : ['proxy_ssl_server_name on;']),
    `proxy_ssl_name ${quoted(name)};`,
    `proxy_ssl_protocols ${protocolsOf(tls.minVersion ?? 'TLSv1.2', tls.maxVersion ?? 'TLSv1.3').join(' ')};`,
  ]
  if (tls.verify) lines.push('proxy_ssl_verify on;', `proxy_ssl_trusted_certificate ${quoted(tls.ca ?? SYSTEM_CA)};`)
  if (tls.cert !== null && tls.key !== null)
    lines.push(`proxy_ssl_certificate ${file(tls.cert)};`, `proxy_ssl_certificate_key ${file(tls.key)};`)
  if (tls.ciphers !== null) lines.push(`proxy_ssl_ciphers ${quoted(tls.ciphers)};`)
  return lines
}

/** Of the files, only the certificate and its key have variables filled in. */
function file(path: string): string {
  return quoted(interpolated(path))
}

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const

function protocolsOf(least: string, most: string): readonly string[] {
  const [from, to] = [VERSIONS.indexOf(least as 'TLSv1'), VERSIONS.indexOf(most as 'TLSv1')]
  return VERSIONS.slice(from, to + 1)
}
