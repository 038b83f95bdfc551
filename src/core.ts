/**
 * Builds the parts of a process: the table with its writer, and the data plane that follows it.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Cluster } from './control/cluster/cluster.ts'
import { ClusterTable } from './control/cluster/cluster-table.ts'
import { newestRevision } from './control/cluster/newest-revision.ts'
import type { ControlLog } from './control/control-log.ts'
import { FleetKeeper } from './control/fleet/keeper.ts'
import { ClusterServers } from './control/fleet/shared-servers.ts'
import { SOLE_OWNER } from './control/ownership.ts'
import type { Followers } from './control/table/followers.ts'
import type { History } from './control/table/history.ts'
import { HISTORY_BOUNDS, historyBounds } from './control/table/history-bounds.ts'
import {
  type HistoryPlace,
  type OpenedClusterTable,
  type OpenedTable,
  openClusterTable,
  openTable,
  type TableOptions,
  UnusableTable,
} from './control/table/open.ts'
import { Operations } from './control/table/operations.ts'
import type { RecordedRevision } from './control/table/revision-record.ts'
import { createPlane, type Plane, type PlaneParts } from './proxy/plane.ts'
import type { ClusterSettings } from './settings/settings.ts'
import { StartError } from './start-error.ts'
import { CookieKeySource } from './state/cookie-key-source.ts'
import { keptKey, newKey } from './state/kept-key.ts'
import type { LiveTable } from './state/live-table.ts'
import { ClusterLog, type LogBounds } from './state/redis/cluster-log.ts'
import { ClusterLink } from './state/redis/link.ts'
import { RedisStateStore } from './state/redis/state-store.ts'
import { RedisStore } from './state/redis/store.ts'
import type { RedisAddress } from './state/redis/url.ts'
import { folderOf, StateFolder } from './state/store/state-folder.ts'

/** No command to the cluster's Redis is waited for longer. */
const CLUSTER_DEADLINE_MS = 1_000

/** How the host names of servers are resolved. */
export interface NameOptions {
  /** Name servers, `ADDRESS` or `ADDRESS:PORT`; empty for the system's. */
  readonly dnsServers: readonly string[]
}

/** Where what outlives the process is kept. */
export interface StateOptions {
  /** The folder for all tables; null for `.banyan` beside the table. */
  readonly state: string | null
}

/** The settings of a proxy. */
export interface CoreSettings extends TableOptions, NameOptions, CookieOptions, StateOptions {
  /** Addresses and networks whose X-Forwarded-* headers are trusted. */
  readonly trustedProxies: readonly string[]
  /** The scheme of client requests without X-Forwarded-Proto; null for that of the connection. */
  readonly clientScheme: 'http' | 'https' | null
  /** Header that tells upstreams the subject of a client's certificate; null for none. */
  readonly tlsClientField?: string | null
  /** The port that requests without TLS are redirected to; null where they are served. */
  readonly redirectPort?: number | null
  /** X-Request-Id is sent to upstreams and clients. */
  readonly requestIds: boolean
  /** Maximum number of request headers. */
  readonly maxHeaderFields: number
  /** Maximum length of a request target. */
  readonly maxTargetLength: number
  readonly memoryCacheBytes: number
  /** The shared Redis, or null. */
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  /** Adds Cache-Status to responses. */
  readonly exposeCacheStatus: boolean
  /** Includes the cache key in Cache-Status. */
  readonly exposeCacheKey: boolean
  /** The secret for force tokens; null disables them. */
  readonly forceSecret: string | null
  /** Whether links with force tokens are answered. */
  readonly forceByLink: boolean
}

/** Where the key of cookies comes from. */
export interface CookieOptions {
  /** The first one makes MACs, all of them check. Empty: a key of banyan's own, in the folder beside the table. */
  readonly cookieSecrets: readonly string[]
}

/** A table file and the writer that owns it. */
export interface TableCore {
  readonly live: LiveTable
  readonly operations: Operations
  readonly history: History
  /** Server state outside the table; not started yet. */
  readonly fleet: FleetKeeper
  readonly cookieKeys: CookieKeySource
  /** What outlives the process; null where nothing may. */
  readonly state: StateFolder | null
  /** The cluster that this instance is one of, not joined yet; or null. */
  readonly cluster: Cluster | null
}

