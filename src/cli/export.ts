/**
 * `banyan export`: a table as the configuration of an engine that stays. Works without a running proxy.
 */

import { readTable } from '../rules/language/text.ts'
import { ENGINES, type Engine, exportTable } from '../rules/leaving/export.ts'
import { MAX_PROBLEMS } from '../rules/values/problem.ts'
import { report, textOf } from './check.ts'
import { type Command, type Given, JSON_FLAG, unknownSubcommand } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText } from './io.ts'

const DEFAULT_LISTEN = '127.0.0.1:8080'

export const exportCommand: Command = {
  name: 'export',
  usage: `${ENGINES.join('|')} [FILE]`,
  summary: 'write a table for an engine that stays',
  about: `Prints the configuration on stdout. Everything that the engine can't say is a comment in it, and a warning on stderr with its place
in FILE (routes.yaml; - reads standard input). With --strict such a warning is an error: nothing is printed, exit 1.`,
  examples: [
    'banyan export nginx > /etc/nginx/conf.d/routes.conf',
    'banyan export haproxy deploy/routes.yaml --listen 0.0.0.0:80 > haproxy.cfg',
    'banyan export gateway-api --strict > routes.k8s.yaml',
  ],
  flags: {
    ...JSON_FLAG,
    listen: { value: 'HOST:PORT', help: `where nginx and HAProxy listen (${DEFAULT_LISTEN})` },
    strict: { value: '', help: "what can't be said is an error" },
  },
  counts: [1, 2],
  run: runExport,
}

function runExport(given: Given, io: Io): ExitCode {
  const [engine = '', file = 'routes.yaml'] = given.args
  if (!isEngine(engine)) throw unknownSubcommand(engine, ENGINES)
  const listen = listenOf(given)
  const text = textOf(file, io)
  const name = file === '-' ? 'stdin' : file
  const read = readTable(text, name)
  if (!read.ok) {
    if (given.has('json')) io.out(jsonText({ ok: false, problems: read.problems, more: read.more }))
    else report({ problems: read.problems, more: read.more }, text, io)
    return EXIT.refused
  }
  const { config, problems } = exportTable(engine, read.table, { text, file: name, listen })
  const isStrict = given.has('strict')
  const ok = !isStrict || problems.length === 0
  const told = problems.slice(0, MAX_PROBLEMS).map((one) => (isStrict ? { ...one, severity: 'error' as const } : one))
  const found = { problems: told, more: problems.length - told.length }
  if (given.has('json')) io.out(jsonText({ ok, ...(ok ? { config } : {}), ...found }))
  else {
    report(found, text, io)
    if (ok) io.out(config)
  }
  return ok ? EXIT.done : EXIT.refused
}

function isEngine(name: string): name is Engine {
  return (ENGINES as readonly string[]).includes(name)
}

/** Only what both engines read as an address and a port, so that nothing else gets into the file. */
const LISTEN = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]|\*):(\d{1,5})$/

function listenOf(given: Given): string {
  const listen = given.text('listen') ?? DEFAULT_LISTEN
  const port = Number(LISTEN.exec(listen)?.[1])
  if (port >= 1 && port <= 65_535) return listen
  throw new CommandError(EXIT.usage, `--listen ${listen}: expected HOST:PORT such as ${DEFAULT_LISTEN}`)
}
