/**
 * What a process is built from: the table with its one writer, and the data plane that follows it, together or apart.
 */
import { randomBytes } from 'node:crypto'
import type { ControlLog } from './control/control-log.ts'
import { FleetKeeper } from './control/fleet/keeper.ts'
import type { Followers } from './control/table/followers.ts'
import type { History } from './control/table/history.ts'
import { folderOf } from './control/table/history-folder.ts'
import { type OpenedTable, openTable, type TableOptions } from './control/table/open.ts'
import { Operations } from './control/table/operations.ts'
import { createPlane, type Plane, type PlaneParts } from './proxy/plane.ts'
import { StartError } from './start-error.ts'
import type { LiveTable } from './state/live-table.ts'
import { RedisStore } from './state/redis/store.ts'
import type { RedisAddress } from './state/redis/url.ts'

/** How the host names of servers are resolved. */
export interface NameOptions {
  /** Name servers to ask, `ADDRESS` or `ADDRESS:PORT`; none for the system's. */
  readonly dnsServers: readonly string[]
}

/** What a proxy is built from. */
export interface CoreSettings extends TableOptions, NameOptions {
  /** Addresses and networks whose X-Forwarded-* is believed. */
  readonly trustedProxies: readonly string[]
  /** What clients speak where a balancer in front says nothing; null: as the connection is. */
  readonly clientScheme: 'http' | 'https' | null
  /** Header fields that a request may have. */
  readonly maxHeaderFields: number
  /** Characters that a request target may have. */
  readonly maxTargetLength: number
  readonly memoryCacheBytes: number
  /** The Redis that processes share, or null. */
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  /** Clients are told in Cache-Status what the cache did. */
  readonly exposeCacheStatus: boolean
  /** And under which key. */
  readonly exposeCacheKey: boolean
  /** What force tokens are made with; null takes none. */
  readonly forceSecret: string | null
}

/** A table file and the writer that owns it. */
export interface TableCore {
  readonly live: LiveTable
  readonly operations: Operations
  readonly history: History
  /** What is known of servers beyond the table; it has yet to be started. */
  readonly fleet: FleetKeeper
}

/**
 * Reads the table. Nothing is watched yet.
 * @param followers the data planes of other processes
 * @throws {StartError} the table can't be read or is invalid
 */
export function openCore(settings: TableOptions & NameOptions, log: ControlLog, followers?: Followers): TableCore {
  const { live, source, history, tlsFiles } = open(settings, log)
  const parts = { live, file: source, tlsFiles, history, log, now: Date.now }
  const operations = new Operations(followers === undefined ? parts : { ...parts, followers })
  const fleet = new FleetKeeper({
    live,
    log,
    // An application that keeps no revisions has given no folder to write to.
    folder: settings.table === '-' || settings.keepRevisions === 0 ? null : folderOf(settings.table),
    dnsServers: settings.dnsServers,
    now: Date.now,
    chance: Math.random,
  })
  return { live, history, operations, fleet }
}

/** An id for an instance of banyan: a pseudonym in the sense of RFC 8586 section 2. */
export function newInstanceId(): string {
  return `banyan_${randomBytes(8).toString('hex')}`
}

/**
 * Builds the data plane that serves a table. Nothing listens yet.
 * @throws {StartError} what the settings or the table need and can't have
 */
export function planeOf(
  settings: Omit<CoreSettings, keyof TableOptions>,
  live: LiveTable,
  log: ControlLog,
  more: Pick<PlaneParts, 'accessLog' | 'fleet' | 'connections' | 'processes' | 'instance'>,
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
      memoryCacheBytes: settings.memoryCacheBytes,
      forceSecret: settings.forceSecret,
      remoteCache: remote,
      exposeCacheStatus: settings.exposeCacheStatus,
      exposeCacheKey: settings.exposeCacheKey,
    })
  } catch (error) {
    void remote?.close()
    throw new StartError((error as Error).message)
  }
}

/** What code of others throws, for the log: with its stack. */
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
      log.warn({ event: 'redis', count }, 'redis sent what can not be read: it counts as not there')
    },
    onState: (up, why) => {
      if (up) log.info({ event: 'redis', state: 'up' }, 'redis is reached')
      else log.warn({ event: 'redis', state: 'down', why }, 'redis is lost: memory alone caches')
    },
  })
}

function open(settings: TableOptions, log: ControlLog): OpenedTable {
  try {
    return openTable(settings, log, Date.now())
  } catch (error) {
    throw new StartError((error as Error).message)
  }
}
