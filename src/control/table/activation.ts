/**
 * Puts a table in force: here and in the processes that serve, in all of them or in none.
 */
import { changesSteps, type TableChange } from '../../rules/language/changes.ts'
import type { Problem, Problems } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { CookieKeySource } from '../../state/cookie-key-source.ts'
import { http2FlawsOf } from '../../state/http2-support.ts'
import { etagOf, type LiveTable } from '../../state/live-table.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { Authorship } from '../control-log.ts'
import { inTurns } from '../turns.ts'
import { placeApart } from './apart.ts'
import type { Proposal } from './edit-outcome.ts'
import type { Followers } from './followers.ts'
import type { ReadText } from './read-text.ts'
import type { TableReader } from './reader.ts'
import type { TableReports } from './reports.ts'
import { MAX_FILE_BYTES } from './settled-text.ts'
import type { TlsFiles } from './tls-files.ts'

/** What it works with. */
export interface ActivationParts {
  readonly live: LiveTable
  readonly reader: TableReader
  readonly tlsFiles: TlsFiles
  readonly cookieKeys: CookieKeySource
  readonly followers: Followers
  readonly reports: TableReports
  /** Name of the table in problems. */
  readonly name: string
  /** Epoch milliseconds. */
  now(): number
}

/** What came of putting a table in force. */
export type Applied =
  | { readonly ok: true; readonly changes: readonly TableChange[] }
  | { readonly ok: false; readonly problems: Problems }

/** A table that can't be put in force, or not in time. */
export type Rejected = { readonly problems: Problems } | { readonly late: string }

/** Puts tables in force, one at a time. */
export class Activation {
  readonly #parts: ActivationParts

  constructor(parts: ActivationParts) {
    this.#parts = parts
  }

  /** Reads what a table needs besides its text, and tries all that can be tried in this process. */
  async check(read: ReadText): Promise<Proposal | Rejected> {
    const { live, tlsFiles, cookieKeys, name } = this.#parts
    if (!read.ok) {
      const { problems, more, isLate = false } = read
      return isLate ? { late: problems[0]?.message ?? 'it takes too long' } : { problems: { problems, more } }
    }
    const { text, table, facts, move } = read
    // A file that could not be read again.
    if (text.length > MAX_FILE_BYTES / 3 && Buffer.byteLength(text) > MAX_FILE_BYTES)
      return { problems: this.problem(`is larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB`) }
    const { material, findings: flaws } = await tlsFiles.load(table, live.material)
    const findings = [...flaws, ...http2FlawsOf(table), ...cookieKeys.flawsOf(table)]
    if (findings.length > 0) return { problems: { problems: await placeApart(findings, text, name), more: 0 } }
    try {
      live.prepare(table, material)
    } catch (error) {
      return { problems: this.problem((error as Error).message) }
    }
    return { text, table, material, facts, move }
  }

  /** As `check`, and makes it ready in all processes. */
  async prepare(read: ReadText): Promise<Proposal | Rejected> {
    const proposal = await this.check(read)
    if (!('table' in proposal)) return proposal
    const refusal = await this.#parts.followers.prepare(proposal)
    if (refusal === null) return proposal
    return refusal.isLate ? { late: refusal.why } : { problems: this.problem(refusal.why) }
  }

  /** What was made ready is not wanted. */
  abandon(): void {
    this.#parts.followers.abandon()
  }

  /**
   * Activates what was prepared. Returns its changes if it was read from the file, or the problems.
   * @param read the number of the revision, if it was read from the file
   * @param known its entity tag, if it is known
   */
  async apply(
    proposal: Proposal,
    by: Authorship,
    read: number | null = null,
    known: string | null = null,
  ): Promise<Applied> {
    const { live, followers, reports, reader } = this.#parts
    const before = live.current
    const number = read ?? before.number + 1
    const { text, table, material, facts } = proposal
    const etag = known ?? etagOf(number, text)
    const appliedAtMs = this.#parts.now()
    // Followers have prepared it and can't reject it any more; then this process has nothing to prepare.
    await followers.commit({ number, etag, text, appliedAtMs, material })
    try {
      live.apply(table, text, appliedAtMs, { number, etag, material })
    } catch (error) {
      if (live.current === before) return { ok: false, problems: this.problem((error as Error).message) }
      // A listener failed. The revision is active nevertheless.
      reports.listenerFailed(error, live.current)
    }
    const told =
      proposal.move.kind === 'numbers' ? [] : newWarnings(facts.warnings, table, reader.warnings, before.table)
    reader.inForce(text, facts)
    // The audit line of an edit by the API has its changes.
    const changes = read !== null ? await inTurns(changesSteps(before.table, table)) : null
    reports.inForce(live.current, by, told, changes)
    return { ok: true, changes: changes ?? [] }
  }

  /**
   * Puts the table in force again, under another number or with other content of its TLS files.
   * @returns why it was not, or null
   */
  async again(number: number, material: TlsMaterial): Promise<string | null> {
    const { live, followers } = this.#parts
    const { table, text, appliedAtMs, etag: base, number: before } = live.current
    const refusal = await followers.prepare({ text, move: { kind: 'same', base }, material })
    if (refusal !== null) {
      followers.abandon()
      return refusal.why
    }
    const etag = number === before ? base : etagOf(number, text)
    await followers.commit({ number, etag, text, appliedAtMs, material })
    if (number === before) live.renew(material)
    else live.apply(table, text, appliedAtMs, { number, etag, material })
    return null
  }

  /** A problem with the file as a whole. */
  problem(message: string, hint?: string): Problems {
    const place = { file: this.#parts.name, line: 1, column: 1, pointer: '', severity: 'error' } as const
    return { problems: [{ ...place, message, ...(hint === undefined ? {} : { hint }) }], more: 0 }
  }
}

/** Warnings of a table that the one before does not have, at whatever place. */
function newWarnings(
  warnings: readonly Problem[],
  table: Table,
  earlier: readonly Problem[],
  before: Table,
): readonly Problem[] {
  const known = new Set(earlier.map((warning) => markOf(warning, before)))
  return warnings.filter((warning) => !known.has(markOf(warning, table)))
}

/** What a warning says, and about what. Routes have their ids in place of their numbers, which change with routes before them. */
function markOf({ pointer, message }: Problem, { routes }: Table): string {
  const about = pointer.replace(/^\/routes\/(\d+)/, (_, at) => `/routes/${routes[Number(at)]?.id}`)
  return `${about}: ${message.replaceAll(/ \(routes\.\d+\)/g, '')}`
}
