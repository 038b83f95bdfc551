/**
 * The command line: serve and check. Words, flags and exit codes as `banyan --help` tells them.
 */
import { readFileSync } from 'node:fs'
import { formatProblems, readTable } from './rules/table-text.ts'
import { serve } from './serve.ts'
import { readSettings, SettingsError, settingsHelp } from './settings.ts'
import { StartError } from './start-error.ts'

const HELP = `banyan: a strangler-fig reverse proxy

  banyan serve [flags]        run the proxy (banyan serve --help lists the flags)
  banyan check [FILE]         check a table and report every error in it (routes.yaml); --json for machines
  banyan --version

Exit codes: 0 done; 1 the table is invalid, or the proxy can't start; 2 the command line is wrong.
`

const SERVE_HELP = `banyan serve [flags]

Runs the proxy: clients on --listen, the admin API on --admin. A flag wins over its environment variable.

${settingsHelp()}

SIGTERM and SIGINT: readiness fails, running exchanges finish, exit 0.
`

/**
 * Runs one command to its end.
 * @param args behind the program's name
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case 'serve':
      return rest.includes('--help') || rest.includes('-h') ? print(SERVE_HELP) : await runServe(rest)
    case 'check':
      return rest.includes('--help') || rest.includes('-h') ? print(HELP) : check(rest)
    case '--version':
    case 'version':
      return print(`banyan ${version()} (node ${process.versions.node})\n`)
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      print(HELP)
      return command === undefined ? 2 : 0
    default:
      return fail(2, `unknown command '${command}' (see banyan --help)`)
  }
}

/** Runs until a signal ends it. @returns the exit code */
async function runServe(args: readonly string[]): Promise<number> {
  try {
    return await serve(readSettings(args, process.env))
  } catch (error) {
    if (error instanceof SettingsError) return fail(2, error.message)
    if (error instanceof StartError) return fail(1, error.message)
    throw error
  }
}

function check(args: readonly string[]): number {
  const json = args.includes('--json')
  const files = args.filter((arg) => arg !== '--json')
  const unknown = files.find((arg) => arg.startsWith('-') && arg !== '-')
  if (unknown !== undefined || files.length > 1) return fail(2, 'usage: banyan check [FILE] [--json]')
  const file = files[0] ?? 'routes.yaml'
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    return fail(1, `${file}: ${(error as Error).message}`)
  }
  const read = readTable(text, file === '-' ? 'stdin' : file)
  const problems = read.ok ? read.warnings : read.problems
  if (json) print(`${JSON.stringify({ ok: read.ok, problems }, null, 2)}\n`)
  else if (problems.length > 0) process.stderr.write(`${formatProblems(problems, text)}\n`)
  if (read.ok && !json) {
    print(`${file}: ok, ${count(read.table.routes.length, 'route')}, ${count(read.table.upstreams.size, 'upstream')}\n`)
  }
  return read.ok ? 0 : 1
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

function fail(code: number, message: string): number {
  process.stderr.write(`banyan: ${message}\n`)
  return code
}
