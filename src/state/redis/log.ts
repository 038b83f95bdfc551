/**
 * The log of purges that processes share: a stream in Redis whose records are numbered without gaps. Only the stream counts; a message is
 * just a prompt to read it.
 *
 * A process reads on from the last record that it has read, which must still be there. If it is not, the log has been replaced: Redis was
 * emptied, restored or exchanged, or a server without the last records took over. Then the process looks for the last record in common,
 * reads everything after it, and writes again what the log lacks.
 */
import { randomInt } from 'node:crypto'
import { type Purge, readPurge, writePurge } from '../../rules/caching/purge.ts'
import { NOWHERE, sequenceOf } from '../caching/log-order.ts'
import { type KnownPurge, MAX_PURGES, type PurgeLog } from '../caching/purges.ts'
import type { TableNote } from '../caching/remote.ts'
import { FreshRun } from '../fresh-run.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { type Appended, readAppended, readInteger, readStream, type StreamEntry } from './replies.ts'
import { fieldsOf } from './table-record.ts'

/** Records read or rewritten in one command. */
const PAGE = 500

/** Attempts of a write that loses to concurrent writes; more in a row are unrealistic. */
const MAX_ROUNDS = 500

/** How long to wait for a replica to confirm a record. */
const REPLICA_WAIT_MS = 1000
/** After a timeout, replicas are not waited for during this time. */
const REPLICA_PAUSE_MS = 1000
/** By then, a primary that has been replaced has become a replica. */
const DEMOTED_MS = 15_000

/**
 * Appends records, each with the next number; starts a new log if there is none. ARGV: the position after which they must come, or ''
 * for the end; how many records to keep; the channel to notify; for a new log, its tag, and fields and values as JSON for the hash beside
 * it (KEYS[2]), or ''; then tag and text of each record.
 *
 * Returns the position of the first record, or of the end if there are none, or '' if the end is not the expected one; how many replicas
 * are connected; and how many of those are online, not still synchronizing. An invalid log, or one at the highest number, is started
 * again: the processes know its records, and rewrite them.
 */
const APPEND = `
local key, last = KEYS[1], redis.pcall('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local function begin()
  redis.call('DEL', key)
  if ARGV[5] ~= '' then
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[2], unpack(cjson.decode(ARGV[5])))
  end
  return redis.call('XADD', key, '0-' .. ARGV[4], 'log', '')
end
local id, number = nil, 0
if not last.err and last[1] then
  id = last[1][1]
  number = tonumber(string.match(id, '^%d+'))
end
if not id or number > 9e14 then id, number = begin(), 0 end
if ARGV[1] ~= '' and ARGV[1] ~= id then return {'', 0, 0} end
local first = nil
for i = 6, #ARGV, 2 do
  number = number + 1
  local added = redis.pcall('XADD', key, 'MAXLEN', ARGV[2], string.format('%.0f-%s', number, ARGV[i]), 'p', ARGV[i + 1])
  if type(added) == 'table' and added.err then
    if string.find(added.err, 'OOM', 1, true) then return added end
    begin()
    number = 1
    added = redis.call('XADD', key, '1-' .. ARGV[i], 'p', ARGV[i + 1])
  end
  first = first or added
end
redis.pcall('PUBLISH', ARGV[3], 'read')
local told = redis.call('INFO', 'replication')
local _, replicas = string.gsub(told, ',state=', '')
local _, following = string.gsub(told, ',state=online', '')
return {first or id, replicas, following}
`

/** Purges may be written even if memory is full (Redis 7): they are small, and make room. */
const EVEN_IF_FULL = '#!lua flags=allow-oom'

/** Dependencies. */
export interface SharedLogParts {
  readonly client: RedisClient
  /** The key of the stream. */
  readonly key: string
  /** On the message `read`, processes read the log. */
  readonly channel: string
  readonly purges: PurgeLog
  /** Written atomically with the start of a new log. */
  readonly note: TableNote | null
}

