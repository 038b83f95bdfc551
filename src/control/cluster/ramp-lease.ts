/**
 * Ramps of a cluster: one instance runs them, by a lease, and the others tell it what they count. Whoever is asked to do something
 * with a ramp takes the lease over.
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

/** KEYS[1]: when ramps were changed last, by the clock of Redis, milliseconds: rises also where Redis was emptied. ARGV: the channel, the topic. */
const CHANGE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local change = math.max(now, (tonumber(redis.call('GET', KEYS[1])) or 0) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', change))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return change
`

const TTL_MS = 5_000
/** The holder stops before others may begin: their clocks run alike, but an answer may come late. */
const MARGIN_MS = 1_000
const TICK_MS = 1_000
/** How often those that don't run the ramps read where they stand. */
const FOLLOW_TICKS = 3
const CLAIM_MS = 8_000
const CLAIM_AGAIN_MS = 50
/** A wish for the lease is forgotten after this: Redis may be far away. */
const WANTED_MS = 5_000
/** Nobody else takes the lease for so long after a wish was told. */
const YIELD_MS = 3_000
/** Whoever has got it keeps it for so long, to do what it wanted it for. */
const HOLD_MS = 500

/** KEYS[1]: the wish. ARGV: who wants the lease, for how many milliseconds, the channel, the topic. */
const WANT = `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('PUBLISH', ARGV[3], ARGV[4])
`

/** Exchanges that wait to be told, as numbers: more are not told. */
const MAX_WAITING = 300_000

const delta = z.object({
  ...{ route: z.string(), percent: z.number(), left: z.number() },
  judged: z.array(z.number()).max(30_000),
})
const told = z.array(delta).max(10_000)

/** What the lease is about. */
export interface LeasedRamps {
  /** Reads what is stored, and goes on with it. @throws {StateError} if that can't be read */
  takeOver(): Promise<void>
  /** Reads what is stored, to show it. */
  follow(): Promise<void>
  /** Stores what was counted. */
  save(): Promise<void>
  /** Counts what any instance has seen. */
  count(delta: RampDelta): void
  /** Has the data planes report. */
  report(): Promise<unknown>
}

/** Who runs the ramps. */
export class RampLease implements Ownership {
  readonly #store: RedisStateStore
  readonly #instance: string
  readonly #isInStep: () => Promise<boolean>
  #held: HeldLease | null = null
  /** Token of the lease with which the ramps were taken over. */
  #taken: number | null = null
  /** Of the monotonic clock. */
  #untilMs = Number.NEGATIVE_INFINITY
  #sinceMs = Number.NEGATIVE_INFINITY
  #yieldUntilMs = Number.NEGATIVE_INFINITY
  #holder = ''
  #ramps: LeasedRamps | null = null
  /** What was counted here for whoever runs the ramps. */
  #deltas: RampDelta[] = []
  #waiting = 0
  /** Redis was not reached when it was last looked at. */
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

  /** @param isInStep reads the newest table; whether that is in force here */
  constructor(store: RedisStateStore, instance: string, isInStep: () => Promise<boolean>) {
    this.#store = store
    this.#instance = instance
    this.#isInStep = isInStep
  }

  /** It has the lease, and what whoever had it before has left. */
  get isOwner(): boolean {
    return this.#held !== null && this.#held.token === this.#taken && this.#isInTime
  }

  get #isInTime(): boolean {
    return performance.now() < this.#untilMs
  }

  /** The instance that has the lease, as this one knows; '' for none. */
  get holder(): string {
    return this.isOwner ? this.#instance : this.#holder
  }

  get owner(): string {
    return this.#holder === '' ? 'another instance' : `instance ${this.#holder}`
  }

  /** The store for ramps: only the holder of the lease writes. */
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

  /** Takes the lease where it is free, and follows whoever has it. */
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

  /** Tells what was counted here to whoever runs the ramps. */
  relay(delta: RampDelta): void {
    if (this.isOwner) this.#ramps?.count(delta)
    else if (this.#waiting < MAX_WAITING) {
      this.#deltas.push(delta)
      this.#waiting += delta.judged.length
    }
  }

  /** What waits to be told. What was counted while Redis was away is none of it: it may be of an older table. */
  #takeCounted(): readonly RampDelta[] {
    const counted = this.#isCutOff ? [] : this.#deltas
    this.#isCutOff = false
    this.#deltas = []
    this.#waiting = 0
    return counted
  }

  /**
   * Takes the lease over, to do what this instance was asked for.
   * @throws {StateError} if that can't be had
   */
  async claim(): Promise<void> {
    const untilMs = performance.now() + CLAIM_MS
    await this.#work.run(() => this.#acquire())
    while (!this.isOwner) {
      if (performance.now() > untilMs)
        throw new StateError('failed', 'the instance that runs the ramps does not answer')
      await wait(CLAIM_AGAIN_MS)
      // One after the other on their way, but not each with a way of its own: Redis may be far away.
      await Promise.all([this.#want(), this.#work.run(() => this.#acquire())])
    }
  }

  /** The last change of the ramps that is shown here, as `changed` numbers them. */
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

  /** Gives the lease back. Call it when the ramps are stored. */
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
      // Nobody waits for it: who misses it reads soon after.
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
      // Redis is away: nobody runs the ramps until it is back, and no edit could be made.
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
    // Under another token others may have had it meanwhile.
    if (lease.token !== this.#taken) await this.#takeOver(lease)
  }

  async #takeOver(lease: HeldLease): Promise<void> {
    this.#taken = null
    const asked = [this.#isInStep(), this.#store.position(COUNTS), this.#change()] as const
    const [isInStep, position, change] = await Promise.all(asked)
    // By an older table, a step that another instance has taken would be none.
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

  /** Reads where the ramps stand that another instance runs. Never rejects. */
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
      // With the next message, or look.
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

  /** Another instance may have been asked to do something with a ramp: then the lease is left to it. */
  async #makeWay(): Promise<void> {
    const { link } = this.#store
    const key = link.key(WANTED)
    const { text } = await link.run([key], (redis) => redis.get(key), readText)
    // A wish that is over says nothing of who has had it: it may have been this instance.
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

  /** Counts what others have told since. */
  async #read(): Promise<void> {
    if (!this.isOwner || this.#isReading) return
    this.#isReading = true
    try {
      let { messages, isGap } = await this.#store.messages(COUNTS, this.#position)
      // Redis was emptied, and counts from 1 again.
      if (isGap && messages.length === 0) messages = (await this.#store.messages(COUNTS, 0)).messages
      for (const { position, text } of messages) {
        this.#position = position
        const opened = this.#store.link.seal.open(COUNTS, text)
        const read = opened === null ? null : told.safeParse(jsonOf(opened))
        if (read?.success === true && this.isOwner) for (const one of read.data) this.#ramps?.count(one)
      }
    } catch {
      // With the next message.
    } finally {
      this.#isReading = false
    }
  }
}
