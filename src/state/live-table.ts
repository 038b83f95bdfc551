/**
 * The current revision: one pointer, swapped atomically; the last valid revision stays if a text is refused.
 */
import { createHash } from 'node:crypto'
import type { Problem, Problems } from '../rules/language/text.ts'
import type { Table } from '../rules/table/table.ts'
import { NO_MATERIAL, type TlsMaterial } from './tls/material.ts'

/** One version of the table. Immutable. */
export interface Revision {
  /** Counts up from 1, across restarts where a history is kept. */
  readonly number: number
  /** A strong entity tag with its quotes: the number and a hash of the text. */
  readonly etag: string
  readonly table: Table
  /** The text of routes.yaml that this revision was read from; empty in a process that only serves, after its first one. */
  readonly text: string
  /** Epoch milliseconds at which it took effect. */
  readonly appliedAtMs: number
}

/** The last text that was refused, until a good one comes. */
export interface Refusal extends Problems {
  /** Epoch milliseconds. */
  readonly atMs: number
}

/**
 * Makes ready what a table needs outside itself (pools, TLS contexts), and throws where that can't be had.
 * What it returns is called once the table is in force.
 * @param material what the TLS files of the table hold
 */
export type Preparer = (table: Table, material: TlsMaterial) => () => void

/** Holds the revision in force for both planes. */
export class LiveTable {
  #current: Revision
  #refusal: Refusal | null = null
  #material: TlsMaterial
  readonly #preparers: Preparer[] = []
  readonly #listeners: ((revision: Revision) => void)[] = []

  /**
   * @param number of the revision, where it goes on from earlier ones
   * @param material what the TLS files of the table hold
   */
  constructor(table: Table, text: string, nowMs: number, number = 1, material = NO_MATERIAL) {
    this.#current = Object.freeze({ number, etag: etagOf(number, text), table, text, appliedAtMs: nowMs })
    this.#material = material
  }

  get current(): Revision {
    return this.#current
  }

  /** What the TLS files of the current revision hold: all that connect to its servers go by this. */
  get material(): TlsMaterial {
    return this.#material
  }

  /** What is wrong with the text that the operator wants in force, or null where the current revision is that text. */
  get refusal(): Refusal | null {
    return this.#refusal
  }

  /**
   * Tries whether a table could be put in force, without doing it.
   * @throws {Error} what it needs and can't have, with a message for the operator
   */
  prepare(table: Table, material: TlsMaterial = this.#material): (() => void)[] {
    return this.#preparers.map((prepare) => prepare(table, material))
  }

  /**
   * Puts a table in force and returns its revision. Exchanges that run keep the revision they began with.
   * @param known what `prepare` has returned for it, where it was prepared before; its number, where others count; its entity
   *   tag, where it is known; and what its TLS files hold, where that is not what it was
   * @throws {Error} as `prepare`; then the current revision stays
   * @throws {AggregateError} parts have failed over the new revision, which is in force; all others know of it
   */
  apply(
    table: Table,
    text: string,
    nowMs: number,
    known: { commits?: (() => void)[]; number?: number; etag?: string; material?: TlsMaterial } = {},
  ): Revision {
    const { number = this.#current.number + 1, etag = etagOf(number, text), material = this.#material } = known
    const { commits = this.prepare(table, material) } = known
    const revision = Object.freeze({ number, etag, table, text, appliedAtMs: nowMs })
    this.#current = revision
    this.#material = material
    this.#refusal = null
    this.#tell(commits)
    return revision
  }

  /**
   * Puts what changed TLS files hold in force; the revision stays the same.
   * @throws {Error} as `prepare`; then nothing changes
   * @throws {AggregateError} as `apply`
   */
  renew(material: TlsMaterial): void {
    const commits = this.prepare(this.#current.table, material)
    this.#material = material
    this.#tell(commits)
  }

  #tell(commits: readonly (() => void)[]): void {
    const revision = this.#current
    const faults: unknown[] = []
    for (const tell of [...commits, ...this.#listeners]) {
      try {
        tell(revision)
      } catch (error) {
        faults.push(error)
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, `components failed to apply revision ${revision.number}`)
  }

  /** Records a refused text. The current revision goes on serving. */
  refuse(problems: readonly Problem[], nowMs: number, more = 0): void {
    this.#refusal = { problems, more, atMs: nowMs }
  }

  /** The text on disk is the current revision's again: nothing is refused any more. */
  accept(): void {
    this.#refusal = null
  }

  /** Adds a part that must be able to work with a table before it is put in force. The current one is prepared at once. */
  onPrepare(preparer: Preparer): void {
    preparer(this.#current.table, this.#material)()
    this.#preparers.push(preparer)
  }

  /** Calls `listener` after each swap with the new revision, and with the same one where its TLS files have changed. */
  onApply(listener: (revision: Revision) => void): void {
    this.#listeners.push(listener)
  }
}

/** The entity tag of a revision: the same number and text have the same one in every process. */
export function etagOf(number: number, text: string): string {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
  return `"${number}-${hash}"`
}
