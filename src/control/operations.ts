/**
 * The only writer of the table: every change, by the API or by an edit of the file, goes through here, one at a time.
 *
 * An edit is a commit: validate -> change the text -> write it durably -> put it in force. routes.yaml is the one truth, so
 * what is on disk is taken in before anything is changed, and never written over where it is not understood.
 */
import type { Route } from '../rules/table.ts'
import { formatProblem, type Problem, readTable, setPercent } from '../rules/table-text.ts'
import type { LiveTable, Revision } from '../state/live-table.ts'
import type { Authorship, ControlLog } from './control-log.ts'
import { WriteFailure, type WriteFlaw } from './durable-write.ts'
import { type IfMatch, mayEdit } from './preconditions.ts'
import type { Reading } from './settled-text.ts'
import type { TableFile } from './table-file.ts'

/**
 * What became of an edit.
 *
 * - `done`: the revision in force says what was asked for; `changed` is false where it said so before
 * - `no-such-route`: the revision in force has no route of that id
 * - `outdated`: If-Match names another revision than the one in force
 * - `file-refused`: the text on disk can't be put in force, and is not written over
 * - `file-busy`: somebody is writing to the file without a pause
 * - `refused`: the table with the edit could not be put in force; nothing was written
 * - `not-written`: the file could not be replaced; nothing has changed
 */
export type EditOutcome =
  | { readonly kind: 'done'; readonly revision: Revision; readonly changed: boolean; readonly before: number }
  | { readonly kind: 'no-such-route'; readonly revision: Revision }
  | { readonly kind: 'outdated'; readonly revision: Revision }
  | { readonly kind: 'file-refused'; readonly problems: readonly Problem[] }
  | { readonly kind: 'file-busy' }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] }
  | { readonly kind: 'not-written'; readonly flaw: WriteFlaw; readonly message: string }

/** On which revision an edit may be made, who asks for it and why. */
export interface EditTerms extends Authorship {
  /** Null where the last writer wins. */
  readonly ifMatch: IfMatch | null
}

/** What the operations work with. */
export interface OperationsParts {
  readonly live: LiveTable
  readonly file: TableFile
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
}

/** So often an edit is made anew because the file changed under it, before it is given up as `file-busy`. */
const MAX_ATTEMPTS = 3

const BY_FILE: Authorship = { author: 'file', reason: null }

/** The writer. One per table file. */
export class Operations {
  readonly #live: LiveTable
  readonly #file: TableFile
  readonly #log: ControlLog
  readonly #now: () => number
  /** The end of the last operation: the next one waits for it. */
  #last: Promise<unknown> = Promise.resolve()
  /** The text, or the flaw, that has been refused and reported; null when the file is in force. */
  #reported: string | null = null

  constructor(parts: OperationsParts) {
    this.#live = parts.live
    this.#file = parts.file
    this.#log = parts.log
    this.#now = () => parts.now()
  }

  /** Takes in every edit of the file from now on, and the one that may have been made since it was first read. */
  watch(): void {
    this.#file.watch((reading) => this.takeIn(reading))
  }

  /** Stops watching and resolves when the running operation is over. */
  async close(): Promise<void> {
    this.#file.close()
    await this.#last
  }

