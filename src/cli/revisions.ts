/**
 * `banyan revisions` and `banyan restore`: what the table has said, who changed it and why, and the way back.
 */
import { ADMIN_FLAG, type Command, EDIT_FLAGS, editTerms, type Given, JSON_FLAG } from './command.ts'
import { CommandError, columns, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { diffInColours, dryRunText } from './routes.ts'

export const revisions: Command = {
  name: 'revisions',
  usage: '[NUMBER]',
  summary: 'the revisions of the table: when, by whom, and why; with a number what it changed',
  about: '',
  examples: ['banyan revisions', 'banyan revisions 12', 'banyan revisions 12 --text > routes.yaml.12'],
  flags: {
    text: { value: '', help: "print the revision's text, and nothing else" },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 1],
  run: runRevisions,
}

export const restore: Command = {
  name: 'restore',
  usage: 'NUMBER',
  summary: 'make the text of an earlier revision the table again, as a new revision',
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
    io.out(diff === null ? 'the revision before it is not kept\n' : `\n${diffInColours(diff, io.colours.out)}`)
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
  else if (json.changed) io.out(`revision ${number} is in force again, as revision ${json.revision}\n`)
  else io.out(`the table says what revision ${number} says already (revision ${json.revision})\n`)
  return EXIT.done
}

function numberOf(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new CommandError(EXIT.usage, `'${text}' is no revision: write its number`)
}
