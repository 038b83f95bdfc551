/**
 * Opens the table at startup: reads and checks it, and finds its revision in the history.
 */
import { dirname, join } from 'node:path'
import {
  countsText,
  formatProblem,
  formatProblems,
  type Problem,
  type Problems,
  placeFindings,
  type ReadTable,
  readTable,
  type TextFacts,
} from '../../rules/language/text.ts'
import { utf8Text } from '../../rules/values/utf8.ts'
import type { CookieKeySource } from '../../state/cookie-key-source.ts'
import { http2FlawsOf } from '../../state/http2-support.ts'
import { LiveTable } from '../../state/live-table.ts'
import { readFileWithinNow } from '../../state/read-file.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { ControlLog } from '../control-log.ts'
import type { Ownership } from '../ownership.ts'
import { GivenTable, TableFile, type TableSource } from './file.ts'
import { byFile, History } from './history.ts'
import { historyBounds } from './history-bounds.ts'
import type { RecordedRevision } from './revision-record.ts'
import { MAX_FILE_BYTES } from './settled-text.ts'
import { TlsFiles } from './tls-files.ts'

/** The path of the table, and what to do if it is invalid. */
export interface TableOptions {
  /** Path of routes.yaml; `-` reads standard input to its end. */
  readonly table: string
  /** Number of revisions that are stored; 0 keeps them in memory only. */
  readonly keepRevisions: number
  /** Starts with the newest revision of the history if the file is invalid. */
  readonly allowLastGood: boolean
}

/** The folder of the history, or null, and who writes it. */
export interface HistoryPlace {
  readonly folder: string | null
  readonly ownership: Ownership
}

/** A loaded table, its file and its history. */
export interface OpenedTable {
  readonly live: LiveTable
  readonly source: TableSource
  readonly history: History
  readonly tlsFiles: TlsFiles
  /** What is known of its text besides. */
  readonly facts: TextFacts
}

/** The table file can't be read, or is invalid. The message lists all problems. */
export class UnusableTable extends Error {}

/** A table of a cluster. */
export interface OpenedClusterTable extends Omit<OpenedTable, 'source'> {
  /** The history before the instance joined a cluster. */
  readonly earlier: History | null
}

const STDIN = '-'

/**
 * Reads the table.
 * @param openFolder opens the state folder; not called if the table can't be used
 * @throws {Error} if it can't be read, or is invalid and there is no last good revision to use; the message lists all problems
 */
export function openTable(
  options: TableOptions,
  cookieKeys: CookieKeySource,
  openFolder: () => HistoryPlace,
  log: ControlLog,
  nowMs: number,
): OpenedTable {
  const { table: path, keepRevisions } = options
  const isFile = path !== STDIN
  const name = isFile ? path : 'stdin'
  const text = readText(path)
  const tlsFiles = new TlsFiles(isFile ? dirname(path) : '.')
  const needed = { tlsFiles, cookieKeys }
  const read = readWhole(text, name, needed)
  if (!read.ok && !options.allowLastGood) throw new Error(invalidText(path, text, read))
  const { folder, ownership } = openFolder()
  const bounds = historyBounds(keepRevisions)
  const history = new History(isFile && keepRevisions > 0 ? folder : null, bounds, ownership)
  if (!read.ok) return standIn(path, history, log, { problems: read, text, nowMs, needed })
  warn(read.warnings, log)
  const { number, atMs } = history.start(text, nowMs)
  const source = isFile ? new TableFile(path) : new GivenTable(name, text)
  const live = new LiveTable(read.table, text, atMs, number, read.material)
  return { live, source, history, tlsFiles, facts: factsOf(read) }
}

/** The cluster that a table is opened for. */
export interface OpenedFor {
  readonly cluster: string
  /** Its newest revision, for an instance that was never a member, and can't use its file; null where that is not known. */
  readonly newest: RecordedRevision | null
}

/**
 * Opens the table of a cluster: as this instance has had it last, or where it never was a member, as the file has it.
 * @param openFolder opens the state folder
 * @throws {UnusableTable} if it was never a member, the file can't be used, and there is no revision of the cluster to use
 */
