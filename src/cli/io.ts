/**
 * The environment of a command: its output, its environment variables and its exit code.
 */

import type { Table } from '../rules/table/table.ts'
import type { Finding } from '../rules/values/problem.ts'
import { escapedJson, UNPRINTABLE } from '../rules/values/unprintable.ts'

/** The environment of a command; tests provide their own. */
export interface Io {
  out(text: string): void
  err(text: string): void
  /** Whether stdout and stderr are terminals with colours. */
  readonly colours: { readonly out: boolean; readonly err: boolean }
  /** Size of the terminal that stdout is; null if it is none. Asked again for each output, since it may be resized. */
  terminal(): { readonly columns: number; readonly rows: number } | null
  /** Asks the person at the terminal. @returns the answer, or null if nobody is there to ask */
  ask(question: string): Promise<string | null>
  /** Aborts when the person ends a command that runs until then: Ctrl-C, q at a terminal, or a closed pipe. From then on only that ends it. */
  untilEnded(): AbortSignal
  readonly env: Readonly<Record<string, string | undefined>>
  /** A file's text; `-` is standard input. Throws if it can't be read. */
  readFile(path: string): string
  /**
   * What keeps a table from being served here: its TLS files, with paths relative to the folder of `file` (for `-` to the working directory),
   * or a Node that is too old for what it asks.
   */
  findingsHere(table: Table, file: string): Promise<readonly Finding[]>
  /** The value of `Banyan-Force` for an upstream. Throws a RangeError for a secret that the proxy would refuse. */
  forceToken(secret: string, upstream: string, expiresAtMs: number): string
  /** Epoch milliseconds. */
  now(): number
  /** Resolves after so many milliseconds. */
  sleep(ms: number): Promise<void>
  /** Runs an operator's command in a shell, with its output on stderr. @returns its exit code, or null if it was killed by a signal */
  run(command: string, env: Readonly<Record<string, string>>): Promise<number | null>
  /** Calls `listener` once when the command is interrupted, with the name of the signal, instead of ending at once. */
  onInterrupt(listener: (signal: string) => void): void
  /** Timeout for responses of the proxy, in milliseconds. */
  readonly timeoutMs: number
}

/** The exit codes of all commands. */
export const EXIT = {
  done: 0,
  /** `diff`: the table differs, as `diff` and `kubectl diff` end. */
  differs: 1,
  /** The table is invalid, or the proxy refused the request. */
  refused: 1,
  /** Invalid command line. */
  usage: 2,
  /** The proxy is unreachable. */
  unreachable: 3,
  /** The token is missing or insufficient. */
  notLetIn: 4,
  /** The table has changed since it was read. */
  outdated: 5,
  /** A deploy failed and was rolled back. */
  reverted: 6,
  /** A deploy stopped halfway. */
  stopped: 7,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A command failed. The message is one line for the operator; `problem` is the proxy's response. */
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

/** Colours a text if `on`. */
export function paint(on: boolean, colour: keyof typeof COLOURS, text: string): string {
  return on ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text
}

/** Replaces what a terminal would act on. Everything that comes from tables and requests is printed through this. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '?')
}

/** Like `printable`, and on one line: a line break in a reason would begin what looks like a line of ours. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\t\n]/g, ' ')
}

/** Pretty-printed JSON, with escapes for what a terminal would act on. */
export function jsonText(value: unknown): string {
  return `${escapedJson(JSON.stringify(value, null, 2))}\n`
}
