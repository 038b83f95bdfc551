/**
 * What a command works with: where it writes, what it is told by its environment, and how it ends.
 */

import type { Table } from '../rules/table/table.ts'
import type { Finding } from '../rules/values/problem.ts'

/** The surroundings of a command; a test gives its own. */
export interface Io {
  out(text: string): void
  err(text: string): void
  /** Whether stdout and stderr are terminals that show colours. */
  readonly colours: { readonly out: boolean; readonly err: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
  /** A file's text; `-` is standard input. Throws where it can't be read. */
  readFile(path: string): string
  /** What is wrong with the TLS files that a table names; relative paths begin at the folder of `file`, or here for `-`. */
  tlsFindings(table: Table, file: string): Promise<readonly Finding[]>
  /** The value of `Banyan-Force` for an upstream. */
  forceToken(secret: string, upstream: string, expiresAtMs: number): string
  /** Epoch milliseconds. */
  now(): number
  /** Resolves after so many milliseconds. */
  sleep(ms: number): Promise<void>
  /** Runs a command of the operator's in a shell, its output on stderr. @returns its exit code, null where a signal ended it */
  run(command: string, env: Readonly<Record<string, string>>): Promise<number | null>
  /** How long the proxy may take to answer, milliseconds. */
  readonly timeoutMs: number
}

/** The exit codes of all commands. */
export const EXIT = {
  done: 0,
  /** The table is invalid, or the proxy has refused what was asked for. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The proxy did not answer. */
  unreachable: 3,
  /** The proxy wants another token. */
  notLetIn: 4,
  /** The table has changed since it was read. */
  outdated: 5,
  /** A deploy failed, and everything is as it was. */
  reverted: 6,
  /** A deploy stopped in between. */
  stopped: 7,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A command that can't go on. The message is one line for a person; `problem` is what the proxy has answered. */
export class CommandError extends Error {
  readonly code: ExitCode
  readonly problem: unknown
  constructor(code: ExitCode, message: string, problem: unknown = null) {
    super(message)
    this.code = code
    this.problem = problem
  }
}

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, bold: 1, dim: 2 } as const

/** Colours a text where `on`. */
export function paint(on: boolean, colour: keyof typeof COLOURS, text: string): string {
  return on ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text
}

/** Rows as columns, each as wide as its widest cell; the header dim where there are colours. */
export function columns(header: readonly string[], rows: readonly (readonly string[])[], colour: boolean): string {
  const widths = header.map((title, at) => Math.max(title.length, ...rows.map((row) => (row[at] ?? '').length)))
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] as number))
      .join('  ')
      .trimEnd()
  return `${[paint(colour, 'dim', lineOf(header)), ...rows.map(lineOf)].join('\n')}\n`
}

/** Nothing that a terminal would obey: what comes from tables and requests is printed through this. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '?')
}

/** JSON that a person can read. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
