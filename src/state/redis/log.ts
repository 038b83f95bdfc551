/**
 * The log of purges that processes share: a stream in Redis whose records are numbered without a hole. The stream alone says
 * what was ordered; a message is only a call to read it.
 *
 * A process reads on from the last record that it has read, which must be there still. Where it is not, the log is another one:
 * Redis was emptied, restored or replaced, or a server that lacked the last records took over. Then the process looks for the last
 * record that is in both, reads all that come after that one, and writes again what the log lacks.
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

/** Records that are read, or written again, in one command. */
const PAGE = 500

/** More often than this in a row nobody is overtaken by others who write. */
const MAX_ROUNDS = 500

/** A replica that has not confirmed a record by then does not count. */
const REPLICA_WAIT_MS = 1000
/** And then none is waited for during this. */
const REPLICA_PAUSE_MS = 1000
/** A primary whose place another one has taken is made a replica by then. */
const DEMOTED_MS = 15_000

/**
 * Appends records, each under the next number, to a log that begins here where there is none. ARGV: the position behind which they
 * have to come, or '' for the end; how many records are kept; the channel on which the others are told to read; of a new log the tag,
 * and what is left beside it (KEYS[2]), fields and values as JSON, or ''; then tag and text of each record.
 *
 * Returns the position of the first one, of the end where there are none, '' where the end is another one than asked for; how many
 * replicas are connected; and how many of those follow, since the others read all that there is first. What is no log, or has come to
 * the last number, begins anew: what was in it is known to who wrote it, and written again.
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

/** A purge is small, and what it takes away makes room: it may be written where memory is full (Redis 7). */
const EVEN_IF_FULL = '#!lua flags=allow-oom'

/** What a log is made of. */
export interface SharedLogParts {
  readonly client: RedisClient
  /** Of the stream. */
  readonly key: string
  /** Whoever hears `read` on it reads. */
  readonly channel: string
  readonly purges: PurgeLog
  /** Left with a log that begins, in one step. */
  readonly note: TableNote | null
}

/** The shared log, as one process reads and writes it. */
export class SharedLog {
  readonly #parts: SharedLogParts
  /** How many ticks ago a purge has come that the log lacks: another worker may be about to write it. */
  readonly #waited = new WeakMap<KnownPurge, number>()
  /** Ids of purges that are being written. */
  readonly #onTheirWay = new Set<string>()
  /** For a replica: the wait that goes on, or the last one; and the one behind it. */
  #wait: Promise<boolean> = Promise.resolve(true)
  #nextWait: Promise<boolean> | null = null
  #waitAgainMs = Number.NEGATIVE_INFINITY
  readonly #reads = new FreshRun(() => this.#readToEnd(true))
  #writing = false
  #evenIfFull = true
  /** The server has had replicas that follow since the connections stand. */
  #isReplicated = false
  /** Until then it counts as one that had, since the one before had. */
  #replicatedUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: SharedLogParts) {
    this.#parts = parts
  }

  /**
   * Reads all that the log has at this moment.
   * @returns whether that is known now
   */
  read(): Promise<boolean> {
    return this.#reads.run()
  }

  /**
   * Writes a purge of this process.
   * @returns null where others learn of it whatever fails from now on; else why they may not
   */
  async write(purge: Purge): Promise<string | null> {
    this.#onTheirWay.add(purge.id)
    const appended = await this.#append('', [purge])
    this.#onTheirWay.delete(purge.id)
    if (appended instanceof Fault) return appended.message
    void this.read()
    const isConfirmed = appended.replicas > 0 && (await this.#isConfirmed())
    // What only copies the server, such as a backup, never follows: it is no replica when it has gone.
    if (appended.following > 0 || isConfirmed) this.#isReplicated = true
    // One that has just lost its replicas may be a primary whose place another one has taken.
    const isReplicated = this.#isReplicated || performance.now() < this.#replicatedUntilMs
    return isConfirmed || (appended.replicas === 0 && !isReplicated) ? null : 'no replica of redis has confirmed it'
  }

  /** After a new connection, which may lead to another server, or to the old primary again. */
  begin(): void {
    if (this.#isReplicated) this.#replicatedUntilMs = performance.now() + DEMOTED_MS
    this.#isReplicated = false
  }

  /** Writes what the log lacks: what others were to write after a while, what was lost at once. To be called now and then. */
  async mend(atOnce: boolean): Promise<void> {
    if (this.#writing) return
    this.#writing = true
    try {
      const { purges } = this.#parts
      const due = [...purges.unshared].filter((known) => this.#isDue(known, atOnce))
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const batch = due.filter((known) => purges.unshared.has(known)).slice(0, PAGE)
        if (batch.length === 0) return
        // Behind what is known only: somebody else may have written the same meanwhile.
        const appended = await this.#append(
          purges.position,
          batch.map(({ purge }) => purge),
        )
        if (appended instanceof Fault || !(await this.read())) return
        // Neither written by somebody else nor read back: not now.
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
    // Large, and needed only where there is no log for sure.
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
   * Whether some replica has what was written until now. The connection stands still while one is waited for: that is done once at a
   * time, for all.
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
    // The key leads to the right node of a Cluster.
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

  /** @param mayBegin whether a log may begin: once in a reading, a Redis that goes on having none is looked at again later */
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

  /** Reads backwards to the last record that is known, and forgets what was known to come after that one. */
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
    // A log whose first records have been dropped is the one that was known, further on than this process was away for.
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

/** Tells a record from others of its number. Not 0: no stream takes 0-0. */
function newTag(): string {
  return String(randomInt(1, 2 ** 48 - 1))
}
