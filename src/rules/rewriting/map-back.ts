/**
 * What an upstream's answer says of its own places, in the words of clients: origins by `publicOrigin`, paths by the rewrite
 * of the route, attributes of cookies by the settings of the upstream.
 */
import { withoutDots } from '../patterns/target.ts'
import { withoutBlanks } from '../values/blanks.ts'
import { clientCookiePath, clientPath, type PathPlan } from './path.ts'

/** An origin without its scheme. */
export interface OwnOrigin {
  /** In lower case, with the brackets of an IPv6 literal. */
  readonly hostname: string
  readonly port: number
}

/** The origins of an upstream and the one that its clients know, for an upstream that declares `publicOrigin`. */
export interface OriginMap {
  /** Those of its servers, and those that it is told in Host. */
  readonly own: readonly OwnOrigin[]
  /** `https://www.example.test`. */
  readonly publicOrigin: string
}

/** Attributes that all cookies of an upstream get; null leaves each as it is. */
export interface CookieChanges {
  /** '' removes it. */
  readonly domain: string | null
  readonly path: string | null
  readonly secure: boolean | null
  readonly sameSite: 'Strict' | 'Lax' | 'None' | null
}

/** How the path of a request was rewritten. */
export interface RewrittenPath {
  readonly plan: PathPlan
  /** The segments of the client's path, byte for byte. */
  readonly requested: readonly string[]
  /** The client's target, and the one that was sent. */
  readonly clientTarget: string
  readonly sentTarget: string
  /** The hosts that the client has asked, as Host and a proxy that is believed say, in lower case. */
  readonly hosts: readonly string[]
}

/** All that is mapped of one answer. */
export interface MapBack {
  readonly origins: OriginMap | null
  readonly cookies: CookieChanges | null
  readonly path: RewrittenPath | null
}

/** The fields of an answer, mapped: Location, Content-Location, Link, Refresh and Set-Cookie. The others stay. */
export function mappedFields(fields: readonly string[], map: MapBack): string[] {
  const mapped: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    mapped.push(name, mappedValue(name.toLowerCase(), fields[i + 1] as string, map))
  }
  return mapped
}

function mappedValue(name: string, value: string, map: MapBack): string {
  switch (name) {
    case 'location':
    case 'content-location':
      return mappedReference(value, map)
    case 'link':
      return mappedLinks(value, map)
    case 'refresh':
      return mappedRefresh(value, map)
    case 'set-cookie':
      return mappedCookie(value, map)
    default:
      return value
  }
}

