/**
 * The state store in Redis, shared by the instances of a cluster. All keys have the cluster's name as their hash tag, so that one node of
 * a Redis Cluster has them all, and each change is one script.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import {
  type ChangedRecord,
  type Fence,
  type HeldLease,
  hourOf,
  type Message,
  type Messages,
  type SpaceBounds,
  StateError,
  type StateRecord,
  type StateStore,
  type Sum,
  Totals,
  type TotalsTerms,
  type WriteOutcome,
  type WriteTerms,
} from '../store/store.ts'
import type { ClusterLink } from './link.ts'
import { type ReadReply, readInteger, readStream } from './replies.ts'

/** How many messages of a topic are kept. */
const MAX_MESSAGES = 1000

/** How long ids of additions are remembered, seconds: one whose reply was lost is sent again, and must count once. */
const REPEAT_S = 600
const ATTEMPTS = 5
const PAUSE_MS = 500

/** Milliseconds on the server's clock, because the clocks of instances may differ. */
const NOW = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

/** Checks key types before any write: a script that fails half-way keeps what it has written. */
const LOOK = `
local function look(command, from, to) for at = from, to do redis.call(command, KEYS[at]) end end
`

/** Version, time, value and place in the order of writes of a record; KEYS[1] the records, KEYS[2] the order, KEYS[3] its counter. */
const PUT = `${NOW}${LOOK}
look('HLEN', 1, 1)
look('ZCARD', 2, 2)
look('GET', 3, 3)
local function version_of(field)
  local old = redis.call('HGET', KEYS[1], field)
  if not old then return 0, '' end
  local ok, row = pcall(cjson.decode, old)
  if not ok or type(row) ~= 'table' or type(row[1]) ~= 'number' then return -1, '' end
  return row[1], old
end
local function put(field, value)
  local version = math.max(version_of(field), 0) + 1
  local order = redis.call('INCR', KEYS[3])
  redis.call('HSET', KEYS[1], field, cjson.encode({version, now, value, order}))
  redis.call('ZADD', KEYS[2], order, field)
  return version
end
`

/** Compares token and holder: after Redis was emptied or has failed over, two holders may have the same token. */
const HELD = `
local function is_held(lease, token, holder)
  local known = redis.call('HMGET', lease, 'token', 'holder')
  return known[1] == token and known[2] == holder
end
`

/** KEYS[4]: a lease. ARGV: field, expected version or '', `put` or `remove`, the value, the token of the lease or '', its holder. */
const WRITE = `${PUT}
${HELD}
if ARGV[5] ~= '' and not is_held(KEYS[4], ARGV[5], ARGV[6]) then return {'fenced', 0, ''} end
local version, old = version_of(ARGV[1])
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return {'changed', 0, old} end
if ARGV[3] == 'put' then return {'done', put(ARGV[1], ARGV[4]), ''} end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return {'done', 0, ''}
`

/**
 * KEYS[4]: the hours; KEYS[5]: the id of the addition; KEYS[6] on: the sums of each hour. ARGV: what to add, as JSON; seconds to
 * remember the id; records to keep, or -1; the first hour to keep, or -1; lifetime of sums in hours, or -1.
 */
const ADD = `${PUT}
look('ZCARD', 4, 4)
look('HLEN', 6, #KEYS)
if not redis.call('SET', KEYS[5], '1', 'NX', 'EX', ARGV[2]) then return 0 end
local added = cjson.decode(ARGV[1])
for _, sum in ipairs(added.sums) do redis.call('HINCRBYFLOAT', KEYS[sum[1]], sum[2], sum[3]) end
for at, hour in ipairs(added.hours) do
  redis.call('ZADD', KEYS[4], hour, hour)
  if ARGV[5] ~= '-1' then redis.call('EXPIREAT', KEYS[5 + at], (hour + ARGV[5] + 1) * 3600) end
end
local function drop(fields)
  for _, field in ipairs(fields) do
    redis.call('HDEL', KEYS[1], field)
    redis.call('ZREM', KEYS[2], field)
  end
end
for _, record in ipairs(added.records) do
  if record[2] then put(record[1], record[2]) else drop({record[1]}) end
end
if ARGV[4] ~= '-1' then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. ARGV[4])
  while true do
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)
    if not oldest[1] then break end
    local ok, row = pcall(cjson.decode, redis.call('HGET', KEYS[1], oldest[1]) or '')
    if ok and type(row) == 'table' and type(row[2]) == 'number' and row[2] >= ARGV[4] * 3600000 then break end
    drop(oldest)
  end
end
if ARGV[3] ~= '-1' then
  local more = redis.call('ZCARD', KEYS[2]) - ARGV[3]
  if more > 0 then drop(redis.call('ZRANGE', KEYS[2], 0, more - 1)) end
end
return 1
`

