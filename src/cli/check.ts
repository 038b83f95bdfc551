/**
 * `banyan check`: prints all errors of a table with line, caret and hint. Works without a running proxy.
 */
import { formatProblem, type Problems, placeFindings, readTable } from '../rules/language/text.ts'
import { countsText, excerpt, linesOf } from '../rules/values/problem.ts'
import { type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, paint } from './io.ts'

export const check: Command = {
  name: 'check',
  usage: '[FILE]',
  summary: 'check a table and report all errors',
  about: 'FILE defaults to routes.yaml; - reads standard input. Exits with 1 if the table is invalid.',
  examples: ['banyan check', 'banyan check deploy/routes.yaml --json', 'git show main:routes.yaml | banyan check -'],
  flags: JSON_FLAG,
  counts: [0, 1],
  run: runCheck,
}

async function runCheck(given: Given, io: Io): Promise<ExitCode> {
  const file = given.args[0] ?? 'routes.yaml'
  const text = textOf(file, io)
  const name = file === '-' ? 'stdin' : file
  const read = readTable(text, name)
  const findings = read.ok ? await io.findingsHere(read.table, file) : []
  const ok = read.ok && findings.length === 0
  const found = read.ok ? [...read.warnings, ...placeFindings(findings, text, name)] : read.problems
  const problems = { problems: found, more: read.more }
  if (given.has('json')) io.out(jsonText({ ok, ...problems }))
  else report(problems, text, io)
  if (read.ok && ok && !given.has('json')) {
    const { routes, upstreams } = read.table
    io.out(`${name}: ok, ${count(routes.length, 'route')}, ${count(upstreams.size, 'upstream')}\n`)
  }
  return ok ? EXIT.done : EXIT.refused
}

/** Reads the text of a table for an offline command. */
export function textOf(file: string, io: Io): string {
  try {
    return io.readFile(file)
  } catch (error) {
    throw new CommandError(EXIT.refused, `${file}: ${(error as Error).message}`)
  }
}

/** Prints problems and their number to stderr. */
export function report({ problems, more }: Problems, text: string, io: Io): void {
  const on = io.colours.err
  const lines = linesOf(text)
  for (const problem of problems) {
    const first = formatProblem(problem)
    const source = excerpt(problem, lines).split('\n')
    const place = first.slice(0, first.indexOf(': ') + 1)
    const colour = problem.severity === 'error' ? 'red' : 'yellow'
    io.err(`${paint(on, 'bold', place)}${paint(on, colour, first.slice(place.length))}\n`)
    io.err(source.map((line) => (/^ *\^$/.test(line) ? paint(on, colour, line) : line)).join('\n'))
  }
  if (problems.length > 0) io.err(`${countsText({ problems, more })}\n`)
}

/** `1 route`, `2 routes`. */
export function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`
}
