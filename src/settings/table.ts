/**
 * The table, what is kept of it and beside it, and the cluster that shares them.
 */
import { Resolver } from 'node:dns'
import { flawOfCookieSecret } from '../state/cookie-keys.ts'
import { flawOfForceSecret } from '../state/force-token.ts'
import type { RedisAddress } from '../state/redis/url.ts'
import { readRedis } from './caching.ts'
import { type Flags, notEmpty, orNull, readList, readWhole, readYesNo, SettingsError, type ValuesOf } from './flag.ts'

export interface TableSettings {
  readonly table: string
  readonly keepRevisions: number
  /** The folder for what outlives the process; null for `.banyan` beside the table. */
  readonly state: string | null
  readonly allowLastGood: boolean
  /** Name servers for upstream host names; empty for the system's. */
  readonly dnsServers: readonly string[]
  /** The secret for force tokens; null disables them. */
  readonly forceSecret: string | null
  /** Whether links with force tokens are answered. */
  readonly forceByLink: boolean
  /** The first one makes the MACs of cookies, all of them check; empty for a key in the folder beside the table. */
  readonly cookieSecrets: readonly string[]
  /** The cluster that this instance is one of, or null. */
  readonly cluster: ClusterSettings | null
}

/** Several instances that are one. */
export interface ClusterSettings {
  readonly name: string
  readonly redis: RedisAddress
  /** The first one seals what is stored there, all of them open; empty: nothing is sealed. */
  readonly secrets: readonly string[]
  /** Replicas of Redis that must have an edit before it is answered. */
  readonly replicas: number
  /** What a change of the table file is: nothing, a revision that keeps percents, or one that takes them too. */
  readonly follow: 'no' | 'keep-percents' | 'take-percents'
}

export const TABLE_FLAGS = {
  table: { value: 'FILE', fallback: 'routes.yaml', help: 'the routing table; - reads stdin', read: notEmpty },
  'keep-revisions': {
    value: 'N',
    fallback: '200',
    help: 'number of table revisions kept; 0: 200, in memory only, and without --state nothing else is stored either',
    read: readWhole,
  },
  state: {
    value: 'DIR',
    fallback: '',
    help: 'folder for revisions, drained and leased servers, and evidence (.banyan/ beside the table)',
    read: orNull,
  },
  'allow-last-good': {
    value: '',
    fallback: 'false',
    help: 'start with the latest valid revision if the table file is invalid',
    read: readYesNo,
  },
  'dns-servers': {
    value: 'LIST',
    fallback: '',
    help: "name servers for upstream host names (10.0.0.2,10.0.0.3:5353) instead of the system's",
    read: readDnsServers,
  },
  'force-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'secret for force tokens (banyan force-token); prefer the environment variable',
    read: readSecret,
  },
  'force-by-link': {
    value: '',
    fallback: 'false',
    help: 'answer links with force tokens, which set a cookie: GET /.well-known/banyan/force',
    read: readYesNo,
    needs: 'force-secret',
  },
  'cookie-secret': {
    value: 'SECRET',
    fallback: '',
    help: "secret of banyan's own cookies; further ones after a comma are accepted too (a key kept with the revisions)",
    read: readCookieSecrets,
  },
  cluster: {
    value: 'NAME',
    fallback: '',
    help: 'join this cluster: table, revisions, servers, evidence and ramps are shared through Redis (docs/guides/instances.md)',
    read: readClusterName,
  },
  'cluster-redis': {
    value: 'URL',
    fallback: '',
    help: 'Redis of the cluster, which must not evict keys (that of --redis)',
    read: readRedis,
    needs: 'cluster',
  },
  'cluster-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'secret that authenticates what is stored there; further ones after a comma are accepted too',
    read: readCookieSecrets,
    needs: 'cluster',
  },
  'cluster-replicas': {
    value: 'N',
    fallback: '0',
    help: 'replicas of that Redis to wait for, for a second, before an edit is answered',
    read: readReplicas,
    needs: 'cluster',
  },
  'follow-table': {
    value: '',
    fallback: 'false',
    help: 'with --cluster: a change of the table file becomes a revision of the cluster, unless the table was changed elsewhere',
    read: readYesNo,
  },
  'take-percent': {
    value: '',
    fallback: 'false',
    help: 'with --follow-table: take percents from the file too, instead of keeping the live ones',
    read: readYesNo,
    needs: 'follow-table',
  },
} as const satisfies Flags

/**
 * @param redis that of the cache, which is the cluster's too where it has none of its own
 * @throws {SettingsError} for flags that need others
 */
export function tableSettings(values: ValuesOf<typeof TABLE_FLAGS>, redis: RedisAddress | null): TableSettings {
  return {
    table: values.table,
    keepRevisions: values['keep-revisions'],
    state: values.state,
    allowLastGood: values['allow-last-good'],
    dnsServers: values['dns-servers'],
    forceSecret: values['force-secret'],
    forceByLink: values['force-by-link'],
    cookieSecrets: values['cookie-secret'],
    cluster: clusterOf(values, values['cluster-redis'] ?? redis),
  }
}

/** @throws {SettingsError} without a Redis */
function clusterOf(values: ValuesOf<typeof TABLE_FLAGS>, redis: RedisAddress | null): ClusterSettings | null {
  const [follows, takes] = [values['follow-table'], values['take-percent']]
  if (values.cluster === null) {
    if (follows)
      throw new SettingsError('--follow-table: needs --cluster; without one the table file is always followed')
    return null
  }
  if (redis === null) throw new SettingsError('--cluster: needs --cluster-redis or --redis')
  if (follows && values.table === '-') throw new SettingsError('--follow-table: needs a file as --table')
  return {
    ...{ name: values.cluster, redis, secrets: values['cluster-secret'], replicas: values['cluster-replicas'] },
    follow: takes ? 'take-percents' : follows ? 'keep-percents' : 'no',
  }
}

function readDnsServers(text: string): readonly string[] {
  const servers = readList(text)
  try {
    if (servers.length > 0) new Resolver().setServers(servers)
  } catch {
    throw new SettingsError(`invalid address list '${text}' (such as 10.0.0.2,10.0.0.3:5353,[::1]:53)`)
  }
  return servers
}

function readSecret(text: string): string | null {
  const flaw = text === '' ? null : flawOfForceSecret(text)
  if (flaw !== null) throw new SettingsError(flaw)
  return orNull(text)
}

function readCookieSecrets(text: string): readonly string[] {
  const secrets = readList(text)
  for (const secret of secrets) {
    const flaw = flawOfCookieSecret(secret)
    if (flaw !== null) throw new SettingsError(secrets.length === 1 ? flaw : `each secret ${flaw}`)
  }
  return secrets
}

function readClusterName(text: string): string | null {
  if (text === '' || /^[A-Za-z0-9][\w.-]{0,63}$/.test(text)) return orNull(text)
  throw new SettingsError(`invalid name '${text}': letters, digits, '.', '_' and '-', at most 64`)
}

function readReplicas(text: string): number {
  if (/^[0-9]$/.test(text)) return Number(text)
  throw new SettingsError(`invalid number '${text}': must be 0 to 9`)
}
