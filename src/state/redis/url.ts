/**
 * Parses Redis URLs: one server, a Sentinel's master, or a Cluster.
 */

/** One address. */
export interface RedisNode {
  readonly host: string
  readonly port: number
}

/** A parsed Redis URL. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  /** The server, the sentinels, or some nodes of the cluster. */
  readonly nodes: readonly RedisNode[]
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
  /** Index of the database; a cluster has only 0. */
  readonly database: number
  /** The sentinels' name for the master; '' for other kinds. */
  readonly master: string
}

/** The accepted forms, for help and errors. */
export const REDIS_URL_FORMS =
  'redis://[user:password@]host[:port][/database], rediss:// for TLS, redis+sentinel://host:port,host:port/master[/database], redis+cluster://host:port,host:port'

const FORM = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^/?#]+)((?:\/[^/?#]+)*)\/?$/
const NODE = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+))(?::([0-9]{1,5}))?$/

/** Parses a URL; null if it has none of the forms in `REDIS_URL_FORMS`. */
export function parseRedisUrl(text: string): RedisAddress | null {
  const found = FORM.exec(text)
  if (!found) return null
  const [, scheme, plus, user, hosts, path] = found as unknown as string[]
  const kind = plus === 'sentinel' || plus === 'cluster' ? plus : 'single'
  const nodes = (hosts as string).split(',').map((host) => nodeOf(host, kind === 'sentinel' ? 26379 : 6379))
  const segments = (path as string).split('/').slice(1)
  const master = kind === 'sentinel' ? segments.shift() : ''
  const database = segments.length === 0 ? 0 : indexOf(segments.shift() as string)
  const flawed = master === undefined || database === null || segments.length > 0 || nodes.some((node) => node === null)
  if (flawed || (kind === 'single' && nodes.length > 1) || (kind === 'cluster' && database !== 0)) return null
  const login = loginOf(user)
  if (login === null) return null
  return { kind, nodes: nodes as RedisNode[], tls: scheme === 'rediss', ...login, database, master }
}

function nodeOf(text: string, defaultPort: number): RedisNode | null {
  const found = NODE.exec(text)
  const port = found?.[3] === undefined ? defaultPort : Number(found[3])
  return !found || port > 65535 ? null : { host: (found[1] ?? found[2]) as string, port }
}

function indexOf(text: string): number | null {
  return /^[0-9]{1,4}$/.test(text) ? Number(text) : null
}

function loginOf(user: string | undefined): Pick<RedisAddress, 'username' | 'password'> | null {
  if (user === undefined) return { username: null, password: null }
  const colon = user.indexOf(':')
  try {
    const name = decodeURIComponent(colon === -1 ? user : user.slice(0, colon))
    return { username: name || null, password: colon === -1 ? null : decodeURIComponent(user.slice(colon + 1)) }
  } catch {
    return null
  }
}
