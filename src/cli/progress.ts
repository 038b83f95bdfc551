/**
 * `banyan progress`: how far the migration is.
 */
import type { EndpointCountAnswer, ProgressAnswer } from '../answers/progress.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { countText, dayText, percentText } from './discover.ts'
import { EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

/** Steps of the history that are shown. */
const SHOWN = 12

export const progress: Command = {
  name: 'progress',
  usage: '',
  summary: 'show how far the migration is: requests and endpoints on new services',
  about: `MOVED is the share of the requests that new services have answered; a fallback counts for the old application. Below the history
come the routes with the percent they are at and since when, and what to do next.`,
  examples: ['banyan progress', 'banyan progress --by day', 'banyan progress --json | jq .requests.share'],
  flags: {
    by: { value: 'STEP', help: 'steps of the history: hour, day or week (week)' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 0],
  run: runProgress,
}

async function runProgress(given: Given, io: Io): Promise<ExitCode> {
  const by = given.text('by')
  const query = by === undefined ? '' : `?by=${encodeURIComponent(by)}`
  const { json } = await given.client(io).ask('GET', `/progress${query}`)
  io.out(given.has('json') ? jsonText(json) : progressText(json, io))
  return EXIT.done
}

function progressText(told: ProgressAnswer, io: Io): string {
  const { requests, endpoints, days, problem } = told
  const share = requests.share === null ? 'no' : percentText(requests.share)
  const lines = [
    `${share}${requests.share === null ? '' : ' of the'} requests of the last ${days} days, and ${doneText(endpoints)} endpoints, are on new services\n`,
  ]
  if (problem !== null) lines.push(`${printable(problem)}\n`)
  lines.push('\n', historyText(told, io), '\n', routesText(told, io))
  if (told.next.length > 0) lines.push('\nnext\n')
  for (const { what, why, command } of told.next)
    lines.push(printable(`  ${shortened(what, 30)}, ${why}:`), `\n    ${printable(command)}\n`)
  return lines.join('')
}

function historyText({ history, by }: ProgressAnswer, io: Io): string {
  const rows = history
    .slice(-SHOWN)
    .map(({ at, to, from, share, endpoints }) => [
      by === 'hour' ? dayText(at) : at.slice(0, 10),
      countText(to + from),
      shareText(share),
      barOf(share),
      endpoints === null ? '-' : doneText(endpoints),
    ])
  return columns([by.toUpperCase(), 'REQUESTS', 'MOVED', BAR_TITLE, 'ENDPOINTS'], rows, io.colours.out)
}

function routesText({ routes, unclaimed }: ProgressAnswer, io: Io): string {
  const rows = routes.map(({ id, stage, percent, since, to, from, share, fallback }) => [
    shortened(id, 24),
    stage === 'ended' ? 'ended' : `${percent} %`,
    since === null ? '-' : dayText(since),
    countText(to + from),
    shareText(share),
    countText(fallback),
  ])
  rows.push(['(no route)', '-', '-', countText(unclaimed.to + unclaimed.from), shareText(unclaimed.share), '-'])
  return columns(
    ['ROUTE', 'PERCENT', 'SINCE', 'REQUESTS', 'MOVED', 'FALLBACKS'],
    rows.map((row) => row.map(printable)),
    io.colours.out,
  )
}

function doneText({ moved, moving, waiting, ended, unclaimed }: EndpointCountAnswer): string {
  return `${moved + ended} of ${moved + moving + waiting + ended + unclaimed}`
}

function shareText(share: number | null): string {
  return share === null ? '-' : percentText(share)
}

const BAR_WIDTH = 20
const BAR_TITLE = `0 %${'100 %'.padStart(BAR_WIDTH - 3)}`

function barOf(share: number | null): string {
  const full = Math.round((share ?? 0) * BAR_WIDTH)
  return '#'.repeat(full) + '.'.repeat(BAR_WIDTH - full)
}

function shortened(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text
}
