/**
 * The table of a cluster: its revisions are stored in the cluster's Redis, and each instance follows them and keeps them on disk.
 *
 * Redis is only the place where instances agree: it may be empty, outdated or unreachable, and then each instance serves what it has. An
 * instance that finds Redis empty or outdated announces its own position; after a moment, the most advanced instance fills Redis.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { FreshRun } from '../../state/fresh-run.ts'
import type { LiveTable } from '../../state/live-table.ts'
import { type ClusterLog, type Head, type Position, SERVER_TOPIC, TABLE_TOPIC } from '../../state/redis/cluster-log.ts'
import type { ControlLog } from '../control-log.ts'
import { WriteFailure } from '../table/durable-write.ts'
import type { Copies } from '../table/edit-outcome.ts'
import type { TableSource } from '../table/file.ts'
import type { History } from '../table/history.ts'
import type { RecordedRevision, RevisionRecord } from '../table/revision-record.ts'
import type { Reading } from '../table/settled-text.ts'
import { ClusterTurn } from './cluster-turn.ts'
import { EarlierFilling } from './earlier-filling.ts'
import { EarlierRevisions } from './earlier-revisions.ts'
import { Held } from './held.ts'
import { identityOf, isBefore, markBehind, positionOf } from './positions.ts'
import { Refill } from './refill.ts'
import { ServerCheck } from './server-check.ts'
import { ForeignTable, SharedRevisions } from './shared-revisions.ts'

/** Timing, in milliseconds. */
export interface ClusterTimes {
  /** How often Redis is polled, in addition to its messages. */
  readonly pollMs: number
  /** How long instances have at least to announce what they could fill an empty or outdated Redis with. */
  readonly offerMs: number
  /** How long to wait for instances that were present recently but have announced nothing. */
  readonly absentMs: number
  /** How long replicas have to confirm an edit. */
  readonly replicaMs: number
  /** How often to check which server Redis is, and whether it may evict keys. */
  readonly policyMs: number
  /** How often to check whether Redis has earlier revisions that are missing here. */
  readonly lackingMs: number
  /** How often a revision that was refused here is retried. */
  readonly againMs: number
}

export const CLUSTER_TIMES: ClusterTimes = Object.freeze({
  ...{ pollMs: 500, offerMs: 1_200, absentMs: 6_000, replicaMs: 1_000, policyMs: 5_000, againMs: 10_000 },
  lackingMs: 5_000,
})

/** Dependencies. */
export interface ClusterTableParts {
  readonly cluster: string
  /** Of this process. */
  readonly instance: string
  readonly shared: ClusterLog
  readonly live: LiveTable
  readonly history: History
  /** The history from before the instance joined a cluster, used to found one. */
  readonly earlier: History | null
  /** Replicas of Redis that should confirm an edit before it is answered. */
  readonly replicas: number
  /** The number of instances present when Redis was last reached, including this one. */
  instances(): number
  readonly log: ControlLog
  readonly times?: ClusterTimes
}

/** Redis has everything that this instance has, but may lack what another instance has. */
const SUSPECT = 'its Redis has restarted, or another server has its keys: asking the other instances what they have'

/** Attempts of an edit that loses to concurrent edits; more in a row are unrealistic. */
const ATTEMPTS = 50

/** The table of a cluster. */
export class ClusterTable implements TableSource {
  readonly name: string
  readonly attempts = ATTEMPTS
  readonly turn: ClusterTurn
  readonly #parts: ClusterTableParts
  readonly #times: ClusterTimes
  readonly #revisions: SharedRevisions
  readonly #held: Held
  readonly #refill: Refill
  readonly #earlier: EarlierRevisions
  readonly #filling: EarlierFilling
  readonly #server: ServerCheck
  #onReading: ((reading: Reading) => Promise<void>) | null = null
  #unlisten: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  readonly #looks = new FreshRun(() => this.#look())
  /** The last read has led to a change in Redis: read again. */
  #lookAgain = false
  #isClosed = false
  /** The newest position that was read and applied, or written. */
  #seen: Position | null = null
  /** The last revision from another instance, and when it was passed on to be applied; it may have been refused. */
  #handed: RecordedRevision | null = null
  #handedMs = Number.NEGATIVE_INFINITY
  #lackingMs = Number.NEGATIVE_INFINITY
  /** A revision in Redis has been opened with the secret of this process. */
  #isOpened = false
  /** Everything in Redis is sealed with the first secret of this process, or is being resealed. */
  #isRenewed = false
  #problem: string | null = 'it has not been reached yet'
  #foreign: string | null = this.#problem
  /** Redis had a table while this instance was not a member, or could not open it: if Redis is emptied, another instance must fill it. */
  #hasSeenTable = false
  /** Problems logged since this instance was last in step. */
  readonly #told = new Set<string>()

