/**
 * The command line: selects the command, provides its environment, and prints `banyan --help`.
 */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { wrapped } from './cli/columns.ts'
import type { Io } from './cli/io.ts'
import { printed, toStderr, toStdout, whenOutputEnds } from './printing.ts'
import { holdYoungGeneration } from './processes/young-generation.ts'
import { utf8Text } from './rules/values/utf8.ts'
import { readSettings, type Settings, SettingsError, settingsFlags, settingsHelp } from './settings/settings.ts'
import { StartError } from './start-error.ts'
import { makeForceToken } from './state/force-token.ts'
import { http2FlawsOf } from './state/http2-support.ts'
import { readFileWithinNow } from './state/read-file.ts'
import { version } from './version.ts'

/** Longer than an edit waits for its turn, the file and the disk. */
const ANSWER_TIMEOUT_MS = 15_000

/** The same limit as in `banyan serve`. */
const MAX_TABLE_BYTES = 16 * 1024 * 1024

const SERVE_HELP = `banyan serve [flags]

Runs the proxy: clients connect to --listen, the admin API is on --admin. Flags override environment variables.

${settingsHelp()}

SIGTERM, SIGINT: readiness fails, requests in flight finish, exit 0; a second signal aborts what is left.
SIGHUP: replaces the workers one at a time with the code on disk, without losing requests (none with --workers 0), and reopens
the access log file. SIGUSR1: only reopens the access log file. SIGUSR2: ignored.

Examples:
  banyan serve
  banyan serve --table /etc/banyan/routes.yaml --listen 0.0.0.0:80 --admin 127.0.0.1:8081
  BANYAN_ADMIN_TOKENS=anna:write:SECRET,grafana:read:SECRET banyan serve --admin 10.0.0.5:8081
  generate-routes | banyan serve --table -
`

/** Imported lazily: the proxy and its workers need no other command, and start sooner without them. */
async function others() {
  const { commandsHelp, commandsWith, runCommand, unknownCommand } = await import('./cli/run.ts')
  const commands = commandsWith(settingsFlags())
  return {
    help: () => `banyan: a strangler-fig reverse proxy

${commandsHelp(commands)}

Run banyan COMMAND --help for details and examples. --json prints JSON. banyan --version prints the version.

Environment: BANYAN_ADMIN (HOST:PORT of the admin API, 127.0.0.1:8081) and BANYAN_TOKEN (its token) for commands that use a
running proxy, or BANYAN_CONTEXT (see banyan context); BANYAN_* for the flags of serve; NO_COLOR disables colours.

Exit codes: 0 success; 1 invalid table, the proxy can't start, or the proxy refused (diff: differences); 2 invalid command line;
3 proxy unreachable, or another server there; 4 not authorized; 5 the table has changed since it was read;
6 deploy failed and rolled back; 7 deploy stopped halfway.
`,
    run: async (name: string, args: readonly string[]): Promise<number> =>
      (await runCommand(commands, name, args, surroundings())) ?? fail(2, unknownCommand(commands, name)),
  }
}

/**
 * Runs one command.
 * @param args after the program name
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  const code = await run(args)
  // A proxy does not wait for readers; the output of a command must be flushed.
  return isProxy(args) ? code : await printed(code)
}

/** Whether the command is the proxy or one of its workers. */
function isProxy([command]: readonly string[]): boolean {
  return command === 'serve' || command === 'worker'
}

async function run(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case 'serve':
      return rest.includes('--help') || rest.includes('-h') ? print(SERVE_HELP) : await serve(rest)
    case 'worker':
      return await runServe(rest, async (settings) => (await import('./processes/worker.ts')).runWorker(settings))
    case '--version':
    case 'version':
      return print(`banyan ${version()} (node ${process.versions.node})\n`)
    case undefined:
      print((await others()).help())
      return 2
    case 'help':
      return rest[0] === undefined ? print((await others()).help()) : await run([rest[0], '--help'])
    case '--help':
    case '-h':
      return print((await others()).help())
    default:
      return await (await others()).run(command, rest)
  }
}

/** Imported lazily: the other commands don't need the proxy, and start in half the time without it. */
function serve(args: readonly string[]): Promise<number> {
  return runServe(args, async (settings) => (await import('./serve.ts')).serve(settings, args))
}

/** Runs a proxy or worker until a signal. @returns the exit code */
async function runServe(args: readonly string[], run: (settings: Settings) => Promise<number>): Promise<number> {
  holdYoungGeneration()
  try {
    return await run(readSettings(args, process.env))
  } catch (error) {
    if (error instanceof SettingsError) return fail(2, error.message)
    if (error instanceof StartError) return fail(1, error.message)
    throw error
  }
}

function surroundings(): Io {
  const { env } = process
  const isTerminal = process.stdout.isTTY === true && env.TERM !== 'dumb'
  const mayColour = (stream: NodeJS.WriteStream): boolean =>
    stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  return {
    out: toStdout,
    err: toStderr,
    colours: { out: mayColour(process.stdout), err: mayColour(process.stderr) },
    terminal: () => (isTerminal ? { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 } : null),
    ask: askPerson,
    untilEnded: endedByPerson,
    env,
    readFile: (path) => utf8Text(readFileWithinNow(path === '-' ? 0 : path, MAX_TABLE_BYTES)),
    findingsHere: async (table, file) => {
      const { findTlsFlaws } = await import('./control/table/tls-files.ts')
      return [...(await findTlsFlaws(table, file === '-' ? '.' : dirname(file))), ...http2FlawsOf(table)]
    },
    forceToken: makeForceToken,
    now: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    run: runInShell,
    onInterrupt,
    timeoutMs: ANSWER_TIMEOUT_MS,
  }
}

/** On stderr, so that a question is seen where stdout goes to a file. */
async function askPerson(question: string): Promise<string | null> {
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return null
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await Promise.race([
      lines.question(question),
      new Promise<''>((done) => lines.once('close', () => done(''))),
    ])
  } finally {
    lines.close()
  }
}

function endedByPerson(): AbortSignal {
  const ended = new AbortController()
  const end = (): void => {
    if (process.stdin.isTTY === true) process.stdin.setRawMode(false).pause()
    ended.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end)
  // Nobody reads what is printed: `| head` has had enough.
  whenOutputEnds(end)
  if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) return ended.signal
  // In raw mode Ctrl-C is a key like others.
  process.stdin.setRawMode(true).on('data', (keys: Buffer) => {
    if (/[q\x03\x04]/.test(keys.toString('latin1'))) end()
  })
  return ended.signal
}

/** The second signal ends the process, as without a listener. */
function onInterrupt(listener: (signal: string) => void): void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const once = (signal: string): void => {
    for (const name of signals) process.off(name, once)
    listener(signal)
  }
  for (const name of signals) process.on(name, once)
}

/** Its output goes to stderr, apart from the output of the command itself. */
function runInShell(command: string, env: Readonly<Record<string, string>>): Promise<number | null> {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 2, 2], env: { ...process.env, ...env } })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
}

function print(text: string): number {
  const { isTTY, columns } = process.stdout
  toStdout(isTTY ? wrapped(text, columns) : text)
  return 0
}

function fail(code: number, message: string): number {
  toStderr(`banyan: ${message}\n`)
  return code
}
