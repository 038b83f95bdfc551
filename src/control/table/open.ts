/**
 * The table at the start of a process: read, checked, and given the revision that it is by its history.
 */
import { readFileSync } from 'node:fs'
import { formatProblem, formatProblems, type Problem, type Problems, readTable } from '../../rules/language/text.ts'
import { LiveTable } from '../../state/live-table.ts'
import type { ControlLog } from '../control-log.ts'
import { GivenTable, TableFile, type TableSource } from './file.ts'
import { HISTORY_BOUNDS, History } from './history.ts'

/** Where the table is and what is done where it is no good. */
export interface TableOptions {
  /** Path of routes.yaml; `-` reads standard input to its end. */
  readonly table: string
  /** How many revisions are kept beside the file; 0 keeps them in memory only. */
  readonly keepRevisions: number
  /** Starts with the newest revision of the history where the file is invalid. */
  readonly allowLastGood: boolean
}

/** A table in force, the file that it came from, and what it was before. */
export interface OpenedTable {
  readonly live: LiveTable
  readonly source: TableSource
  readonly history: History
}

const STDIN = '-'

/**
 * Reads the table.
 * @throws {Error} it can't be read, or is invalid and no last good revision may stand in; the message lists every problem
 */
export function openTable(options: TableOptions, log: ControlLog, nowMs: number): OpenedTable {
  const { table: path, keepRevisions } = options
  const isFile = path !== STDIN
  const name = isFile ? path : 'stdin'
  const text = readText(path)
  const bounds = { ...HISTORY_BOUNDS, revisions: Math.max(2, keepRevisions) }
  const history = new History(isFile && keepRevisions > 0 ? path : null, bounds)
  const read = readTable(text, name)
  if (!read.ok) return standIn(options, history, log, { problems: read, text, nowMs })
  warn(read.warnings, log)
  const { number, atMs } = history.start(text, nowMs)
  const source = isFile ? new TableFile(path) : new GivenTable(name, text)
  return { live: new LiveTable(read.table, text, atMs, number), source, history }
}

/** The last good revision in place of an invalid file, which stays refused until it is mended. */
function standIn(
  { table: path, allowLastGood }: TableOptions,
  history: History,
  log: ControlLog,
  refused: { problems: Problems; text: string; nowMs: number },
): OpenedTable {
  const { problems, text, nowMs } = refused
  const invalid = `${path} is invalid\n${formatProblems(problems.problems, text, problems.more)}`
  if (!allowLastGood) throw new Error(invalid)
  const newest = history.newest()
  const read = newest === null ? null : readTable(newest.text, `revision ${newest.record.number}`)
  if (newest === null || read === null || !read.ok) throw new Error(`${invalid}--allow-last-good: there is none`)
  const { number, atMs } = newest.record
  log.error({ event: 'table-refused', revision: number }, `${path} is invalid: revision ${number} stands in for it`)
  for (const problem of problems.problems) log.error({ event: 'table-refused', ...problem }, formatProblem(problem))
  const live = new LiveTable(read.table, newest.text, atMs, number)
  live.refuse(problems.problems, nowMs, problems.more)
  return { live, source: new TableFile(path), history }
}

function readText(path: string): string {
  try {
    // Strict, as the file is read later on: what is no UTF-8 must not start and then be refused.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path === STDIN ? 0 : path))
  } catch (error) {
    throw new Error(`--table ${path}: ${(error as Error).message}`)
  }
}

function warn(warnings: readonly Problem[], log: ControlLog): void {
  for (const warning of warnings) log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
}
