/**
 * The instances of a cluster. Each sends a heartbeat with its state, so that everyone can see which revision is in force where.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import { FreshRun } from '../../state/fresh-run.ts'
import { type ClusterLog, MEMBERS_TOPIC, type MemberRow } from '../../state/redis/cluster-log.ts'
import { StateError } from '../../state/store/store.ts'

/** The heartbeat interval, and a shorter one while requests are in flight at a drained server. */
const TELL_MS = 1_000
const TELL_ACTIVE_MS = 200

/** An instance without a heartbeat for this long is silent: it is not waited for. */
export const SILENT_MS = 5_000

/** An edit doesn't wait for an instance without a heartbeat for this long: it was killed, or is cut off. */
const LATE_MS = 3_000

/** An instance without a heartbeat for this long is not counted: by an edit, and by a drain, after which a deploy stops servers. */
const GONE_MS = 10_000
const GONE_FOR_DRAIN_MS = 60_000

/** How long to wait until all instances have something in force, milliseconds. */
interface Patience {
  /** If at least one other instance has it. */
  readonly allMs: number
  /** If none has. */
  readonly anyMs: number
  /** Wait for instances that don't follow the table, too. */
  readonly isForAll: boolean
  /** Wait only for instances with a heartbeat within this time. */
  readonly lateMs: number
  /** Count only instances with a heartbeat within this time. */
  readonly goneMs: number
}

/** For edits. */
export const EDIT_PATIENCE: Patience = {
  ...{ allMs: 1_000, anyMs: 3_000, isForAll: false },
  ...{ lateMs: LATE_MS, goneMs: GONE_MS },
}
export const DRAIN_PATIENCE: Patience = { ...EDIT_PATIENCE, goneMs: GONE_FOR_DRAIN_MS }

/** Format of heartbeats. Those of a later release are shown as far as they are understood. */
const FORMAT = 1

const member = z.object({
  format: z.number(),
  host: z.string().max(300),
  pid: z.number(),
  admin: z.string().max(300),
  version: z.string().max(100),
  startedAtMs: z.number(),
  epoch: z.number(),
  revision: z.number(),
  /** Why it doesn't follow the table, or null. */
  problem: z.string().max(500).nullable(),
  /** Why the table file that it follows is not live; null where that is live, or none is followed. */
  drift: z.string().max(500).nullable().default(null),
  /** Version of the drained and leased servers in force there. */
  servers: z.number(),
  /** Version of the ramps that it shows; 0 from an earlier release. */
  ramps: z.number().default(0),
  workers: z.number(),
  /** The id of the ACME challenge that it answers, '' for none; null without ACME. */
  acme: z.string().max(100).nullable().default(null),
  /** Requests in flight at drained servers, by upstream and id, if any. */
  active: z.record(z.string(), z.number()),
})

/** The state in a heartbeat. */
export type MemberState = Omit<z.output<typeof member>, 'format'>

/** An instance, as this one knows it. */
export interface Member extends MemberState {
  readonly instance: string
  /** The age of its last heartbeat, milliseconds. */
  readonly ageMs: number
  /** No heartbeat for a while: it may have crashed. */
  readonly isSilent: boolean
  readonly isSelf: boolean
}

/** How many instances have something in force. */
export interface InForce {
  readonly inForce: number
  /** Instances that are present, or may be: one that is cut off still serves. */
  readonly instances: number
}

/** The instances of a cluster. */
export class Members {
  readonly #shared: ClusterLog
  readonly #instance: string
  readonly #tell: () => Promise<MemberState>
  #timer: NodeJS.Timeout | undefined
  #soonTimer: NodeJS.Timeout | undefined
  #unlisten: () => void = () => {}
  #known: readonly Member[] = []
  /** Instances whose heartbeats can't be read here. */
  #unreadable = 0
  #knownMs = Number.NEGATIVE_INFINITY
  #told = ''
  /** When each last sent a heartbeat, on the monotonic clock. */
  readonly #seenMs = new Map<string, number>()
  #waiting = new Set<() => void>()
  readonly #tellings = new FreshRun(() => this.#tellNow())
  #isClosed = false

  /** @param tell returns the state of this instance */
  constructor(shared: ClusterLog, instance: string, tell: () => Promise<MemberState>) {
    this.#shared = shared
    this.#instance = instance
    this.#tell = tell
  }

