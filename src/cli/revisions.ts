/**
 * `banyan revisions` and `banyan restore`: the history of the table, and how to go back.
 */
import { ADMIN_FLAG, type Command, EDIT_FLAGS, editTerms, type Given, JSON_FLAG } from './command.ts'
import { diffInColours, dryRunText } from './dry-run.ts'
import { CommandError, columns, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

export const revisions: Command = {
  name: 'revisions',
  usage: '[NUMBER]',
  summary: 'list the revisions of the table; with a number, show what it changed',
  about: '',
  examples: ['banyan revisions', 'banyan revisions 12', 'banyan revisions 12 --text > routes.yaml.12'],
  flags: {
    text: { value: '', help: 'print only the text of the revision' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 1],
  run: runRevisions,
}

export const restore: Command = {
  name: 'restore',
  usage: 'NUMBER',
  summary: 'restore an earlier revision, as a new revision',
  about: '',
  examples: ['banyan restore 11 --reason "12 broke search"', 'banyan restore 11 --dry-run'],
  flags: { ...EDIT_FLAGS, ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [1, 1],
  run: runRestore,
}

interface RevisionAnswer {
  readonly revision: number
  readonly at: string
  readonly author: string
  readonly reason: string | null
  readonly forced: boolean
}

async function runRevisions(given: Given, io: Io): Promise<ExitCode> {
  const [number] = given.args
  const client = given.client(io)
  if (number === undefined) {
    const { json } = await client.ask('GET', '/revisions')
    io.out(given.has('json') ? jsonText(json) : listText(json, io))
    return EXIT.done
  }
  const { json } = await client.ask('GET', `/revisions/${numberOf(number)}`)
  if (given.has('text')) io.out(json.text)
  else if (given.has('json')) io.out(jsonText(json))
  else {
    const { revision, at, author, reason, diff } = json
    io.out(printable(`revision ${revision}, ${at}, by ${author}${reason === null ? '' : `: ${reason}`}\n`))
    io.out(diff === null ? 'the previous revision is no longer stored\n' : `\n${diffInColours(diff, io.colours.out)}`)
  }
  return EXIT.done
}

function listText({ current, revisions }: { current: number; revisions: readonly RevisionAnswer[] }, io: Io): string {
  const rows = revisions.map(({ revision, at, author, reason, forced }) => [
    `${revision}${revision === current ? ' *' : ''}`,
    at,
    printable(author),
    printable(`${reason ?? ''}${forced ? ' (forced)' : ''}`),
  ])
  return columns(['REVISION', 'AT', 'BY', 'REASON'], rows, io.colours.out)
}

async function runRestore(given: Given, io: Io): Promise<ExitCode> {
  const number = numberOf(given.args[0] as string)
  const { headers, query } = editTerms(given)
  const { json } = await given.client(io).ask('POST', `/revisions/${number}/restore${query}`, { headers })
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else if (json.changed) io.out(`revision ${number} restored as revision ${json.revision}\n`)
  else io.out(`no change: the table is already the same as revision ${number} (revision ${json.revision})\n`)
  return EXIT.done
}

function numberOf(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new CommandError(EXIT.usage, `invalid revision '${text}': expected a number`)
}
