/**
 * `banyan context`: names admin addresses, and chooses the one that commands use.
 */
import { addressOf, tokenOf } from './admin-client.ts'
import { columns } from './columns.ts'
import { type Command, type Given, JSON_FLAG, unknownSubcommand } from './command.ts'
import { type Context, type Contexts, checkName, contextOf, pathOf, readContexts, writeContexts } from './contexts.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

const STEPS = {
  add: { run: runAdd, counts: [2, 2], usage: 'add CONTEXT_NAME HOST:PORT' },
  use: { run: runUse, counts: [1, 1], usage: 'use CONTEXT' },
  list: { run: runList, counts: [0, 0], usage: 'list' },
  show: { run: runShow, counts: [0, 1], usage: 'show [CONTEXT]' },
  remove: { run: runRemove, counts: [1, 1], usage: 'remove CONTEXT' },
} as const

export const context: Command = {
  name: 'context',
  usage: Object.values(STEPS)
    .map(({ usage }) => usage)
    .join(' | '),
  summary: 'name the admin APIs that you use, with their tokens, and choose one',
  about: `add keeps the address and, with --token-file, the token (of the file, or with - of standard input) in ~/.config/banyan/contexts.json
(BANYAN_CONTEXTS names another file), which only you can read: a file that others can read is refused. use chooses the one that
commands use unless --admin, --context, BANYAN_ADMIN or BANYAN_CONTEXT name another; they win in this order. A token of a
context is sent to its address only; BANYAN_TOKEN wins over it unless --context names the context. Tokens are never printed.`,
  examples: [
    'banyan context add prod https://10.0.0.5:8081 --token-file prod.token',
    'banyan context use prod',
    'banyan context list',
    'banyan routes --context prod',
    'banyan context remove prod',
  ],
  flags: {
    'token-file': { value: 'FILE', of: ['add'], help: 'the file with the token; - reads standard input' },
    ...JSON_FLAG,
  },
  counts: [1, 3],
  run: runContext,
}

function runContext(given: Given, io: Io): ExitCode {
  const [name, ...args] = given.args as [string, ...string[]]
  if (!Object.hasOwn(STEPS, name)) throw unknownSubcommand(name, Object.keys(STEPS))
  const { run, usage, counts } = STEPS[name as keyof typeof STEPS]
  if (args.length < counts[0] || args.length > counts[1])
    throw new CommandError(EXIT.usage, `wrong number of arguments; usage: banyan context ${usage}`)
  return run(args, given, io)
}

function runAdd([name, admin]: readonly string[], given: Given, io: Io): ExitCode {
  checkName(name as string)
  const url = addressOf(admin as string)
  if (url.username !== '' || url.password !== '')
    throw new CommandError(EXIT.usage, 'the address must have no user and password: use --token-file')
  const file = given.text('token-file')
  const token = file === undefined ? null : tokenIn(file, io)
  const known = readContexts(io)
  const isNew = !Object.hasOwn(known.contexts, name as string)
  const contexts = { ...known.contexts, [name as string]: { admin: admin as string, token } }
  writeContexts({ current: known.current ?? (name as string), contexts }, io)
  const used = known.current === null ? ', in use' : ''
  io.out(
    `${isNew ? 'added' : 'changed'} ${name}: ${printable(admin as string)}${token === null ? '' : ', with a token'}${used}\n`,
  )
  if (token !== null && url.protocol === 'http:' && !isLoopback(url.hostname))
    io.err('banyan: the token goes over the network in clear: use https:// or an SSH tunnel\n')
  return EXIT.done
}

function tokenIn(file: string, io: Io): string {
  let text: string
  try {
    text = io.readFile(file)
  } catch (error) {
    throw new CommandError(EXIT.usage, `--token-file ${file}: ${(error as Error).message}`)
  }
  const token = tokenOf(text, `--token-file ${file}`)
  if (token === null) throw new CommandError(EXIT.usage, `--token-file ${file}: no token in it`)
  return token
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function runUse([name]: readonly string[], _given: Given, io: Io): ExitCode {
  const known = readContexts(io)
  const { admin } = contextOf(name as string, known, io)
  writeContexts({ ...known, current: name as string }, io)
  io.out(`${name}: ${printable(admin)}\n`)
  return EXIT.done
}

function runList(_args: readonly string[], given: Given, io: Io): ExitCode {
  const { current, contexts } = readContexts(io)
  const list = Object.entries(contexts).map(([name, one]) => told(name, one, current))
  if (given.has('json')) io.out(jsonText({ file: pathOf(io), contexts: list }))
  else if (list.length === 0) io.out('no contexts: banyan context add NAME HOST:PORT\n')
  else {
    const rows = list.map(({ name, admin, token, used }) => [
      used ? '*' : '',
      name,
      printable(admin),
      token ? 'yes' : 'no',
    ])
    io.out(columns(['USED', 'NAME', { title: 'ADMIN', least: 20 }, 'TOKEN'], rows, given.layout(io)))
  }
  return EXIT.done
}

function runShow([name]: readonly string[], given: Given, io: Io): ExitCode {
  const known = readContexts(io)
  const shown = name ?? io.env.BANYAN_CONTEXT ?? known.current
  if (shown === null) throw new CommandError(EXIT.refused, 'no context is in use (banyan context use NAME)')
  const one = told(shown, contextOf(shown, known, io), known.current)
  if (given.has('json')) io.out(jsonText(one))
  else
    io.out(
      `${one.name}: ${printable(one.admin)}, ${one.token ? 'with' : 'without'} a token${one.used ? ', in use' : ''}\n`,
    )
  return EXIT.done
}

function runRemove([name]: readonly string[], _given: Given, io: Io): ExitCode {
  const known: Contexts = readContexts(io)
  contextOf(name as string, known, io)
  const contexts = Object.fromEntries(Object.entries(known.contexts).filter(([one]) => one !== name))
  const wasUsed = known.current === name
  writeContexts({ current: wasUsed ? null : known.current, contexts }, io)
  io.out(`removed ${name}${wasUsed ? ': no context is in use now' : ''}\n`)
  return EXIT.done
}

/** A context without its token. */
function told(name: string, { admin, token }: Context, current: string | null) {
  return { name, admin, token: token !== null, used: name === current }
}