export function openClusterTable(
  { table: path, keepRevisions }: TableOptions,
  { cluster, newest: found }: OpenedFor,
  cookieKeys: CookieKeySource,
  openFolder: () => HistoryPlace,
  log: ControlLog,
  nowMs: number,
): OpenedClusterTable {
  const tlsFiles = new TlsFiles(path === STDIN ? '.' : dirname(path))
  const needed = { tlsFiles, cookieKeys }
  const { folder, ownership } = openFolder()
  const isKept = folder !== null && keepRevisions > 0
  const bounds = historyBounds(keepRevisions)
  const history = new History(isKept ? join(folder, `cluster-${cluster}`) : null, bounds, ownership)
  history.newest()
  if (found !== null) history.remember(found.record, found.text)
  for (const { number, atMs } of history.list()) {
    const text = history.textNow(number)
    const read = text === null ? null : readWhole(text, `revision ${number}`, needed)
    if (text === null || read?.ok !== true) continue
    const live = new LiveTable(read.table, text, atMs, number, read.material)
    return { live, history, tlsFiles, earlier: null, facts: factsOf(read) }
  }
  const name = path === STDIN ? 'stdin' : path
  const text = readText(path)
  const read = readWhole(text, name, needed)
  if (!read.ok) throw new UnusableTable(invalidText(path, text, read))
  warn(read.warnings, log)
  const earlier = isKept && path !== STDIN ? new History(folder, bounds, READ_ONLY) : null
  const newest = earlier?.newest() ?? null
  const number = newest?.text === text ? newest.record.number : (newest?.record.number ?? 0) + 1
  const record = newest?.text === text ? newest.record : byFile(number, text, nowMs)
  history.remember(record, text)
  const live = new LiveTable(read.table, text, record.atMs, number, read.material)
  return { live, history, tlsFiles, earlier, facts: factsOf(read) }
}

/** Of the history of an instance that is no member of a cluster yet. */
const READ_ONLY = { isOwner: false }

/** What a table needs besides its text. */
interface Needed {
  readonly tlsFiles: TlsFiles
  readonly cookieKeys: CookieKeySource
}

/** Parses a text and reads what it needs, or returns the problems. */
function readWhole(text: string, name: string, { tlsFiles, cookieKeys }: Needed): WholeTable {
  const read = readTable(text, name)
  if (!read.ok) return read
  const { material, findings: flaws } = tlsFiles.loadNow(read.table)
  const findings = [...flaws, ...http2FlawsOf(read.table), ...cookieKeys.flawsOf(read.table)]
  return findings.length === 0
    ? { ...read, material }
    : { ok: false, problems: placeFindings(findings, text, name), more: 0 }
}

type WholeTable =
  | (Extract<ReadTable, { ok: true }> & { readonly material: TlsMaterial })
  | Extract<ReadTable, { ok: false }>

function factsOf({ warnings, more, numbers, places, lexemes }: TextFacts): TextFacts {
  return { warnings, more, numbers, places, lexemes }
}

/** Uses the last good revision instead of an invalid file, which stays rejected until it is fixed. */
function standIn(
  path: string,
  history: History,
  log: ControlLog,
  refused: { problems: Problems; text: string; nowMs: number; needed: Needed },
): OpenedTable {
  const { problems, text, nowMs, needed } = refused
  const newest = history.newest()
  const read = newest === null ? null : readWhole(newest.text, `revision ${newest.record.number}`, needed)
  if (newest === null || read === null || !read.ok)
    throw new Error(`${invalidText(path, text, problems)}\nno valid revision is stored either`)
  const { number, atMs } = newest.record
  log.error({ event: 'table-refused', revision: number }, `${path} is invalid: using revision ${number} instead`)
  for (const problem of problems.problems) log.error({ event: 'table-refused', ...problem }, formatProblem(problem))
  const live = new LiveTable(read.table, newest.text, atMs, number, read.material)
  live.refuse(problems.problems, nowMs, problems.more)
  return { live, source: new TableFile(path), history, tlsFiles: needed.tlsFiles, facts: factsOf(read) }
}

function invalidText(path: string, text: string, problems: Problems): string {
  return `${path} is invalid\n${formatProblems(problems.problems, text)}${countsText(problems)}`
}

function readText(path: string): string {
  try {
    // Strict, as for later reads: a file that is not valid UTF-8 must not work at startup only.
    return utf8Text(readFileWithinNow(path === STDIN ? 0 : path, MAX_FILE_BYTES))
  } catch (error) {
    throw new UnusableTable(`can't read the table ${path}: ${(error as Error).message}`)
  }
}

function warn(warnings: readonly Problem[], log: ControlLog): void {
  for (const warning of warnings) log.warn({ event: 'table-warning', ...warning }, formatProblem(warning))
}
