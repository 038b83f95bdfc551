/**
 * Fills a cluster's Redis that is empty or outdated: all instances announce their positions, and after a moment the most advanced one
 * fills it.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { LiveTable } from '../../state/live-table.ts'
import type { ClusterLog, Head, Position } from '../../state/redis/cluster-log.ts'
import type { ControlLog } from '../control-log.ts'
import { byFile, type History } from '../table/history.ts'
import type { RecordedRevision } from '../table/revision-record.ts'
import type { EarlierFilling } from './earlier-filling.ts'
import type { Held } from './held.ts'
import { markBehind, markOfRefill, positionOf } from './positions.ts'
import type { SharedRevisions } from './shared-revisions.ts'

/** How often an instance that has announced its position checks the announcements of the others. */
const CONFIRM_MS = 100

/** Dependencies. */
export interface RefillParts {
  readonly cluster: string
  /** Of this process. */
  readonly instance: string
  readonly shared: ClusterLog
  readonly revisions: SharedRevisions
  readonly live: LiveTable
  readonly history: History
  readonly filling: EarlierFilling
  readonly held: Held
  /** The number of instances present when Redis was last reached, including this one. */
  instances(): number
  /** How long instances have at least to announce what they could fill it with, milliseconds. */
  readonly offerMs: number
  /** How long to wait for instances that have announced nothing, and as long again for a more advanced one to fill Redis. */
  readonly absentMs: number
  readonly log: ControlLog
  /** Whether this instance is shutting down, and must not fill any more. */
  isClosed(): boolean
}

/** Fills Redis. The caller must read Redis afterwards: another instance may have been first. */
export class Refill {
  readonly #parts: RefillParts
  #toldFlaw: string | null = null

  constructor(parts: RefillParts) {
    this.#parts = parts
  }

