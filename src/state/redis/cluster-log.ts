/**
 * The revisions of a cluster's table in Redis, and the heartbeats of its instances. The contents of a revision don't matter here: it is a
 * sealed text under a number.
 */
import type { ClusterLink } from './link.ts'
import { type ReadReply, readInteger } from './replies.ts'

/** A position in the history of a cluster's table. */
export interface Position {
  /** Random id of the cluster: a table with another id is a different table. */
  readonly id: string
  /** Incremented each time an empty or outdated Redis is refilled. */
  readonly epoch: number
  /** Number of the revision. */
  readonly number: number
  /** Distinguishes revisions of the same number. */
  readonly nonce: string
}

/** The newest revision that Redis has. */
export interface Head {
  readonly position: Position
  readonly sealed: string
}

/** A revision as it is stored. */
export interface Row {
  readonly number: number
  readonly sealed: string
}

/** What instances offer to fill Redis with. */
export interface Offers {
  readonly offers: readonly string[]
  /** What is wrong with an offer that was left out; null for none. */
  readonly flaw: string | null
}

/** The heartbeat of an instance. */
export interface MemberRow {
  readonly instance: string
  /** Its age by the clock of Redis, milliseconds. */
  readonly ageMs: number
  readonly text: string
}

/** Limits on what is kept. */
export interface LogBounds {
  readonly revisions: number
  readonly bytes: number
}

/** How much is read or added in one command; a single revision may be larger. */
export const PAGE: LogBounds = Object.freeze({ revisions: 100, bytes: 1024 * 1024 })

/** Instances are removed this long after their last heartbeat. */
const FORGOTTEN_MS = 600_000
/** How long offers are kept. */
const OFFER_MS = 10_000

/** KEYS: table, revisions. ARGV: the known position, or ''. Returns the newest position, and its revision if it is another one. */
const HEAD = `
local at = redis.call('HGET', KEYS[1], 'at') or ''
if at == ARGV[1] or at == '' then return {at, ''} end
local number = string.match(at, '^%S+ %d+ (%d+) %S+$')
return {at, number and redis.call('HGET', KEYS[2], number) or ''}
`

/**
 * Appends a revision. KEYS: table, revisions. ARGV: the expected position; the new one; its number; the revision; limits on revisions and
 * bytes to keep; the channel; \`refill\` to remove all earlier revisions. The same call may come twice, if its reply was lost. Nothing may
 * fail after the first write, which would stay: so numbers may be missing, and \`bytes\` may be anything.
 */
const APPEND = `
local at = redis.call('HGET', KEYS[1], 'at') or ''
if at == ARGV[2] or redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then return 1 end
if at ~= ARGV[1] then return 0 end
local number, keep, most = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
if ARGV[8] == 'refill' then redis.call('DEL', KEYS[1], KEYS[2]) end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
local bytes = (tonumber(redis.call('HGET', KEYS[1], 'bytes')) or 0) + #ARGV[4]
local first = tonumber(redis.call('HGET', KEYS[1], 'first')) or number
local function isOver()
  return (number - first >= keep and redis.call('HLEN', KEYS[2]) > keep) or bytes > most
end
while first < number - 1 and isOver() do
  bytes = bytes - redis.call('HSTRLEN', KEYS[2], first)
  redis.call('HDEL', KEYS[2], first)
  first = first + 1
end
redis.call('HSET', KEYS[1], 'format', 1, 'at', ARGV[2], 'first', first, 'bytes', string.format('%.0f', bytes))
redis.call('PUBLISH', ARGV[7], 'table')
return 1
`

/**
 * A page of revisions, ordered by number. KEYS: table, revisions. ARGV: required prefix of the position; first number, and the number before
 * which to end; maximum revisions and bytes (the first one may be larger). Returns how many more there are, then number and contents of
 * each.
 */