  start(): void {
    this.#unlisten = this.#shared.link.onMessage(MEMBERS_TOPIC, () => {
      for (const look of this.#waiting) look()
    })
    this.#timer = setInterval(() => void this.tell(), TELL_MS)
    this.#timer.unref()
    void this.tell()
  }

  /** All instances as last known, including this one; silent ones last. @param isFresh asks Redis first */
  async list(isFresh = false): Promise<readonly Member[]> {
    if (isFresh) await this.tell()
    const told = await this.#tell()
    const self: Member = { ...told, instance: this.#instance, ageMs: 0, isSilent: false, isSelf: true }
    const passedMs = performance.now() - this.#knownMs
    const others = this.#known
      .filter(({ isSelf }) => !isSelf)
      .map((one) => ({ ...one, ageMs: one.ageMs + passedMs, isSilent: one.ageMs + passedMs > SILENT_MS }))
    return [self, ...others].sort((a, b) => Number(a.isSilent) - Number(b.isSilent) || a.startedAtMs - b.startedAtMs)
  }

  /** How many are present, including this one, as last known. */
  get there(): number {
    return 1 + this.#known.filter(({ isSelf, isSilent }) => !isSelf && !isSilent).length
  }

  /** How many send heartbeats that can't be read here, because of another secret or release. As last known. */
  get unreadable(): number {
    return this.#unreadable
  }

  /** How many were present when Redis was last reached, including this one, and those that an emptied Redis no longer knows. */
  get lately(): number {
    return new Set(this.#seenMs.keys()).add(this.#instance).size
  }

  /** Sends a heartbeat, and reads those of the others. Never rejects. */
  async tell(): Promise<void> {
    await this.#tellings.run()
  }

  async #tellNow(): Promise<void> {
    if (this.#isClosed) return
    const told = await this.#tell()
    const text = JSON.stringify({ format: FORMAT, ...told })
    this.#soon(Object.keys(told.active).length > 0)
    const sealed = this.#shared.link.seal.close(`member ${this.#instance}`, text)
    try {
      this.#take(await this.#shared.members(this.#instance, sealed, text !== this.#told))
      this.#told = text
      this.#shared.link.wrote(null)
    } catch (error) {
      // The next heartbeat follows soon; ClusterTable reports that Redis is unreachable.
      if (error instanceof StateError) this.#shared.link.wrote(error)
    }
  }

  /** Sends the next heartbeat sooner while requests are in flight that others wait for. */
  #soon(isActive: boolean): void {
    clearTimeout(this.#soonTimer)
    if (isActive) this.#soonTimer = setTimeout(() => void this.tell(), TELL_ACTIVE_MS).unref()
  }

  /** The other instances, freshly read; never rejects. */
  async others(): Promise<readonly Member[]> {
    try {
      this.#take(await this.#shared.members(this.#instance, null, false))
    } catch {
      // Use what was last known.
    }
    return (await this.list()).filter(({ isSelf }) => !isSelf)
  }

  /**
   * Waits until all instances have something in force, or the patience ends.
   * @param has whether an instance has it
   */
  async whereInForce(has: (member: Member) => boolean, patience = EDIT_PATIENCE): Promise<InForce> {
    const { allMs, anyMs, isForAll, lateMs, goneMs } = patience
    const startedMs = performance.now()
    await this.tell()
    for (;;) {
      const there = (await this.list()).filter(({ ageMs }) => ageMs < goneMs)
      const having = there.filter((one) => one.isSelf || has(one)).length
      const passedMs = performance.now() - startedMs
      const isPatient = passedMs < (having > 1 ? allMs : anyMs)
      const follows = ({ problem }: Member): boolean => isForAll || problem === null
      const canFollow = there.some((one) => !one.isSelf && !has(one) && follows(one) && one.ageMs < lateMs)
      if (!canFollow || !isPatient) return { inForce: having, instances: there.length }
      await this.#news(100)
      await this.others()
    }
  }

  /** Announces that this instance leaves. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    clearTimeout(this.#soonTimer)
    this.#isClosed = true
    this.#unlisten()
    await this.#tellings.ended()
    await this.#shared.leave(this.#instance).catch(() => {})
  }

  #news(ms: number): Promise<void> {
    return new Promise((done) => {
      const look = (): void => {
        this.#waiting.delete(look)
        done()
      }
      this.#waiting.add(look)
      void wait(ms).then(look)
    })
  }

  #take(rows: readonly MemberRow[]): void {
    const nowMs = performance.now()
    // While Redis was unreachable, nobody could send heartbeats.
    const awayMs = Math.max(nowMs - this.#knownMs - TELL_MS, 0)
    this.#knownMs = nowMs
    this.#known = rows.flatMap((row) => this.#memberOf(row) ?? [])
    const known = new Set(this.#known.map(({ instance }) => instance))
    this.#unreadable = rows.filter(({ instance, ageMs }) => !known.has(instance) && ageMs < SILENT_MS).length
    for (const { instance, ageMs } of this.#known) this.#seenMs.set(instance, nowMs - ageMs)
    for (const [instance, atMs] of this.#seenMs) if (nowMs - atMs > SILENT_MS + awayMs) this.#seenMs.delete(instance)
  }

  /** Null if the seal or the shape is not valid. */
  #memberOf({ instance, ageMs, text }: MemberRow): Member | null {
    const opened = this.#shared.link.seal.open(`member ${instance}`, text)
    const read = opened === null ? null : member.safeParse(jsonOf(opened))
    if (read?.success !== true) return null
    const { format: _, ...state } = read.data
    return { ...state, instance, ageMs, isSilent: ageMs > SILENT_MS, isSelf: instance === this.#instance }
  }
}
