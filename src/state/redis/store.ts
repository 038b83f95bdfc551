/**
 * The shared cache store in Redis: one value per variant, locks with a lease, the log of purges, and a channel for notifications of fills
 * and new log records.
 *
 * Keys, all with the prefix: `e:HASH` an entry, `l:HASH` a lock, `{log}` a stream of the last purges, `{log}table` the table last in
 * force, and `purges`, the purges for the previous release. No other keys are touched, and keys are never listed.
 */
import { hash, randomUUID } from 'node:crypto'
import type { Purge } from '../../rules/caching/purge.ts'
import { decodeEntry, encodeEntry } from '../caching/frame.ts'
import type { PurgeLog } from '../caching/purges.ts'
import type {
  FillHeld,
  FillLock,
  FillOutcome,
  FillWait,
  RemoteFigures,
  RemoteStore,
  TableNote,
} from '../caching/remote.ts'
import type { CacheEntry } from '../caching/store.ts'
import { RedisClient, type RedisClientSettings } from './client.ts'
import { EarlierLog } from './earlier-log.ts'
import { Gatherer } from './gather.ts'
import { SharedLog } from './log.ts'
import { readInteger, readLock, readSet } from './replies.ts'
import { TableRecord } from './table-record.ts'

/** Settings of the store. */
export interface RedisStoreSettings extends RedisClientSettings {
  /** Prefix of every key and of the channel: `banyan:`. */
  readonly prefix: string
  /** Called on each change between up and down, for the log; when down, with the reason in a few words. */
  onState(up: boolean, why: string | null): void
  /** Called if another program has written a key, with what to do. */
  onForeign?(message: string): void
}

/**
 * A lock expires after this many deadlines unless renewed, within these bounds. A holder that has died, is cut off, or doesn't know that
 * it has the lock blocks others no longer.
 */
const LEASE_DEADLINES = 5
const SHORTEST_LEASE_MS = 100
const LONGEST_LEASE_MS = 5000

/** Takes a lock, replacing an invalid value. Returns 0 and our token, or the remaining time of another holder and its token. */
const TAKE = `
local value, left = redis.pcall('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if type(value) == 'string' and #value == 36 and left > 0 and left <= ${LONGEST_LEASE_MS} then return {left, value} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {0, ARGV[1]}
`
/** Delete or extend a lock only if it is still ours. */
const RELEASE = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"
const RENEW = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0"

/** How often the log is polled: a lost message delays a purge by at most this. */
const LOOK_MS = 1000
/** Failed polls after which Redis is reported as down. */
const VAIN_LOOKS = 3

/** A Redis as a store. */
export class RedisStore implements RemoteStore {
  readonly #client: RedisClient
  readonly #values: Gatherer
  readonly #prefix: string
  readonly #deadlineMs: number
  readonly #leaseMs: number
  readonly #onState: (up: boolean, why: string | null) => void
  readonly #onForeign: (message: string) => void
  readonly #channel: string
  readonly #waits = new Map<string, Set<(outcome: FillOutcome | null, whose?: string) => void>>()
  readonly #look: ReturnType<typeof setInterval>
  #log: SharedLog | null = null
  #earlier: EarlierLog | null = null
  #table: TableRecord | null = null
  /** The log has been read since the connections were opened, so entries in Redis can be checked against purges. */
  #inStep = false
  /** The last reported state; null before the first report. */
  #saidUp: boolean | null = null
  #vainLooks = 0
  #hits = 0
  #misses = 0
  #writes = 0