/** What a member of a cluster needs to know. */
export interface Clustered extends ClusterSettings {
  readonly workers: number
  readonly version: string
  /** The newest revision of the cluster, where that of the file can't be used. */
  readonly newest?: RecordedRevision
}

/**
 * The folder of what outlives the process, or null: a table from standard input has none beside it, and where no revisions
 * are kept, nothing else is, unless a folder is given.
 */
export function stateFolderOf({ table, keepRevisions, state }: TableOptions & StateOptions): string | null {
  if (state === null && (table === '-' || keepRevisions === 0)) return null
  return folderOf(table === '-' ? 'stdin' : table, state)
}

/**
 * Reads the table. Nothing is watched yet.
 * @param followers the data planes of other processes
 * @param clustered the cluster whose table it is; null for a table of this instance's own
 * @throws {StartError} if the table can't be read or is invalid
 */
export function openCore(
  settings: TableOptions & NameOptions & CookieOptions & StateOptions,
  log: ControlLog,
  followers?: Followers,
  clustered: Clustered | null = null,
): TableCore {
  const folder = stateFolderOf(settings)
  const cookieKeys = cookieKeysOf({ ...settings, cluster: clustered }, (problem) => {
    log.warn({ event: 'cluster' }, problem)
  })
  const { opened, state, cluster, shared } = open(settings, folder, cookieKeys, log, clustered)
  const { live, source, history, tlsFiles, facts } = opened
  const ownership = state ?? SOLE_OWNER
  // In a cluster, who may change its table is up to the cluster.
  const writer = cluster === null ? ownership : SOLE_OWNER
  const parts = { live, file: source, tlsFiles, facts, cookieKeys, history, ownership: writer, log, now: Date.now }
  const operations = new Operations(followers === undefined ? parts : { ...parts, followers })
  const fleet = new FleetKeeper({
    live,
    log,
    folder,
    ownership,
    shared,
    dnsServers: settings.dnsServers,
    now: Date.now,
    chance: Math.random,
  })
  if (cluster !== null) cluster.servers = () => fleet.sharedChange
  return { live, history, operations, fleet, cookieKeys, state, cluster }
}

/** How long an instance that can't start without the cluster waits for it. */
const NEWEST_MS = 4_000

/**
 * As `openCore`, for a member of a cluster. An instance that was never a member and can't use its table file starts with the
 * cluster's table: an invalid file must not keep instances from being replaced or added.
 */
export async function openMember(
  settings: Parameters<typeof openCore>[0],
  log: ControlLog,
  followers: Followers | undefined,
  clustered: Clustered,
): Promise<TableCore> {
  try {
    return openCore(settings, log, followers, clustered)
  } catch (error) {
    if (!(error instanceof StartError && error.cause instanceof UnusableTable)) throw error
    const { name, redis, secrets } = clustered
    const link = new ClusterLink(name, { ...linkOptions(redis, secrets), onUnreadable: () => {}, onFull: () => {} })
    const bounds = sharedBounds(settings.keepRevisions)
    const newest = await newestRevision(new ClusterLog(link, bounds), NEWEST_MS).catch((reason: Error) => {
      throw new StartError(
        `${error.message}\nand the table of cluster ${name} can't be used instead: ${reason.message}`,
      )
    })
    const core = openCore(settings, log, followers, { ...clustered, newest })
    log.error(
      { event: 'table-refused', revision: newest.record.number },
      `${error.message.split('\n', 2).join(': ')}; starting with revision ${newest.record.number} of cluster ${name}`,
    )
    return core
  }
}

/** The keys of cookies. Nothing is read before a table needs them. @param onAlone as that of `CookieKeySource` */
export function cookieKeysOf(
  settings: TableOptions & CookieOptions & StateOptions & { readonly cluster: ClusterSettings | null },
  onAlone?: (problem: string) => void,
): CookieKeySource {
  return new CookieKeySource(settings.cookieSecrets, stateFolderOf(settings), settings.cluster, onAlone)
}