/** The shared log, as one process reads and writes it. */
export class SharedLog {
  readonly #parts: SharedLogParts
  /** For purges that the log lacks: how many ticks ago they arrived. Another worker may be about to write them. */
  readonly #waited = new WeakMap<KnownPurge, number>()
  /** Ids of purges that are being written. */
  readonly #onTheirWay = new Set<string>()
  /** The current or last wait for a replica, and the next one. */
  #wait: Promise<boolean> = Promise.resolve(true)
  #nextWait: Promise<boolean> | null = null
  #waitAgainMs = Number.NEGATIVE_INFINITY
  readonly #reads = new FreshRun(() => this.#readToEnd(true))
  #writing = false
  #evenIfFull = true
  /** The server has had online replicas since the connections were opened. */
  #isReplicated = false
  /** Until then it counts as replicated, because the previous server was. */
  #replicatedUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: SharedLogParts) {
    this.#parts = parts
  }

  /**
   * Reads the log up to its current end.
   * @returns whether that succeeded
   */
  read(): Promise<boolean> {
    return this.#reads.run()
  }

  /**
   * Writes a purge of this process.
   * @returns null if the others will learn of it whatever fails from now on; else why they may not
   */
  async write(purge: Purge): Promise<string | null> {
    this.#onTheirWay.add(purge.id)
    const appended = await this.#append('', [purge])
    this.#onTheirWay.delete(purge.id)
    if (appended instanceof Fault) return appended.message
    void this.read()
    const isConfirmed = appended.replicas > 0 && (await this.#isConfirmed())
    // A client that only copies the server, such as a backup, never goes online, and doesn't count as a replica after it has gone.
    if (appended.following > 0 || isConfirmed) this.#isReplicated = true
    // A server that has just lost its replicas may be a primary that has been replaced.
    const isReplicated = this.#isReplicated || performance.now() < this.#replicatedUntilMs
    return isConfirmed || (appended.replicas === 0 && !isReplicated) ? null : 'no replica of redis has confirmed it'
  }

  /** After a reconnect, possibly to another server, or to the old primary again. */
  begin(): void {
    if (this.#isReplicated) this.#replicatedUntilMs = performance.now() + DEMOTED_MS
    this.#isReplicated = false
  }

  /** Writes what the log lacks: purges that others should have written after a while, or with `atOnce` all of them. Call it periodically. */
  async mend(atOnce: boolean): Promise<void> {
    if (this.#writing) return
    this.#writing = true
    try {
      const { purges } = this.#parts
      const due = [...purges.unshared].filter((known) => this.#isDue(known, atOnce))
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const batch = due.filter((known) => purges.unshared.has(known)).slice(0, PAGE)
        if (batch.length === 0) return
        // Only after the known position: another process may have written the same purges meanwhile.
        const appended = await this.#append(
          purges.position,
          batch.map(({ purge }) => purge),
        )
        if (appended instanceof Fault || !(await this.read())) return
        // Written, but not read back: try later.
        if (appended.first !== '' && batch.every((known) => purges.unshared.has(known))) return
      }
    } finally {
      this.#writing = false
    }
  }

  #isDue(known: KnownPurge, atOnce: boolean): boolean {
    const ticks = (this.#waited.get(known) ?? 0) + 1
    this.#waited.set(known, ticks)
    return (atOnce || ticks > 2) && !this.#onTheirWay.has(known.purge.id)
  }

  async #append(behind: string, records: readonly Purge[]): Promise<Appended | Fault> {
    const { client, key, channel } = this.#parts
    // The note is large, and needed only if there is certainly no log.
    const written = records.length === 0 ? this.#parts.note?.written : undefined
    const note = written === undefined ? '' : JSON.stringify(fieldsOf(written))
    const texts = records.flatMap((purge) => [newTag(), writePurge(purge)])
    const script = this.#evenIfFull ? EVEN_IF_FULL + APPEND : APPEND
    const appended = await client.log(
      (redis) => redis.eval(script, 2, key, `${key}table`, behind, MAX_PURGES, channel, newTag(), note, ...texts),
      readAppended,
    )
    if (appended instanceof Fault && this.#evenIfFull && appended.isOfScript) {
      this.#evenIfFull = false
      return await this.#append(behind, records)
    }
    return appended
  }

  /**
   * Whether a replica has confirmed everything written so far. The connection is blocked during a wait, so there is only one wait at a
   * time, shared by all callers.
   */
  #isConfirmed(): Promise<boolean> {
    this.#nextWait ??= this.#wait.then(() => {
      this.#wait = this.#nextWait as Promise<boolean>
      this.#nextWait = null
      return this.#waitForReplica()
    })
    return this.#nextWait
  }

  async #waitForReplica(): Promise<boolean> {
    if (performance.now() < this.#waitAgainMs) return false
    const { client, key } = this.#parts
    // The key selects the right node of a Cluster.
    const wait = [
      ['exists', key],
      ['wait', '1', String(REPLICA_WAIT_MS)],
    ]
    const replicas = await client.log(
      async (redis) => (await redis.pipeline(wait).exec())?.[1]?.[1],
      readInteger,
      REPLICA_WAIT_MS,
    )
    const confirmed = !(replicas instanceof Fault) && replicas > 0
    if (!confirmed) this.#waitAgainMs = performance.now() + REPLICA_PAUSE_MS
    return confirmed
  }

  /** @param mayBegin whether a new log may be started; only once per read, after which a Redis without a log is retried later */
  async #readToEnd(mayBegin: boolean): Promise<boolean> {
    const { client, key, purges } = this.#parts
    for (;;) {
      const last = purges.position
      const from = last === NOWHERE ? '-' : last
      const page = await client.log((redis) => redis.xrange(key, from, '+', 'COUNT', PAGE + 1), readStream)
      if (page instanceof Fault) return page.isOtherType && (await this.#readAnew(mayBegin))
      if (last === NOWHERE ? page.length === 0 : page[0]?.id !== last) return await this.#readAnew(mayBegin)
      for (const entry of last === NOWHERE ? page : page.slice(1)) this.#take(entry)
      if (page.length <= PAGE) return true
    }
  }

  /** Reads backwards to the last known record, and discards the known positions after it. */
  async #readAnew(mayBegin: boolean): Promise<boolean> {
    const { client, key, purges } = this.#parts
    const found: StreamEntry[] = []
    let common: StreamEntry | undefined
    for (let from = '+'; common === undefined; from = `(${found.at(-1)!.id}`) {
      const page = await client.log((redis) => redis.xrevrange(key, from, '-', 'COUNT', PAGE), readStream)
      if (page instanceof Fault && !page.isOtherType) return false
      const entries = page instanceof Fault ? [] : page
      common = entries.find(({ id }) => purges.has(id))
      found.push(...(common === undefined ? entries : entries.slice(0, entries.indexOf(common))))
      if (entries.length < PAGE) break
    }
    found.reverse()
    // If its first records have been trimmed, it is the same log, which has moved on while this process was away.
    const isTrimmed = common === undefined && found.length > 0 && (sequenceOf(found[0]!.id) ?? 0) > 1
    if (!isTrimmed) purges.cut(common === undefined ? -1 : sequenceOf(common.id)!)
    for (const entry of found) this.#take(entry)
    const isNone = common === undefined && found.length === 0
    if (isNone && (!mayBegin || (await this.#append('', [])) instanceof Fault)) return false
    void this.mend(true)
    return isNone ? await this.#readToEnd(false) : true
  }

  #take({ id, value }: StreamEntry): void {
    const { client, purges } = this.#parts
    const sequence = sequenceOf(id)
    const purge = sequence === 0 ? null : readPurge(value)
    if (sequence === null || (sequence > 0 && purge === null)) client.onUnreadable()
    if (sequence !== null) purges.read(id, sequence, purge)
  }
}

/** Distinguishes a record from others with the same number. Not 0, because 0-0 is not a valid stream id. */
function newTag(): string {
  return String(randomInt(1, 2 ** 48 - 1))
}
