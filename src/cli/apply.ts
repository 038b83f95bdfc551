/**
 * `banyan diff` and `banyan apply`: a table file against what is live, and put in its place.
 */
import type { ChangeAnswer } from '../answers/revisions.ts'
import { type KeptPercent, type KnownFile, withLivePercents } from '../rules/language/live-percents.ts'
import { checkText } from '../rules/language/text.ts'
import { diffText } from '../rules/language/text-diff.ts'
import { flowText } from '../rules/language/yaml-print.ts'
import type { Plain } from '../rules/values/plain.ts'
import type { AdminClient } from './admin-client.ts'
import { report, textOf } from './check.ts'
import { ADMIN_FLAG, type Command, EDIT_FLAGS, editTerms, type Given, JSON_FLAG } from './command.ts'
import { diffInColours, dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable, printableLine } from './io.ts'

const PERCENT_FLAG = {
  'take-percent': { value: '', help: 'take the percents of the file, instead of keeping those that are live' },
} as const

const ABOUT_PERCENT = `The percent of a route that is live stays as it is: it is moved by banyan set and ramps, and a file from a repository does not know
how far they are. What stays is told on stderr; --take-percent takes the file's.`

export const diff: Command = {
  name: 'diff',
  usage: 'FILE',
  summary: 'compare a table file with what is live: what banyan apply would change',
  about: `${ABOUT_PERCENT}
FILE - reads standard input. Exits as kubectl diff: 0 without differences, 1 with differences, more on errors (2: the file is invalid or can't be read).`,
  examples: [
    'banyan diff routes.yaml',
    'git show main:routes.yaml | banyan diff -',
    'banyan diff routes.yaml --take-percent',
  ],
  flags: { ...PERCENT_FLAG, ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [1, 1],
  run: runDiff,
}

export const apply: Command = {
  name: 'apply',
  usage: 'FILE',
  summary: 'make a table file live, if nobody has changed the table meanwhile',
  about: `${ABOUT_PERCENT}
FILE - reads standard input. It is compare-and-set: if the table changes between reading and writing, nothing is written and the exit is
5, but for percents, which may move; --if-match ETAG names the revision that the file was made from. --dry-run shows the difference and how many of the recent requests would move.`,
  examples: [
    'banyan apply routes.yaml --reason "release 41"',
    'banyan apply routes.yaml --dry-run',
    'banyan apply routes.yaml --if-match 12-1da041c6b52f',
  ],
  flags: { ...PERCENT_FLAG, ...EDIT_FLAGS, ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [1, 1],
  run: runApply,
}

/** More are counted. */
const SHOWN = 20

/** A file beside what is live. */
interface Compared {
  readonly live: string
  readonly etag: string
  /** The text of the file, with what stays as it is live. */
  readonly wanted: string
  readonly kept: readonly KeptPercent[]
}

async function runDiff(given: Given, io: Io): Promise<ExitCode> {
  try {
    const client = given.client(io)
    const { live, wanted, kept } = await withLive(fileOf(given, io), given, client)
    const told = diffText(live, wanted)
    if (given.has('json')) io.out(jsonText({ changed: told !== '', diff: told, kept }))
    else {
      sayKept(kept, io)
      io.out(diffInColours(told, io.colours.out))
    }
    return told === '' ? EXIT.done : EXIT.differs
  } catch (error) {
    // 1 says that there are differences.
    if (!(error instanceof CommandError) || error.code !== EXIT.refused) throw error
    throw new CommandError(EXIT.usage, error.message, error.problem)
  }
}

async function runApply(given: Given, io: Io): Promise<ExitCode> {
  const client = given.client(io)
  const file = fileOf(given, io)
  const { headers, query } = editTerms(given)
  const compared = await withLive(file, given, client)
  const { etag, wanted } = compared
  // Where a revision is named, what stays is that of just this one.
  const isNamed = given.text('if-match') !== undefined
  const percents = `${query === '' ? '?' : '&'}percents=${given.has('take-percent') ? 'file' : 'live'}`
  const put = (text: string, parameter: string) =>
    client.ask('PUT', `/routes.yaml${query}${parameter}`, { text, headers: { 'If-Match': etag, ...headers } })
  const { json } = await (isNamed
    ? put(wanted, '')
    : put(file.text, percents).catch((error: unknown) => {
        // During a rolling upgrade: what stays is that of the revision that was read.
        if (isOfEarlierVersion(error)) return put(wanted, '')
        throw error
      }))
  const made = json.changed === true && !given.has('dry-run') ? 1 : 0
  const hasMoved = !etag.startsWith(`"${json.revision - made}-`)
  const { kept } = hasMoved ? await withLive(file, given, client) : compared
  if (given.has('json')) {
    io.out(jsonText({ ...json, kept }))
    return EXIT.done
  }
  sayKept(kept, io)
  if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else if (!json.changed) io.out(`no changes (revision ${json.revision})\n`)
  else io.out(`applied as revision ${json.revision}\n${changesMadeText(json)}`)
  return EXIT.done
}

/** Whether a server does not know the parameter that keeps percents. */
function isOfEarlierVersion(error: unknown): boolean {
  const { type, detail } = ((error instanceof CommandError && error.problem) || {}) as {
    type?: string
    detail?: string
  }
  return type === 'urn:banyan:problem:malformed-query' && detail?.startsWith('Unknown parameter "percents"') === true
}

/** A valid file. */
interface File extends KnownFile {
  readonly text: string
}

/** @throws {CommandError} if the file can't be read or is invalid */
function fileOf(given: Given, io: Io): File {
  const file = given.args[0] as string
  const text = textOf(file, io)
  const name = file === '-' ? 'stdin' : file
  const read = checkText(text, name)
  if (!read.ok) {
    report(read, text, io)
    throw new CommandError(EXIT.refused, `${name} is invalid`, { problems: read.problems })
  }
  return { text, routes: read.document.routes ?? [], numbers: read.numbers }
}

async function withLive(file: File, given: Given, client: AdminClient): Promise<Compared> {
  const answer = await client.ask('GET', '/routes.yaml')
  const [live, etag] = [answer.text, String(answer.headers.etag ?? '')]
  if (given.has('take-percent')) return { live, etag, wanted: file.text, kept: [] }
  return { live, etag, ...withLivePercents(file.text, live, file) }
}

function sayKept(kept: readonly KeptPercent[], io: Io): void {
  for (const { route, live, file } of kept.slice(0, SHOWN))
    io.err(printable(`${route}: percent stays ${live} (the file says ${file}; --take-percent takes it)\n`))
  if (kept.length > SHOWN) io.err(`and ${kept.length - SHOWN} more percents stay: --json lists all\n`)
}

/** What a revision has changed, as far as it fits on a screen. */
export function changesMadeText(answer: {
  readonly revision: number
  readonly changes: readonly ChangeAnswer[]
}): string {
  const { revision, changes } = answer
  const more = changes.length - SHOWN
  const rest = more > 0 ? `  and ${more} more: banyan revisions ${revision}\n` : ''
  return `${tableDiffText(changes.slice(0, SHOWN))}${rest}`
}

/** Changes of a table, a line each. */
export function tableDiffText(changes: readonly ChangeAnswer[] = []): string {
  const lines = changes.map(({ what, name, change, keys = [] }) => {
    const subject = what === 'route' ? name : `${what} ${name}`
    if (change !== 'changed') return `  ${subject}: ${change}`
    const value = (one: unknown): string => (one === null || one === undefined ? 'none' : flowText(one as Plain))
    return `  ${subject}: ${keys.map(({ key, before, after }) => `${key} ${value(before)} -> ${value(after)}`).join(', ')}`
  })
  return lines.map((line) => `${printableLine(line)}\n`).join('')
}
