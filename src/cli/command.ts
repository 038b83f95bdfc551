/**
 * Commands and their arguments: one definition for parsing, help and completion.
 */
import { parseArgs } from 'node:util'
import { didYouMean } from '../rules/values/problem.ts'
import { flawOfDuration, parseDurationMs } from '../rules/values/units.ts'
import { AdminClient } from './admin-client.ts'
import type { Layout } from './columns.ts'
import { targetOf } from './contexts.ts'
import { CommandError, EXIT, type ExitCode, type Io, paint, printable } from './io.ts'

/** A flag of a command. */
export interface Flag {
  /** As in the help, `TEXT`; '' for a boolean flag. */
  readonly value: string
  readonly help: string
  readonly short?: string
  readonly multiple?: boolean
  /** The subcommands that take it; absent: all of them. */
  readonly of?: readonly string[]
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** The arguments: `ROUTE PERCENT`. */
  readonly usage: string
  /** The forms of the arguments, for the completion, where the usage does not have them all. */
  readonly forms?: readonly string[]
  /** One line, for the list of all commands. */
  readonly summary: string
  /** Further help text. */
  readonly about: string
  readonly examples: readonly string[]
  readonly flags: Readonly<Record<string, Flag>>
  /** Whether this call only lists something, so that --watch may repeat it. Absent: the command does nothing else. */
  lists?(given: Given): boolean
  /** Minimum and maximum number of positional arguments. */
  readonly counts: readonly [min: number, max: number]
  run(given: Given, io: Io): Promise<ExitCode> | ExitCode
}

/** The parsed arguments. */
export class Given {
  readonly args: readonly string[]
  readonly #values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>
  /** Whether the person has been told which context is used. */
  #isTold = false

  constructor(args: readonly string[], values: Given['values']) {
    this.args = args
    this.#values = values
  }

  get values(): Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>> {
    return this.#values
  }

  has(flag: string): boolean {
    return this.#values[flag] === true || (flag === 'json' && this.#values.output === 'json')
  }

  /** How a list is printed. */
  layout(io: Io): Layout {
    return { colour: io.colours.out, width: io.terminal()?.columns ?? null, wide: this.text('output') === 'wide' }
  }

  text(flag: string): string | undefined {
    const value = this.#values[flag]
    return typeof value === 'string' ? value : undefined
  }

  list(flag: string): string[] {
    const value = this.#values[flag]
    return Array.isArray(value) ? value.map(String) : []
  }

  /** A client for the running proxy at `--admin`, of the context, or at the address in the environment. */
  client(io: Io): AdminClient {
    const target = targetOf({ admin: this.text('admin'), context: this.text('context') }, io)
    // On stderr: the output itself stays the same for scripts.
    if (target.context !== null && !this.has('json') && !this.#isTold)
      io.err(`${paint(io.colours.err, 'dim', `context ${target.context} (${printable(target.admin)})`)}\n`)
    this.#isTold = true
    return new AdminClient(target, io)
  }
}

/** Flags that several commands share. */
export const JSON_FLAG = { json: { value: '', help: 'print JSON' } } as const
/** For what is listed. */
export const LIST_FLAGS = {
  ...JSON_FLAG,
  output: { value: 'wide|json', short: 'o', help: 'wide: all columns, nothing cut; json: as --json' },
  watch: { value: '', short: 'w', help: 'print it again whenever it changes, every 2 s, until Ctrl-C' },
} as const
export const ADMIN_FLAG = {
  admin: { value: 'HOST:PORT', help: 'address of the admin API (BANYAN_ADMIN, 127.0.0.1:8081)' },
  context: { value: 'CONTEXT', help: 'name of the admin API instead (banyan context list)' },
} as const
export const EDIT_FLAGS = {
  reason: { value: 'TEXT', help: 'the reason, stored with the revision' },
  'dry-run': { value: '', help: 'show what would change, without changing it' },
  'if-match': { value: 'ETAG', help: 'only if this revision is current; otherwise exit 5' },
  force: { value: '', help: 'overwrite an invalid table file; the history keeps its content' },
} as const

/** Flags that only some subcommands take. */
export function flagsOf<T extends Readonly<Record<string, Flag>>>(of: readonly string[], flags: T) {
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, { ...flag, of }]))
}

/** The reason that a person gives, as a header. @throws {CommandError} if it is not a valid header value */
export function reasonHeader(given: Given): Record<string, string> {
  const reason = given.text('reason')
  if (reason === undefined) return {}
  if (/[\x00-\x1f\x7f]/.test(reason)) throw new CommandError(EXIT.usage, '--reason must be a single line')
  // Headers are sent as Latin-1: this sends the bytes of the UTF-8 text.
  return { 'Banyan-Reason': Buffer.from(reason, 'utf8').toString('latin1') }
}

/**
 * The headers and the query of an edit.
 * @throws {CommandError} if the reason or the ETag is not a valid header value
 */