  /**
   * Call if Redis is empty, or older than what this instance holds. The most advanced instance fills it.
   * @param found what Redis has, or null
   * @throws {Error}
   */
  async fill(found: Head | null): Promise<void> {
    const { live, log, revisions, filling, held } = this.#parts
    if (!(await this.agree(found?.position ?? null)) || this.#parts.isClosed()) return
    const { record, text } = held.revision ?? this.#seed()
    const own = held.revision?.record.cluster
    const epoch = Math.max(own?.epoch ?? 0, found?.position.epoch ?? 0) + 1
    const cluster = own === undefined ? markBehind(own) : markOfRefill(own, epoch, record.number)
    const filled = { record: { ...record, cluster }, text }
    if (!(await revisions.append(found?.position ?? null, filled, true))) return
    const what = own === undefined ? 'founded with the table file' : 'filled again from this instance'
    const facts = { event: 'cluster', revision: record.number, epoch }
    if (own === undefined) log.info(facts, `${this.#what}: ${what}, revision ${record.number}`)
    else log.warn(facts, `${this.#what}: Redis was ${found === null ? 'empty' : 'older'}, and was ${what}`)
    if (live.current.number === record.number) await this.#parts.history.learn([filled])
    // Not awaited: only the newest revision is served.
    void (own === undefined ? filling.found(filled.record) : filling.fill())
  }

  /**
   * Announces this instance's position until all present instances have done so.
   * @param found the position of Redis, or null
   * @returns false if another instance has written meanwhile; its revision is then read like any other
   * @throws {Error}
   */
  async agree(found: Position | null): Promise<boolean> {
    const { shared, held, offerMs, absentMs } = this.#parts
    const own = held.position
    const mine = printOffer(own)
    // A busy instance must not be overtaken by one that has less.
    const instances = this.#parts.instances()
    const startedMs = performance.now()
    for (;;) {
      await this.#offer(mine)
      await wait(offerMs, undefined, { ref: false })
      const offers = await this.#offer(mine)
      const now = await shared.head(found)
      if (found === null ? now !== null : now !== 'same') return false
      const hasMost = !offers.some((offer) => isMore(offer, mine))
      // Announcements of an earlier epoch may be stale: they could come from a snapshot of Redis.
      const said = offers.filter((offer) => epochOf(offer) >= (own?.epoch ?? 0)).length
      if (hasMost && said >= instances) return true
      const passedMs = performance.now() - startedMs
      if (passedMs > (hasMost ? absentMs : 2 * absentMs)) return true
    }
  }

  /**
   * Call if Redis is another server than before but seems to lack nothing. Waits until all present instances have announced their
   * positions. One that has more than Redis fills it.
   * @param run returns the run id of the current server, which may change meanwhile
   * @returns the run id of the server for which it is known that nothing is missing
   * @throws {Error}
   */
  async confirm(run: () => string): Promise<string> {
    const { shared, held, absentMs } = this.#parts
    const instances = this.#parts.instances()
    const startedMs = performance.now()
    for (;;) {
      const own = held.position
      const server = run()
      const offers = await this.say(server)
      // Read after the announcements: others may have edited since.
      const head = await shared.head(own)
      const at = head !== null && typeof head === 'object' ? head.position : own
      const hasAll = !offers.some((offer) => isMore(offer, printOffer(at)))
      const said = offers.filter((offer) => runOf(offer) === server).length
      const passedMs = performance.now() - startedMs
      const isKnown = hasAll && said >= instances
      if (isKnown || passedMs > (hasAll ? absentMs : 2 * absentMs)) return server
      await wait(CONFIRM_MS, undefined, { ref: false })
    }
  }

  /** Announces this instance's position. @param run of the Redis server @returns all announcements @throws {Error} */
  say(run: string): Promise<readonly string[]> {
    return this.#offer(`${printOffer(this.#parts.held.position)} ${run}`)
  }

  async #offer(mine: string): Promise<readonly string[]> {
    const { shared, instance, log } = this.#parts
    const { offers, flaw } = await shared.offer(instance, mine)
    if (flaw !== null && flaw !== this.#toldFlaw)
      log.warn({ event: 'cluster' }, `${this.#what}: ${flaw}; it is ignored`)
    this.#toldFlaw = flaw
    return offers
  }

  /**
   * Call if Redis was filled by an instance that had less than this one: adds what it lacked, unless somebody has edited since.
   * @param newest what Redis has
   * @returns whether revisions were added
   * @throws {WriteFailure}
   */
  async goOn({ record }: RecordedRevision): Promise<boolean> {
    const { history, log, revisions } = this.#parts
    const held = this.#parts.held.revision
    const from = history.get(record.number)
    const isFilled = held !== null && record.cluster?.refillOf === held.record.cluster?.epoch
    if (!isFilled || held.record.number <= record.number || from?.etag !== record.etag) return false
    let behind = record
    for (let number = record.number + 1; number <= held.record.number; number++) {
      const [own, text] = [history.get(number), await history.textOf(number)]
      if (own === undefined || text === null) return false
      const added = { record: { ...own, cluster: markBehind(behind.cluster) }, text }
      if (!(await revisions.append(positionOf(behind), added))) return false
      await history.learn([added])
      behind = added.record
    }
    const facts = { event: 'cluster', revision: held.record.number, epoch: behind.cluster?.epoch }
    log.warn(facts, `${this.#what}: Redis was filled without revision ${held.record.number}, which was added again`)
    return true
  }

  /** The table with which this instance was started, as the first revision of a cluster. */
  #seed(): RecordedRevision {
    const { live, history } = this.#parts
    const { number, text, appliedAtMs } = live.current
    return { record: history.get(number) ?? byFile(number, text, appliedAtMs), text }
  }

  get #what(): string {
    return `cluster ${this.#parts.cluster}`
  }
}

/** An announcement: epoch and number, optionally followed by the run id of the server. */
function printOffer(position: Position | null): string {
  return position === null ? '0 0' : `${position.epoch} ${position.number}`
}

function runOf(offer: string): string | undefined {
  return offer.split(' ')[2]
}

function epochOf(offer: string): number {
  return Number(offer.split(' ', 1)[0])
}

/** Compares two announcements. */
function isMore(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => text.split(' ').map(Number)) as [number[], number[]]
  return (a[0] ?? 0) === (b[0] ?? 0) ? (a[1] ?? 0) > (b[1] ?? 0) : (a[0] ?? 0) > (b[0] ?? 0)
}
