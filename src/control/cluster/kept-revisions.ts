/**
 * Revisions of a cluster that somebody has marked as kept. One record in Redis holds the marks, and one per revision holds its text, for
 * instances that start later. Each instance applies the marks to its own history, and restores them to a Redis that has lost them.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import type { History, MarkRefusal } from '../table/history.ts'
import { type KeepMark, printRevision, type RecordedRevision, readRevision } from '../table/revision-record.ts'
import type { ClusterTable } from './cluster-table.ts'

const SPACE = 'kept'
const TOPIC = 'kept'
const MARKS = 'marks'
const POLL_MS = 1_000
/** Attempts of a change that loses to concurrent changes; more in a row are unrealistic. */
const ATTEMPTS = 50

const mark = z.object({ etag: z.string(), by: z.string(), atMs: z.number(), reason: z.string().nullable() })
const shape = z.object({
  format: z.literal(1),
  /** Incremented with each change, to tell an emptied or outdated Redis from one that others have changed. */
  change: z.int().min(0),
  marks: z.record(z.string().regex(/^[1-9]\d{0,14}$/), mark),
})
type Marks = z.output<typeof shape>

/** Revisions can't be marked now; the message is for the operator. */
export class KeepUnavailable extends Error {}

/** Dependencies. */
export interface KeptRevisionsParts {
  readonly store: RedisStateStore
  readonly history: History
  readonly table: Pick<ClusterTable, 'problem' | 'settled'>
}

/** The marks. */
export class KeptRevisions {
  readonly #parts: KeptRevisionsParts
  #current: Marks = { format: 1, change: 0, marks: {} }
  #timer: NodeJS.Timeout | undefined
  #unlisten: () => void = () => {}
  #last: Promise<unknown> = Promise.resolve()
  #isLooking = false

  constructor(parts: KeptRevisionsParts) {
    this.#parts = parts
  }

  start(): void {
    this.#unlisten = this.#parts.store.onMessage(TOPIC, () => this.#lookSoon())
    this.#timer = setInterval(() => this.#lookSoon(), POLL_MS)
    this.#timer.unref()
    this.#lookSoon()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#unlisten()
    await this.#last
  }

  /**
   * Marks a revision as kept at all instances, or with null removes the mark.
   * @returns null on success, or the reason
   * @throws {KeepUnavailable}
   */
  mark(number: number, to: KeepMark | null): Promise<MarkRefusal | null> {
    return this.#inTurn(() => this.#mark(number, to))
  }

  async #mark(number: number, to: KeepMark | null): Promise<MarkRefusal | null> {
    const { history, table } = this.#parts
    await table.settled()
    if (table.problem !== null) throw new KeepUnavailable(table.problem)
    const [record, text, before] = [history.get(number), await history.textOf(number), history.markOf(number)]
    if (record === undefined || text === null) return 'no-such-revision'
    const refusal = await history.mark(number, to)
    if (refusal !== null) return refusal
    try {
      await this.#share({ record, text }, to)
      return null
    } catch (error) {
      await history.mark(number, before)
      throw new KeepUnavailable((error as Error).message)
    }
  }

  async #share({ record, text }: RecordedRevision, to: KeepMark | null): Promise<void> {
    const { store } = this.#parts
    const { number, etag } = record
    if (to !== null) await this.#writeText({ record, text })
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { found, version } = await this.#read()
      const newest = found === null || found.change < this.#current.change ? this.#current : found
      const { [number]: _, ...others } = newest.marks
      const marks = to === null ? others : { ...others, [number]: { etag, ...to } }
      if (await this.#write({ format: 1, change: newest.change + 1, marks }, version)) {
        if (to === null) await store.write(SPACE, '', textKey(number), null)
        await store.link.tell(TOPIC).catch(() => {})
        return
      }
      await wait(Math.random() * 10)
    }
    throw new Error('too many concurrent changes')
  }

  #lookSoon(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    // If Redis is unreachable, the known marks stay.
    void this.#inTurn(() => this.#look()).catch(() => {})
  }

  async #look(): Promise<void> {
    this.#isLooking = false
    if (this.#parts.table.problem !== null) return
    const { found, version } = await this.#read()
    if (found !== null && found.change >= this.#current.change) this.#current = found
    else await this.#fill(version)
    await this.#apply()
  }

  /** Writes the marks to a Redis that has none, or older ones. */
  async #fill(version: number): Promise<void> {
    const { history } = this.#parts
    const own = history.list().flatMap(({ number, etag }) => {
      const mark = history.markOf(number)
      return mark === null ? [] : [[String(number), { etag, ...mark }] as const]
    })
    if (this.#current.change === 0 && own.length === 0) return
    const next =
      this.#current.change > 0 ? this.#current : { ...this.#current, change: 1, marks: Object.fromEntries(own) }
    for (const number of Object.keys(next.marks).map(Number)) {
      const [record, text] = [history.get(number), await history.textOf(number)]
      if (record !== undefined && text !== null) await this.#writeText({ record, text })
    }
    await this.#write(next, version)
  }

  /** Applies the marks to the history, and adds marked revisions that it lacks. */
  async #apply(): Promise<void> {
    const { history } = this.#parts
    const { marks } = this.#current
    for (const [key, { etag, ...to }] of Object.entries(marks)) {
      const number = Number(key)
      if (history.get(number) === undefined) {
        const revision = await this.#readText(number)
        if (revision !== null && revision.record.etag === etag) await history.learn([revision])
      }
      if (history.get(number)?.etag === etag && !isDeepStrictEqual(history.markOf(number), to))
        await history.mark(number, to)
    }
    for (const { number } of history.list())
      if (marks[number] === undefined && history.markOf(number) !== null) await history.mark(number, null)
  }

  async #read(): Promise<{ readonly found: Marks | null; readonly version: number }> {
    const record = await this.#parts.store.read(SPACE, '', MARKS)
    const found = record === null ? null : (shape.safeParse(jsonOf(record.value)).data ?? null)
    return { found, version: record?.version ?? 0 }
  }

  /** @returns false if another instance was faster */
  async #write(marks: Marks, expected: number): Promise<boolean> {
    const { kind } = await this.#parts.store.write(SPACE, '', MARKS, JSON.stringify(marks), { expected })
    if (kind === 'done') this.#current = marks
    return kind === 'done'
  }

  async #writeText(revision: RecordedRevision): Promise<void> {
    const key = textKey(revision.record.number)
    await this.#parts.store.write(SPACE, '', key, JSON.stringify(printRevision(revision)))
  }

  async #readText(number: number): Promise<RecordedRevision | null> {
    const record = await this.#parts.store.read(SPACE, '', textKey(number))
    const file = record === null ? null : jsonOf(record.value)
    const revision = typeof file === 'string' ? readRevision(file) : null
    return revision?.record.number === number ? revision : null
  }

  /** Runs work one at a time, so that the newest state read is applied last. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }
}

function textKey(number: number): string {
  return `text ${number}`
}