const REFERENCE = /^(?:(https?):)?\/\/([^/?#]*)(.*)$/is
const WITH_SCHEME = /^[a-z][a-z0-9+.-]*:/i

/** A URI reference (RFC 3986 section 4.1). What has nothing to do with the upstream's own places stays byte for byte. */
function mappedReference(reference: string, map: MapBack): string {
  const [, scheme, authority, rest = ''] = REFERENCE.exec(reference) ?? []
  if (authority !== undefined) {
    const origin = mappedOrigin(scheme?.toLowerCase(), authority, map)
    if (origin === null) return reference
    return (origin === '' ? reference.slice(0, reference.length - rest.length) : origin) + mappedRest(rest, map)
  }
  if (map.path === null || reference === '' || WITH_SCHEME.test(reference)) return reference
  const mapped = reference.startsWith('/') ? mappedRest(reference, map) : mappedRelative(reference, map.path)
  return mapped === reference ? reference : onSameHost(mapped)
}

/**
 * A path that no client takes for another host (`//evil.test`): behind a dot segment, which it leaves out (RFC 3986 section 4.2).
 * Browsers read `\` as `/`, and skip tabs (WHATWG URL section 4.4).
 */
function onSameHost(path: string): string {
  return /^\/\t*[/\\]/.test(path) ? `/.${path}` : path
}

/** The origin in the place of one of the upstream's own; '' for the one that the client has asked; null for others. */
function mappedOrigin(scheme: string | undefined, authority: string, { origins, path }: MapBack): string | null {
  const asked = originOf(authority)
  if (asked === null) return null
  if (origins !== null) {
    const { publicOrigin, own } = origins
    const withoutScheme = publicOrigin.slice(publicOrigin.indexOf('//'))
    if (own.some((one) => isOrigin(one, asked))) return scheme === undefined ? withoutScheme : publicOrigin
    // An application that takes its clients for plain ones.
    const known = originOf(withoutScheme.slice(2))
    const isPlain = scheme === 'http' && publicOrigin.startsWith('https:')
    if (isPlain && known !== null && isOrigin({ hostname: known.hostname, port: known.port ?? 443 }, asked))
      return publicOrigin
  }
  if (path === null) return null
  return path.hosts.some((host) => isHost(host, asked)) ? '' : null
}

function isHost(host: string, asked: Authority): boolean {
  const own = originOf(host)
  return own !== null && isOrigin({ hostname: own.hostname, port: own.port ?? 80 }, asked)
}

interface Authority {
  readonly hostname: string
  /** Null where none is said. */
  readonly port: number | null
}

function originOf(authority: string): Authority | null {
  const [, hostname, port] = /^(\[[0-9a-f:.]+\]|[^:@[\]]+)(?::([0-9]{0,5}))?$/i.exec(authority) ?? []
  if (hostname === undefined) return null
  return { hostname: hostname.toLowerCase(), port: port === undefined || port === '' ? null : Number(port) }
}

/** The default ports stand for each other: what a server takes for http may be https for its clients. */
function isOrigin(one: OwnOrigin, { hostname, port }: Authority): boolean {
  if (one.hostname !== hostname) return false
  return isDefault(port) ? isDefault(one.port) : one.port === port
}

function isDefault(port: number | null): boolean {
  return port === null || port === 80 || port === 443
}

/** What follows the authority: path, query and fragment. */
function mappedRest(rest: string, { path }: MapBack): string {
  if (path === null) return rest
  const end = rest.search(/[?#]/)
  const own = end === -1 ? rest : rest.slice(0, end)
  const mapped = clientPath(path.plan, withoutDots(own === '' ? '/' : own), path.requested)
  return mapped === null ? rest : mapped + (end === -1 ? '' : rest.slice(end))
}

/** Relative to what was sent, and then to what the client has asked: as it is, where both mean the same. */
function mappedRelative(reference: string, path: RewrittenPath): string {
  if (reference.startsWith('?') || reference.startsWith('#')) return reference
  const end = reference.search(/[?#]/)
  const own = end === -1 ? reference : reference.slice(0, end)
  const mapped = clientPath(path.plan, resolved(path.sentTarget, own), path.requested)
  if (mapped === null || mapped === resolved(path.clientTarget, own)) return reference
  return mapped + (end === -1 ? '' : reference.slice(end))
}

/** RFC 3986 section 5.2.3. */
function resolved(base: string, relative: string): string {
  const path = base.split(/[?#]/, 1)[0] as string
  return withoutDots(path.slice(0, path.lastIndexOf('/') + 1) + relative)
}

/** The targets of Link (RFC 8288 section 3), which stand in angle brackets outside of quotes. */
function mappedLinks(value: string, map: MapBack): string {
  let mapped = ''
  let quoted = false
  let start = 0
  for (let i = 0; i < value.length; i++) {
    const char = value[i]
    if (quoted) {
      if (char === '\\') i++
      else if (char === '"') quoted = false
    } else if (char === '"') quoted = true
    else if (char === '<') {
      const end = value.indexOf('>', i)
      if (end === -1) break
      // Of the client's path: the target must not end early.
      const target = mappedReference(value.slice(i + 1, end), map).replaceAll('>', '%3E')
      mapped += value.slice(start, i + 1) + target
      start = end
      i = end
    }
  }
  return mapped + value.slice(start)
}

/** `5; url=/next`, as browsers read it. */
function mappedRefresh(value: string, map: MapBack): string {
  const [, before, quote, reference = '', after = ''] =
    /^([\d.]*[ \t]*[;,][ \t]*url[ \t]*=[ \t]*)(["']?)([^"']*)(.*)$/i.exec(value) ?? []
  return before === undefined ? value : `${before}${quote}${mappedReference(reference, map)}${after}`
}

/** Browsers refuse a cookie with such a name that has another Domain, Path or no Secure (RFC 6265bis section 4.1.3). */
const OF_HOST = /^[ \t]*__Host-/i
const OF_TLS = /^[ \t]*__(?:Host|Secure)-/i

/** A cookie with its attributes mapped; its name and value stay. */
function mappedCookie(cookie: string, { origins, cookies, path }: MapBack): string {
  const [pair = '', ...attributes] = cookie.split(';')
  const isOfHost = OF_HOST.test(pair)
  const { domain = null, path: ownPath = null, secure = null, sameSite = null } = cookies ?? {}
  const kept: string[] = []
  for (const attribute of attributes) {
    const [, before = '', name = '', equals = '', value = ''] =
      /^([ \t]*)([^=\s]*)([ \t]*=?[ \t]*)(.*)$/s.exec(attribute) ?? []
    const said = withoutBlanks(value)
    switch (name.toLowerCase()) {
      case 'domain':
        if (domain === null)
          kept.push(`${before}${name}${equals}${origins === null ? value : mappedDomain(said, origins)}`)
        else if (isOfHost) kept.push(attribute)
        continue
      case 'path':
        if (isOfHost || (ownPath === null && path === null)) kept.push(attribute)
        else if (ownPath === null) {
          const mapped = clientCookiePath(path!.plan, said, path!.requested)
          kept.push(mapped === null ? attribute : `${before}${name}${equals}${asAttribute(mapped)}`)
        }
        continue
      case 'secure':
        if (secure === null || (!secure && OF_TLS.test(pair))) kept.push(attribute)
        continue
      case 'samesite':
        if (sameSite === null) kept.push(attribute)
        continue
    }
    kept.push(attribute)
  }
  if (domain !== null && domain !== '' && !isOfHost) kept.push(` Domain=${domain}`)
  if (ownPath !== null && !isOfHost) kept.push(` Path=${ownPath}`)
  if (secure === true) kept.push(' Secure')
  if (sameSite !== null) kept.push(` SameSite=${sameSite}`)
  return [pair, ...kept].join(';')
}

/** A path up to the segment with `;`, which would end the attribute: the client's request must not add another one. */
function asAttribute(path: string): string {
  const end = path.indexOf(';')
  return end === -1 ? path : path.slice(0, Math.max(1, path.lastIndexOf('/', end)))
}

function mappedDomain(domain: string, { own, publicOrigin }: OriginMap): string {
  const host = domain.replace(/^\./, '').toLowerCase()
  if (!own.some(({ hostname }) => hostname === host)) return domain
  return originOf(publicOrigin.slice(publicOrigin.indexOf('//') + 2))?.hostname ?? domain
}