const REVISIONS = `
local at = redis.call('HGET', KEYS[1], 'at') or ''
if string.sub(at, 1, #ARGV[1]) ~= ARGV[1] then return {0} end
local numbers, first, before = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local number = tonumber(field)
  if number and number >= first and number < before then numbers[#numbers + 1] = number end
end
table.sort(numbers)
local page, bytes, more = {0}, 0, #numbers
for _, number in ipairs(numbers) do
  local field = string.format('%.0f', number)
  bytes = bytes + redis.call('HSTRLEN', KEYS[2], field)
  if #page > 1 and (#page > 2 * ARGV[4] or bytes > tonumber(ARGV[5])) then break end
  page[#page + 1] = field
  page[#page + 1] = redis.call('HGET', KEYS[2], field) or ''
  more = more - 1
end
page[1] = more
return page
`

/**
 * Adds missing revisions before the newest one; others may add them at the same time. KEYS: table, revisions.
 * ARGV: required prefix of the position; limits on revisions and bytes to keep; number and contents of each revision, newest first. Returns
 * how many of them are there now; if fewer than given, there is no room for the next one.
 */
const FILL = `
local at = redis.call('HGET', KEYS[1], 'at') or ''
local newest = tonumber(string.match(at, '^%S+ %d+ (%d+) %S+$'))
if not newest or string.sub(at, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
local first = tonumber(redis.call('HGET', KEYS[1], 'first')) or newest
local bytes, there = tonumber(redis.call('HGET', KEYS[1], 'bytes')) or 0, 0
for at = 4, #ARGV, 2 do
  local number = tonumber(ARGV[at])
  if redis.call('HEXISTS', KEYS[2], ARGV[at]) == 0 then
    bytes = bytes + #ARGV[at + 1]
    local isFull = redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) or bytes > tonumber(ARGV[3])
    if number >= newest or isFull then break end
    first = math.min(first, number)
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
    redis.call('HSET', KEYS[1], 'first', first, 'bytes', string.format('%.0f', bytes))
  end
  there = there + 1
end
return there
`

const OFFER = `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])
`

