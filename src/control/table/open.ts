/**
 * Opens the table at startup: reads and checks it, and finds its revision in the history.
 */
import { dirname } from 'node:path'
import {
  formatProblem,
  formatProblems,
  type Problem,
  type Problems,
  placeFindings,
  type ReadTable,
  readTable,
} from '../../rules/language/text.ts'
import { LiveTable } from '../../state/live-table.ts'
import { readFileWithinNow } from '../../state/read-file.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { ControlLog } from '../control-log.ts'
import { GivenTable, TableFile, type TableSource } from './file.ts'
import { HISTORY_BOUNDS, History } from './history.ts'
import { MAX_FILE_BYTES, textOf } from './settled-text.ts'
import { TlsFiles } from './tls-files.ts'

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
  readonly tlsFiles: TlsFiles
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
  const tlsFiles = new TlsFiles(isFile ? dirname(path) : '.')
  const read = readWhole(text, name, tlsFiles)
  if (!read.ok) return standIn(options, history, log, { problems: read, text, nowMs, tlsFiles })
  warn(read.warnings, log)
  const { number, atMs } = history.start(text, nowMs)
  const source = isFile ? new TableFile(path) : new GivenTable(name, text)
  return { live: new LiveTable(read.table, text, atMs, number, read.material), source, history, tlsFiles }
}

/** A text and the files that it names, or why they are no table that could be put in force. */
function readWhole(text: string, name: string, tlsFiles: TlsFiles): WholeTable {
  const read = readTable(text, name)
  if (!read.ok) return read
  const { material, findings } = tlsFiles.loadNow(read.table)
  return findings.length === 0
    ? { ...read, material }
    : { ok: false, problems: placeFindings(findings, text, name), more: 0 }
}

type WholeTable =
  | (Extract<ReadTable, { ok: true }> & { readonly material: TlsMaterial })
  | Extract<ReadTable, { ok: false }>

/** The last good revision in place of an invalid file, which stays refused until it is mended. */
function standIn(
  { table: path, allowLastGood }: TableOptions,
  history: History,
  log: ControlLog,
  refused: { problems: Problems; text: string; nowMs: number; tlsFiles: TlsFiles },
): OpenedTable {
  const { problems, text, nowMs, tlsFiles } = refused
  const invalid = `${path} is invalid\n${formatProblems(problems.problems, text, problems.more)}`
  if (!allowLastGood) throw new Error(invalid)
  const newest = history.newest()
  const read = newest === null ? null : readWhole(newest.text, `revision ${newest.record.number}`, tlsFiles)
  if (newest === null || read === null || !read.ok)
    throw new Error(`${invalid}--allow-last-good: no valid revision is stored`)
  const { number, atMs } = newest.record
  log.error({ event: 'table-refused', revision: number }, `${path} is invalid: using revision ${number} instead`)
  for (const problem of problems.problems) log.error({ event: 'table-refused', ...problem }, formatProblem(problem))
  const live = new LiveTable(read.table, newest.text, atMs, number, read.material)
  live.refuse(problems.problems, nowMs, problems.more)
  return { live, source: new TableFile(path), history, tlsFiles }
}

function readText(path: string): string {
  try {
    // Strict, as the file is read later on: what is no UTF-8 must not start and then be refused.
    return textOf(readFileWithinNow(path === STDIN ? 0 : path, MAX_FILE_BYTES))
  } catch (error) {
    throw new Error(`--table ${path}: ${(error as Error).message}`)
  }
}

function warn(warnings: readonly Problem[], log: ControlLog): void {
  for (const warning of warnings) log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
}
