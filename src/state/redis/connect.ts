/**
 * Opens connections to Redis: to one server, a Sentinel's master or a Cluster.
 */
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { SILENT } from './faults.ts'
import { containFaults, loadRedis } from './package.ts'
import type { RedisAddress } from './url.ts'

const CONNECT_TIMEOUT_MS = 2000
/** How long closing waits for a server that may be unreachable. */
const DISCONNECT_TIMEOUT_MS = 100

/** Options of every connection. */
export const CONNECTION = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  disconnectTimeout: DISCONNECT_TIMEOUT_MS,
  // No queueing, resending or retries: by then, the request has continued without the reply.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  keepAlive: 10_000,
} as const satisfies RedisOptions

const FIRST_RETRY_MS = 50
export const LONGEST_RETRY_MS = 2000

/**
 * Connects, and reconnects whenever the connection closes.
 * @param retryMs how long to wait before the next attempt
 */
export function connectTo(address: RedisAddress, retryMs: (attempt: number) => number): Redis | Cluster {
  const options: Options = {
    ...CONNECTION,
    retryStrategy: retryMs,
    // The master has become a replica: look for the new master.
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

/** How long to wait before the next attempt, with full jitter, so that a fleet does not reconnect all at once. @param chance in [0, 1) */
export function retryAfterMs(attempt: number, chance: number): number {
  const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10))
  return FIRST_RETRY_MS + chance * ceiling
}

/** The connections of a client: one, or one per known Cluster node. */
export function connectionsOf(client: Redis | Cluster): Redis[] {
  return client.isCluster ? (client as Cluster).nodes() : [client as Redis]
}

/** Options of a connection, including one that its types lack. */
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
    // The check would ask one of the nodes just discovered, none of which is connected yet, and start over for ever.
    enableReadyCheck: false,
    clusterRetryStrategy: retryMs,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    redisOptions,
  })
  // Connect now: nodes connect with their first command by default, which would fail because commands are not queued.
  cluster.on('+node', (node: Redis) => {
    supervise(node)
    if (node.status === 'wait') node.connect().catch(() => {})
  })
  return cluster
}

/** Limits the damage of invalid replies to their connection, and closes connections that never become ready. */
function supervise(client: Redis): void {
  containFaults(client)
  let timer: NodeJS.Timeout | undefined
  client.on('connect', () => {
    timer = setTimeout(() => client.stream.destroy(new Error(SILENT)), CONNECT_TIMEOUT_MS)
    timer.unref()
  })
  for (const event of ['ready', 'close', 'end']) client.on(event, () => clearTimeout(timer))
}
