/**
 * Log messages about the table: applied revisions with their authors, and problems, each logged once.
 */
import { formatProblem, type Problems } from '../../rules/language/text.ts'
import { andMore } from '../../rules/values/problem.ts'
import type { Revision } from '../../state/live-table.ts'
import type { Authorship, ControlLog } from '../control-log.ts'

/** The reports on one table. */
export class TableReports {
  readonly #log: ControlLog
  readonly #file: string
  /** The text, or the flaw, that was refused last; null where the file is in force. */
  #refused: string | null = null
  #historyProblem: string | null = null
  /** What is wrong with TLS files, as it was told last. */
  #stale: readonly string[] = []

  /** @param file name of the table file */
  constructor(log: ControlLog, file: string) {
    this.#log = log
    this.#file = file
  }

  /** A revision has taken effect. */
  inForce(revision: Revision, { author, reason }: Authorship, warnings: Problems): void {
    this.#refused = null
    this.#log.info({ event: 'revision', ...facts(revision), author, reason }, `applied revision ${revision.number}`)
    for (const warning of warnings.problems)
      this.#log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
  }

  /** The file says what is in force: news only where it said something else before. */
  inStep(revision: Revision): void {
    if (this.#refused !== null) {
      this.#log.info({ event: 'table-restored', ...facts(revision) }, 'the table file is valid again')
    }
    this.#refused = null
  }

  /**
   * The file was refused, and `revision` stays in force.
   * @param state what was refused
   * @returns false where that has been told already
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

  /** Why revisions are not kept on disk, or null. */
  history(problem: string | null): void {
    if (problem !== null && problem !== this.#historyProblem) this.#log.warn({ event: 'history' }, problem)
    this.#historyProblem = problem
  }

  /** What is wrong with TLS files that are in use, a line each: what they held before stays in force. */
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

  /** What changed TLS files hold is in force. */
  tlsFilesInForce(revision: Revision): void {
    this.#log.info({ event: 'tls-files', ...facts(revision) }, 'reloaded changed TLS files')
  }

  /** What changed TLS files hold could not be put in force. */
  tlsFilesFailed(why: string): void {
    this.#log.error({ event: 'tls-files' }, `failed to reload TLS files: ${why}`)
  }

  /** TLS files that can be used no longer, where there are any. */
  get staleTlsFiles(): readonly string[] {
    return this.#stale
  }

  /** A part that is told of revisions has failed over one, which is in force all the same. */
  listenerFailed(error: unknown, revision: Revision): void {
    const fields = { event: 'revision-listener', err: error, ...facts(revision) }
    this.#log.error(fields, 'a component failed to apply the new table')
  }

  /** banyan itself has failed over an edit of the file. */
  takeInFailed(error: unknown, revision: Revision): void {
    const told = `internal error while applying ${this.#file}: keeping revision ${revision.number}`
    this.#log.error({ event: 'table-failed', err: error, ...facts(revision) }, told)
  }

  /** The file has a text that could not be put in force, and could not be given back what it had. */
  takeBackFailed(error: Error, revision: Revision): void {
    const told = `${this.#file} contains a table that is not applied, and ${error.message}`
    this.#log.error({ event: 'table-failed', err: error, ...facts(revision) }, told)
  }
}

function facts(revision: Revision): object {
  return { revision: revision.number, etag: revision.etag }
}
