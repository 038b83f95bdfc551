/**
 * What a command is, and how its arguments are read: the same table makes the parser, the help and the completion.
 */
import { parseArgs } from 'node:util'
import { didYouMean } from '../rules/values/problem.ts'
import { AdminClient } from './admin-client.ts'
import { CommandError, EXIT, type ExitCode, type Io } from './io.ts'

/** A flag of a command. */
export interface Flag {
  /** As in the help, `TEXT`; '' for a flag that is given or not. */
  readonly value: string
  readonly help: string
  readonly short?: string
  readonly multiple?: boolean
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** What stands behind the name: `ROUTE PERCENT`. */
  readonly usage: string
  /** One line, for the list of all commands. */
  readonly summary: string
  /** What else there is to know. */
  readonly about: string
  readonly examples: readonly string[]
  readonly flags: Readonly<Record<string, Flag>>
  /** Fewest and most arguments that are no flags. */
  readonly counts: readonly [min: number, max: number]
  run(given: Given, io: Io): Promise<ExitCode> | ExitCode
}

/** What a command line says. */
export class Given {
  readonly args: readonly string[]
  readonly #values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

  constructor(args: readonly string[], values: Given['values']) {
    this.args = args
    this.#values = values
  }

  get values(): Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>> {
    return this.#values
  }

  has(flag: string): boolean {
    return this.#values[flag] === true
  }

  text(flag: string): string | undefined {
    const value = this.#values[flag]
    return typeof value === 'string' ? value : undefined
  }

  list(flag: string): string[] {
    const value = this.#values[flag]
    return Array.isArray(value) ? value.map(String) : []
  }

  /** The running proxy that `--admin` or the environment names. */
  client(io: Io): AdminClient {
    return new AdminClient(this.text('admin'), io)
  }
}

/** Flags that several commands have. */
export const JSON_FLAG = { json: { value: '', help: 'print JSON, for machines' } } as const
export const ADMIN_FLAG = {
  admin: { value: 'HOST:PORT', help: 'the admin API of the running proxy (BANYAN_ADMIN, 127.0.0.1:8081)' },
} as const
export const EDIT_FLAGS = {
  reason: { value: 'TEXT', help: 'why; it is kept with the revision' },
  'dry-run': { value: '', help: 'tell what would change, and change nothing' },
  'if-match': { value: 'ETAG', help: 'only if this revision is in force; else exit 5' },
  force: { value: '', help: 'write over a table file that is invalid; the history keeps what it holds' },
} as const

/**
 * The header fields and the query of an edit.
 * @throws {CommandError} a reason or a tag that no header field can hold
 */
export function editTerms(given: Given): { headers: Record<string, string>; query: string } {
  const headers: Record<string, string> = {}
  const reason = given.text('reason')
  const ifMatch = given.text('if-match')
  if (reason !== undefined && /[\x00-\x1f\x7f]/.test(reason)) throw new CommandError(EXIT.usage, '--reason is one line')
  if (ifMatch !== undefined && !/^[\x21-\x7e]+$/.test(ifMatch)) {
    throw new CommandError(EXIT.usage, `--if-match: '${ifMatch}' is no ETag (as in 12-1da041c6b52f)`)
  }
  // Fields go out as Latin-1: the bytes of the UTF-8 text are what is meant.
  if (reason !== undefined) headers['Banyan-Reason'] = Buffer.from(reason, 'utf8').toString('latin1')
  if (ifMatch !== undefined) headers['If-Match'] = ifMatch === '*' || ifMatch.includes('"') ? ifMatch : `"${ifMatch}"`
  const flags = [given.has('dry-run') ? 'dryRun=true' : '', given.has('force') ? 'force=true' : '']
  const query = flags.filter((flag) => flag !== '').join('&')
  return { headers, query: query === '' ? '' : `?${query}` }
}

/**
 * Reads the arguments of a command.
 * @throws {CommandError} a flag that it does not have, or too few or too many arguments
 */
export function readArguments(command: Command, args: readonly string[]): Given {
  const options = Object.fromEntries(
    Object.entries(command.flags).map(([name, flag]) => [
      name,
      {
        type: flag.value === '' ? ('boolean' as const) : ('string' as const),
        ...(flag.short === undefined ? {} : { short: flag.short }),
        multiple: flag.multiple === true,
      },
    ]),
  )
  const { values, positionals } = parsed(command, args, options)
  const [min, max] = command.counts
  if (positionals.length < min || positionals.length > max) throw usageError(command, 'wrong number of arguments')
  return new Given(positionals, values)
}

function parsed(
  command: Command,
  args: readonly string[],
  options: NonNullable<Parameters<typeof parseArgs>[0]>['options'],
) {
  try {
    return parseArgs({ args: [...args], options: options ?? {}, strict: true, allowPositionals: true })
  } catch (error) {
    const message = (error as Error).message
    const unknown = /Unknown option '--?([^']+)'/.exec(message)?.[1]
    if (unknown === undefined) throw usageError(command, message.split('\n')[0] as string)
    const hint = didYouMean(unknown, Object.keys(command.flags))
    throw usageError(command, `there is no flag --${unknown}${hint === undefined ? '' : ` (${hint})`}`)
  }
}

function usageError(command: Command, message: string): CommandError {
  const { name, usage } = command
  return new CommandError(EXIT.usage, `${message}; usage: banyan ${name} ${usage}`.trimEnd())
}

/** What `banyan COMMAND --help` prints. */
export function helpOf(command: Command): string {
  const { name, usage, summary, about, examples, flags } = command
  const lines = Object.entries(flags).map(([flag, { value, help, short }]) => {
    const left = `  ${short === undefined ? '' : `-${short}, `}--${flag}${value === '' ? '' : ` ${value}`}`
    return `${left.padEnd(26)} ${help}`
  })
  const parts = [
    `banyan ${name} ${usage}`.trimEnd(),
    '',
    summary.replace(/^./, (letter) => letter.toUpperCase()).concat('.'),
    ...(about === '' ? [] : ['', about]),
    ...(lines.length === 0 ? [] : ['', 'Flags:', ...lines]),
    '',
    'Examples:',
    ...examples.map((example) => `  ${example}`),
  ]
  return `${parts.join('\n')}\n`
}
