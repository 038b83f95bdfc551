/**
 * The shared store over Redis: one value per variant, locks with a lease, and a channel on which processes tell each other
 * of fills, purges and what has become untrue.
 *
 * Keys, all below the prefix: `e:HASH` an entry, `l:HASH` a lock, `purges` a stream of the last purges. No others are
 * touched, and none is listed.
 */
import { hash, randomUUID } from 'node:crypto'
import { type Purge, readPurge } from '../../rules/caching/purge.ts'
import { decodeEntry, encodeEntry } from '../caching/frame.ts'
import { MAX_PURGES } from '../caching/purges.ts'
import type { FillLock, FillOutcome, FillWait, RemoteFigures, RemoteListener, RemoteStore } from '../caching/remote.ts'
import type { CacheEntry } from '../caching/store.ts'
import { RedisClient, type RedisClientSettings } from './client.ts'
import { Gatherer } from './gather.ts'
import { readInteger, readSet, readStream, readStreamId } from './replies.ts'

/** Settings of the store. */
export interface RedisStoreSettings extends RedisClientSettings {
  /** Begins every key and the channel: `banyan:`. */
  readonly prefix: string
  /** Told of each change between up and down, for the log; down with a few words on why. */
  onState(up: boolean, why: string | null): void
}

/** A filler that dies holds its lock this long at most. */
const LEASE_MS = 5000
const RENEW_MS = 1500

/** How often the purges are looked up beside the messages: a message that was lost is late by no more. */
const LOOK_MS = 1000

/** Deletes or extends a lock only where it is still ours. */
const RELEASE = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"
const RENEW = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0"

/** A Redis as a store. */
export class RedisStore implements RemoteStore {
  readonly #client: RedisClient
  readonly #values: Gatherer
  readonly #prefix: string
  readonly #onState: (up: boolean, why: string | null) => void
  readonly #channel: string
  readonly #self = randomUUID()
  readonly #waits = new Map<string, Set<(outcome: FillOutcome) => void>>()
  readonly #unshared: Purge[] = []
  readonly #look: ReturnType<typeof setInterval>
  #listener: RemoteListener | null = null
  /** All purges are known, and ours are told: what lies in Redis can be judged. */
  #inStep = false
  /** The id of the last purge, as Redis writes it. */
  #lastPurge = '0-0'
  #hits = 0
  #misses = 0
  #writes = 0

  constructor(settings: RedisStoreSettings) {
    this.#prefix = settings.prefix
    this.#onState = (up, why) => settings.onState(up, why)
    this.#channel = `${settings.prefix}${settings.address.database}`
    this.#client = new RedisClient(settings, this.#channel, {
      onMessage: (text) => this.#onMessage(text),
      onReady: () => void this.#catchUp(true),
      onDown: () => {
        if (this.#inStep) this.#onState(false, this.#client.why)
        this.#inStep = false
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
    // In a Redis that can't be reached nothing can be kept: don't even write it down.
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

  async lock(key: string): Promise<FillLock | 'held' | 'unavailable'> {
    const name = this.#name('l', key)
    const token = randomUUID()
    let late = false
    const reply = await this.#client.run((redis) => {
      const sent = redis.set(name, token, 'PX', LEASE_MS, 'NX')
      // Got when nobody waits for it any more: others must not wait for its end.
      sent.then(
        (got) => {
          if (late && got !== null) this.#release(name, token)
        },
        () => {},
      )
      return sent
    }, readSet)
    if (reply === undefined) {
      late = true
      return 'unavailable'
    }
    if (reply === null) return 'held'
    const renewal = setInterval(() => {
      void this.#client.run((redis) => redis.eval(RENEW, 1, name, token, LEASE_MS), readInteger)
    }, RENEW_MS)
    renewal.unref()
    return {
      release: (outcome) => {
        clearInterval(renewal)
        this.#release(name, token)
        this.#tell(`done ${outcome} ${this.#hash(key)}`)
      },
    }
  }

  #release(name: string, token: string): void {
    void this.#client.run((redis) => redis.eval(RELEASE, 1, name, token), readInteger)
  }

  awaitFill(key: string, patienceMs: number): FillWait {
    const name = this.#hash(key)
    let cancel = (): void => {}
    const outcome = new Promise<FillOutcome | null>((resolve) => {
      const settle = (result: FillOutcome | null): void => {
        clearTimeout(timer)
        const waiting = this.#waits.get(name)
        waiting?.delete(settle)
        if (waiting?.size === 0) this.#waits.delete(name)
        resolve(result)
      }
      const timer = setTimeout(() => settle(null), patienceMs)
      const waiting = this.#waits.get(name)
      if (waiting === undefined) this.#waits.set(name, new Set([settle]))
      else waiting.add(settle)
      cancel = () => settle(null)
    })
    return { outcome, cancel: () => cancel() }
  }