/** KEYS[1]: the records; KEYS[2]: their order; the others: sums of an hour. ARGV: how the fields of the group begin. */
const FORGET = `${LOOK}
look('HLEN', 1, 1)
look('ZCARD', 2, 2)
look('HLEN', 3, #KEYS)
for at, key in ipairs(KEYS) do
  if at ~= 2 then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      if string.sub(field, 1, #ARGV[1]) == ARGV[1] then
        redis.call('HDEL', key, field)
        if at == 1 then redis.call('ZREM', KEYS[2], field) end
      end
    end
  end
end
return 0
`

/** KEYS[1]: the lease. ARGV: who wants it, for how many milliseconds. Returns holder, token and remaining milliseconds. */
const ACQUIRE = `${NOW}
local known = redis.call('HMGET', KEYS[1], 'token', 'holder', 'ends')
local token, ends = tonumber(known[1] or 0) or 0, tonumber(known[3] or 0) or 0
-- Nobody has it for longer than it is asked for: the clock was ahead, as that of a server that has failed over may be.
if ends > now + ARGV[2] then
  ends = now + ARGV[2]
  redis.call('HSET', KEYS[1], 'ends', ends)
end
if ends > now and known[2] ~= ARGV[1] then return {known[2], token, ends - now} end
if ends <= now then token = token + 1 end
redis.call('HSET', KEYS[1], 'token', token, 'holder', ARGV[1], 'ends', now + ARGV[2])
return {ARGV[1], token, tonumber(ARGV[2])}
`

const RELEASE = `${HELD}
if is_held(KEYS[1], ARGV[1], ARGV[2]) then redis.call('HSET', KEYS[1], 'ends', 0) end
return 0
`

