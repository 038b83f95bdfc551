/**
 * `banyan shadow`: compares the two sides of a route: starts and stops it, shows what differs, ignores what may differ.
 */
import type { ComparisonsAnswer, DifferenceAnswer } from '../answers/comparisons.ts'
import { ignoring } from '../rules/evidence/ignoring.ts'
import { uncopiedFindings } from '../rules/language/check.ts'
import { targetNames, targetsText } from '../rules/routing/targets.ts'
import type { AdminClient } from './admin-client.ts'
import { columns } from './columns.ts'
import {
  ADMIN_FLAG,
  type Command,
  EDIT_FLAGS,
  editTerms,
  flagsOf,
  type Given,
  LIST_FLAGS,
  unknownSubcommand,
} from './command.ts'
import { dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { sinceQuery } from './since.ts'

/** By subcommand: what it does, and how many arguments it takes. */
const STEPS = {
  show: { run: runShow, count: 1, usage: 'show ROUTE [--since TIME]' },
  sample: { run: runSample, count: 1, usage: 'sample ID' },
  start: { run: runStart, count: 1, usage: 'start ROUTE [--percent N]' },
  stop: { run: runStop, count: 1, usage: 'stop ROUTE' },
  reset: { run: runReset, count: 1, usage: 'reset ROUTE' },
  ignore: { run: runIgnore, count: 2, usage: 'ignore ROUTE PATH' },
} as const

const DEFAULT_PERCENT = 1

/** Samples that `show` reads for its examples. */
const MAX_SAMPLES = 20

export const shadow: Command = {
  name: 'shadow',
  usage: Object.values(STEPS)
    .map(({ usage }) => usage)
    .join(' | '),
  summary: 'compare the two sides of a route, and show which fields differ',
  about: `start copies a share of the GET and HEAD requests of a route to its other side, once the client has its response, and compares the two
responses; clients notice nothing. show lists what differs: mismatch for what differs more often than two responses of
the old side do, noise for what differs there as well. ignore accepts a difference; PATH is a JSON pointer such as
/items/*/price, status, header:NAME, cookie:NAME, charset or body. reset forgets what was found, after a fault
of the new side is mended. start, stop, reset and ignore edit the table: banyan revert undoes them.
sample prints one comparison, and needs a token that may write.`,
  examples: [
    'banyan shadow start gtin-lookup --percent 5',
    'banyan shadow show gtin-lookup',
    'banyan shadow ignore gtin-lookup /generatedAt --reason "time of the response"',
    'banyan shadow stop gtin-lookup',
  ],
  flags: {
    percent: { value: 'N', of: ['start'], help: `percent of the requests that are copied (${DEFAULT_PERCENT})` },
    since: { value: 'TIME', of: ['show'], help: 'only what was found in this time, such as 6h; whole hours count' },
    ...flagsOf(['start', 'stop', 'reset', 'ignore'], EDIT_FLAGS),
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [1, 3],
  lists: ({ args: [name] }) => name === 'show',
  run: runShadow,
}

interface ShadowDocument {
  readonly percent?: number
  readonly since?: string
  readonly compare?: { readonly ignore?: readonly string[] }
}

function runShadow(given: Given, io: Io): Promise<ExitCode> {
  const [name, ...rest] = given.args as [string, ...string[]]
  if (!Object.hasOwn(STEPS, name)) throw unknownSubcommand(name, Object.keys(STEPS))
  const step = STEPS[name as keyof typeof STEPS]
  if (rest.length !== step.count) throw new CommandError(EXIT.usage, `usage: banyan shadow ${step.usage}`)
  return step.run(rest as [string, string], given, io)
}

async function runShow([route]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  const client = given.client(io)
  const query = sinceQuery(given.text('since'), io)
  const { json } = await client.ask('GET', `${pathOf(route)}/comparisons${query}`)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const told = json as ComparisonsAnswer
  const samples = new Map<string, readonly DifferenceAnswer[]>()
  if (told.shadow?.samples === 'values') {
    const ids = new Set(told.fields.flatMap(({ sample }) => sample ?? []))
    for (const id of [...ids].slice(0, MAX_SAMPLES)) samples.set(id, await sampleOf(client, id))
  }
  io.out(reportText(told, samples, io.colours.out))
  return EXIT.done
}

/** The differences of a sample; none where the token may not read it, or it is gone. */
async function sampleOf(client: AdminClient, id: string): Promise<readonly DifferenceAnswer[]> {
  try {
    return (await client.ask('GET', `/samples/${encodeURIComponent(id)}`)).json.differences
  } catch (error) {
    if (error instanceof CommandError && error.code !== EXIT.unreachable) return []
    throw error
  }
}

function reportText(
  told: ComparisonsAnswer,
  samples: ReadonlyMap<string, readonly DifferenceAnswer[]>,
  colour: boolean,
): string {
  const { route, from, to, shadow: on, comparisons, matches, mismatches } = told
  const state = on === null || on.percent === 0 ? 'off' : `${on.percent} % of the requests${answeredBy(on.sides, told)}`
  const lines = [`${route}: ${from} against ${targetsText(to)}; shadow ${state}\n`]
  lines.push(
    comparisons === 0
      ? `no comparisons yet${on === null ? `: banyan shadow start ${route}` : ''}\n`
      : `${comparisons} comparison${comparisons === 1 ? '' : 's'} since ${told.since}: ${matches} equal, ${mismatches} different; ${repeatsText(told)}\n`,
  )
  if (told.blind > 0) {
    lines.push(`different as a whole, which tells of no field of the body: ${told.blind}\n`)
  }
  if (told.partial > 0) {
    lines.push(
      `no evidence, as the bodies were not compared (HEAD, 5xx, not decoded, or larger than maxBody: raise shadow.maxBody): ${told.partial}\n`,
    )
  }
  if (told.problem) lines.push(`${printable(told.problem)}\n`)
  lines.push(counted('copies without a response', told.errors), counted('not copied', told.skipped))
  if (told.cookieSet > 0)
    lines.push(
      `${from} not asked again because its response had set a cookie that the client had not sent: ${told.cookieSet}; ignore such fields (banyan shadow ignore), or send requests with a session\n`,
    )
  if ((told.skipped.paused ?? 0) > 0)
    lines.push('paused: after five copies in a row without a response, its upstream gets none for 30 s, of any route\n')
  if (told.fields.length > 0) {
    const rows = told.fields.map(({ path, kind, verdict, rate, noiseRate, first, example, sample }) => [
      printable(path === '' ? 'body' : path),
      kind,
      verdict,
      percentText(rate),
      noiseRate === null ? '-' : percentText(noiseRate),
      first.slice(0, 16).replace('T', ' '),
      exampleText(samples.get(sample ?? '')?.find((one) => one.path === path && one.kind === kind) ?? example),
    ])
    lines.push(columns(['FIELD', 'KIND', 'VERDICT', 'RATE', 'NOISE', 'SINCE', 'EXAMPLE'], rows, colour))
  }
  const isAllIgnored = told.mismatches > 0 && told.fields.length === 0 && told.moreFields === 0
  if (isAllIgnored) lines.push('what differs is ignored by now\n')
  if (told.moreFields > 0) lines.push(`and ${told.moreFields} differences at further fields\n`)
  const sample = told.fields.find((field) => field.sample !== null)?.sample
  if (sample !== undefined) lines.push(`one comparison: banyan shadow sample ${sample}\n`)
  return lines.join('')
}

function answeredBy(sides: string, { from, to }: ComparisonsAnswer): string {
  return sides === 'both' ? '' : ` that ${sides === 'to' ? targetNames(to).join(' or ') : from} answers`
}

/** Verdicts come from both kinds of repeats: those at random, and those after a difference. */
function repeatsText({ from, repeats, noiseComparisons }: ComparisonsAnswer): string {
  if (repeats === 0) return `${from} not asked again yet`
  return `${from} asked again ${repeats} time${repeats === 1 ? '' : 's'}, ${noiseComparisons} at random`
}

function exampleText({ from, to }: Pick<DifferenceAnswer, 'from' | 'to'>): string {
  // The hash tells two values apart, which it says already that they are.
  const text = (value: string | null): string =>
    value === null ? 'missing' : printable(value.replace(/(characters), [0-9a-f]{16}$/, '$1'))
  return `${text(from)} -> ${text(to)}`.slice(0, 100)
}

function counted(what: string, counts: Readonly<Record<string, number>>): string {
  const all = Object.entries(counts)
  return all.length === 0 ? '' : `${what}: ${all.map(([why, count]) => `${why} ${count}`).join(', ')}\n`
}

function percentText(rate: number): string {
  return `${Math.round(rate * 10_000) / 100} %`
}

async function runSample([id]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('GET', `/samples/${encodeURIComponent(id)}`)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const { method, target, route, at, note, differences } = json
  io.out(`${printable(`${method} ${target}`)} (${printable(route)}, ${at})\n`)
  if (note !== null) io.out(`${printable(note)}\n`)
  const rows = (differences as readonly DifferenceAnswer[]).map(({ path, kind, from, to }) =>
    [path === '' ? 'body' : path, kind, from ?? 'missing', to ?? 'missing'].map(printable),
  )
  io.out(columns(['FIELD', 'KIND', 'FROM', 'TO'], rows, io.colours.out))
  return EXIT.done
}

async function runStart([route]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  const text = given.text('percent')
  const before = await shadowOf(route, given, io)
  // What was stopped goes on as it was.
  const percent = text === undefined ? before?.percent || DEFAULT_PERCENT : Number(text)
  if (!(percent > 0 && percent <= 100)) {
    const hint = percent === 0 ? `; banyan shadow stop ${route} ends it` : ''
    throw new CommandError(EXIT.usage, `invalid percent '${text}': must be above 0, and at most 100${hint}`)
  }
  return await edit(route, { percent }, given, io)
}

async function runStop([route]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  if ((await shadowOf(route, given, io)) === null)
    throw new CommandError(EXIT.refused, `route ${route} has no shadow: there is nothing to stop`)
  return await edit(route, { percent: 0 }, given, io)
}

async function runReset([route]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  if ((await shadowOf(route, given, io)) === null)
    throw new CommandError(EXIT.refused, `route ${route} has no shadow: there is nothing to reset`)
  return await edit(route, { since: `${new Date(io.now()).toISOString().slice(0, 19)}Z` }, given, io)
}

async function runIgnore([route, path]: [string, string], given: Given, io: Io): Promise<ExitCode> {
  const before = await shadowOf(route, given, io)
  if (before === null)
    throw new CommandError(EXIT.refused, `route ${route} has no shadow: run banyan shadow start ${route} first`)
  const ignored = before.compare?.ignore ?? []
  const told: ComparisonsAnswer = (await given.client(io).ask('GET', `${pathOf(route)}/comparisons`)).json
  // What is counted stands for all elements of a list.
  const ignores = ignoring({ ignore: [path, path.replaceAll(/\/\d+(?=\/|$)/g, '/*')] })
  const isKnown = ignored.includes(path) || told.fields.some((field) => ignores(field.path))
  const ignore = ignored.includes(path) ? ignored : [...ignored, path]
  const code = await edit(route, { compare: { ignore } }, given, io)
  if (!isKnown) io.err(`banyan: no such field has differed so far: ${printable(path)}\n`)
  return code
}

async function shadowOf(route: string, given: Given, io: Io): Promise<ShadowDocument | null> {
  const { json } = await given.client(io).ask('GET', pathOf(route))
  return json.shadow ?? null
}

async function edit(route: string, change: ShadowDocument, given: Given, io: Io): Promise<ExitCode> {
  const { headers, query } = editTerms(given)
  const { json } = await given.client(io).ask('PATCH', pathOf(route) + query, { body: { shadow: change }, headers })
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else {
    const { percent, compare } = json.shadow
    const ignored = compare?.ignore === undefined ? '' : `; ignored: ${printable(compare.ignore.join(', '))}`
    const state =
      percent === 0 ? `off${change.percent === 0 ? '' : `, banyan shadow start ${route} turns it on`}` : `${percent} %`
    io.out(`${printable(route)}: shadow ${state}${ignored} (revision ${json.revision})\n`)
    const findings = percent === 0 ? [] : uncopiedFindings(json, json.shadow, [])
    for (const { path, message, hint } of findings)
      io.err(`banyan: warning: ${path.join('.')}: ${message}${hint === undefined ? '' : ` (${hint})`}\n`)
  }
  return EXIT.done
}

function pathOf(route: string): string {
  return `/routes/${encodeURIComponent(route)}`
}
