/**
 * The only writer of the table: every change, by the API or by an edit of the file, goes through here, one at a time.
 *
 * An edit is a commit: validate -> edit the text -> write it durably -> apply it. routes.yaml is the single source of truth, so
 * changes on disk are loaded before an edit, and an invalid file is never overwritten. A large text is edited and parsed while
 * others may edit: if one does, it is done again, as far as what is known does not tell what comes of both.
 */

import { briefly, changesSteps, type TableChange } from '../../rules/language/changes.ts'
import type { Problems, TextFacts } from '../../rules/language/text.ts'
import type { CookieKeySource } from '../../state/cookie-key-source.ts'
import { etagOf, type LiveTable, type Revision } from '../../state/live-table.ts'
import type { Authorship, ControlLog } from '../control-log.ts'
import { mayEdit } from '../http/preconditions.ts'
import { OneByOne } from '../one-by-one.ts'
import { type Ownership, SOLE_OWNER } from '../ownership.ts'
import { inTurns } from '../turns.ts'
import { Activation, type Applied, type Rejected } from './activation.ts'
import { SMALL } from './apart.ts'
import { Confirmation } from './confirmation.ts'
import { type Draft, draftOf, isQuick, isRefused } from './drafts.ts'
import { WriteFailure } from './durable-write.ts'
import {
  type Change,
  type Copies,
  type EditOutcome,
  type EditTerms,
  fieldErrors,
  type Proposal,
} from './edit-outcome.ts'
import { EditTurn } from './edit-turn.ts'
import type { TableSource } from './file.ts'
import { type Followers, NO_FOLLOWERS } from './followers.ts'
import type { History } from './history.ts'
import type { ReadText } from './read-text.ts'
import { TableReader } from './reader.ts'
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
  /** What is known of the text in force besides its table. Default: nothing, until it is next read. */
  readonly facts?: TextFacts
  /** Epoch milliseconds. */
  now(): number
}

/** How often an edit is tried while the file keeps changing, before it fails with `file-busy`. */
const MAX_ATTEMPTS = 3

/** How often it is tried again to store revisions where that has failed. */
const STORE_AGAIN_MS = 5_000

/** How often a text is read while others may edit, before it is its turn. */
const FREE_ATTEMPTS = 2

/** An outcome, or what is being parsed, or waited for; `overInvalid`: over a file that is invalid. */
type Attempt =
  | EditOutcome
  | { readonly draft: Promise<Draft>; readonly overInvalid: boolean }
  | { wait(): Promise<unknown> }

/** An edit on its way. */
interface Begun {
  /** What it is for an earlier revision. */
  readonly draft: Promise<Draft> | null
  /** Whether it is its turn. */
  readonly hasTurn: boolean
}

const BY_FILE: Authorship = { author: 'file', reason: null }

/** The writer. One per table file. */
export class Operations {
  readonly #live: LiveTable
  readonly #file: TableSource
  readonly #tlsFiles: TlsFiles
  readonly #history: History
  readonly #reports: TableReports
  readonly #reader: TableReader
  readonly #activation: Activation
  readonly #confirmation: Confirmation
  readonly #ownership: Ownership
  readonly #turn: EditTurn
  readonly #now: () => number
  /** Settles when the last operation is over; the next one waits for it. */
  readonly #work = new OneByOne()
  #storing: NodeJS.Timeout | undefined

