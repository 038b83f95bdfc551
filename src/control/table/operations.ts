/**
 * The only writer of the table: every change, by the API or by an edit of the file, goes through here, one at a time.
 *
 * An edit is a commit: validate -> edit the text -> write it durably -> apply it. routes.yaml is the single source of truth, so
 * changes on disk are loaded before an edit, and an invalid file is never overwritten.
 */
import { briefly, type TableChange, tableChanges } from '../../rules/language/changes.ts'
import type { Problems, ReadTable } from '../../rules/language/text.ts'
import type { CookieKeySource } from '../../state/cookie-key-source.ts'
import { http2FlawsOf } from '../../state/http2-support.ts'
import { etagOf, type LiveTable, type Revision } from '../../state/live-table.ts'
import type { Authorship, ControlLog } from '../control-log.ts'
import { mayEdit } from '../http/preconditions.ts'
import type { FieldErrors } from '../http/problem.ts'
import { type Ownership, SOLE_OWNER } from '../ownership.ts'
import { editApart, placeApart, readApart } from './apart.ts'
import { WriteFailure } from './durable-write.ts'
import type { Change, EditOutcome, EditTerms, Proposal } from './edit-outcome.ts'
import type { TableSource } from './file.ts'
import { type Followers, NO_FOLLOWERS } from './followers.ts'
import type { History } from './history.ts'
import { TableReports } from './reports.ts'
import type { RevisionRecord } from './revision-record.ts'
import type { Reading } from './settled-text.ts'
import type { TlsFiles } from './tls-files.ts'

/** Dependencies of the operations. */
export interface OperationsParts {
  readonly live: LiveTable
  readonly file: TableSource
  /** The TLS files of the table. */
  readonly tlsFiles: TlsFiles
  /** The keys that its cookies need. */
  readonly cookieKeys: CookieKeySource
  readonly history: History
  readonly log: ControlLog
  /** Data planes in other processes. Default: none. */
  readonly followers?: Followers
  /** Who makes edits. Default: this instance. */
  readonly ownership?: Ownership
  /** Epoch milliseconds. */
  now(): number
}

/** How often an edit is tried while the file keeps changing, before it fails with `file-busy`. */
const MAX_ATTEMPTS = 3

type Applied =
  | { readonly ok: true; readonly changes: readonly TableChange[] }
  | { readonly ok: false; readonly problems: Problems }

const BY_FILE: Authorship = { author: 'file', reason: null }