  /**
   * Puts what the file says in force, or reports why that can't be; then the last good revision goes on serving.
   * A text that is in force already changes nothing, nor does one that the file no longer holds: another look follows, and
   * hands on what it holds now. Never rejects.
   */
  takeIn(reading: Reading): Promise<void> {
    return this.#alone(async () => {
      // While it waited here an edit by the API may have replaced the file: what it says is the past, and would undo that.
      if (await this.#file.isAsRead(reading)) this.#takeIn(reading)
    })
  }

  /**
   * Sets a route's percent in the file and in force. `percent` is 0 to 100 with up to 4 decimals.
   * @throws {Error} only where banyan itself is wrong, or is being closed
   */
  setPercent(routeId: string, percent: number, terms: EditTerms): Promise<EditOutcome> {
    return this.#alone(async () => {
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
        const obstacle = await this.#catchUp()
        if (obstacle !== null) return obstacle
        const outcome = await this.#setPercent(routeId, percent, terms)
        // Somebody has edited the file within the last milliseconds: what they said is taken in first.
        if (outcome.kind !== 'not-written' || outcome.flaw !== 'changed') return outcome
      }
      return { kind: 'file-busy' }
    })
  }

  /** Brings the revision in force to what is on disk. Returns why that can't be, or null. */
  async #catchUp(): Promise<EditOutcome | null> {
    let reading = await this.#file.readNow()
    // Another text may be half of somebody's edit: only a settled one may become a revision.
    if (!reading.ok || reading.text !== this.#live.current.text) reading = await this.#file.readSettled()
    if (!reading.ok && reading.flaw === 'unsettled') return { kind: 'file-busy' }
    const problems = this.#takeIn(reading)
    return problems === null ? null : { kind: 'file-refused', problems }
  }

  async #setPercent(routeId: string, percent: number, terms: EditTerms): Promise<EditOutcome> {
    const revision = this.#live.current
    const route = revision.table.routes.find(({ id }) => id === routeId)
    if (route === undefined) return { kind: 'no-such-route', revision }
    if (terms.ifMatch !== null && !mayEdit(terms.ifMatch, revision.etag)) return { kind: 'outdated', revision }
    if (route.percent === percent) return { kind: 'done', revision, changed: false, before: percent }
    return this.#commit(revision, route, percent, terms)
  }

  async #commit(revision: Revision, route: Route, percent: number, terms: Authorship): Promise<EditOutcome> {
    const edited = this.#edit(revision.text, route.id, percent)
    if (!edited.ok) return { kind: 'refused', problems: edited.problems }
    try {
      await this.#file.replace(edited.text, revision.text)
    } catch (error) {
      if (!(error instanceof WriteFailure)) throw error
      return { kind: 'not-written', flaw: error.flaw, message: `${this.#file.name} ${error.message}` }
    }
    const applied = this.#apply(edited.text, edited, terms)
    if (applied === null) return { kind: 'done', revision: this.#live.current, changed: true, before: route.percent }
    await this.#file.replace(revision.text, edited.text)
    return { kind: 'refused', problems: applied }
  }

  /** The text with the edit and the table that it means, tried out as far as that goes without putting it in force. */
  #edit(text: string, routeId: string, percent: number): Edited {
    try {
      const edited = setPercent(text, routeId, percent)
      const read = readTable(edited, this.#file.name)
      if (!read.ok) return read
      this.#live.prepare(read.table)
      return { ...read, text: edited }
    } catch (error) {
      return { ok: false, problems: [this.#problem((error as Error).message)] }
    }
  }

  /** Returns null where the file's text is in force now, else why it can't be. */
  #takeIn(reading: Reading): readonly Problem[] | null {
    if (!reading.ok) return this.#refuse(`${reading.flaw}: ${reading.message}`, [this.#problem(reading.message)])
    if (reading.text === this.#live.current.text) {
      if (this.#reported !== null) {
        this.#log.info({ event: 'table-restored', ...facts(this.#live.current) }, 'the table file is in force again')
      }
      this.#reported = null
      this.#live.accept()
      return null
    }
    const read = readTable(reading.text, this.#file.name)
    const problems = read.ok ? this.#apply(reading.text, read, BY_FILE) : read.problems
    return problems === null ? null : this.#refuse(`text: ${reading.text}`, problems)
  }

  /** Puts a table in force. Returns null, or why that can't be. */
  #apply(text: string, read: ReadOk, by: Authorship): Problem[] | null {
    let revision: Revision
    try {
      revision = this.#live.apply(read.table, text, this.#now())
    } catch (error) {
      if (this.#live.current.text !== text) return [this.#problem((error as Error).message)]
      // Somebody who was told of the new revision failed over it. It is in force all the same.
      revision = this.#live.current
      this.#log.error(
        { event: 'revision-listener', err: error, ...facts(revision) },
        'a part failed over the new table',
      )
    }
    this.#reported = null
    const { author, reason } = by
    this.#log.info({ event: 'revision', ...facts(revision), author, reason }, `revision ${revision.number} is in force`)
    for (const warning of read.warnings) this.#log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
    return null
  }

  /** Reports a refused text: once, however often it is met. */
  #refuse(state: string, problems: readonly Problem[]): readonly Problem[] {
    if (state === this.#reported) return problems
    this.#reported = state
    this.#live.refuse(problems, this.#now())
    for (const problem of problems) {
      const fields = { event: 'table-refused', ...problem }
      if (problem.severity === 'error') this.#log.error(fields, formatProblem(problem))
      else this.#log.warn(fields, formatProblem(problem))
    }
    const { number } = this.#live.current
    this.#log.error({ event: 'table-refused' }, `${this.#file.name} was refused: revision ${number} stays in force`)
    return problems
  }

  /** A problem with the file as a whole. */
  #problem(message: string): Problem {
    return { file: this.#file.name, line: 1, column: 1, pointer: '', message, severity: 'error' }
  }

  /** The lock: runs `work` when everything before it is over. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

type ReadOk = Extract<ReturnType<typeof readTable>, { ok: true }>
type Edited = (ReadOk & { readonly text: string }) | { readonly ok: false; readonly problems: readonly Problem[] }

function facts(revision: Revision): object {
  return { revision: revision.number, etag: revision.etag }
}