  constructor(settings: RedisStoreSettings) {
    this.#prefix = settings.prefix
    this.#deadlineMs = settings.deadlineMs
    const leaseMs = settings.deadlineMs * LEASE_DEADLINES
    this.#leaseMs = Math.min(Math.max(leaseMs, SHORTEST_LEASE_MS), LONGEST_LEASE_MS)
    this.#onState = (up, why) => settings.onState(up, why)
    this.#onForeign = (message) => settings.onForeign?.(message)
    this.#channel = `${settings.prefix}${settings.address.database}`
    this.#client = new RedisClient(settings, this.#channel, {
      onMessage: (text) => this.#onMessage(text),
      onReady: () => {
        this.#log?.begin()
        this.#table?.begin()
        void this.#catchUp(true)
      },
      onDown: () => {
        this.#inStep = false
        if (this.#saidUp) this.#say(false)
      },
    })
    this.#values = new Gatherer((names) => this.#client.values(names))
    this.#look = setInterval(() => void this.#catchUp(false), LOOK_MS)
    this.#look.unref()
  }

  get usable(): boolean {
    return this.#inStep && this.#client.usable
  }

  async get(key: string): Promise<CacheEntry | null> {
    const bytes = await this.#values.get(this.#name('e', key))
    const entry = bytes ? decodeEntry(bytes) : null
    if (entry !== null) this.#hits++
    else this.#misses++
    if (bytes && entry === null) this.#client.onUnreadable()
    return entry
  }

  async set(key: string, entry: CacheEntry, lastsMs: number): Promise<void> {
    // Don't even encode an entry for a Redis that can't be reached.
    if (!this.usable || lastsMs < 1) return
    const bytes = encodeEntry(entry)
    const name = this.#name('e', key)
    const reply = await this.#client.write(
      bytes.length,
      (redis) => redis.set(name, bytes, 'PX', Math.ceil(lastsMs)),
      readSet,
    )
    if (reply === 'OK') this.#writes++
  }

  delete(key: string): void {
    void this.#client.run((redis) => redis.del(this.#name('e', key)), readInteger)
  }

  async lock(key: string): Promise<FillLock | FillHeld | 'unavailable'> {
    const name = this.#name('l', key)
    const token = randomUUID()
    let sent = false
    let renewal: NodeJS.Timeout | undefined
    let released = false
    const renew = (): void => {
      void this.#client.run((redis) => redis.eval(RENEW, 1, name, token, this.#leaseMs), readInteger)
    }
    const reply = await this.#client.run((redis) => {
      sent = true
      const taken = redis.eval(TAKE, 1, name, token, this.#leaseMs)
      // Even if the reply comes too late to be waited for: the lock is ours, and we fill the entry all the same.
      taken.then(
        (late) => {
          if (readLock(late)?.leftMs === 0 && !released) renewal = setInterval(renew, this.#leaseMs / 3).unref()
        },
        () => {},
      )
      return taken
    }, readLock)
    if (!sent) return 'unavailable'
    if (reply !== undefined && reply.token !== token) return { heldForMs: reply.leftMs }
    return {
      release: (outcome, asker = '') => {
        released = true
        clearInterval(renewal)
        void this.#client.run((redis) => redis.eval(RELEASE, 1, name, token), readInteger)
        const whose = outcome === 'uncacheable' ? ` ${this.#hash(asker)}` : ''
        this.#tell(`done ${outcome} ${this.#hash(key)}${whose}`)
      },
    }
  }

  awaitFill(key: string, asker: string): FillWait {
    const name = this.#hash(key)
    let settle = (_: FillOutcome | null, _whose?: string): void => {}
    const outcome = new Promise<FillOutcome | null>((resolve) => {
      settle = (outcome, whose) =>
        resolve(outcome === 'uncacheable' && whose !== this.#hash(asker) ? 'failed' : outcome)
    })
    const waiting = this.#waits.get(name)
    if (waiting === undefined) this.#waits.set(name, new Set([settle]))
    else waiting.add(settle)
    const cancel = (): void => {
      const all = this.#waits.get(name)
      all?.delete(settle)
      if (all?.size === 0) this.#waits.delete(name)
      settle(null)
    }
    const within = async (ms: number): Promise<FillOutcome | null> => {
      const timer = setTimeout(cancel, ms)
      const ended = await outcome
      clearTimeout(timer)
      cancel()
      return ended
    }
    return { within, cancel }
  }

  follow(purges: PurgeLog, note: TableNote | null): void {
    const client = this.#client
    const channel = this.#channel
    const key = `${this.#prefix}{log}`
    this.#log = new SharedLog({ client, channel, key, purges, note })
    // In the same slot of a Cluster.
    this.#table = note === null ? null : new TableRecord({ client, key: `${key}table`, purges, note })
    const onForeign = (message: string): void => this.#onForeign(message)
    this.#earlier = new EarlierLog({ client, channel, key: `${this.#prefix}purges`, purges, onForeign })
    void this.#catchUp(true)
  }

  async catchUp(): Promise<void> {
    if (this.#log === null) return
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise((resolve) => {
      timer = setTimeout(resolve, this.#deadlineMs)
    })
    await Promise.race([this.#log.read(), deadline])
    clearTimeout(timer)
  }

  async share(purge: Purge): Promise<string | null> {
    if (this.#log === null) return null
    this.#earlier?.write(purge)
    return await this.#log.write(purge)
  }

  figures(): RemoteFigures {
    const { breaker, figures, why } = this.#client
    const up = this.usable
    return {
      state: up ? 'up' : 'degraded',
      why: up ? null : why,
      breaker: breaker.state,
      hits: this.#hits,
      misses: this.#misses,
      writes: this.#writes,
      ...figures,
      opened: breaker.opened,
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#look)
    await this.#client.close()
  }

  #hash(key: string): string {
    return hash('sha256', key, 'base64url')
  }

  #name(kind: 'e' | 'l', key: string): string {
    return `${this.#prefix}${kind}:${this.#hash(key)}`
  }

  #tell(text: string): void {
    void this.#client.run((redis) => redis.publish(this.#channel, text), readInteger)
  }

  #onMessage(text: string): void {
    if (text === 'read') {
      void this.#log?.read()
      return
    }
    const first = text.indexOf(' ')
    const second = text.indexOf(' ', first + 1)
    const [what, word, rest] = [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)]
    if (what === 'done') {
      const [name = '', whose] = rest.split(' ')
      if (!isOutcome(word)) this.#client.onUnreadable()
      else for (const wake of [...(this.#waits.get(name) ?? [])]) wake(word, whose)
    } else if (what === 'purge') void this.#earlier?.read()
    else if (what === 'forget') this.#earlier?.forget(rest)
    else this.#client.onUnreadable()
  }

  /**
   * Reads the log, and writes into it what it lacks.
   * @param anew after a reconnect, possibly to another Redis or an emptied one
   */
  async #catchUp(anew: boolean): Promise<void> {
    if (this.#log === null || this.#earlier === null) return
    const known =
      this.#client.connected && (await this.#log.read()) && (this.#table === null || (await this.#table.compare()))
    if (known) {
      this.#vainLooks = 0
      this.#inStep = true
      this.#say(true)
      if (anew) this.#earlier.begin()
      await this.#earlier.read()
      await this.#log.mend(anew)
      await this.#table?.write()
    } else {
      // Purges since then are unknown.
      this.#inStep = false
      if (++this.#vainLooks >= VAIN_LOOKS) this.#say(false)
    }
  }

  /** Reports a change of the state. */
  #say(up: boolean): void {
    if (this.#saidUp === up) return
    this.#saidUp = up
    this.#onState(up, up ? null : this.#client.why)
  }
}

function isOutcome(word: string): word is FillOutcome {
  return word === 'stored' || word === 'uncacheable' || word === 'failed' || word === 'streaming'
}
