/**
 * Follows the table file in a cluster (`--follow-table`): a change of the file becomes a revision of the cluster if the table still
 * equals the previous state of the file. If the table was changed elsewhere, that is drift: it is reported, never overwritten.
 */
import type { ChangeSummary } from '../../rules/language/changes.ts'
import { withoutPercents } from '../../rules/language/live-percents.ts'
import { formatProblem, type Problems } from '../../rules/language/text.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import { FreshRun } from '../../state/fresh-run.ts'
import type { LiveTable } from '../../state/live-table.ts'
import type { ControlLog } from '../control-log.ts'
import { followApart } from '../table/apart.ts'
import type { EditOutcome } from '../table/edit-outcome.ts'
import { replaceButPercents, replaceText } from '../table/edits.ts'
import { TableFile, WATCH_TIMES, type WatchTimes } from '../table/file.ts'
import type { History } from '../table/history.ts'
import type { Operations } from '../table/operations.ts'
import type { Reading } from '../table/settled-text.ts'

/** Dependencies. */
export interface FollowedFileParts {
  /** The path as the operator gave it. */
  readonly path: string
  readonly cluster: string
  /** Take the percents from the file; otherwise the live ones stay. */
  readonly takesPercents: boolean
  readonly live: LiveTable
  readonly history: History
  readonly operations: Pick<Operations, 'commit'>
  readonly log: ControlLog
  readonly times?: WatchTimes
  /** Whether this instance is in step with the cluster: otherwise it is not known what is live. */
  isInStep(): boolean
}

/** How the file and the table differ. */
export interface Drift {
  /** In words, for the operator. */
  readonly why: string
  /** What the file would change. */
  readonly changes: ChangeSummary
}

/** How long to wait before the next check if the instance was not in step, or a revision could not be made. */
const AGAIN_MS = 2_000

/** It is whole, and the table is another one. */
const DIFFERS = 'differs'

const NOTHING: ChangeSummary = { changes: [], more: 0 }