/** KEYS[1]: the stream. ARGV: the text, messages that are kept, the channel, the topic. Positions have no gaps. */
const PUBLISH = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local position = last[1] and tonumber(string.match(last[1][1], '^%d+')) + 1 or 1
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], string.format('%.0f-0', position), 'm', ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return position
`

/** The store of one cluster. */
export class RedisStateStore implements StateStore {
  readonly place = 'cluster'
  readonly link: ClusterLink
  readonly #messages: number
  readonly #refusal: () => string | null

  /**
   * @param messages how many messages of a topic are kept
   * @param refusal why nothing must be written now, or null
   */
  constructor(link: ClusterLink, messages = MAX_MESSAGES, refusal: () => string | null = () => null) {
    this.link = link
    this.#messages = messages
    this.#refusal = refusal
  }

  async read(space: string, group: string, key: string): Promise<StateRecord | null> {
    const [records, field] = [this.#records(space), fieldOf(group, key)]
    const row = await this.link.run([records], (redis) => redis.hget(records, field), readRow)
    return row.text === null ? null : this.#recordOf(space, field, row.text)
  }

  async list(space: string): Promise<readonly StateRecord[]> {
    const records = this.#records(space)
    const rows = await this.link.run([records], (redis) => redis.hgetall(records), readHash)
    return Object.entries(rows)
      .flatMap(([field, text]) => {
        const record = this.#recordOf(space, field, text)
        return record === null ? [] : [{ record, order: orderOf(text) }]
      })
      .sort((a, b) => a.order - b.order)
      .map(({ record }) => record)
  }

  async write(
    space: string,
    group: string,
    key: string,
    value: string | null,
    { expected, fence }: WriteTerms = {},
  ): Promise<WriteOutcome> {
    this.#mayWrite()
    const field = fieldOf(group, key)
    const keys = [...this.#recordKeys(space), this.#lease(fence?.lease ?? '')]
    const does = value === null ? 'remove' : 'put'
    const sealed = value === null ? '' : this.#sealed(space, field, value)
    const version = expected === undefined ? '' : String(expected)
    const args = [field, version, does, sealed, String(fence?.token ?? ''), fence?.holder ?? '']
    const [kind, written, old] = await this.link.script(WRITE, keys, args, readWritten)
    if (kind === 'done') return { kind, version: written }
    if (kind === 'fenced') return { kind }
    const record = old === '' ? null : this.#recordOf(space, field, old)
    // A record that can't be read (another secret, or damaged) counts as missing, for writes as well as for reads.
    const isUnreadable = old !== '' && record === null && expected === 0
    const terms = { expected: versionOf(old), ...(fence !== undefined && { fence }) }
    return isUnreadable ? await this.write(space, group, key, value, terms) : { kind, record }
  }

  async add(
    space: string,
    sums: readonly Sum[],
    records: readonly ChangedRecord[] = [],
    { records: most = -1, hours: age }: SpaceBounds = {},
    id: string = randomUUID(),
  ): Promise<void> {
    const hours = [...new Set(sums.map(({ hour }) => hour))]
    // KEYS of a script count from 1.
    const at = (hour: number): number => hours.indexOf(hour) + FIRST_HOUR
    const added = {
      sums: sums.flatMap(({ group, key, hour, counts }) =>
        Object.entries(counts).map(([name, count]) => [at(hour), fieldOf(group, key, name), count]),
      ),
      hours,
      records: records.map(({ group, key, value }) => {
        const field = fieldOf(group, key)
        return value === null ? [field] : [field, this.#sealed(space, field, value)]
      }),
    }
    const keys = [
      ...this.#recordKeys(space),
      ...[this.#key(`hours:${space}`), this.#key(`added:${id}`)],
      ...hours.map((hour) => this.#sums(space, hour)),
    ]
    const first = age === undefined ? -1 : hourOf(Date.now()) - age
    const args = [JSON.stringify(added), REPEAT_S, most, first, age ?? -1].map(String)
    for (let attempt = 1; ; attempt++) {
      this.#mayWrite()
      try {
        await this.link.script(ADD, keys, args, readInteger)
        return
      } catch (error) {
        // It may have succeeded; the id prevents counting it twice.
        const isLost = (error as StateError).fault === 'corrupt' || this.link.isClosed
        if (attempt >= ATTEMPTS || isLost) throw error
        await wait(PAUSE_MS)
      }
    }
  }

  async sums(space: string, sinceHour = 0, group?: string): Promise<readonly Sum[]> {
    return await Array.fromAsync(this.#allSums(space, { sinceHour, ...(group === undefined ? {} : { group }) }))
  }

  async totals(space: string, terms: TotalsTerms): Promise<readonly Sum[]> {
    const totals = new Totals()
    for await (const sum of this.#allSums(space, terms)) totals.add(sum)
    return totals.all
  }

  /** Reads one hour at a time, so that other commands get their turn. */
  async *#allSums(space: string, { sinceHour, untilHour, group }: TotalsTerms): AsyncIterable<Sum> {
    for (const hour of await this.#hours(space, sinceHour, untilHour)) {
      const sums = this.#sums(space, hour)
      const counts = await this.link.run([sums], (redis) => redis.hgetall(sums), readHash)
      const found = new Map<string, { group: string; key: string; hour: number; counts: Record<string, number> }>()
      for (const [field, text] of Object.entries(counts)) {
        const [own, key, name] = partsOf(field)
        if (own === undefined || key === undefined || name === undefined || !(own === (group ?? own))) continue
        const place = fieldOf(own, key)
        const sum = found.get(place) ?? { group: own, key, hour, counts: {} }
        if (Number.isFinite(Number(text))) sum.counts[name] = Number(text)
        found.set(place, sum)
      }
      yield* found.values()
    }
  }

  async forget(space: string, group: string): Promise<void> {
    this.#mayWrite()
    const [records, order] = this.#recordKeys(space)
    const hours = await this.#hours(space, 0)
    const keys = [records, order, ...hours.map((hour) => this.#sums(space, hour))]
    await this.link.script(FORGET, keys, [fieldOf(group)], readInteger)
  }

  async acquire(lease: string, holder: string, ttlMs: number): Promise<HeldLease> {
    this.#mayWrite()
    return { lease, ...(await this.link.script(ACQUIRE, [this.#lease(lease)], [holder, String(ttlMs)], readLease)) }
  }

  async release({ lease, token, holder }: Fence): Promise<void> {
    await this.link.script(RELEASE, [this.#lease(lease)], [String(token), holder], readInteger)
  }

  async publish(topic: string, text: string): Promise<number> {
    this.#mayWrite()
    const args = [text, String(this.#messages), this.link.channel, topic]
    return await this.link.script(PUBLISH, [this.#topic(topic)], args, readInteger)
  }

  async position(topic: string): Promise<number> {
    const key = this.#topic(topic)
    const last = await this.link.run([key], (redis) => redis.xrevrange(key, '+', '-', 'COUNT', 1), readStream)
    return last[0] === undefined ? 0 : positionOf(last[0].id)
  }

  async messages(topic: string, after: number): Promise<Messages> {
    const key = this.#topic(topic)
    const last = await this.position(topic)
    const entries = await this.link.run([key], (redis) => redis.xrange(key, `${after + 1}`, '+'), readStream)
    const messages = entries.map(({ id, value }): Message => ({ position: positionOf(id), text: value }))
    const first = messages[0]?.position ?? last + 1
    // A position that has not been reached yet is from another Redis, or from before it was emptied.
    return { messages, isGap: first > after + 1 || after > last }
  }

  onMessage(topic: string, listener: () => void): () => void {
    return this.link.onMessage(topic, listener)
  }

  /** Closes the link, too. */
  close(): Promise<void> {
    return this.link.close()
  }

  /** @throws {StateError} */
  #mayWrite(): void {
    const why = this.#refusal()
    if (why !== null) throw new StateError('failed', why)
  }

  #hours(space: string, since: number, until?: number): Promise<readonly number[]> {
    const [key, end] = [this.#key(`hours:${space}`), until === undefined ? '+inf' : `(${until}`]
    return this.link.run([key], (redis) => redis.zrangebyscore(key, since, end), readNumbers)
  }

  #key(name: string): string {
    return this.link.key(name)
  }

  #sealed(space: string, field: string, value: string): string {
    return this.link.seal.close(`${space} ${field}`, value)
  }

  /** A stored record; null if its shape or seal is not valid. */
  #recordOf(space: string, field: string, text: string): StateRecord | null {
    const [group, key] = partsOf(field)
    const [version, atMs, sealed] = rowOf(text)
    if (typeof version !== 'number' || typeof atMs !== 'number' || typeof sealed !== 'string') return null
    const value = this.link.seal.open(`${space} ${field}`, sealed)
    this.#renew(space, field, text)
    return value !== null && group !== undefined && key !== undefined ? { group, key, version, value, atMs } : null
  }

  /** Reseals a record with the first secret, so that the other secrets can be removed later. */
  #renew(space: string, field: string, text: string): void {
    const [version, atMs, sealed, order] = rowOf(text)
    const renewed = this.link.seal.renewed(`${space} ${field}`, sealed as string)
    if (renewed === null || this.#refusal() !== null) return
    const row = JSON.stringify([version, atMs, renewed, order])
    // The next reader tries again.
    this.link.renew(this.#records(space), field, text, row).catch(() => {})
  }

  #records(space: string): string {
    return this.#key(`records:${space}`)
  }

  /** The records of a space, the order in which they were written, and its counter. */
  #recordKeys(space: string): [string, string, string] {
    return [this.#records(space), this.#key(`order:${space}`), this.#key(`orders:${space}`)]
  }

  #sums(space: string, hour: number): string {
    return this.#key(`sums:${space}:${hour}`)
  }

  #lease(lease: string): string {
    return this.#key(`lease:${lease}`)
  }

  #topic(topic: string): string {
    return this.#key(`topic:${topic}`)
  }
}

/** The index of the first hour among the keys of `ADD`. */
const FIRST_HOUR = 6

/** Joins names into one field, each with a length prefix, so that the result is unambiguous. */
function fieldOf(...names: string[]): string {
  return names.map((name) => `${name.length}:${name}`).join('')
}

function partsOf(field: string): string[] {
  const names: string[] = []
  for (let at = 0; at < field.length; ) {
    const colon = field.indexOf(':', at)
    const length = Number(field.slice(at, colon))
    if (colon === -1 || !Number.isSafeInteger(length)) return []
    names.push(field.slice(colon + 1, colon + 1 + length))
    at = colon + 1 + length
  }
  return names
}

/** The version of a record, as the script reads it. */
function versionOf(text: string): number {
  const [version] = rowOf(text)
  return typeof version === 'number' ? version : -1
}

function orderOf(text: string): number {
  const order = rowOf(text)[3]
  return typeof order === 'number' ? order : 0
}

function rowOf(text: string): readonly unknown[] {
  try {
    const row: unknown = JSON.parse(text)
    return Array.isArray(row) ? row : []
  } catch {
    return []
  }
}

function positionOf(id: string): number {
  return Number(id.split('-', 1)[0])
}

const readRow: ReadReply<{ readonly text: string | null }> = (reply) =>
  reply === null || typeof reply === 'string' ? { text: reply } : undefined

const readHash: ReadReply<Readonly<Record<string, string>>> = (reply) => {
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) return undefined
  return Object.values(reply).every((value) => typeof value === 'string')
    ? (reply as Readonly<Record<string, string>>)
    : undefined
}

const readNumbers: ReadReply<readonly number[]> = (reply) =>
  Array.isArray(reply) && reply.every((one) => Number.isSafeInteger(Number(one))) ? reply.map(Number) : undefined

const readWritten: ReadReply<readonly ['done' | 'changed' | 'fenced', number, string]> = (reply) => {
  if (!Array.isArray(reply)) return undefined
  const [kind, version, old] = reply as unknown[]
  const isKind = kind === 'done' || kind === 'changed' || kind === 'fenced'
  return isKind && typeof version === 'number' && typeof old === 'string' ? [kind, version, old] : undefined
}

const readLease: ReadReply<Omit<HeldLease, 'lease'>> = (reply) => {
  if (!Array.isArray(reply)) return undefined
  const [holder, token, restMs] = reply as unknown[]
  const fits = typeof holder === 'string' && typeof token === 'number' && typeof restMs === 'number'
  return fits ? { holder, token, restMs } : undefined
}
