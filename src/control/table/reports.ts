/**
 * Log messages about the table: applied revisions with their authors, and problems, each logged once.
 */
import type { TableChange } from '../../rules/language/changes.ts'
import { formatProblem, type Problem, type Problems } from '../../rules/language/text.ts'
import { andMore } from '../../rules/values/problem.ts'
import type { Revision } from '../../state/live-table.ts'
import type { Authorship, ControlLog } from '../control-log.ts'

/** Maximum number of changes in one line. */
const MAX_LOGGED_CHANGES = 20

/** Log messages of one table. */
export class TableReports {
  readonly #log: ControlLog
  readonly #file: string
  /** The text or the flaw that was rejected last; null if the file is active. */
  #refused: string | null = null
  #historyProblem: string | null = null
  /** Problems of TLS files that were logged last. */
  #stale: readonly string[] = []

  /** @param file name of the table file */
  constructor(log: ControlLog, file: string) {
    this.#log = log
    this.#file = file
  }

  /**
   * A revision is active.
   * @param changes what it changes, if no other line says so
   */
  inForce(
    revision: Revision,
    { author, reason }: Authorship,
    warnings: readonly Problem[],
    changes: readonly TableChange[] | null,
  ): void {
    this.#refused = null
    const fields = { event: 'revision', ...facts(revision), author, reason }
    const told = changes === null ? fields : { ...fields, changes: changes.slice(0, MAX_LOGGED_CHANGES) }
    this.#log.info(told, `applied revision ${revision.number}`)
    for (const warning of warnings) this.#log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
  }

  /** The file has the active text: logged only if it had another one before. */
  inStep(revision: Revision): void {
    if (this.#refused !== null) {
      this.#log.info({ event: 'table-restored', ...facts(revision) }, 'the table file is valid again')
    }
    this.#refused = null
  }

  /**
   * The file was rejected, and `revision` stays active.
   * @param state identifies what was rejected
   * @returns false if it was logged already
   */
  refused(state: string, { problems, more }: Problems, revision: Revision): boolean {
    if (state === this.#refused) return false
    this.#refused = state
    for (const problem of problems) {
      const fields = { event: 'table-refused', ...problem }
      if (problem.severity === 'error') this.#log.error(fields, formatProblem(problem))
      else this.#log.warn(fields, formatProblem(problem))
    }
    const rest = more > 0 ? ` (${andMore(more)})` : ''
    const told = `${this.#file} is invalid${rest}: keeping revision ${revision.number}`
    this.#log.error({ event: 'table-refused' }, told)
    return true
  }

  /** Logs why revisions are not stored on disk; null if they are. */
  history(problem: string | null): void {
    if (problem !== null && problem !== this.#historyProblem) this.#log.warn({ event: 'history' }, problem)
    this.#historyProblem = problem
  }

  /** Logs problems of TLS files in use, a line each: their earlier content stays active. */
  tlsFiles(stale: readonly string[]): void {
    for (const told of stale) {
      if (!this.#stale.includes(told)) {
        this.#log.error({ event: 'tls-files' }, `${told}; using its previous content`)
      }
    }
    if (stale.length === 0 && this.#stale.length > 0)
      this.#log.info({ event: 'tls-files' }, 'the TLS files are valid again')
    this.#stale = stale
  }

  /** The content of changed TLS files is active. */
  tlsFilesInForce(revision: Revision): void {
    this.#log.info({ event: 'tls-files', ...facts(revision) }, 'reloaded changed TLS files')
  }

  /** The content of changed TLS files could not be activated. */
  tlsFilesFailed(why: string): void {
    this.#log.error({ event: 'tls-files' }, `failed to reload TLS files: ${why}`)
  }

  /** TLS files that have become unusable. */
  get staleTlsFiles(): readonly string[] {
    return this.#stale
  }

  /** A bug in banyan: the text in force was changed without a parse, and parsed it is another table. */
  unconfirmed(revision: Revision): void {
    const told = 'internal error: the text of the table is not the table in force, which is corrected'
    this.#log.error({ event: 'table-failed', ...facts(revision) }, told)
  }

  /** A listener failed on a revision, which is active nevertheless. */
  listenerFailed(error: unknown, revision: Revision): void {
    const fields = { event: 'revision-listener', err: error, ...facts(revision) }
    this.#log.error(fields, 'a component failed to apply the new table')
  }

  /** A bug in banyan while applying an edit of the file. */
  takeInFailed(error: unknown, revision: Revision): void {
    const told = `internal error while applying ${this.#file}: keeping revision ${revision.number}`
    this.#log.error({ event: 'table-failed', err: error, ...facts(revision) }, told)
  }

  /** The file has a text that could not be activated, and its earlier content could not be restored. */
  takeBackFailed(error: Error, revision: Revision): void {
    const told = `${this.#file} contains a table that is not applied, and ${error.message}`
    this.#log.error({ event: 'table-failed', err: error, ...facts(revision) }, told)
  }
}

function facts(revision: Revision): object {
  return { revision: revision.number, etag: revision.etag }
}