/** KEYS: members. ARGV: instance, its heartbeat or '', age at which instances are removed, the channel, whether to notify the others. */
const MEMBERS = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2]) end
local rows, told = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #rows, 2 do
  local seen = tonumber(string.match(rows[at + 1], '^%d+') or 0)
  if now - seen > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], rows[at])
  else told[#told + 1] = {rows[at], string.format('%.0f', now - seen), string.gsub(rows[at + 1], '^%d* ', '', 1)} end
end
if ARGV[5] == '1' then redis.call('PUBLISH', ARGV[4], 'members') end
return told
`

/** KEYS[1]: the turn. ARGV[1]: its maximum milliseconds: caps a turn without an expiry or with a later one, which banyan didn't set. */
const NO_LONGER = `
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
`

/** Returns the holder of the turn. */
const TURN_OF = `${NO_LONGER}
return redis.call('HMGET', KEYS[1], 'instance', 'strict')
`

/** KEYS: the turn. ARGV: milliseconds, instance, whether it is strict. Returns whether the instance has the turn. */
const TURN = `${NO_LONGER}
local holder = redis.call('HGET', KEYS[1], 'instance')
if holder and holder ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'instance', ARGV[2], 'strict', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`

/** KEYS: the turn. ARGV: instance that ends it. */
const TURN_OVER = `
if redis.call('HGET', KEYS[1], 'instance') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
`

/** Returns information about the server that has the cluster's keys. */
const SERVER = `redis.call('EXISTS', KEYS[1])
return redis.call('INFO', 'memory') .. redis.call('INFO', 'server')`

/** Topics of messages. */
export const TABLE_TOPIC = 'table'
export const MEMBERS_TOPIC = 'members'
/** Redis is another server than before: all instances announce their positions. */
export const SERVER_TOPIC = 'server'

/** The revisions of one cluster. All methods reject with a `StateError`. */
export class ClusterLog {
  readonly link: ClusterLink
  readonly #bounds: LogBounds

  constructor(link: ClusterLink, bounds: LogBounds) {
    this.link = link
    this.#bounds = bounds
  }

  /**
   * The newest revision.
   * @param known the known position, or null; if it is still the newest, the result is `same`
   * @returns null if there is none; `other` if it is not a valid position
   */
  async head(known: Position | null): Promise<Head | 'same' | 'other' | null> {
    const asked = known === null ? '' : printPosition(known)
    const [at, sealed] = await this.link.script(HEAD, this.#keys(), [asked], readPair)
    if (at === '') return null
    if (at === asked) return 'same'
    const position = readPosition(at)
    return position === null ? 'other' : { position, sealed }
  }

  /** The numbers of all revisions kept, unordered. */
  async numbers(): Promise<readonly number[]> {
    const key = this.link.key('revisions')
    return (await this.link.run([key], (redis) => redis.hkeys(key), readTexts)).map(Number).filter(Number.isSafeInteger)
  }

  /** Replaces a revision by a resealed one. */
  async renew(number: number, before: string, after: string): Promise<void> {
    await this.link.renew(this.link.key('revisions'), String(number), before, after)
  }

  /**
   * A page of revisions from a number on, before that of a position; none if Redis is in another epoch.
   * @returns `more`: how many follow
   */
  async revisionsBefore(
    newest: Position,
    from: number,
  ): Promise<{ readonly rows: readonly Row[]; readonly more: number }> {
    const args = [printEpoch(newest), from, newest.number, PAGE.revisions, PAGE.bytes].map(String)
    return await this.link.script(REVISIONS, this.#keys(), args, readPage)
  }

  /**
   * Appends a revision after a position.
   * @param behind null if there must be none
   * @param isRefill removes all existing revisions, which are outdated
   * @returns whether it is there now; false if the newest position is not `behind`
   */
  async append(behind: Position | null, position: Position, sealed: string, isRefill = false): Promise<boolean> {
    const { revisions, bytes } = this.#bounds
    const [before, at] = [behind === null ? '' : printPosition(behind), printPosition(position)]
    const args = [before, at, position.number, sealed, revisions, bytes, this.link.channel, isRefill ? 'refill' : '']
    return (await this.link.script(APPEND, this.#keys(), args.map(String), readInteger)) === 1
  }

  /** Adds missing revisions before the newest one, newest first. @returns whether there was room for all of them */
  async fill(position: Position, rows: readonly Row[]): Promise<boolean> {
    const { revisions, bytes } = this.#bounds
    const args = [printEpoch(position), String(revisions), String(bytes)]
    for (const { number, sealed } of rows) args.push(String(number), sealed)
    return (await this.link.script(FILL, this.#keys(), args, readInteger)) === rows.length
  }

  /**
   * Takes or renews the turn to edit, until `ms` have passed.
   * @param isStrict a flag for other instances to read
   * @returns false if another instance has it
   */
  async takeTurn(instance: string, ms: number, isStrict: boolean): Promise<boolean> {
    const args = [String(ms), instance, isStrict ? '1' : '0']
    return (await this.link.script(TURN, [this.link.key('turn')], args, readInteger)) === 1
  }

  /** Ends the turn of an instance. */
  async endTurn(instance: string): Promise<void> {
    await this.link.script(TURN_OVER, [this.link.key('turn')], [instance], readInteger)
  }

  /** The holder of the turn, or null. @param ms the maximum duration of a turn */
  async turn(ms: number): Promise<{ readonly instance: string; readonly isStrict: boolean } | null> {
    const turn = await this.link.script(TURN_OF, [this.link.key('turn')], [String(ms)], readTurn)
    return turn.instance === '' ? null : turn
  }

  /** Waits until this many replicas have confirmed all writes. @returns how many have, at most that many */
  async replicated(replicas: number, timeoutMs: number): Promise<number> {
    const key = this.link.key('table')
    // The key selects the right node of a Cluster.
    const wait = [
      ['exists', key],
      ['wait', String(replicas), String(timeoutMs)],
    ]
    const command = async (redis: Parameters<Parameters<ClusterLink['run']>[1]>[0]) =>
      (await redis.pipeline(wait).exec())?.[1]?.[1]
    return Math.min(replicas, await this.link.run([key], command, readInteger, timeoutMs))
  }

  /**
   * Announces what this instance could fill an empty or outdated Redis with.
   * @returns all offers, except those sealed with another secret, whose revisions would be unreadable here
   */
  async offer(instance: string, text: string): Promise<Offers> {
    const { seal } = this.link
    const args = [instance, seal.close(`offer ${instance}`, text), String(OFFER_MS)]
    const said = await this.link.script(OFFER, [this.link.key('offers')], args, readTexts)
    const offers: string[] = []
    let flaw: string | null = null
    for (let at = 0; at < said.length; at += 2) {
      const [one, sealed] = [said[at] ?? '', said[at + 1] ?? '']
      const offer = seal.open(`offer ${one}`, sealed)
      if (offer !== null) offers.push(offer)
      else flaw = `the offer of ${one} in ${this.link.key('offers')} does not verify: ${seal.flawOf(sealed)}`
    }
    return { offers, flaw }
  }

  /**
   * The heartbeats of all instances.
   * @param text the heartbeat of this one; null for none
   * @param isNews notifies the other instances
   */
  async members(instance: string, text: string | null, isNews: boolean): Promise<readonly MemberRow[]> {
    const args = [instance, text ?? '', FORGOTTEN_MS, this.link.channel, isNews ? 1 : 0].map(String)
    return await this.link.script(MEMBERS, [this.link.key('members')], args, readMembers)
  }

  /** Removes this instance. */
  async leave(instance: string): Promise<void> {
    const key = this.link.key('members')
    await this.link.run([key], (redis) => redis.hdel(key, instance), readInteger)
  }

  /** The server's eviction policy, such as `noeviction`, and its run id; each '' if unknown. */
  async server(): Promise<{ readonly policy: string; readonly run: string }> {
    const { text } = await this.link.script(SERVER, [this.link.key('table')], [], readTextOrNone)
    const fieldOf = (name: string): string => new RegExp(`^${name}:(\\S+)`, 'm').exec(text ?? '')?.[1] ?? ''
    return { policy: fieldOf('maxmemory_policy'), run: fieldOf('run_id') }
  }

  #keys(): string[] {
    return [this.link.key('table'), this.link.key('revisions')]
  }
}

function printPosition({ id, epoch, number, nonce }: Position): string {
  return `${id} ${epoch} ${number} ${nonce}`
}

/** The prefix of all positions of an epoch. */
function printEpoch({ id, epoch }: Position): string {
  return `${id} ${epoch} `
}

function readPosition(text: string): Position | null {
  const [, id, epoch, number, nonce] = /^([\w-]{1,64}) (\d{1,15}) (\d{1,15}) ([\w-]{1,64})$/.exec(text) ?? []
  if (id === undefined || nonce === undefined) return null
  return { id, epoch: Number(epoch), number: Number(number), nonce }
}

const readPair: ReadReply<readonly [string, string]> = (reply) => {
  if (!Array.isArray(reply) || reply.length !== 2) return undefined
  const [at, sealed] = reply as unknown[]
  return typeof at === 'string' && typeof sealed === 'string' ? [at, sealed] : undefined
}

const readPage: ReadReply<{ readonly rows: readonly Row[]; readonly more: number }> = (reply) => {
  if (!Array.isArray(reply) || reply.length % 2 !== 1) return undefined
  const [more, ...flat] = reply as unknown[]
  const rows: Row[] = []
  for (let at = 0; at < flat.length; at += 2) {
    const [number, sealed] = [Number(flat[at]), flat[at + 1]]
    if (!Number.isSafeInteger(number) || typeof sealed !== 'string') return undefined
    rows.push({ number, sealed })
  }
  return typeof more === 'number' ? { rows, more } : undefined
}

const readTextOrNone: ReadReply<{ readonly text: string | null }> = (reply) =>
  reply === null || typeof reply === 'string' ? { text: reply } : undefined

const readTurn: ReadReply<{ readonly instance: string; readonly isStrict: boolean }> = (reply) => {
  if (!Array.isArray(reply)) return undefined
  const [instance, strict] = reply as unknown[]
  return { instance: typeof instance === 'string' ? instance : '', isStrict: strict === '1' }
}

const readTexts: ReadReply<readonly string[]> = (reply) =>
  Array.isArray(reply) && reply.every((one) => typeof one === 'string') ? reply : undefined

const readMembers: ReadReply<readonly MemberRow[]> = (reply) => {
  if (!Array.isArray(reply)) return undefined
  const rows: MemberRow[] = []
  for (const row of reply as unknown[]) {
    if (!Array.isArray(row)) return undefined
    const [instance, age, text] = row as unknown[]
    if (typeof instance !== 'string' || typeof text !== 'string') return undefined
    rows.push({ instance, ageMs: Number(age), text })
  }
  return rows
}
