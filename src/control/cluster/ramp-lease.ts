/**
 * Ramps of a cluster: one instance, the holder of a lease, runs them, and the others send it their counts. An instance that is asked to
 * change a ramp takes over the lease.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import type { RampDelta } from '../../state/evidence/ramp-tally.ts'
import { readInteger, readText } from '../../state/redis/replies.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import { type HeldLease, StateError, type StateStore } from '../../state/store/store.ts'
import { OneByOne } from '../one-by-one.ts'
import type { Ownership } from '../ownership.ts'

const LEASE = 'ramps'
const COUNTS = 'ramp-counts'
const WANTED = 'ramps-wanted'
const CHANGED = 'ramps-changed'

/** KEYS[1]: time of the last change by the clock of Redis, milliseconds, so that it rises even after Redis was emptied. ARGV: channel, topic. */
const CHANGE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local change = math.max(now, (tonumber(redis.call('GET', KEYS[1])) or 0) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', change))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return change
`

const TTL_MS = 5_000
/** The holder stops this long before its lease expires: a reply may come late. */
const MARGIN_MS = 1_000
const TICK_MS = 1_000
/** How often instances that don't run the ramps read their state, in ticks. */
const FOLLOW_TICKS = 3
const CLAIM_MS = 8_000
const CLAIM_AGAIN_MS = 50
/** A request for the lease expires after this. It allows for a slow Redis. */
const WANTED_MS = 5_000
/** After a request for the lease, other instances don't take it for this long. */
const YIELD_MS = 3_000
/** A new holder keeps the lease at least this long, to do what it wanted it for. */
const HOLD_MS = 500

/** KEYS[1]: the request. ARGV: the requesting instance, milliseconds until it expires, channel, topic. */
const WANT = `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('PUBLISH', ARGV[3], ARGV[4])
`

/** Limit on counts waiting to be sent; more are dropped. */
const MAX_WAITING = 300_000

const delta = z.object({
  ...{ route: z.string(), percent: z.number(), left: z.number() },
  judged: z.array(z.number()).max(30_000),
})
const told = z.array(delta).max(10_000)

/** The ramps that the lease protects. */
export interface LeasedRamps {
  /** Reads the stored state and continues from it. @throws {StateError} it can't be read */
  takeOver(): Promise<void>
  /** Reads the stored state, to show it. */
  follow(): Promise<void>
  /** Stores the counts. */
  save(): Promise<void>
  /** Adds the counts of an instance. */
  count(delta: RampDelta): void
  /** Makes the data planes report their counts. */
  report(): Promise<unknown>
}

/** Decides which instance runs the ramps. */
export class RampLease implements Ownership {
  readonly #store: RedisStateStore
  readonly #instance: string
  readonly #isInStep: () => Promise<boolean>
  #held: HeldLease | null = null
  /** The token of the lease under which this instance has taken over the ramps. */
  #taken: number | null = null
  /** Of the monotonic clock. */
  #untilMs = Number.NEGATIVE_INFINITY
  #sinceMs = Number.NEGATIVE_INFINITY
  #yieldUntilMs = Number.NEGATIVE_INFINITY
  #holder = ''
  #ramps: LeasedRamps | null = null
  /** Counts of this instance for the one that runs the ramps. */
  #deltas: RampDelta[] = []
  #waiting = 0
  /** Redis was unreachable at the last tick. */
  #isCutOff = false
  #position = 0
  #ticks = 0
  #timer: NodeJS.Timeout | undefined
  #unlisten: (() => void)[] = []
  /** The last change of the ramps that is shown here. */
  #shown = 0
  #isFollowing = false
  #isFollowWanted = false
  /** Called when another change is shown. */
  onShown: () => void = () => {}
  readonly #work = new OneByOne()
  #isTicking = false
  #isReading = false

  /** @param isInStep reads the newest table, and returns whether it is in force here */
  constructor(store: RedisStateStore, instance: string, isInStep: () => Promise<boolean>) {
    this.#store = store
    this.#instance = instance
    this.#isInStep = isInStep
  }

  /** This instance holds the lease, and has taken over the state of its predecessor. */
  get isOwner(): boolean {
    return this.#held !== null && this.#held.token === this.#taken && this.#isInTime
  }

  get #isInTime(): boolean {
    return performance.now() < this.#untilMs
  }

  /** The instance that holds the lease, as last known; '' for none. */
  get holder(): string {
    return this.isOwner ? this.#instance : this.#holder
  }

  get owner(): string {
    return this.#holder === '' ? 'another instance' : `instance ${this.#holder}`
  }

  /** The store for ramps, to which only the holder of the lease can write. */
  fenced(): StateStore {
    const store = this.#store
    return new Proxy(store, {
      get: (target, name) => {
        if (name === 'write') return this.#write.bind(this)
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  /** Takes the lease if it is free, and follows its holder otherwise. */
  start(ramps: LeasedRamps): void {
    this.#ramps = ramps
    const { link } = this.#store
    this.#unlisten = [
      link.onMessage(WANTED, () => void this.#makeWay().catch(() => {})),
      this.#store.onMessage(COUNTS, () => void this.#read()),
      link.onMessage(CHANGED, () => void this.#follow()),
    ]
    this.#timer = setInterval(() => void this.#tick(), TICK_MS)
    this.#timer.unref()
    void this.#tick()
  }

  /** Passes counts of this instance to the one that runs the ramps. */
  relay(delta: RampDelta): void {
    if (this.isOwner) this.#ramps?.count(delta)
    else if (this.#waiting < MAX_WAITING) {
      this.#deltas.push(delta)
      this.#waiting += delta.judged.length
    }
  }

  /** Takes the counts to send. Those from while Redis was unreachable are dropped: they may be of an older table. */
  #takeCounted(): readonly RampDelta[] {
    const counted = this.#isCutOff ? [] : this.#deltas
    this.#isCutOff = false
    this.#deltas = []
    this.#waiting = 0
    return counted
  }

  /**
   * Takes over the lease, to do what this instance was asked for.
   * @throws {StateError} the lease can't be had
   */
  async claim(): Promise<void> {
    const untilMs = performance.now() + CLAIM_MS
    await this.#work.run(() => this.#acquire())
    while (!this.isOwner) {
      if (performance.now() > untilMs)
        throw new StateError('failed', 'the instance that runs the ramps does not answer')
      await wait(CLAIM_AGAIN_MS)
      // Both in one round trip, in this order: Redis may be far away.
      await Promise.all([this.#want(), this.#work.run(() => this.#acquire())])
    }
  }

  /** The last change of the ramps that is shown here, as numbered by `changed`. */
  get shown(): number {
    return this.#shown
  }

  /** Tells the others that the ramps were changed here. @returns the number of the change @throws {StateError} */
  async changed(): Promise<number> {
    const { link } = this.#store
    const change = await link.script(CHANGE, [link.key(CHANGED)], [link.channel, CHANGED], readInteger)
    this.#shown = change
    return change
  }

  /** Releases the lease. Call it after the ramps are stored. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const end of this.#unlisten) end()
    await this.#work
      .run(async () => {
        const held = this.#held
        this.#held = null
        if (held !== null) await this.#store.release(held)
      })
      .catch(() => {})
  }

  async #write(...[space, group, key, value, terms]: Parameters<StateStore['write']>): ReturnType<StateStore['write']> {
    const held = this.#held
    if (held === null || !this.#isInTime) throw new StateError('not-owner', `they are run by ${this.owner}`)
    const outcome = await this.#store.write(space, group, key, value, { ...terms, fence: held })
    if (outcome.kind !== 'fenced') {
      // Not awaited: an instance that misses it polls soon after.
      this.#store.link.tell(CHANGED).catch(() => {})
      return outcome
    }
    this.#held = null
    throw new StateError('not-owner', 'another instance has taken them over')
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return
    this.#isTicking = true
    try {
      await this.#work.run(async () => {
        if (this.#held !== null || performance.now() >= this.#yieldUntilMs) await this.#acquire()
      })
      if (!this.isOwner) await this.#ramps?.report()
      const counted = this.#takeCounted()
      if (this.isOwner) return
      await this.#tell(counted)
      if (this.#ticks++ % FOLLOW_TICKS === 0) await this.#follow()
    } catch {
      // Redis is unreachable: nobody runs the ramps until it is back, since no edit would be possible.
      this.#isCutOff = true
    } finally {
      this.#isTicking = false
    }
  }

  async #acquire(): Promise<void> {
    const startedMs = performance.now()
    const lease = await this.#store.acquire(LEASE, this.#instance, TTL_MS)
    this.#holder = lease.holder
    if (lease.holder !== this.#instance) {
      this.#held = null
      return
    }
    this.#held = lease
    this.#untilMs = startedMs + TTL_MS - MARGIN_MS
    // With another token, other instances may have held it meanwhile.
    if (lease.token !== this.#taken) await this.#takeOver(lease)
  }

  async #takeOver(lease: HeldLease): Promise<void> {
    this.#taken = null
    const asked = [this.#isInStep(), this.#store.position(COUNTS), this.#change()] as const
    const [isInStep, position, change] = await Promise.all(asked)
    // With an outdated table, a step taken by another instance would be missed.
    if (!isInStep) {
      this.#held = null
      await this.#store.release(lease)
      throw new StateError('failed', 'this instance does not have the newest table')
    }
    this.#position = position
    await this.#ramps?.takeOver()
    if (this.#isCutOff) await this.#ramps?.report()
    const counted = this.#takeCounted()
    this.#taken = lease.token
    this.#sinceMs = performance.now()
    for (const one of counted) this.relay(one)
    this.#show(change)
  }

  /** Reads the state of ramps that another instance runs. Never rejects. */
  async #follow(): Promise<void> {
    this.#isFollowWanted = true
    if (this.#isFollowing) return
    this.#isFollowing = true
    try {
      while (this.#isFollowWanted && !this.isOwner) {
        this.#isFollowWanted = false
        const change = await this.#change()
        await this.#ramps?.follow()
        this.#show(change)
      }
    } catch {
      // Retried with the next message or tick.
    } finally {
      this.#isFollowing = false
    }
  }

  async #change(): Promise<number> {
    const { link } = this.#store
    const key = link.key(CHANGED)
    return Number((await link.run([key], (redis) => redis.get(key), readText)).text ?? 0) || 0
  }

  #show(change: number): void {
    if (change <= this.#shown) return
    this.#shown = change
    this.onShown()
  }

  async #want(): Promise<void> {
    const { link } = this.#store
    const args = [this.#instance, String(WANTED_MS), link.channel, WANTED]
    await link.script(WANT, [link.key(WANTED)], args, readInteger)
  }

  /** Yields the lease if another instance has requested it. */
  async #makeWay(): Promise<void> {
    const { link } = this.#store
    const key = link.key(WANTED)
    const { text } = await link.run([key], (redis) => redis.get(key), readText)
    // An expired request doesn't say whose it was: it may have been our own.
    if (text === null || text === this.#instance) return
    this.#yieldUntilMs = performance.now() + YIELD_MS
    await this.#work.run(async () => {
      const held = this.#held
      if (held === null || !this.isOwner || performance.now() - this.#sinceMs < HOLD_MS) return
      await this.#ramps?.save()
      this.#held = null
      this.#holder = ''
      await this.#store.release(held)
      this.#yieldUntilMs = performance.now() + YIELD_MS
    })
  }

  async #tell(deltas: readonly RampDelta[]): Promise<void> {
    if (deltas.length === 0) return
    await this.#store.publish(COUNTS, this.#store.link.seal.close(COUNTS, JSON.stringify(deltas)))
  }

  /** Adds the counts that other instances have sent since. */
  async #read(): Promise<void> {
    if (!this.isOwner || this.#isReading) return
    this.#isReading = true
    try {
      let { messages, isGap } = await this.#store.messages(COUNTS, this.#position)
      // Redis was emptied, and numbers messages from 1 again.
      if (isGap && messages.length === 0) messages = (await this.#store.messages(COUNTS, 0)).messages
      for (const { position, text } of messages) {
        this.#position = position
        const opened = this.#store.link.seal.open(COUNTS, text)
        const read = opened === null ? null : told.safeParse(jsonOf(opened))
        if (read?.success === true && this.isOwner) for (const one of read.data) this.#ramps?.count(one)
      }
    } catch {
      // Retried with the next message.
    } finally {
      this.#isReading = false
    }
  }
}
