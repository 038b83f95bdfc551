/**
 * Connections to Redis, one server, a Sentinel's master or a Cluster, as all of banyan uses them.
 */
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { SILENT } from './faults.ts'
import { containFaults, loadRedis } from './package.ts'
import type { RedisAddress } from './url.ts'

const CONNECT_TIMEOUT_MS = 2000
/** A process that closes its connections waits this long for a Redis that may never have been there. */
const DISCONNECT_TIMEOUT_MS = 100

/** Options of every connection. */
export const CONNECTION = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  disconnectTimeout: DISCONNECT_TIMEOUT_MS,
  // Nothing is queued, resent or retried: by then the request has long gone on without it.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  keepAlive: 10_000,
} as const satisfies RedisOptions

const FIRST_RETRY_MS = 50
export const LONGEST_RETRY_MS = 2000

/**
 * Connects, and again whenever the connection is gone.
 * @param retryMs how long to wait before the next attempt
 */
export function connectTo(address: RedisAddress, retryMs: (attempt: number) => number): Redis | Cluster {
  const options: Options = {
    ...CONNECTION,
    retryStrategy: retryMs,
    // A replica that was a master: look for the new one.
    reconnectOnError: (error) => /\bREADONLY\b/.test(error.message),
    db: address.database,
    ...(address.username === null ? {} : { username: address.username }),
    ...(address.password === null ? {} : { password: address.password }),
    ...(address.tls ? { tls: {} } : {}),
  }
  const client = clientOf(address, options, retryMs)
  if (!client.isCluster) supervise(client as Redis)
  return client
}

/** How long to wait before the next attempt, with full jitter, so that a fleet does not come back all at once. @param chance in [0, 1) */
export function retryAfterMs(attempt: number, chance: number): number {
  const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10))
  return FIRST_RETRY_MS + chance * ceiling
}

/** The connections of a client: one, or one for each node that it knows. */
export function connectionsOf(client: Redis | Cluster): Redis[] {
  return client.isCluster ? (client as Cluster).nodes() : [client as Redis]
}

/** The options of a connection, with replies in the shapes that its types promise. */
type Options = RedisOptions & { replyMapping?: 'legacy' }

function clientOf(address: RedisAddress, options: Options, retryMs: (attempt: number) => number): Redis | Cluster {
  const { Cluster, Redis } = loadRedis()
  const [first] = address.nodes
  if (address.kind === 'single') return new Redis({ ...options, host: first!.host, port: first!.port })
  if (address.kind === 'sentinel') {
    return new Redis({
      ...options,
      sentinels: [...address.nodes],
      name: address.master,
      sentinelRetryStrategy: retryMs,
      sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
      ...(address.tls ? { enableTLSForSentinelMode: true } : {}),
    })
  }
  const { retryStrategy: _, ...redisOptions } = options
  const cluster = new Cluster([...address.nodes], {
    enableOfflineQueue: false,
    // It would ask any of the nodes that were found a moment ago, none of which is reached yet, and begin again for ever.
    enableReadyCheck: false,
    clusterRetryStrategy: retryMs,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    redisOptions,
  })
  // They would connect with their first command, which must not wait for that, and so would be lost.
  cluster.on('+node', (node: Redis) => {
    supervise(node)
    if (node.status === 'wait') node.connect().catch(() => {})
  })
  return cluster
}

/** Keeps what a server says from harming more than its connection, and a connection from standing without ever being ready. */
function supervise(client: Redis): void {
  containFaults(client)
  let timer: NodeJS.Timeout | undefined
  client.on('connect', () => {
    timer = setTimeout(() => client.stream.destroy(new Error(SILENT)), CONNECT_TIMEOUT_MS)
    timer.unref()
  })
  for (const event of ['ready', 'close', 'end']) client.on(event, () => clearTimeout(timer))
}