/** Follows a file. */
export class FollowedFile {
  readonly path: string
  readonly #parts: FollowedFileParts
  readonly #file: TableFile
  #reading: Reading | null = null
  /** The text from which the table was last made, or with which it last agreed; null before. */
  #inForce: string | null = null
  /** The table with which that text last agreed. */
  #agreed: Table | null = null
  #drift: Drift | null = null
  #told: string | null = null
  readonly #looks = new FreshRun(() => this.#lookNow())
  #again: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(parts: FollowedFileParts) {
    this.path = parts.path
    this.#parts = parts
    this.#file = new TableFile(parts.path, parts.times ?? WATCH_TIMES)
  }

  /** How the file differs from the live table; null if it does not, or before the first check. */
  get drift(): Drift | null {
    return this.#drift
  }

  start(): void {
    this.#file.watch((reading) => {
      this.#reading = reading
      return this.#look()
    })
    this.#parts.live.onApply(() => void this.#look())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#file.close()
    clearTimeout(this.#again)
    await this.#looks.ended()
  }

  /** Checks. Large texts take a while to compare: all edits that are made meanwhile are one check. Never rejects. */
  #look(): Promise<void> {
    return this.#looks.run()
  }

  async #lookNow(): Promise<void> {
    try {
      if (!this.#isClosed) await this.#follow()
    } catch (error) {
      this.#set({ why: `can't be compared: ${(error as Error).message}`, changes: NOTHING })
    }
  }

  async #follow(): Promise<void> {
    const { path, takesPercents, live, isInStep } = this.#parts
    const reading = this.#reading
    if (reading === null) return
    if (!isInStep()) return this.#lookAgain()
    if (!reading.ok) return this.#set({ why: reading.message, changes: NOTHING })
    const { text } = reading
    const before = live.current
    if (!takesPercents && this.#agreesStill(text, before.table)) return
    const compared = await followApart(text, before.text, path, takesPercents)
    if (!compared.ok) return this.#set({ why: invalidText(compared), changes: NOTHING })
    const { wanted, changes } = compared
    if (wanted === before.text) return this.#agree(text, before.table)
    if (this.#inForce !== text && (await this.#isUnchangedSince(before.text))) {
      const terms = { ifMatch: [before.etag], percentsMayMove: !takesPercents, author: 'file', reason: null }
      const change = takesPercents ? replaceText(wanted) : replaceButPercents(text)
      const outcome = await this.#parts.operations.commit(change, terms)
      if (outcome.kind === 'done') return this.#agree(text, outcome.revision.table)
      // Somebody else has edited at the same time, or the cluster is unreachable.
      this.#lookAgain()
      return this.#set({ why: `could not be applied: ${whyNot(outcome)}`, changes })
    }
    if (changes.changes.length === 0) return this.#agree(text, before.table)
    this.#set({ why: DIFFERS, changes })
  }

  /** Whether the table equals the previous state of the file: as last seen here, or as last followed by any instance. */
  async #isUnchangedSince(now: string): Promise<boolean> {
    const { path, takesPercents, history } = this.#parts
    const followed = history.list().filter(({ author }) => author === 'file')
    let before = this.#inForce
    if (before === null) {
      const [newest, ...earlier] = await Promise.all(followed.map(({ number }) => history.textOf(number)))
      const file = this.#reading?.ok === true ? withoutPercents(this.#reading.text) : ''
      // An instance that starts late with an old file must not bring the old table back.
      if (earlier.some((text) => text !== null && withoutPercents(text) === file)) return false
      before = newest ?? null
    }
    if (before === null) return false
    const compared = await followApart(before, now, path, takesPercents)
    return compared.ok && compared.changes.changes.length === 0
  }

  /** Whether a text and a table agree since they did and only percents have moved, as they do at each step of a ramp. */
  #agreesStill(text: string, table: Table): boolean {
    if (this.#drift !== null || this.#inForce !== text || this.#agreed === null) return false
    if (!differsInPercents(this.#agreed, table)) return false
    this.#agreed = table
    return true
  }

  #agree(text: string, table: Table): void {
    this.#inForce = text
    this.#agreed = table
    this.#set(null)
  }

  #set(drift: Drift | null): void {
    const { path, cluster, live, log } = this.#parts
    this.#drift = drift
    const told = drift === null ? null : JSON.stringify(drift)
    if (told === this.#told) return
    this.#told = told
    const facts = { event: 'table-drift', revision: live.current.number }
    if (drift === null) {
      log.info(facts, `${path} and the table of cluster ${cluster} agree`)
      return
    }
    const why =
      drift.why === DIFFERS
        ? `differs from the table of cluster ${cluster}, which was changed elsewhere: see "banyan diff ${path}"; "banyan apply ${path}" makes the file the table`
        : drift.why
    log.warn({ ...facts, changes: drift.changes.changes, more: drift.changes.more }, `${path}: ${why}`)
  }

  #lookAgain(): void {
    clearTimeout(this.#again)
    this.#again = setTimeout(() => void this.#look(), AGAIN_MS).unref()
  }
}

/** Whether two tables are alike but for the percents of routes. */
function differsInPercents(one: Table, other: Table): boolean {
  const saidBy = ({ document }: Route): Plain => ({ ...document, percent: 0 }) as unknown as Plain
  const isLike = (route: Route, at: number): boolean => {
    const now = other.routes[at]
    return now === route || (now !== undefined && sameValue(saidBy(now), saidBy(route)))
  }
  return (
    one.default === other.default &&
    one.defaultStatus === other.defaultStatus &&
    sameValue(one.visitor.document, other.visitor.document) &&
    one.routes.length === other.routes.length &&
    one.routes.every(isLike) &&
    one.upstreams.size === other.upstreams.size &&
    [...one.upstreams].every(([name, upstream]) => other.upstreams.get(name) === upstream)
  )
}

/** Why no revision came of the file. */
function whyNot(outcome: EditOutcome): string {
  if (outcome.kind === 'refused') return invalidText(outcome)
  if (outcome.kind === 'outdated') return 'the table was changed at the same time'
  return 'message' in outcome ? outcome.message : outcome.kind
}

function invalidText({ problems, more }: Problems): string {
  const [first] = problems
  const others = problems.length - 1 + more
  return `is invalid: ${first === undefined ? "it can't be read" : formatProblem(first)}${others > 0 ? ` and ${others} more` : ''}`
}