  forget(key: string): void {
    this.delete(key)
    this.#tell(`forget ${this.#self} ${key}`)
  }

  async purge(purge: Purge): Promise<boolean> {
    if (this.usable && (await this.#share(purge))) return true
    this.#unshared.push(purge)
    if (this.#inStep) this.#onState(false, this.#client.why)
    this.#inStep = false
    if (this.#unshared.length > MAX_PURGES) {
      // More than anybody could tell apart later: one that covers them all.
      this.#unshared.splice(0, this.#unshared.length, { target: { what: 'everything' }, soft: false, atMs: purge.atMs })
    }
    return false
  }

  follow(listener: RemoteListener): void {
    this.#listener = listener
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
    const first = text.indexOf(' ')
    const second = text.indexOf(' ', first + 1)
    const [what, word, rest] = [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)]
    if (what === 'done') {
      if (!isOutcome(word)) this.#client.onUnreadable()
      else for (const wake of [...(this.#waits.get(rest) ?? [])]) wake(word)
    } else if (what === 'forget') {
      if (word !== this.#self) this.#listener?.onForget(rest)
    } else if (what === 'purge') this.#onPurge(word, rest)
    else this.#client.onUnreadable()
  }

  /** Writes a purge into the stream and tells of it. */
  async #share(purge: Purge): Promise<boolean> {
    const text = JSON.stringify(purge)
    const key = `${this.#prefix}purges`
    const id = await this.#client.run((redis) => redis.xadd(key, 'MAXLEN', MAX_PURGES, '*', 'p', text), readStreamId)
    if (id === undefined) return false
    this.#tell(`purge ${id} ${text}`)
    this.#onPurge(id, text)
    return true
  }

  #onPurge(id: string, text: string): void {
    const isId = readStreamId(id) !== undefined
    if (isId && numberOf(id) <= numberOf(this.#lastPurge)) return
    if (isId) this.#lastPurge = id
    const purge = isId ? readPurge(text) : null
    if (purge === null) this.#client.onUnreadable()
    else this.#listener?.onPurge(purge, numberOf(id))
  }

  /**
   * Learns the purges that came since the last one known, and shares our own that could not be shared.
   * @param anew after a new connection, which may lead to another Redis, or one that was emptied
   */
  async #catchUp(anew: boolean): Promise<void> {
    if (!this.#client.usable || (!anew && !this.#inStep && this.#unshared.length === 0)) return
    const key = `${this.#prefix}purges`
    if (anew) {
      const newest = await this.#client.run((redis) => redis.xrevrange(key, '+', '-', 'COUNT', 1), readStream)
      if (newest === undefined) return this.#tryAgain()
      const id = newest[0]?.id ?? '0-0'
      if (numberOf(id) < numberOf(this.#lastPurge)) {
        this.#lastPurge = id
        this.#listener?.onReset(numberOf(id))
      }
    }
    const since = this.#lastPurge
    const missed = await this.#client.run(
      (redis) => redis.xrange(key, `(${since}`, '+', 'COUNT', MAX_PURGES),
      readStream,
    )
    if (missed === undefined) return anew ? this.#tryAgain() : undefined
    if (missed.length >= MAX_PURGES) this.#listener?.onGap(numberOf(missed[0]!.id))
    for (const { id, value } of missed) this.#onPurge(id, value)
    while (this.#unshared.length > 0) {
      if (!(await this.#share(this.#unshared[0] as Purge))) return
      this.#unshared.shift()
    }
    if (!this.#inStep) this.#onState(true, null)
    this.#inStep = true
  }

  /** Not in step, and nothing says when: the regular look must not be what it waits for, since that needs to be in step. */
  #tryAgain(): void {
    setTimeout(() => void this.#catchUp(true), LOOK_MS).unref()
  }
}

function isOutcome(word: string): word is FillOutcome {
  return word === 'stored' || word === 'uncacheable' || word === 'failed'
}

/** A stream id, milliseconds and a count, as one number that keeps their order. */
function numberOf(id: string): number {
  const [ms, count] = id.split('-')
  return Number(ms) * 1024 + Math.min(Number(count ?? 0), 1023)
}