  constructor(parts: ClusterTableParts) {
    this.#parts = parts
    this.#times = parts.times ?? CLUSTER_TIMES
    const { shared, live, history } = parts
    this.turn = new ClusterTurn(shared, parts.instance)
    this.#revisions = new SharedRevisions(shared)
    this.#held = new Held(live, history)
    const own = { revisions: this.#revisions, held: this.#held, isClosed: () => this.#isClosed }
    this.#filling = new EarlierFilling({ ...parts, ...own })
    this.#refill = new Refill({ ...parts, ...own, ...this.#times, filling: this.#filling })
    const onLost = (record: RevisionRecord): void => this.#tellLost(record)
    this.#earlier = new EarlierRevisions({ shared, history, revisions: this.#revisions, onLost })
    const onFailed = (error: Error): void => {
      if (!this.#isClosed) this.#failed(error)
    }
    this.#server = new ServerCheck({ shared, refill: this.#refill, policyMs: this.#times.policyMs, onFailed })
    this.name = `table of cluster ${parts.cluster}`
  }

  /** Why this instance is not in step with the cluster and can't edit its table, or null. */
  get problem(): string | null {
    if (this.#problem !== null) return this.#problem
    return this.#parts.shared.link.down ?? (this.#server.isSuspect ? SUSPECT : null)
  }

  /** Whether edits are held up only because Redis may lack what another instance has. Revisions are still followed. */
  get isUnsure(): boolean {
    return this.problem === SUSPECT
  }

  /** Resolves once `isUnsure` is resolved one way or the other. Never rejects. */
  async settled(): Promise<void> {
    while (this.isUnsure) await (this.#server.confirming ?? this.look())
  }

  /** Why this instance must not write to Redis: it is not known to hold this instance's cluster. Null otherwise. */
  get foreign(): string | null {
    return this.#foreign
  }

  /** This instance's position in the history of the cluster; null if it has never been a member. */
  get position(): Position | null {
    return this.#held.position
  }

  /**
   * Joins the cluster, or continues without it after a while.
   * @param onReading as that of `watch`
   * @throws {Error} it must not be joined; the message is for the operator
   */
  async join(patienceMs: number, onReading: (reading: Reading) => Promise<void>): Promise<void> {
    this.#onReading = onReading
    const untilMs = performance.now() + patienceMs
    while (!this.#isClosed) {
      const isThere = this.#parts.shared.link.isConnected
      const leftMs = untilMs - performance.now()
      if (!isThere && leftMs > 0) {
        await wait(50)
        continue
      }
      await this.look()
      const isEvicting = this.#problem?.includes('maxmemory-policy') === true
      if (isEvicting) throw new Error(`--cluster ${this.#parts.cluster}: ${this.#problem}`)
      if (isThere) await Promise.race([this.#earlier.read(), wait(leftMs, undefined, { ref: false })])
      return
    }
  }

  /** The newest revision of the cluster, or the current one if Redis can't be read. Never throws. */
  async readNow(): Promise<Reading> {
    try {
      const reading = await this.#read()
      if (reading !== null) return reading
    } catch (error) {
      this.#failed(error as Error)
    }
    return this.#current()
  }

  readSettled(): Promise<Reading> {
    return this.readNow()
  }

  async readBytes(): Promise<Buffer | null> {
    return this.#handed === null ? null : Buffer.from(this.#handed.text)
  }

  async isAsRead({ identity }: Reading): Promise<boolean> {
    return this.#seen === null || identity === identityOf(this.#seen)
  }

  marked(record: RevisionRecord): RevisionRecord {
    return { ...record, cluster: markBehind(this.#held.revision?.record.cluster) }
  }

  /**
   * Adds a revision, unless another one has been added since.
   * @returns the Redis replicas that were waited for; null for none
   * @throws {WriteFailure}
   */
  async replace(
    text: string | Buffer,
    _expected: Buffer | null,
    record: RevisionRecord | null,
  ): Promise<Copies | null> {
    const before = this.position
    if (record === null) throw new WriteFailure('failed', 'keeps what was written, which others may have')
    if (this.isUnsure) throw new WriteFailure('changed', 'may be another one by now')
    if (this.problem !== null || before === null)
      throw new WriteFailure('cluster', `can't be written to: ${this.problem ?? 'it has no table yet'}`)
    // If Redis was filled again meanwhile, the record is of an old epoch, and other instances would consider their own revisions newer.
    const isOfNow = record.cluster?.id === before.id && record.cluster.epoch === before.epoch
    const isDone = isOfNow && (await this.#revisions.append(before, { record, text: String(text) }))
    if (!isDone) throw new WriteFailure('changed', 'was changed at the same time')
    this.#seen = positionOf(record)
    const { replicas, shared } = this.#parts
    if (replicas === 0) return null
    const confirmed = await shared.replicated(replicas, this.#times.replicaMs).catch(() => 0)
    if (confirmed < replicas)
      this.#parts.log.warn(
        { event: 'cluster', revision: record.number },
        `revision ${record.number} was confirmed by ${confirmed} of ${replicas} replicas of Redis`,
      )
    return { confirmed, wanted: replicas }
  }

  watch(onReading: (reading: Reading) => Promise<void>): void {
    this.#onReading = onReading
    const { link } = this.#parts.shared
    this.#unlisten = [
      link.onMessage(TABLE_TOPIC, () => void this.look()),
      link.onMessage(SERVER_TOPIC, () => void this.#answer()),
    ]
    this.#timer = setInterval(() => void this.look(), this.#times.pollMs)
    this.#timer.unref()
  }

  close(): void {
    this.#isClosed = true
    for (const unlisten of this.#unlisten) unlisten()
    clearInterval(this.#timer)
  }

  /** Reconnected, possibly to another Redis. */
  reconnected(): void {
    this.#server.forget()
    void this.look()
  }

  /** Reads what is in Redis now, or fills it. Never rejects. */
  look(): Promise<void> {
    return this.#looks.run()
  }

  async #look(): Promise<void> {
    this.#lookAgain = true
    while (this.#lookAgain && !this.#isClosed) {
      this.#lookAgain = false
      try {
        const before = this.#handed
        const reading = await this.#read()
        const isNew = this.#handed !== before || performance.now() - this.#handedMs > this.#times.againMs
        if (reading === null || !isNew) continue
        this.#handedMs = performance.now()
        await this.#onReading?.(reading)
      } catch (error) {
        this.#failed(error as Error)
      }
    }
  }

  /** @returns the newest revision if this instance holds another one, else null */
  async #read(): Promise<Reading | null> {
    const { shared } = this.#parts
    if (shared.link.down !== null) throw new Error(shared.link.down)
    await this.#server.look(this.#problem === null)
    const own = this.position
    const head = await this.#headFrom(own)
    if (head === 'other')
      throw new ForeignTable(
        'its Redis has something other than a table there, or one of a later release: upgrade this instance, or use another name',
      )
    if (head === 'same') {
      this.#seen = own
      this.#inStep()
      return null
    }
    if (head === null && this.#hasSeenTable && (own === null || !this.#isOpened))
      throw new ForeignTable(
        'its Redis has become empty, and the table there before was not that of this instance: restart this instance to fill it with its own',
      )
    if (own === null) this.#hasSeenTable = head !== null
    if (head === null) return await this.#filled(null)
    if (own !== null && head.position.id !== own.id)
      throw new ForeignTable(
        `its Redis has another cluster of this name (id ${head.position.id}, here ${own.id}): use another name, or remove the folder cluster-${this.#parts.cluster} of the state to join that one`,
      )
    if (own !== null && isBefore(head.position, own)) {
      if (!this.#isOpened) this.#opened(head)
      return await this.#filled(head)
    }
    let revision = this.#handed
    if (revision === null || identityOf(positionOf(revision.record) as Position) !== identityOf(head.position)) {
      revision = this.#opened(head)
      if (await this.#refill.goOn(revision)) {
        this.#lookAgain = true
        return null
      }
      // The instance that filled Redis has waited for all others.
      if (own !== null && own.epoch < head.position.epoch) this.#server.trust()
      this.#tellLater(revision.record)
      const isNext = own !== null && own.epoch === head.position.epoch
      this.#earlier.want(isNext ? own.number + 1 : 1, head.position)
      this.#handed = revision
    }
    this.#seen = head.position
    this.#inStep()
    return { ok: true, text: revision.text, identity: identityOf(head.position), made: revision.record }
  }

  /** Another instance has found that Redis is another server. */
  async #answer(): Promise<void> {
    this.#server.forget()
    await this.look()
    if (this.#problem === null) await this.#server.say()
  }

  /** The newest revision. One that this instance has itself is opened once, because the process may have been restarted with another secret. */
  async #headFrom(own: Position | null): ReturnType<ClusterLog['head']> {
    const { shared } = this.#parts
    if (this.#isRenewed || own === null) return await shared.head(own)
    const head = await shared.head(null)
    if (head === null || typeof head === 'string' || identityOf(head.position) !== identityOf(own)) return head
    this.#opened(head)
    this.#isRenewed = true
    this.#revisions.renew(own).catch(() => {
      this.#isRenewed = false
    })
    return 'same'
  }

  /** @throws {Error} it does not verify as a revision of this cluster */
  #opened(head: Head): RecordedRevision {
    if (!this.#isOpened) this.#hasSeenTable = true
    const revision = this.#revisions.opened(head)
    this.#isOpened = true
    return revision
  }

  /** Fills Redis. The result is then read like any other revision. */
  async #filled(found: Head | null): Promise<null> {
    await this.#refill.fill(found)
    this.#server.trust()
    this.#lookAgain = true
    return null
  }

  /** Reports later revisions of this instance that the cluster has lost or replaced. */
  #tellLater(newest: RevisionRecord): void {
    for (const record of this.#parts.history.list()) {
      const isLater = record.number > newest.number || (record.number === newest.number && record.etag !== newest.etag)
      if (isLater && record.cluster !== undefined) this.#tellLost(record)
    }
  }

  #tellLost({ number, author, reason }: RevisionRecord): void {
    this.#parts.log.error(
      { event: 'cluster', revision: number, author, reason },
      `revision ${number} by ${author} is lost: ${this.#what} has gone on without it, from Redis or from another instance; its text is kept in the state folder as ${number}.lost-*`,
    )
  }

  #current(): Reading {
    const { text } = this.#parts.live.current
    return { ok: true, text, identity: this.#seen === null ? '' : identityOf(this.#seen) }
  }

  get #what(): string {
    return `cluster ${this.#parts.cluster}`
  }

  #inStep(): void {
    this.#problem = null
    this.#foreign = null
    this.#server.confirm()
    void this.#earlier.read()
    this.#evenOut()
    if (this.#server.isSuspect || this.#told.size === 0 || this.#parts.shared.link.unwritable !== null) return
    this.#told.clear()
    this.#parts.log.info({ event: 'cluster' }, `${this.#what}: in step with it again`)
  }

  /** Exchanges earlier revisions with Redis, which is filled from the newest one on: earlier ones may have arrived only now, or may be missing. */
  #evenOut(): void {
    const held = this.#held.revision
    const nowMs = performance.now()
    const isHeld =
      held !== null && this.#seen !== null && identityOf(positionOf(held.record) as Position) === identityOf(this.#seen)
    if (!isHeld || nowMs - this.#lackingMs <= this.#times.lackingMs) return
    this.#lackingMs = nowMs
    void this.#earlier.wantLacking(held.record)
    void this.#filling.fill()
  }

  #failed(error: Error): void {
    const { message } = error
    this.#problem = message
    if (error instanceof ForeignTable) this.#foreign = message
    if (this.#told.has(message)) return
    this.#told.add(message)
    const { number } = this.#parts.live.current
    this.#parts.log.warn(
      { event: 'cluster', revision: number },
      `${this.#what}: ${message}; serving revision ${number}, changing nothing`,
    )
  }
}
