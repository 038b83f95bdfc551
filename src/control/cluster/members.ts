/**
 * The instances of a cluster: what each tells of itself, so that anyone can see which revision is in force where.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import { FreshRun } from '../../state/fresh-run.ts'
import { type ClusterLog, MEMBERS_TOPIC, type MemberRow } from '../../state/redis/cluster-log.ts'
import { StateError } from '../../state/store/store.ts'

/** How often an instance tells that it is there, and while requests are in flight at a drained server. */
const TELL_MS = 1_000
const TELL_ACTIVE_MS = 200

/** One that has told nothing for so long is not waited for. */
export const SILENT_MS = 5_000

/** An edit waits for none that has told nothing for so long: it was killed, or is cut off. */
const LATE_MS = 3_000

/** One that has told nothing for so long is not counted: by an edit, and by a drain, after which a deploy stops servers. */
const GONE_MS = 10_000
const GONE_FOR_DRAIN_MS = 60_000

/** How long it is waited for that all have something in force, milliseconds. */
interface Patience {
  /** Where another one has it. */
  readonly allMs: number
  /** Where none has. */
  readonly anyMs: number
  /** Also for those that do not follow the table. */
  readonly isForAll: boolean
  /** For those that have told something within this. */
  readonly lateMs: number
  /** Those count that have told something within this. */
  readonly goneMs: number
}

/** Whoever edits waits no longer. */
export const EDIT_PATIENCE: Patience = {
  ...{ allMs: 1_000, anyMs: 3_000, isForAll: false },
  ...{ lateMs: LATE_MS, goneMs: GONE_MS },
}
export const DRAIN_PATIENCE: Patience = { ...EDIT_PATIENCE, goneMs: GONE_FOR_DRAIN_MS }

/** Of this module. One of a later release is shown as far as it is understood. */
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
  /** Why it does not follow, or null. */
  problem: z.string().max(500).nullable(),
  /** Version of the drained and leased servers that it has in force. */
  servers: z.number(),
  /** Of the ramps that it shows; 0 from an earlier release. */
  ramps: z.number().default(0),
  workers: z.number(),
  /** The challenge of an authority that it answers, by its id, '' for none; null without ACME. */
  acme: z.string().max(100).nullable().default(null),
  /** Requests in flight at drained servers, by upstream and id, where there are any. */
  active: z.record(z.string(), z.number()),
})

/** What an instance tells of itself. */
export type MemberState = Omit<z.output<typeof member>, 'format'>

/** An instance, as this one knows it. */
export interface Member extends MemberState {
  readonly instance: string
  /** How long ago it has told, milliseconds. */
  readonly ageMs: number
  /** It has told nothing for a while, or has left without a word. */
  readonly isSilent: boolean
  readonly isSelf: boolean
}

/** How many instances have something in force. */
export interface InForce {
  readonly inForce: number
  /** Those that are there, or may be: an instance that is cut off serves on. */
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
  /** Instances that tell what can't be read here. */
  #unreadable = 0
  #knownMs = Number.NEGATIVE_INFINITY
  #told = ''
  /** When each has told something, by the monotonic clock. */
  readonly #seenMs = new Map<string, number>()
  #waiting = new Set<() => void>()
  readonly #tellings = new FreshRun(() => this.#tellNow())
  #isClosed = false

  /** @param tell what this instance tells of itself */
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

  /** As known last, this instance included; those that are there first. @param isFresh asks Redis first */
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

  /** How many are there, this one included, as known last. */
  get there(): number {
    return 1 + this.#known.filter(({ isSelf, isSilent }) => !isSelf && !isSilent).length
  }

  /** How many tell something that can't be read here: they have another secret, or are of another release. As known last. */
  get unreadable(): number {
    return this.#unreadable
  }

  /** How many were there when Redis was reached last, this one included: also those that an emptied Redis knows no more. */
  get lately(): number {
    return new Set(this.#seenMs.keys()).add(this.#instance).size
  }

  /** Tells of this instance, and reads what others tell. Never rejects. */
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
      // It is told again soon; that Redis is away is said by others.
      if (error instanceof StateError) this.#shared.link.wrote(error)
    }
  }

  /** Tells again soon while requests are in flight that others wait for. */
  #soon(isActive: boolean): void {
    clearTimeout(this.#soonTimer)
    if (isActive) this.#soonTimer = setTimeout(() => void this.tell(), TELL_ACTIVE_MS).unref()
  }

  /** What the others have told by now; never rejects. */
  async others(): Promise<readonly Member[]> {
    try {
      this.#take(await this.#shared.members(this.#instance, null, false))
    } catch {
      // What is known is what they told last.
    }
    return (await this.list()).filter(({ isSelf }) => !isSelf)
  }

  /**
   * Waits until all instances have something in force, or as many as can be waited for.
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

  /** Says that this instance leaves. */
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
    // While Redis is away nobody can tell.
    const awayMs = Math.max(nowMs - this.#knownMs - TELL_MS, 0)
    this.#knownMs = nowMs
    this.#known = rows.flatMap((row) => this.#memberOf(row) ?? [])
    const known = new Set(this.#known.map(({ instance }) => instance))
    this.#unreadable = rows.filter(({ instance, ageMs }) => !known.has(instance) && ageMs < SILENT_MS).length
    for (const { instance, ageMs } of this.#known) this.#seenMs.set(instance, nowMs - ageMs)
    for (const [instance, atMs] of this.#seenMs) if (nowMs - atMs > SILENT_MS + awayMs) this.#seenMs.delete(instance)
  }

  /** Null for what has another seal or shape. */
  #memberOf({ instance, ageMs, text }: MemberRow): Member | null {
    const opened = this.#shared.link.seal.open(`member ${instance}`, text)
    const read = opened === null ? null : member.safeParse(jsonOf(opened))
    if (read?.success !== true) return null
    const { format: _, ...state } = read.data
    return { ...state, instance, ageMs, isSilent: ageMs > SILENT_MS, isSelf: instance === this.#instance }
  }
}