export function editTerms(given: Given): { headers: Record<string, string>; query: string } {
  const headers = reasonHeader(given)
  const ifMatch = given.text('if-match')
  if (ifMatch !== undefined && !/^[\x21-\x7e]+$/.test(ifMatch)) {
    throw new CommandError(EXIT.usage, `--if-match: invalid ETag '${ifMatch}' (such as 12-1da041c6b52f)`)
  }
  if (ifMatch !== undefined) headers['If-Match'] = ifMatch === '*' || ifMatch.includes('"') ? ifMatch : `"${ifMatch}"`
  const flags = [given.has('dry-run') ? 'dryRun=true' : '', given.has('force') ? 'force=true' : '']
  const query = flags.filter((flag) => flag !== '').join('&')
  return { headers, query: query === '' ? '' : `?${query}` }
}

/**
 * Parses the arguments of a command.
 * @throws {CommandError} on an unknown flag, or too few or too many arguments
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
  const { output } = values
  if (typeof output === 'string' && !['wide', 'json'].includes(output))
    throw usageError(command, `--output ${output}: must be wide or json`)
  const misplaced = Object.keys(values).find(
    (name) => command.flags[name]?.of?.includes(positionals[0] ?? '') === false,
  )
  if (misplaced !== undefined) {
    const of = command.flags[misplaced]?.of ?? []
    const named = of.length === 1 ? of[0] : `${of.slice(0, -1).join(', ')} and ${of.at(-1)}`
    throw new CommandError(EXIT.usage, `--${misplaced} is for banyan ${command.name} ${named}`)
  }
  const given = new Given(positionals, values)
  const isForLists = values.watch === true || output === 'wide'
  if (isForLists && Object.hasOwn(command.flags, 'output') && command.lists?.(given) === false)
    throw usageError(command, `--${values.watch === true ? 'watch' : 'output wide'} is for what is listed`)
  return given
}

function parsed(
  command: Command,
  args: readonly string[],
  options: NonNullable<Parameters<typeof parseArgs>[0]>['options'],
) {
  const read = (given: readonly string[]) =>
    parseArgs({ args: [...given], options: options ?? {}, strict: true, allowPositionals: true })
  try {
    return read(args)
  } catch (error) {
    const { message } = error as Error
    // `-5` is a number, and the command says what it takes.
    const numbers = args.filter((one) => NEGATIVE.test(one))
    if (numbers.length > 0 && !args.includes('--') && /Unknown option '-[0-9.]'/.test(message))
      return read([...args.filter((one) => !NEGATIVE.test(one)), '--', ...numbers])
    throw usageError(command, flagProblem(message, Object.keys(command.flags)))
  }
}

/** What node:util's parseArgs complains about, with the flag that was probably meant. */
export function flagProblem(message: string, flags: readonly string[]): string {
  const [, ambiguous] = /Option '(?:-\w, )?(--[\w-]+)[^']*' argument is ambiguous/.exec(message) ?? []
  if (ambiguous !== undefined) return `${ambiguous} needs a value (one that begins with '-' as ${ambiguous}=-1)`
  const unknown = /Unknown option '(-[^']+)'/.exec(message)?.[1]
  if (unknown === undefined) return message.split('\n')[0] as string
  const hint = didYouMean(unknown.replace(/^-+/, ''), flags)?.replace('`', '`--')
  return `unknown flag ${unknown}${hint === undefined ? '' : ` (${hint})`}`
}

/** The error for a subcommand that does not exist, with the one that was probably meant. */
export function unknownSubcommand(name: string | undefined, known: readonly string[]): CommandError {
  const hint = didYouMean(name ?? '', known)
  const message = `unknown subcommand '${name}': must be one of ${known.join(', ')}`
  return new CommandError(EXIT.usage, hint === undefined ? message : `${message} (${hint})`)
}

/**
 * The duration of a flag, in milliseconds.
 * @throws {CommandError} if the text is not a duration
 */
export function durationOf(flag: string, text: string): number {
  const ms = parseDurationMs(text)
  if (ms !== null) return ms
  const hint = flawOfDuration(text)?.hint
  throw new CommandError(
    EXIT.usage,
    `--${flag} ${text}: expected a duration such as 30s${hint === undefined ? '' : ` (${hint})`}`,
  )
}

const NEGATIVE = /^-[0-9.]+%?$/

function usageError(command: Command, message: string): CommandError {
  const { name, usage } = command
  return new CommandError(EXIT.usage, `${message}; usage: banyan ${name} ${usage}`.trimEnd())
}

/** What `banyan COMMAND --help` prints. */
export function helpOf(command: Command): string {
  const { name, usage, summary, about, examples, flags } = command
  const lines = Object.entries(flags).map(([flag, { value, help, short, of }]) => {
    const left = `  ${short === undefined ? '' : `-${short}, `}--${flag}${value === '' ? '' : ` ${value}`}`
    return `${left.padEnd(26)} ${of === undefined ? '' : `${of.join(', ')}: `}${help}`
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