/** The writer. One per table file. */
export class Operations {
  readonly #live: LiveTable
  readonly #file: TableSource
  readonly #tlsFiles: TlsFiles
  readonly #cookieKeys: CookieKeySource
  readonly #history: History
  readonly #reports: TableReports
  readonly #followers: Followers
  readonly #ownership: Ownership
  readonly #now: () => number
  /** Settles when the last operation is over; the next one waits for it. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: OperationsParts) {
    this.#live = parts.live
    this.#file = parts.file
    this.#tlsFiles = parts.tlsFiles
    this.#cookieKeys = parts.cookieKeys
    this.#history = parts.history
    this.#reports = new TableReports(parts.log, parts.file.name)
    this.#followers = parts.followers ?? NO_FOLLOWERS
    this.#ownership = parts.ownership ?? SOLE_OWNER
    this.#now = () => parts.now()
    this.#reports.history(this.#history.problem)
  }

  /** Applies all edits of the file and its TLS files from now on, including those since they were first read. */
  watch(): void {
    this.#file.watch((reading) => this.takeIn(reading))
    this.#tlsFiles.watch(
      () => this.#live.current.table,
      () => this.renew(),
    )
  }

  /** TLS files that have become unusable, a line each; their earlier content is used. */
  get staleTlsFiles(): readonly string[] {
    return this.#reports.staleTlsFiles
  }

  /** Stops watching and resolves when the running operation is over. */
  async close(): Promise<void> {
    this.#file.close()
    this.#tlsFiles.close()
    await this.#last
  }

  /**
   * Applies the text of the file, or reports its problems and keeps the last good revision. Ignores a text that is current
   * already, and one that the file no longer has: another reading follows. Never rejects: bugs in banyan are logged.
   */
  takeIn(reading: Reading): Promise<void> {
    return this.#alone(async () => {
      try {
        // Meanwhile an edit by the API may have replaced the file: an outdated reading would undo it.
        if (await this.#file.isAsRead(reading)) await this.#takeIn(reading)
      } catch (error) {
        this.#reports.takeInFailed(error, this.#live.current)
      }
    })
  }

  /**
   * Reads the TLS files of the current revision again and applies their content. Files that have become unusable are logged,
   * and their earlier content is kept. Never rejects.
   * @returns false if it has to be tried again
   */
  renew(): Promise<boolean> {
    return this.#alone(async () => {
      try {
        return await this.#renew()
      } catch (error) {
        this.#reports.tlsFilesFailed((error as Error).message)
        return true
      }
    })
  }

  /** The state folder has become this instance's own: what the former owner left is settled. Never rejects. */
  takeOver(): Promise<void> {
    return this.#alone(async () => {
      try {
        const { text } = this.#live.current
        // The revisions of a cluster have their numbers from there.
        if (this.#file.marked !== undefined) return await this.#history.save()
        const { number } = await this.#history.takeOver(text, this.#now())
        if (number !== this.#live.current.number) await this.#renumber(number)
        this.#reports.history(this.#history.problem)
      } catch (error) {
        this.#reports.takeInFailed(error, this.#live.current)
      }
    })
  }

  /** Gives the current revision the number that it has in the history. */
  async #renumber(number: number): Promise<void> {
    const { current, material } = this.#live
    const { table, text, appliedAtMs } = current
    if ((await this.#followers.prepare(text, material)) !== null) {
      this.#followers.abandon()
      return
    }
    await this.#followers.commit({ number, text, appliedAtMs, material })
    this.#live.apply(table, text, appliedAtMs, { number, material })
  }

  async #renew(): Promise<boolean> {
    const { current, material: before } = this.#live
    const { number, table, text, appliedAtMs } = current
    const { material, findings, stale } = await this.#tlsFiles.load(table, before)
    this.#reports.tlsFiles([...stale, ...findings.map(({ message }) => message)])
    if (findings.length > 0 || material === before) return true
    this.#live.prepare(table, material)
    const refusal = await this.#followers.prepare(text, material)
    if (refusal !== null) {
      this.#followers.abandon()
      this.#reports.tlsFilesFailed(refusal)
      return false
    }
    await this.#followers.commit({ number, text, appliedAtMs, material })
    this.#live.renew(material)
    this.#reports.tlsFilesInForce(current)
    return true
  }

  /**
   * Makes an edit: in the file and in effect, or not at all.
   * @throws {Error} only on a bug in banyan, or while it is being closed
   */
  commit(change: Change, terms: EditTerms): Promise<EditOutcome> {
    return this.#alone(async () => {
      if (!this.#ownership.isOwner && terms.dryRun !== true) return { kind: 'not-owner' }
      for (let attempt = 1; attempt <= (this.#file.attempts ?? MAX_ATTEMPTS); attempt++) {
        const obstacle = await this.#catchUp()
        if (obstacle !== null && (terms.force !== true || obstacle.kind !== 'file-refused')) return obstacle
        const outcome = await this.#edit(change, terms, obstacle !== null).finally(() => this.#followers.abandon())
        // The file was edited within the last milliseconds: that edit is applied first.
        if (outcome.kind !== 'not-written' || outcome.flaw !== 'changed') return outcome
      }
      return { kind: 'file-busy' }
    })
  }

  /** Applies the file on disk. Returns the reason if that fails, or null. */
  async #catchUp(): Promise<Extract<EditOutcome, { kind: 'file-busy' | 'file-refused' }> | null> {
    let reading = await this.#file.readNow()
    // A different text may be an incomplete edit: only a settled one may become a revision.
    if (!reading.ok || reading.text !== this.#live.current.text) reading = await this.#file.readSettled()
    if (!reading.ok && reading.flaw === 'unsettled') return { kind: 'file-busy' }
    const problems = await this.#takeIn(reading)
    return problems === null ? null : { kind: 'file-refused', ...problems }
  }

  async #edit(change: Change, terms: EditTerms, overInvalid: boolean): Promise<EditOutcome> {
    const before = this.#live.current
    if (terms.ifMatch !== null && !mayEdit(terms.ifMatch, before.etag)) return { kind: 'outdated', revision: before }
    const wanted = await change(before)
    if (wanted.kind !== 'text' && wanted.kind !== 'edit') return wanted
    const edited =
      wanted.kind === 'text'
        ? { ok: true as const, text: wanted.text, read: await readApart(wanted.text, this.#file.name) }
        : await editApart(before.text, wanted.edit, this.#file.name)
    if (!edited.ok) return { kind: 'refused', ...this.#problem(edited.message, 'edit the table file') }
    const proposal = await this.#try(edited.text, edited.read)
    if ('problems' in proposal) {
      const errors = wanted.kind === 'edit' ? fieldErrors(proposal.problems, wanted.place) : null
      return errors === null ? { kind: 'refused', ...proposal.problems } : { kind: 'invalid', ...errors }
    }
    // Overwriting an invalid file is a revision even if the table stays the same: the invalid text is kept with it.
    const changed = overInvalid || proposal.text !== before.text
    if (terms.dryRun === true) return { kind: 'would', before, proposal, changed }
    if (!changed) return { kind: 'done', revision: before, changed, before, changes: [] }
    return this.#write(before, proposal, terms, overInvalid)
  }

  async #write(before: Revision, proposal: Proposal, terms: EditTerms, overInvalid: boolean): Promise<EditOutcome> {
    const { text } = proposal
    const changes = tableChanges(before.table, proposal.table)
    const made = this.#recordOf(before.number + 1, text, terms, changes, overInvalid)
    const record = this.#file.marked?.(made) ?? made
    const overwritten = overInvalid ? await this.#file.readBytes() : null
    const held = overInvalid ? overwritten : Buffer.from(before.text)
    await this.#history.prepare(record, text, overwritten)
    try {
      await this.#file.replace(text, held, record)
    } catch (error) {
      await this.#history.abandon(record)
      if (!(error instanceof WriteFailure)) throw error
      return { kind: 'not-written', flaw: error.flaw, message: `${this.#file.name} ${error.message}` }
    }
    const applied = await this.#apply(text, proposal, terms)
    if (applied.ok) {
      await this.#history.commit(record, text)
      this.#reports.history(this.#history.problem)
      return { kind: 'done', revision: this.#live.current, changed: true, before, changes }
    }
    await this.#takeBack(text, held ?? before.text)
    await this.#history.abandon(record)
    return { kind: 'refused', ...applied.problems }
  }

  /** Restores the content that the file had before `text`. If that fails, the text will be treated as an edit of the file, and rejected. */
  async #takeBack(text: string, held: Buffer | string): Promise<void> {
    try {
      await this.#file.replace(held, Buffer.from(text), null)
    } catch (error) {
      this.#reports.takeBackFailed(error as Error, this.#live.current)
    }
  }

  #recordOf(
    number: number,
    text: string,
    { author, reason }: Authorship,
    changes: readonly TableChange[],
    forced: boolean,
  ): RevisionRecord {
    const record = { number, atMs: this.#now(), author, reason, forced, summary: briefly(changes) }
    return { ...record, etag: etagOf(number, text), run: this.#history.runOf(record) }
  }

  /** Validates a text as far as possible without activating it. */
  async #try(text: string, read: ReadTable): Promise<Proposal | { readonly problems: Problems }> {
    if (!read.ok) return { problems: { problems: read.problems, more: read.more } }
    const { material, findings: flaws } = await this.#tlsFiles.load(read.table, this.#live.material)
    const findings = [...flaws, ...http2FlawsOf(read.table), ...this.#cookieKeys.flawsOf(read.table)]
    if (findings.length > 0) {
      return { problems: { problems: await placeApart(findings, text, this.#file.name), more: 0 } }
    }
    try {
      this.#live.prepare(read.table, material)
    } catch (error) {
      return { problems: this.#problem((error as Error).message) }
    }
    const refusal = await this.#followers.prepare(text, material)
    if (refusal !== null) return { problems: this.#problem(refusal) }
    return { text, table: read.table, material, warnings: { problems: read.warnings, more: read.more } }
  }

  /** Returns null if the file's text is active now, otherwise the problems. */
  async #takeIn(reading: Reading): Promise<Problems | null> {
    if (!reading.ok) return this.#refuse(`${reading.flaw}: ${reading.message}`, this.#problem(reading.message))
    const { text } = reading
    if (reading.made !== undefined) return this.#takeInMade(text, reading.made)
    if (text === this.#live.current.text) {
      this.#reports.inStep(this.#live.current)
      this.#live.accept()
      return null
    }
    const proposal = await this.#try(text, await readApart(text, this.#file.name))
    if ('problems' in proposal) return this.#refuse(`text: ${text}`, proposal.problems)
    const before = this.#live.current.number
    // Another instance that owns the folder has made it, or reads the same file and is about to record it.
    const made = this.#ownership.isOwner ? null : await this.#history.recordOf(text, before)
    const applied = await this.#apply(text, proposal, made ?? BY_FILE, made?.number ?? before + 1)
    if (!applied.ok) return this.#refuse(`text: ${text}`, applied.problems)
    if (made !== null) return null
    await this.#history.add(this.#recordOf(this.#live.current.number, text, BY_FILE, applied.changes, false), text)
    this.#reports.history(this.#history.problem)
    return null
  }

  /** As `#takeIn`, of a revision that another instance of the cluster has made. */
  async #takeInMade(text: string, made: RevisionRecord): Promise<Problems | null> {
    const { current } = this.#live
    if (text !== current.text) {
      const proposal = await this.#try(text, await readApart(text, this.#file.name))
      if ('problems' in proposal) return this.#refuse(`text: ${text}`, proposal.problems)
      const applied = await this.#apply(text, proposal, made, made.number)
      if (!applied.ok) return this.#refuse(`text: ${text}`, applied.problems)
    } else {
      if (made.number !== current.number) await this.#renumber(made.number)
      this.#reports.inStep(this.#live.current)
      this.#live.accept()
    }
    if (this.#history.get(made.number)?.cluster?.nonce !== made.cluster?.nonce) await this.#history.follow(made, text)
    this.#reports.history(this.#history.problem)
    return null
  }

  /**
   * Activates a validated table. Returns its changes if it was read from the file, or the problems.
   * @param read the number of the revision, if it was read from the file
   */
  async #apply(text: string, proposal: Proposal, by: Authorship, read: number | null = null): Promise<Applied> {
    const before = this.#live.current
    const number = read ?? before.number + 1
    const nowMs = this.#now()
    const { table, material } = proposal
    // Followers have prepared it and can't reject it any more; then this process has nothing to prepare.
    await this.#followers.commit({ number, text, appliedAtMs: nowMs, material })
    try {
      this.#live.apply(table, text, nowMs, { number, material })
    } catch (error) {
      if (this.#live.current === before) return { ok: false, problems: this.#problem((error as Error).message) }
      // A listener failed. The revision is active nevertheless.
      this.#reports.listenerFailed(error, this.#live.current)
    }
    // The audit line of an edit by the API has its changes.
    const changes = read !== null ? tableChanges(before.table, table) : null
    this.#reports.inForce(this.#live.current, by, proposal.warnings, changes)
    return { ok: true, changes: changes ?? [] }
  }

  /** @param state identifies what is rejected: it is reported once */
  #refuse(state: string, problems: Problems): Problems {
    if (this.#reports.refused(state, problems, this.#live.current))
      this.#live.refuse(problems.problems, this.#now(), problems.more)
    return problems
  }

  /** A problem with the file as a whole. */
  #problem(message: string, hint?: string): Problems {
    const place = { file: this.#file.name, line: 1, column: 1, pointer: '', severity: 'error' } as const
    return { problems: [{ ...place, message, ...(hint === undefined ? {} : { hint }) }], more: 0 }
  }

  /** Runs `work` after all earlier operations. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

/** The problems as errors of a request body that describes this place, if all of them are inside it. */
function fieldErrors({ problems, more }: Problems, place: string | null): FieldErrors | null {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (place === null || !errors.every(({ pointer }) => pointer === place || pointer.startsWith(`${place}/`)))
    return null
  const told = errors.map(({ pointer, message, hint }) => ({
    pointer: pointer.slice(place.length),
    detail: message,
    ...(hint === undefined ? {} : { hint }),
  }))
  return { errors: told, more }
}
