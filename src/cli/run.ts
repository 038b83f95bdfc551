/**
 * Runs the commands other than `serve`: finds them by name and returns their exit code.
 */
import { didYouMean } from '../rules/values/problem.ts'
import { apply, diff } from './apply.ts'
import { check } from './check.ts'
import { wrapped } from './columns.ts'
import { type Command, type Flag, helpOf, readArguments } from './command.ts'
import { completionOf } from './completion.ts'
import { context } from './context.ts'
import { deploy } from './deploy/deploy.ts'
import { discover } from './discover.ts'
import { explain } from './explain.ts'
import { exportCommand } from './export.ts'
import { forceToken } from './force-token.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { progress } from './progress.ts'
import { purge } from './purge.ts'
import { ramp } from './ramp.ts'
import { retire } from './retire.ts'
import { revisions } from './revisions.ts'
import { routes, set } from './routes.ts'
import { servers } from './servers.ts'
import { shadow } from './shadow.ts'
import { status } from './status.ts'
import { top } from './top.ts'
import { keep, restore, revert } from './undo.ts'
import { watched } from './watch.ts'

const COMMANDS: readonly Command[] = [
  status,
  check,
  diff,
  apply,
  explain,
  exportCommand,
  routes,
  set,
  top,
  discover,
  progress,
  retire,
  servers,
  shadow,
  ramp,
  deploy,
  purge,
  revisions,
  revert,
  restore,
  keep,
  context,
  forceToken,
]

/**
 * The commands except `serve`.
 * @param serveFlags the flags of `serve`, for the completion
 */
export function commandsWith(serveFlags: Readonly<Record<string, Flag>>): readonly Command[] {
  const commands: readonly Command[] = [...COMMANDS, completionOf(() => [...commands, serveOf(serveFlags)])]
  return commands
}

function serveOf(flags: Readonly<Record<string, Flag>>): Command {
  return {
    name: 'serve',
    usage: '[flags]',
    summary: 'run the proxy',
    about: '',
    examples: [],
    flags,
    counts: [0, 0],
    run: () => EXIT.usage,
  }
}

/** The list of commands for `banyan --help`. */
export function commandsHelp(commands: readonly Command[]): string {
  return [serveOf({}), ...commands].map(({ name, summary }) => `  ${name.padEnd(12)} ${summary}`).join('\n')
}

/** Runs one command. @returns the exit code, or null if the command is unknown */
export async function runCommand(
  commands: readonly Command[],
  name: string,
  args: readonly string[],
  io: Io,
): Promise<ExitCode | null> {
  const command = commands.find((one) => one.name === name)
  if (command === undefined) return null
  const options = args.includes('--') ? args.slice(0, args.indexOf('--')) : args
  if (options.includes('--help') || options.includes('-h')) {
    const size = io.terminal()
    io.out(size === null ? helpOf(command) : wrapped(helpOf(command), size.columns))
    return EXIT.done
  }
  try {
    const given = readArguments(command, args)
    const isWatched = given.has('watch') && Object.hasOwn(command.flags, 'output')
    return isWatched ? await watched(command, given, io) : await command.run(given, io)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (args.includes('--json') && error.problem !== null) io.out(jsonText(error.problem))
    // Some of it may be the words of a server.
    io.err(printable(`banyan: ${error.message}\n`))
    return error.code
  }
}

/** What others call it. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  ...{ history: 'revisions', log: 'revisions', rollback: 'restore', undo: 'revert', validate: 'check' },
  ...{ get: 'routes', drain: 'servers drain', undrain: 'servers undrain', start: 'serve' },
}

/** The message for an unknown command. */
export function unknownCommand(commands: readonly Command[], name: string): string {
  const known = Object.hasOwn(ELSEWHERE, name) ? `did you mean \`${ELSEWHERE[name]}\`?` : undefined
  const hint = known ?? didYouMean(name, [...commands.map((command) => command.name), 'serve'])
  return `unknown command '${name}' (${hint ?? 'see banyan --help'})`
}