  constructor(parts: OperationsParts) {
    this.#live = parts.live
    this.#file = parts.file
    this.#tlsFiles = parts.tlsFiles
    this.#history = parts.history
    this.#reports = new TableReports(parts.log, parts.file.name)
    this.#ownership = parts.ownership ?? SOLE_OWNER
    this.#turn = new EditTurn(parts.file.turn ?? null)
    this.#now = () => parts.now()
    const { live, tlsFiles, cookieKeys, facts, followers = NO_FOLLOWERS } = parts
    const { name } = parts.file
    const { text } = live.current
    const reader = new TableReader(name, facts === undefined ? null : { text, facts })
    this.#reader = reader
    const common = { live, reader, reports: this.#reports }
    this.#activation = new Activation({ ...common, tlsFiles, cookieKeys, followers, name, now: this.#now })
    this.#confirmation = new Confirmation({ ...common, correct: (read) => this.#correct(read) })
    this.#reports.history(this.#history.problem)
  }

  /** Applies all edits of the file and its TLS files from now on, including those since they were first read. */
  watch(): void {
    this.#file.watch((reading) => this.takeIn(reading))
    this.#tlsFiles.watch(
      () => this.#live.current.table,
      () => this.renew(),
    )
    this.#storing = setInterval(() => {
      if (this.#history.problem !== null) void this.#storeAgain()
    }, STORE_AGAIN_MS).unref()
  }

  #storeAgain(): Promise<void> {
    return this.#work.run(async () => {
      await this.#history.retry()
      this.#reports.history(this.#history.problem)
    })
  }

  /** TLS files that have become unusable, a line each; their earlier content is used. */
  get staleTlsFiles(): readonly string[] {
    return this.#reports.staleTlsFiles
  }

  /** Stops watching and resolves when the running operation is over. */
  async close(): Promise<void> {
    this.#file.close()
    this.#tlsFiles.close()
    this.#confirmation.close()
    clearInterval(this.#storing)
    await this.#work.run(async () => {})
  }

  /**
   * Applies the text of the file, or reports its problems and keeps the last good revision. Ignores a text that is current
   * already, and one that the file no longer has: another reading follows. Never rejects: bugs in banyan are logged.
   */
  takeIn(reading: Reading): Promise<void> {
    return this.#work.run(async () => {
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
    return this.#work.run(async () => {
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
    return this.#work.run(async () => {
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
    await this.#activation.again(number, this.#live.material)
  }

  async #renew(): Promise<boolean> {
    const { current, material: before } = this.#live
    const { table } = current
    const { material, findings, stale } = await this.#tlsFiles.load(table, before)
    this.#reports.tlsFiles([...stale, ...findings.map(({ message }) => message)])
    if (findings.length > 0 || material === before) return true
    this.#live.prepare(table, material)
    const refusal = await this.#activation.again(current.number, material)
    if (refusal !== null) {
      this.#reports.tlsFilesFailed(refusal)
      return false
    }
    this.#reports.tlsFilesInForce(current)
    return true
  }

  /**
   * Makes an edit: in the file and in effect, or not at all.
   * @throws {Error} only on a bug in banyan, or while it is being closed
   */
  async commit(change: Change, terms: EditTerms): Promise<EditOutcome> {
    const begun = await this.#commit(change, terms, { draft: null, hasTurn: false })
    if ('kind' in begun) return begun
    begun.draft?.catch(() => {})
    const done = await this.#turn.run(() => this.#commit(change, terms, { ...begun, hasTurn: true }))
    return 'kind' in done ? done : { kind: 'file-busy' }
  }

  /** @returns the outcome, or what it has come to where others have overtaken it so often that it needs the turn */
  async #commit(change: Change, terms: EditTerms, { draft: known, hasTurn }: Begun): Promise<EditOutcome | Begun> {
    const attempts = this.#file.attempts ?? MAX_ATTEMPTS
    let draft = await known
    for (let attempt = 1, drafts = 0; attempt <= attempts; ) {
      const earlier: Draft | null = draft
      const step: Attempt = await this.#work.run<Attempt>(() => this.#attempt(change, terms, earlier, hasTurn))
      if ('wait' in step) {
        await step.wait()
        continue
      }
      if ('draft' in step) {
        if (drafts >= FREE_ATTEMPTS && !hasTurn) return { draft: step.draft, hasTurn }
        draft = await step.draft
        drafts++
        if (hasTurn && drafts >= FREE_ATTEMPTS) this.#turn.insist()
        if (terms.dryRun === true || isRefused(draft)) return await this.#finish(draft, terms, step.overInvalid)
        continue
      }
      // The file was edited within the last milliseconds: that edit is applied first.
      if (step.kind !== 'not-written' || step.flaw !== 'changed') return step
      attempt++
    }
    return { kind: 'file-busy' }
  }

  /**
   * Makes an edit if it is known what becomes of the current revision, or known at once.
   * @param draft made before; of another revision it is of use where it can be had without a parse
   * @returns the outcome, the draft to come back with, or what is to be waited for
   */
  async #attempt(change: Change, terms: EditTerms, draft: Draft | null, hasTurn: boolean): Promise<Attempt> {
    if (!this.#ownership.isOwner && terms.dryRun !== true) return { kind: 'not-owner' }
    const obstacle = await this.#catchUp()
    if (this.#file.isUnsure && terms.dryRun !== true) return { wait: async () => await this.#file.settled?.() }
    if (obstacle !== null && (terms.force !== true || obstacle.kind !== 'file-refused')) return obstacle
    const overInvalid = obstacle !== null
    const before = this.#live.current
    if (!(await this.#isFor(before, terms, draft))) return { kind: 'outdated', revision: before }
    const next = draft?.before === before ? draft : draftOf(this.#reader, before, change, draft)
    const isLarge = before.text.length >= SMALL
    if (next instanceof Promise && isLarge) return { draft: next, overInvalid }
    const made = await next
    if (isLarge && !hasTurn && terms.dryRun !== true && !isRefused(made)) {
      const others = await this.#turn.ofOthers(isQuick(made))
      if (others !== null) return { wait: others }
    }
    return await this.#make(made, terms, overInvalid)
  }

  /** Whether an edit may be made on a revision. @param draft of one that it might be made on */
  async #isFor(revision: Revision, { ifMatch, percentsMayMove }: EditTerms, draft: Draft | null): Promise<boolean> {
    if (ifMatch === null || mayEdit(ifMatch, revision.etag)) return true
    if (ifMatch === '*' || percentsMayMove !== true) return false
    if (draft !== null) return this.#reader.hasMovedPercents(revision, draft.before.text)
    for (const tag of ifMatch) {
      const number = Number(/^"(\d+)-/.exec(tag)?.[1])
      const text = this.#history.get(number)?.etag === tag ? await this.#history.textOf(number) : null
      if (text !== null && this.#reader.hasMovedPercents(revision, text)) return true
    }
    return false
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

  async #make(draft: Draft, terms: EditTerms, overInvalid: boolean): Promise<EditOutcome> {
    if (terms.dryRun === true) return await this.#finish(draft, terms, overInvalid)
    return await this.#finish(draft, terms, overInvalid).finally(() => this.#activation.abandon())
  }

  async #finish({ before, wanted, read }: Draft, terms: EditTerms, overInvalid: boolean): Promise<EditOutcome> {
    if (wanted.kind !== 'text' && wanted.kind !== 'edit') return wanted
    if (read === null) throw new Error('a text that nobody has read')
    if (!('ok' in read)) return { kind: 'refused', ...this.#activation.problem(read.message, 'edit the table file') }
    const proposal = await (terms.dryRun === true ? this.#activation.check(read) : this.#activation.prepare(read))
    if ('late' in proposal) return { kind: 'late', message: proposal.late }
    if ('problems' in proposal) {
      const errors = wanted.kind === 'edit' ? fieldErrors(proposal.problems, wanted.place) : null
      return errors === null ? { kind: 'refused', ...proposal.problems } : { kind: 'invalid', ...errors }
    }
    // Overwriting an invalid file is a revision even if the table stays the same: the invalid text is kept with it.
    const changed = overInvalid || proposal.text !== before.text
    if (terms.dryRun === true) return { kind: 'would', before, proposal, changed }
    if (!changed) return { kind: 'done', revision: before, changed, before, changes: [], replicas: null }
    return this.#write(before, proposal, terms, overInvalid)
  }

  async #write(before: Revision, proposal: Proposal, terms: EditTerms, overInvalid: boolean): Promise<EditOutcome> {
    const { text } = proposal
    const changes = await inTurns(changesSteps(before.table, proposal.table))
    const made = this.#recordOf(before.number + 1, text, terms, changes, overInvalid)
    const record = this.#file.marked?.(made) ?? made
    const overwritten = overInvalid ? await this.#file.readBytes() : null
    const held = overInvalid ? overwritten : Buffer.from(before.text)
    await this.#history.prepare(record, text, overwritten)
    let replicas: Copies | null
    try {
      replicas = await this.#file.replace(text, held, record)
    } catch (error) {
      await this.#history.abandon(record)
      if (!(error instanceof WriteFailure)) throw error
      return { kind: 'not-written', flaw: error.flaw, message: `${this.#file.name} ${error.message}` }
    }
    const applied = await this.#apply(proposal, terms, null, made.etag)
    if (applied.ok) {
      await this.#history.commit(record, text)
      this.#reports.history(this.#history.problem)
      return { kind: 'done', revision: this.#live.current, changed: true, before, changes, replicas }
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

  /** Returns null if the file's text is active now, otherwise the problems. */
  async #takeIn(reading: Reading): Promise<Problems | null> {
    if (!reading.ok)
      return this.#refuse(`${reading.flaw}: ${reading.message}`, this.#activation.problem(reading.message))
    const { text } = reading
    if (reading.made !== undefined) return this.#takeInMade(text, reading.made)
    if (text === this.#live.current.text) {
      this.#reports.inStep(this.#live.current)
      this.#live.accept()
      return null
    }
    const proposal = await this.#activation.prepare(await this.#reader.read(this.#live.current, text))
    if (!('table' in proposal)) return this.#refuse(`text: ${text}`, problemsOf(proposal, this.#activation))
    const before = this.#live.current.number
    // Another instance that owns the folder has made it, or reads the same file and is about to record it.
    const made = this.#ownership.isOwner ? null : await this.#history.recordOf(text, before)
    const applied = await this.#apply(proposal, made ?? BY_FILE, made?.number ?? before + 1)
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
      const proposal = await this.#activation.prepare(await this.#reader.read(this.#live.current, text))
      if (!('table' in proposal)) return this.#refuse(`text: ${text}`, problemsOf(proposal, this.#activation))
      const applied = await this.#apply(proposal, made, made.number)
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

  async #apply(
    proposal: Proposal,
    by: Authorship,
    read: number | null = null,
    etag: string | null = null,
  ): Promise<Applied> {
    const applied = await this.#activation.apply(proposal, by, read, etag)
    if (applied.ok && (proposal.move.kind === 'numbers' || proposal.move.kind === 'routes')) this.#confirmation.later()
    return applied
  }

  /** What the text in force says, where it, or one that was in force a moment ago, is another table than was made of it: a bug in banyan. */
  #correct(found: ReadText): Promise<void> {
    return this.#work.run(async () => {
      const { text, number, table } = this.#live.current
      const read = found.text === text ? found : await this.#reader.parse(text, table)
      this.#reports.unconfirmed(this.#live.current)
      const proposal = await this.#activation.prepare(read)
      if ('table' in proposal) await this.#apply({ ...proposal, move: { kind: 'same', base: '' } }, BY_FILE, number)
    })
  }

  /** @param state identifies what is rejected: it is reported once */
  #refuse(state: string, problems: Problems): Problems {
    if (this.#reports.refused(state, problems, this.#live.current))
      this.#live.refuse(problems.problems, this.#now(), problems.more)
    return problems
  }
}

function problemsOf(rejected: Rejected, activation: Activation): Problems {
  return 'late' in rejected ? activation.problem(rejected.late) : rejected.problems
}
