/**
 * The revisions of a cluster's table in Redis, and what its instances tell of themselves there. What a revision says is for
 * others to read: here it is a sealed text under a number.
 */
import type { ClusterLink } from './link.ts'
import { type ReadReply, readInteger } from './replies.ts'

/** Where the table of a cluster stands. */
export interface Position {
  /** Of the cluster, random: the table of one with another id is another table. */
  readonly id: string
  /** Counts up each time an empty or older Redis is refilled. */
  readonly epoch: number
  /** Of the revision. */
  readonly number: number
  /** Of the revision: tells two of the same number apart. */
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

/** What instances have said that they could fill Redis with. */
export interface Offers {
  readonly offers: readonly string[]
  /** Of one that is not among them; null where all are. */
  readonly flaw: string | null
}

/** What an instance tells of itself. */
export interface MemberRow {
  readonly instance: string
  /** How long ago it was told, by the clock of Redis, milliseconds. */
  readonly ageMs: number
  readonly text: string
}

/** Bounds of what is kept. */
export interface LogBounds {
  readonly revisions: number
  readonly bytes: number
}

/** What is read, or added, in one command; a single revision may be larger. */
export const PAGE: LogBounds = Object.freeze({ revisions: 100, bytes: 1024 * 1024 })

/** Those who have left are forgotten after this. */
const FORGOTTEN_MS = 600_000
/** How long it is known which revision an instance could fill an empty Redis with. */
const OFFER_MS = 10_000

/** KEYS: table, revisions. ARGV: the position that is known, or ''. Returns the newest one, with its revision where it is another. */
const HEAD = `
local at = redis.call('HGET', KEYS[1], 'at') or ''
if at == ARGV[1] or at == '' then return {at, ''} end
local number = string.match(at, '^%S+ %d+ (%d+) %S+$')
return {at, number and redis.call('HGET', KEYS[2], number) or ''}
`

/**
 * KEYS: table, revisions. ARGV: the position behind which it comes; the new one; its number; the revision; how many are kept, and
 * bytes of them; the channel; \`refill\` where those before are to go. The same call may come twice: its reply may have been lost.
 * Nothing must fail behind the first write, which stays then: numbers may be missing, and \`bytes\` may be anything.
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
 * Revisions in the order of their numbers. KEYS: table, revisions. ARGV: how the position begins that they must belong to; the first
 * number, and that before which they are; how many at most, and bytes of them, but for the first one. Returns how many more there
 * are, and of each its number and what is stored.
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
 * Adds revisions before the newest one, as far as they are not there: others may add them at the same time. KEYS: table, revisions.
 * ARGV: how the position begins that they belong to; how many are kept, and bytes of them; of each its number, and the revision, the
 * newest first. Returns how many are there now: there is no place for the next one.
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

/** KEYS: members. ARGV: instance, what it tells or '', after how long one is forgotten, the channel, whether others are to look. */
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

/** KEYS[1]: the turn. ARGV[1]: for how many milliseconds anybody takes it: what has no end, or a later one, was not left so by banyan. */
const NO_LONGER = `
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
`

/** Whose turn it is. */
const TURN_OF = `${NO_LONGER}
return redis.call('HMGET', KEYS[1], 'instance', 'strict')
`

/** KEYS: the turn. ARGV: for how many milliseconds, who wants it, whether it is strict. Returns whether it has it. */
const TURN = `${NO_LONGER}
local holder = redis.call('HGET', KEYS[1], 'instance')
if holder and holder ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'instance', ARGV[2], 'strict', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`

/** KEYS: the turn. ARGV: who has had it. */
const TURN_OVER = `
if redis.call('HGET', KEYS[1], 'instance') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
`

/** The server that has the cluster's keys. */
const SERVER = `redis.call('EXISTS', KEYS[1])
return redis.call('INFO', 'memory') .. redis.call('INFO', 'server')`

/** Topics of messages. */
export const TABLE_TOPIC = 'table'
export const MEMBERS_TOPIC = 'members'
/** Redis is another server than before: all are to say what they have. */
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
   * @param known null where none is; where it is the newest one, `same` is the answer
   * @returns null where there is none at all; `other` for what is no position
   */
  async head(known: Position | null): Promise<Head | 'same' | 'other' | null> {
    const asked = known === null ? '' : printPosition(known)
    const [at, sealed] = await this.link.script(HEAD, this.#keys(), [asked], readPair)
    if (at === '') return null
    if (at === asked) return 'same'
    const position = readPosition(at)
    return position === null ? 'other' : { position, sealed }
  }

  /** Numbers of those that are kept, in no order. */
  async numbers(): Promise<readonly number[]> {
    const key = this.link.key('revisions')
    return (await this.link.run([key], (redis) => redis.hkeys(key), readTexts)).map(Number).filter(Number.isSafeInteger)
  }

  /** Replaces the text of a revision by the same one under another seal. */
  async renew(number: number, before: string, after: string): Promise<void> {
    await this.link.renew(this.link.key('revisions'), String(number), before, after)
  }

  /**
   * Revisions from a number on and before that of a position, a page of them; none where Redis is in another epoch.
   * @returns `more`: that come behind them
   */
  async revisionsBefore(
    newest: Position,
    from: number,
  ): Promise<{ readonly rows: readonly Row[]; readonly more: number }> {
    const args = [printEpoch(newest), from, newest.number, PAGE.revisions, PAGE.bytes].map(String)
    return await this.link.script(REVISIONS, this.#keys(), args, readPage)
  }

  /**
   * Adds a revision behind a position.
   * @param behind null where there must be none
   * @param isRefill what there is goes, since it is older
   * @returns whether it is there now; false: the newest is another one than `behind`
   */
  async append(behind: Position | null, position: Position, sealed: string, isRefill = false): Promise<boolean> {
    const { revisions, bytes } = this.#bounds
    const [before, at] = [behind === null ? '' : printPosition(behind), printPosition(position)]
    const args = [before, at, position.number, sealed, revisions, bytes, this.link.channel, isRefill ? 'refill' : '']
    return (await this.link.script(APPEND, this.#keys(), args.map(String), readInteger)) === 1
  }

  /** Adds revisions before the newest one that are not there, the newest first. @returns whether there was a place for all of them */
  async fill(position: Position, rows: readonly Row[]): Promise<boolean> {
    const { revisions, bytes } = this.#bounds
    const args = [printEpoch(position), String(revisions), String(bytes)]
    for (const { number, sealed } of rows) args.push(String(number), sealed)
    return (await this.link.script(FILL, this.#keys(), args, readInteger)) === rows.length
  }

  /**
   * Takes the turn to edit, or keeps it: others can't before that time is over.
   * @param isStrict for those who read it
   * @returns false: another instance has it
   */
  async takeTurn(instance: string, ms: number, isStrict: boolean): Promise<boolean> {
    const args = [String(ms), instance, isStrict ? '1' : '0']
    return (await this.link.script(TURN, [this.link.key('turn')], args, readInteger)) === 1
  }

  /** Ends the turn of an instance. */
  async endTurn(instance: string): Promise<void> {
    await this.link.script(TURN_OVER, [this.link.key('turn')], [instance], readInteger)
  }

  /** Whose turn it is; null where it is nobody's. @param ms for how long one takes it at most */
  async turn(ms: number): Promise<{ readonly instance: string; readonly isStrict: boolean } | null> {
    const turn = await this.link.script(TURN_OF, [this.link.key('turn')], [String(ms)], readTurn)
    return turn.instance === '' ? null : turn
  }

  /** Waits until this many replicas have what was written. @returns how many have, at most so many */
  async replicated(replicas: number, timeoutMs: number): Promise<number> {
    const key = this.link.key('table')
    // The key leads to the right node of a Cluster.
    const wait = [
      ['exists', key],
      ['wait', String(replicas), String(timeoutMs)],
    ]
    const command = async (redis: Parameters<Parameters<ClusterLink['run']>[1]>[0]) =>
      (await redis.pipeline(wait).exec())?.[1]?.[1]
    return Math.min(replicas, await this.link.run([key], command, readInteger, timeoutMs))
  }

  /**
   * Says what this instance could fill an empty or older Redis with.
   * @returns what all can that have said so; not those with another secret, whose revisions nobody here could read
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
   * The instances.
   * @param text what this one tells of itself; null for nothing
   * @param isNews others are told to look
   */
  async members(instance: string, text: string | null, isNews: boolean): Promise<readonly MemberRow[]> {
    const args = [instance, text ?? '', FORGOTTEN_MS, this.link.channel, isNews ? 1 : 0].map(String)
    return await this.link.script(MEMBERS, [this.link.key('members')], args, readMembers)
  }

  /** This instance is no member any more. */
  async leave(instance: string): Promise<void> {
    const key = this.link.key('members')
    await this.link.run([key], (redis) => redis.hdel(key, instance), readInteger)
  }

  /** The server: how it makes room when its memory is full, such as `noeviction`, and the id of its run; each '' where it does not say. */
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

/** How the positions of an epoch begin. */
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
