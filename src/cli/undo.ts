/**
 * `banyan restore`, `banyan revert` and `banyan keep`: go back to a revision, undo one, and mark one to be kept.
 */
import type { SummaryAnswer } from '../answers/revisions.ts'
import { changesMadeText } from './apply.ts'
import { ADMIN_FLAG, type Command, EDIT_FLAGS, editTerms, type Given, JSON_FLAG } from './command.ts'
import { dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printableLine } from './io.ts'
import { changesText, numberOf, numbersOf } from './revisions.ts'

export const restore: Command = {
  name: 'restore',
  usage: 'NUMBER',
  summary: 'restore an earlier revision, as a new revision',
  about: `This takes back every revision after it. Where these are several, and some are not yours, they are listed and you are asked; without
a terminal --yes is needed. banyan revert undoes one revision and leaves the others.`,
  examples: ['banyan restore 11 --reason "12 broke search"', 'banyan restore 11 --dry-run', 'banyan restore 3 --yes'],
  flags: {
    yes: { value: '', help: 'take back revisions of others too, without being asked' },
    ...EDIT_FLAGS,
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [1, 1],
  run: runRestore,
}

export const revert: Command = {
  name: 'revert',
  usage: 'NUMBER[-NUMBER]',
  summary: 'undo what one revision changed, or several in a row, and nothing of later ones',
  about: `Each value that the revision set goes back to what it was before; comments come back where the lines allow it. If a value has been
changed again since, nothing is changed, and both sides are named with the revision and its author: exit 1.`,
  examples: ['banyan revert 12 --reason "p99 is twice as high"', 'banyan revert 12-15 --dry-run'],
  flags: { ...EDIT_FLAGS, ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [1, 1],
  run: runRevert,
}

export const keep: Command = {
  name: 'keep',
  usage: 'NUMBER',
  summary: 'mark a revision to be kept, whatever comes after it',
  about:
    'The history is bounded (--keep-revisions of serve): the oldest revisions go, but not those that are marked. At most 100 are.',
  examples: ['banyan keep 40 --reason "before the season"', 'banyan keep 40 --off'],
  flags: {
    off: { value: '', help: 'take the mark away' },
    reason: { value: 'TEXT', help: 'the reason, stored with the mark' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [1, 1],
  run: runKeep,
}

interface Undone {
  readonly revision: number
  readonly author: string
  readonly yours: boolean
  readonly reason: string | null
  readonly summary: SummaryAnswer | null
}

/** Revisions that are listed by name. */
const SHOWN = 20

async function runRestore(given: Given, io: Io): Promise<ExitCode> {
  const number = numberOf(given.args[0] as string)
  const { headers, query } = editTerms(given)
  const client = given.client(io)
  const path = `/revisions/${number}/restore`
  let terms: Readonly<Record<string, string>> = headers
  if (!given.has('dry-run') && !given.has('yes')) {
    const force = given.has('force') ? '&force=true' : ''
    const dry = await client.ask('POST', `${path}?dryRun=true${force}`, { headers })
    if (!(await mayUndo(number, dry.json.undoes ?? [], io))) return EXIT.refused
    // What somebody changes from here on would be taken back unseen.
    const etag = dry.headers.etag
    if (headers['If-Match'] === undefined && typeof etag === 'string') terms = { ...headers, 'If-Match': etag }
  }
  const { json } = await client.ask('POST', path + query, { headers: terms })
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run'))
    io.out(dryRunText(json, io.colours.out) + undoneText(json.undoes ?? [], 'would take back'))
  else if (!json.changed)
    io.out(`no change: the table is already the same as revision ${number} (revision ${json.revision})\n`)
  else io.out(`revision ${number} restored as revision ${json.revision}\n${undoneText(json.undoes ?? [], 'took back')}`)
  return EXIT.done
}

/** Whether what it takes back is no more than the newest revision, or all one's own, or the person wants it. */
async function mayUndo(number: number, undoes: readonly Undone[], io: Io): Promise<boolean> {
  const others = undoes.filter(({ yours }) => !yours)
  if (undoes.length < 2 || others.length === 0) return true
  const list = undoneText(undoes, `restoring revision ${number} takes back`)
  const answer = await io.ask(`${list}restore it anyway? [y/N] `)
  if (answer !== null) return /^y(es)?$/i.test(answer.trim())
  const way = `--yes restores it anyway; banyan revert N undoes one of them and leaves the others`
  throw new CommandError(EXIT.refused, `${list.trimEnd()}\n${way}`)
}

function undoneText(undoes: readonly Undone[], what: string): string {
  if (undoes.length === 0) return ''
  const lines = undoes.slice(0, SHOWN).map(({ revision, author, reason, summary }) => {
    return printableLine(`  ${revision} by ${author}: ${changesText(summary)}${reason === null ? '' : ` (${reason})`}`)
  })
  const more = undoes.length > SHOWN ? [`  and ${undoes.length - SHOWN} more`] : []
  return `${[`${what} ${undoes.length === 1 ? '1 revision' : `${undoes.length} revisions`}:`, ...lines, ...more].join('\n')}\n`
}

async function runRevert(given: Given, io: Io): Promise<ExitCode> {
  const [from, to] = numbersOf(given.args[0] as string)
  const { headers, query } = editTerms(given)
  const path = from === to ? `${to}` : `${from}-${to}`
  const { json } = await given.client(io).ask('POST', `/revisions/${path}/revert${query}`, { headers })
  const { first, last } = json.reverted ?? { first: from, last: to }
  const what = first === last ? `revision ${last}` : `revisions ${first} to ${last}`
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else if (!json.changed) io.out(`no change: ${what} is undone already (revision ${json.revision})\n`)
  else io.out(`${what} undone as revision ${json.revision}\n${changesMadeText(json)}`)
  return EXIT.done
}

async function runKeep(given: Given, io: Io): Promise<ExitCode> {
  const number = numberOf(given.args[0] as string)
  const off = given.has('off')
  const { headers } = editTerms(given)
  const { json } = await given.client(io).ask(off ? 'DELETE' : 'PUT', `/revisions/${number}/keep`, { headers })
  if (given.has('json')) io.out(jsonText(json))
  else io.out(off ? `revision ${number} is no longer marked\n` : `revision ${number} is kept\n`)
  return EXIT.done
}