function openState(folder: string, inCluster: boolean, log: ControlLog): StateFolder {
  const state = new StateFolder(folder, { onDamage: (message) => log.error({ event: 'state' }, message) })
  if (!state.isOwner) {
    const follows = inCluster ? 'keeping nothing in it' : 'following its table and servers, and changing nothing'
    log.warn({ event: 'state' }, `${folder} is owned by ${state.owner}: ${follows}`)
  }
  return state
}

/** Waits for the state folder where another instance has it, and takes over what it left. */
export function awaitOwnership(
  { state, operations, fleet }: Pick<TableCore, 'state' | 'operations' | 'fleet'>,
  log: ControlLog,
): void {
  if (state === null) return
  state.onOwned(() => {
    log.info({ event: 'state' }, `${state.path} is this instance's own now: it makes changes`)
    void operations.takeOver()
    void fleet.takeOver()
  })
  state.awaitOwnership()
}

/** Key of the hashes in samples: that of the state folder, or one that ends with the process. */
function sampleKeyOf(settings: TableOptions & StateOptions): string {
  const folder = stateFolderOf(settings)
  try {
    if (folder !== null) return keptKey(folder, 'sample-key')
  } catch {
    // Evidence is in memory then, and its hashes may be.
  }
  return newKey()
}

/** An id for an instance of banyan: a pseudonym in the sense of RFC 8586 section 2. */
export function newInstanceId(): string {
  return `banyan_${randomBytes(8).toString('hex')}`
}

/**
 * Builds the data plane that serves a table. Nothing listens yet.
 * @throws {StartError} if something that the settings or the table need is unavailable
 */
export function planeOf(
  settings: CoreSettings,
  live: LiveTable,
  log: ControlLog,
  more: Pick<PlaneParts, 'accessLog' | 'tracer' | 'fleet' | 'connections' | 'processes' | 'instance' | 'cookieKeys'>,
): Plane {
  const remote = openRedis(settings, log)
  try {
    return createPlane({
      ...more,
      onFault: faultLog(log),
      live,
      limits: { maxFields: settings.maxHeaderFields, maxTargetLength: settings.maxTargetLength },
      trustedProxies: settings.trustedProxies,
      clientScheme: settings.clientScheme,
      clientField: settings.tlsClientField ?? null,
      redirectPort: settings.redirectPort ?? null,
      memoryCacheBytes: settings.memoryCacheBytes,
      forceSecret: settings.forceSecret,
      forceByLink: settings.forceByLink,
      sampleKey: sampleKeyOf(settings),
      remoteCache: remote,
      requestIds: settings.requestIds,
      exposeCacheStatus: settings.exposeCacheStatus,
      exposeCacheKey: settings.exposeCacheKey,
    })
  } catch (error) {
    void remote?.close()
    throw new StartError((error as Error).message)
  }
}

/** Logs exceptions of foreign code with their stack. */
export function faultLog(log: ControlLog): (error: unknown) => void {
  return (thrown) => {
    const error = thrown instanceof Error ? thrown : new Error(`not an error: ${String(thrown)}`)
    log.error({ event: 'fault', error: error.stack }, error.message)
  }
}

function openRedis(
  settings: Pick<CoreSettings, 'redis' | 'redisPrefix' | 'redisDeadlineMs'>,
  log: ControlLog,
): RedisStore | null {
  const { redis, redisPrefix, redisDeadlineMs } = settings
  if (redis === null) return null
  return new RedisStore({
    address: redis,
    prefix: redisPrefix,
    deadlineMs: redisDeadlineMs,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: (count) => {
      log.warn({ event: 'redis', count }, 'unreadable reply or value from Redis: treated as a miss')
    },
    onFull: () => {
      log.warn({ event: 'redis', state: 'full' }, 'Redis is full: it stores nothing new, and is read as before')
    },
    onForeign: (message) => log.error({ event: 'redis' }, message),
    onState: (up, why) => {
      if (up) log.info({ event: 'redis', state: 'up' }, 'connected to Redis')
      else log.warn({ event: 'redis', state: 'down', why }, 'Redis is unreachable: caching in memory only')
    },
  })
}

