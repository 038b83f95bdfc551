/**
 * `banyan revisions`: the history of the table: who changed what, when and why.
 */
import type { BriefChangeAnswer, RevisionAnswer, SummaryAnswer } from '../answers/revisions.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, type Given, LIST_FLAGS } from './command.ts'
import { diffInColours } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { sinceOf } from './since.ts'

export const revisions: Command = {
  name: 'revisions',
  usage: '[NUMBER]',
  summary: 'list who changed the table, when, why and what; with a number, its difference',
  about: `Edits of one route or upstream by one author with the same reason, each within an hour of the one before, are one line, such as 3-12;
so are the steps of a ramp. --all lists each. * is the current revision; kept is one that banyan keep has marked. --since takes a duration such as 24h, today, yesterday, or a
time such as 2026-11-29T08:00.`,
  examples: [
    'banyan revisions',
    'banyan revisions --since yesterday',
    'banyan revisions --author anna --route gtin-lookup',
    'banyan revisions 12',
    'banyan revisions 15 --against 11',
    'banyan revisions 12 --text > routes.yaml.12',
  ],
  flags: {
    since: { value: 'TIME', help: 'only those since then' },
    author: { value: 'TEXT', help: 'only those of this author' },
    route: { value: 'ROUTE', help: 'only those that changed this route' },
    all: { value: '', help: 'each on a line of its own, also those of one run' },
    against: { value: 'NUMBER', help: 'with a number: compare with this revision, not with the one before' },
    text: { value: '', help: 'with a number: print only its text' },
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [0, 1],
  run: runRevisions,
}

async function runRevisions(given: Given, io: Io): Promise<ExitCode> {
  const [number] = given.args
  const filters = ['since', 'author', 'route'].filter((flag) => given.text(flag) !== undefined)
  if (number !== undefined && filters.length > 0)
    throw new CommandError(EXIT.usage, `--${filters[0]} is for the list: leave the number out`)
  if (number === undefined && (given.text('against') !== undefined || given.has('text')))
    throw new CommandError(EXIT.usage, '--against and --text need the number of a revision')
  if (number !== undefined) return runRevision(numberOf(number), given, io)
  const query = new URLSearchParams()
  for (const flag of filters) {
    const text = given.text(flag) as string
    query.set(flag, flag === 'since' ? sinceOf(text, io) : text)
  }
  const { json } = await given.client(io).ask('GET', `/revisions${filters.length > 0 ? `?${query}` : ''}`)
  io.out(given.has('json') ? jsonText(json) : listText(json, filters.length > 0, given, io))
  return EXIT.done
}

async function runRevision(number: number, given: Given, io: Io): Promise<ExitCode> {
  const against = given.text('against')
  const query = against === undefined ? '' : `?against=${numberOf(against)}`
  const { json } = await given.client(io).ask('GET', `/revisions/${number}${query}`)
  if (given.has('text')) io.out(json.text)
  else if (given.has('json')) io.out(jsonText(json))
  else {
    const { revision, at, author, reason, diff, since, kept } = json
    io.out(printable(`revision ${revision}, ${at}, by ${author}${reason === null ? '' : `: ${reason}`}\n`))
    if (kept) io.out(printable(`kept by ${kept.by}${kept.reason === null ? '' : `: ${kept.reason}`}\n`))
    if (typeof since === 'number' && since !== revision - 1) io.out(`compared with revision ${since}\n`)
    io.out(diff === null ? 'the previous revision is no longer stored\n' : `\n${diffInColours(diff, io.colours.out)}`)
  }
  return EXIT.done
}

const COLUMNS = [
  { title: 'REVISION' },
  { title: ' AGE', right: true },
  { title: 'AT', wide: true },
  { title: 'BY', least: 8 },
  { title: 'CHANGED', least: 24, keepsEnd: true },
  { title: 'REASON', least: 12 },
  { title: 'KEPT BY', wide: true },
] as const

function listText(
  { current, revisions }: { current: number; revisions: readonly RevisionAnswer[] },
  isPart: boolean,
  given: Given,
  io: Io,
): string {
  if (revisions.length === 0) return isPart ? 'no such revisions\n' : 'no revisions are stored\n'
  const runs = given.has('all') ? revisions.map((one) => [one]) : runsOf(revisions)
  const rows = runs.map((run) => {
    const [last, first] = [run[0] as RevisionAnswer, run.at(-1) as RevisionAnswer]
    // Some of its revisions may be stored no longer.
    // Those that were not kept are in it too.
    const isWhole = !given.has('all') && !isPart && first.run < first.revision && isAlone(first, revisions)
    const start = isWhole ? first.run : first.revision
    const marks = [last.revision === current ? '*' : '', run.some(({ kept }) => kept !== null) ? 'kept' : '']
    const number = start === last.revision ? `${last.revision}` : `${start}-${last.revision}`
    return [
      [number, ...marks].filter((part) => part !== '').join(' '),
      ageText(io.now() - Date.parse(last.at)),
      last.at,
      last.author,
      changesText(joined(run)),
      `${last.reason ?? ''}${last.forced ? ' (forced)' : ''}`,
      run.find(({ kept }) => kept !== null)?.kept?.by ?? '',
    ].map(printable)
  })
  return columns(COLUMNS, rows, given.layout(io)) + (isPart ? `${countsText(revisions)}\n` : '')
}

/** Neighbours of one run, newest first: steps of a ramp, or edits with the same reason or none. */
function runsOf(revisions: readonly RevisionAnswer[]): RevisionAnswer[][] {
  const runs: RevisionAnswer[][] = []
  for (const one of revisions) {
    const last = runs.at(-1)
    const newer = last?.at(-1)
    const isInner = newer !== undefined && newer.run <= one.revision
    const isAlike = newer?.reason === one.reason || one.author === 'ramp'
    if (isInner && isAlike && newer.kept === null && one.kept === null) last?.push(one)
    else runs.push([one])
  }
  return runs
}

/** Whether what it follows in its run is stored no longer. */
function isAlone({ revision, run }: RevisionAnswer, revisions: readonly RevisionAnswer[]): boolean {
  return !revisions.some((one) => one.revision >= run && one.revision < revision)
}

/** What a run changed, from its first to its last revision. */
function joined(run: readonly RevisionAnswer[]): SummaryAnswer | null {
  const last = run[0]?.summary ?? null
  const [change] = last?.changes ?? []
  if (run.length === 1 || last === null || change === undefined) return last
  const oldest = [...run].reverse().flatMap(({ summary }) => summary?.changes ?? [])
  const added = oldest[0]?.change === 'added'
  if (added && change.change !== 'removed') return { changes: [{ ...change, change: 'added', keys: [] }], more: 0 }
  const keys = new Map<string, BriefChangeAnswer['keys'][number]>()
  for (const one of oldest.flatMap((change) => change.keys)) {
    keys.set(one.key, { ...one, before: keys.has(one.key) ? (keys.get(one.key)?.before ?? null) : one.before })
  }
  return { changes: [{ ...change, keys: [...keys.values()].filter(({ before, after }) => before !== after) }], more: 0 }
}

/** `gtin-lookup percent 5 -> 25; upstream gtin added`. */
export function changesText(summary: SummaryAnswer | null | undefined): string {
  if (summary === null || summary === undefined) return '-'
  if (summary.changes.length === 0) return 'no values'
  const parts = summary.changes.map(({ what, name, change, keys }) => {
    const subject = what === 'route' ? name : what === 'default' ? 'default' : `${what} ${name}`
    if (change !== 'changed') return `${subject} ${change}`
    const values = keys.map(({ key, before, after }) => {
      const moved = `${before ?? 'none'} -> ${after ?? 'none'}`
      return key === subject ? moved : `${key} ${moved}`
    })
    return `${subject} ${values.length === 0 ? 'as before' : values.join(', ')}`
  })
  return parts.join('; ') + (summary.more > 0 ? `; ${summary.more} more` : '')
}

/** `5 revisions: 3 by anna, 2 by bob`. */
function countsText(revisions: readonly RevisionAnswer[]): string {
  const byAuthor = Map.groupBy(revisions, ({ author }) => author)
  const counts = [...byAuthor]
    .map(([author, list]) => ({ author, count: list.length }))
    .sort((a, b) => b.count - a.count)
  const who = counts.map(({ author, count }) => `${count} by ${printable(author)}`).join(', ')
  return `${revisions.length} ${revisions.length === 1 ? 'revision' : 'revisions'}: ${who}`
}

/** `45s`, `12m`, `3h`, `9d`, as kubectl has it. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`
  return seconds < 48 * 3600 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}

/** One revision, or `3-5`, as the list shows several in a row. */
export function numbersOf(text: string): readonly [number, number] {
  const [, first, last] = /^([^-]+)-([^-]+)$/.exec(text) ?? [null, text, text]
  const numbers = [numberOf(first as string), numberOf(last as string)] as const
  if (numbers[0] <= numbers[1]) return numbers
  throw new CommandError(EXIT.usage, `invalid revisions '${text}': the earlier one comes first`)
}

/** @throws {CommandError} if the text is not the number of a revision */
export function numberOf(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new CommandError(EXIT.usage, `invalid revision '${text}': expected a number`)
}
