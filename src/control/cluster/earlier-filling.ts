/**
 * Adds earlier revisions to a Redis that lacks them. An emptied Redis is filled from the newest revision on, and the instance that does so
 * may exit half-way: any other instance that has the rest adds it.
 */
import { FreshRun } from '../../state/fresh-run.ts'
import { type ClusterLog, PAGE, type Position } from '../../state/redis/cluster-log.ts'
import type { History } from '../table/history.ts'
import type { RecordedRevision, RevisionRecord } from '../table/revision-record.ts'
import type { Held } from './held.ts'
import { comesBefore, markBehind, positionOf } from './positions.ts'
import type { SharedRevisions } from './shared-revisions.ts'

/** Dependencies. */
export interface EarlierFillingParts {
  readonly shared: ClusterLog
  readonly revisions: SharedRevisions
  readonly history: History
  /** The history from before the instance joined a cluster, used to found one. */
  readonly earlier: History | null
  readonly held: Held
  /** Whether this instance is shutting down. */
  isClosed(): boolean
}

/** Adds them. What Redis does not take is kept here. */
export class EarlierFilling {
  readonly #parts: EarlierFillingParts
  readonly #runs = new FreshRun(() => this.#fill().catch(() => {}))
  #epoch = 0
  /** Revisions that Redis has had in this epoch, or had no room for: what it has dropped is not added again. */
  #settled: ReadonlySet<number> = new Set()

  constructor(parts: EarlierFillingParts) {
    this.#parts = parts
  }

  /** Adds earlier revisions that Redis lacks. Never rejects. */
  fill(): Promise<void> {
    return this.#runs.run()
  }

  /** Adds the history from before the first revision of a cluster. Never rejects. */
  async found({ cluster, ...first }: RevisionRecord): Promise<void> {
    const { earlier, history } = this.#parts
    const before = earlier?.list().filter(({ number }) => number < first.number) ?? []
    const own = before.map((record) => ({ ...record, cluster: markBehind(cluster) }))
    const newest = positionOf({ cluster, ...first } as RevisionRecord) as Position
    await this.#add(newest, own, earlier as History, (page) => history.learn(page)).catch(() => {})
  }

  async #fill(): Promise<void> {
    const { shared, history, held } = this.#parts
    const [newest, position] = [held.revision?.record, held.position]
    if (newest === undefined || position === null) return
    const kept = new Set(await shared.numbers())
    const own = history.list()
    const before = this.#epoch === position.epoch ? this.#settled : new Set()
    const isSettled = ({ number }: RevisionRecord): boolean => kept.has(number) || before.has(number)
    const lacking = own.filter((record) => !isSettled(record) && comesBefore(record, newest))
    this.#epoch = position.epoch
    this.#settled = new Set(own.filter(isSettled).map(({ number }) => number))
    await this.#add(position, lacking, history)
    this.#settled = new Set([...this.#settled, ...lacking.map(({ number }) => number)])
  }

  /** @param records newest first @param from has their texts */
  async #add(
    newest: Position,
    records: readonly RevisionRecord[],
    from: History,
    onAdded: (page: readonly RecordedRevision[]) => Promise<void> = async () => {},
  ): Promise<void> {
    let page: RecordedRevision[] = []
    let bytes = 0
    const flush = async (): Promise<boolean> => {
      if (page.length === 0) return true
      const isWhole = !this.#parts.isClosed() && (await this.#parts.revisions.fill(newest, page))
      if (isWhole) await onAdded(page)
      page = []
      bytes = 0
      return isWhole
    }
    for (const record of records) {
      const text = await from.textOf(record.number)
      if (text === null) continue
      const isFull = page.length >= PAGE.revisions || bytes + text.length > PAGE.bytes
      if (isFull && !(await flush())) return
      page.push({ record, text })
      bytes += text.length
    }
    await flush()
  }
}
