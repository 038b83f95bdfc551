/**
 * Origins: `http://host:port` or `https://host`, and nothing after it. URLs of servers: an origin, or `unix:/path`.
 */
import type { Flaw } from '../values/units.ts'

/** The parts of an origin. */
export interface Origin {
  /** As written, without a trailing slash. */
  readonly text: string
  readonly tls: boolean
  /** Host name or IP address in lower case, without the brackets of an IPv6 literal. */
  readonly hostname: string
  readonly port: number
}

const EXAMPLE = 'expected an http or https origin such as http://127.0.0.1:4001'
// A URL parser repairs what it can (backslashes, white space, a missing slash). A mistake in the table is reported instead.
const STRICT = /^(https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?)(?::(\d{1,5}))?\/?$/i

/** Safe in logs, labels and the shell; nearly all paths have nothing else. */
const SOCKET_PATH = /^[A-Za-z0-9._\-/+@~=,]+$/

/** unix(7): the longest path of a Unix socket on Linux, in bytes. */
const MAX_SOCKET_PATH = 107

/** Why a text is not the path of a Unix socket, or null if it is. */
export function flawOfSocketPath(path: string): Flaw | null {
  if (!path.startsWith('/'))
    return { message: `invalid path '${path}': must be absolute`, hint: 'such as unix:/run/app.sock' }
  if (!SOCKET_PATH.test(path))
    return { message: `invalid path ${JSON.stringify(path)}: use letters, digits and . _ - / + @ ~ = ,` }
  if (path.endsWith('/')) return { message: `invalid path ${path}: is a folder` }
  const bytes = Buffer.byteLength(path)
  return bytes <= MAX_SOCKET_PATH
    ? null
    : { message: `invalid path: ${bytes} bytes, at most ${MAX_SOCKET_PATH} are possible` }
}

/** Parses an origin. A single trailing slash is accepted. */
export function parseOrigin(text: string): Origin | Flaw {
  const found = STRICT.exec(text)
  if (!found) return flawIn(text)
  const tls = (found[1] as string).toLowerCase() === 'https'
  const port = found[3] === undefined ? (tls ? 443 : 80) : Number(found[3])
  if (port < 1 || port > 65_535) return { message: `invalid port ${found[3]}: must be 1 to 65535` }
  const url = URL.parse(text)
  if (!url) return { message: `invalid host name or address ${found[2]}` }
  const hostname = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  return { text: text.replace(/\/$/, ''), tls, hostname, port }
}

/** Why a text is not a valid origin, or null if it is. */
export function flawOfOrigin(text: string): Flaw | null {
  const origin = parseOrigin(text)
  return 'message' in origin ? origin : null
}

/** Where a server is. */
export interface ServerPlace extends Origin {
  /** The path of its Unix socket; null for one at a host and port. */
  readonly socketPath: string | null
}

/** What a server at a Unix socket is told that its host is, if it is not told the client's. */
const LOCAL = { tls: false, hostname: 'localhost', port: 80 } as const

/** Other ways to write a Unix socket: nginx's, Docker's, that of curl's relatives, and a bare path. */
const FOREIGN_UNIX = /^(?:https?:\/\/|http\+)?unix:(?:\/\/(?=\/))?(\/[^:]*):?|^(\/[^:]*)$/i

/** Parses the URL of a server: an origin, or `unix:/path`. */
export function parseServerUrl(text: string): ServerPlace | Flaw {
  if (/^unix:(?!\/\/)/.test(text) && !text.endsWith(':')) {
    const socketPath = text.slice('unix:'.length)
    return flawOfSocketPath(socketPath) ?? { text, socketPath, ...LOCAL }
  }
  const [, marked, bare] = FOREIGN_UNIX.exec(text) ?? []
  const meant = marked ?? bare
  if (meant !== undefined) return { message: EXAMPLE, hint: `write unix:${meant}` }
  const origin = parseOrigin(text)
  return 'message' in origin ? origin : { ...origin, socketPath: null }
}

/** Why a text is not a valid URL of a server, or null if it is. */
export function flawOfServerUrl(text: string): Flaw | null {
  const place = parseServerUrl(text)
  return 'message' in place ? place : null
}

/** Names the part of a URL that an origin must not have. */
function flawIn(text: string): Flaw {
  if (/^[a-z0-9.-]+(:\d+)?$/i.test(text)) return { message: EXAMPLE, hint: `write http://${text}` }
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) return { message: EXAMPLE }
  if (url.username || url.password) return { message: 'an origin must not include a user name or password' }
  if (url.search || url.hash)
    return { message: 'an origin must not include a query or fragment', hint: `write ${url.origin}` }
  if (url.pathname !== '/') return { message: 'an origin must not include a path', hint: `write ${url.origin}` }
  return { message: EXAMPLE }
}