interface Opened {
  readonly opened: OpenedTable
  readonly state: StateFolder | null
  readonly cluster: Cluster | null
  /** Its drained and leased servers. */
  readonly shared: ClusterServers | null
}

function open(
  settings: TableOptions,
  folder: string | null,
  cookieKeys: CookieKeySource,
  log: ControlLog,
  clustered: Clustered | null,
): Opened {
  let state: StateFolder | null = null
  const openFolder = (): HistoryPlace => {
    state = folder === null ? null : openState(folder, clustered !== null, log)
    return { folder, ownership: state ?? SOLE_OWNER }
  }
  try {
    if (clustered === null)
      return {
        opened: openTable(settings, cookieKeys, openFolder, log, Date.now()),
        state,
        cluster: null,
        shared: null,
      }
    const { name, newest = null } = clustered
    const opened = openClusterTable(settings, { cluster: name, newest }, cookieKeys, openFolder, log, Date.now())
    const { table, cluster, store } = openCluster(clustered, settings, opened, log)
    const file = (state as StateFolder | null) === null ? null : clusterFile(folder, clustered.name)
    const onLost = (upstream: string, server: string, what: string): void =>
      log.error(
        { event: 'cluster', upstream, server },
        `cluster ${clustered.name}: ${upstream}/${server} ${what}: that change is lost, since Redis had lost it when another one was made`,
      )
    const shared = new ClusterServers({ store, link: store.link, file, table, onLost })
    return { opened: { ...opened, source: table }, state, cluster, shared }
  } catch (error) {
    void (state as StateFolder | null)?.close()
    throw new StartError((error as Error).message, { cause: error })
  }
}

/** How many revisions lie in the Redis of a cluster: those that an instance keeps in memory only are there too. */
function sharedBounds(keepRevisions: number): LogBounds {
  return { ...HISTORY_BOUNDS, revisions: historyBounds(keepRevisions).revisions }
}

function linkOptions(address: RedisAddress, secrets: readonly string[]) {
  const now = (): number => performance.now()
  return { address, secrets, deadlineMs: CLUSTER_DEADLINE_MS, chance: Math.random, now }
}

function openCluster(
  { name, redis, secrets, replicas, workers, version }: Clustered,
  { keepRevisions }: TableOptions,
  { live, history, earlier }: OpenedClusterTable,
  log: ControlLog,
): { readonly table: ClusterTable; readonly cluster: Cluster; readonly store: RedisStateStore } {
  const instance = randomBytes(8).toString('hex')
  const link = new ClusterLink(name, {
    ...linkOptions(redis, secrets),
    onUnreadable: (count) =>
      log.warn({ event: 'cluster', count }, `unreadable reply from the Redis of cluster ${name}`),
    onFull: () => {},
    onUnwritable: (why) => {
      if (why === null) log.info({ event: 'cluster' }, `cluster ${name}: its Redis takes writes again`)
      else log.error({ event: 'cluster' }, `cluster ${name}: ${why}; changing nothing`)
    },
    onForeign: (message) => {
      if (message === '') log.info({ event: 'cluster' }, `cluster ${name}: all its keys in Redis are its own again`)
      else log.error({ event: 'cluster' }, `cluster ${name}: ${message}`)
    },
    onReady: () => table.reconnected(),
  })
  const shared = new ClusterLog(link, sharedBounds(keepRevisions))
  const instances = (): number => cluster.members.lately
  const table = new ClusterTable({ cluster: name, instance, shared, live, history, earlier, replicas, instances, log })
  const store = new RedisStateStore(link, undefined, () => table.foreign)
  const cluster = new Cluster({
    name,
    instance,
    shared,
    store,
    table,
    live,
    history,
    version,
    workers,
    log,
    now: Date.now,
  })
  return { table, cluster, store }
}

/** Where the servers of a cluster are kept. */
function clusterFile(folder: string | null, cluster: string): string | null {
  return folder === null ? null : join(folder, `cluster-${cluster}`, 'servers.json')
}
