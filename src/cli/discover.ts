/**
 * `banyan discover`: the endpoints that no route claims, and a route for one of them.
 */
import type { DiscoveredAnswer, EndpointAnswer } from '../answers/progress.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, type Given, LIST_FLAGS } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { sinceQuery } from './since.ts'

/** Lines of the list. */
const SHOWN = 20

export const discover: Command = {
  name: 'discover',
  usage: '[ENDPOINT]',
  summary: 'list the endpoints that no route claims, the busiest first',
  about: `Values in paths are placeholders: /stores/:id/hours. Only what the application has answered counts, not what scanners ask for. With the id
of an endpoint: its responses and who calls it. banyan routes add --endpoint ID makes a route for it, at 0 percent.`,
  examples: [
    'banyan discover',
    'banyan discover 3fa10c',
    'banyan discover --since 7d --all',
    'banyan routes add --endpoint 3fa10c --to stores',
  ],
  flags: {
    since: { value: 'TIME', help: 'only what was seen in this time, such as 7d; whole days count' },
    all: { value: '', help: `all of them, also those that a route claims by now (${SHOWN})` },
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [0, 1],
  run: runDiscover,
}

async function runDiscover(given: Given, io: Io): Promise<ExitCode> {
  const client = given.client(io)
  const [id] = given.args
  const since = given.text('since')
  if (id !== undefined && since !== undefined)
    throw new CommandError(EXIT.usage, '--since is for the list: leave the endpoint out')
  const path = id === undefined ? `/discovered${sinceQuery(since, io)}` : `/discovered/${encodeURIComponent(id)}`
  const { json } = await client.ask('GET', path)
  if (given.has('json')) io.out(jsonText(json))
  else io.out(id === undefined ? listText(json, given.has('all'), io) : endpointText(json, io))
  return EXIT.done
}

function listText(told: DiscoveredAnswer, all: boolean, io: Io): string {
  const { requests, others, since, problem } = told
  const open = all ? told.endpoints : told.endpoints.filter(({ route }) => route === null)
  const shown = all ? open : open.slice(0, SHOWN)
  const lines = [
    `${countText(requests)} ${requests === 1 ? 'request' : 'requests'} without a route since ${dayText(since)}\n`,
  ]
  if (problem !== null) lines.push(`${printable(problem)}\n`)
  if (shown.length > 0) lines.push(columns(HEADER, shown.map(rowOf), io.colours.out))
  if (open.length > shown.length) lines.push(`and ${open.length - shown.length} more: --all\n`)
  const claimed = told.endpoints.length - open.length
  if (claimed > 0) lines.push(`${claimed} that ${claimed === 1 ? 'has' : 'have'} a route by now: --all\n`)
  const rest = [
    ['refused or not answered', others.refused],
    ['paths with two readings', others.ambiguous],
    ['further endpoints', others.more],
  ] as const
  for (const [what, count] of rest) if (count > 0) lines.push(`${what}: ${countText(count)} requests\n`)
  const [first] = open.filter(({ route }) => route === null)
  if (first !== undefined) lines.push(`a route at 0 %: banyan routes add --endpoint ${first.id}\n`)
  return lines.join('')
}

const HEADER = ['ID', 'ENDPOINT', 'REQUESTS', 'SHARE', '5XX', 'MEAN', 'ROUTE']

/** So wide that a line has 80 columns at most. */
const ENDPOINT_WIDTH = 30
const ROUTE_WIDTH = 9

function rowOf(endpoint: EndpointAnswer): string[] {
  const { id, method, path, requests, share, statuses, meanMs, route } = endpoint
  return [
    id,
    shortened(`${method} ${path}`, ENDPOINT_WIDTH),
    countText(requests),
    percentText(share),
    percentText((statuses['5xx'] ?? 0) / Math.max(requests, 1)),
    meanMs === null ? '-' : timeText(meanMs),
    shortened(route ?? '-', ROUTE_WIDTH),
  ].map(printable)
}

function endpointText(endpoint: EndpointAnswer, io: Io): string {
  const { id, method, path, route, requests, share, statuses, meanMs, first, last } = endpoint
  const answers = Object.entries(statuses).filter(([, count]) => count > 0)
  const lines = [
    `${method} ${path} (${id})`,
    `requests   ${requests}, ${percentText(share)} of those without a route`,
    `responses  ${answers.map(([what, count]) => `${what} ${count}`).join(', ')}; mean ${meanMs === null ? '-' : timeText(meanMs)}`,
    `seen       ${first} to ${last}`,
    route === null ? `a route:   banyan routes add --endpoint ${id}` : `route      ${route} claims it by now`,
  ].map((line) => `${printable(line)}\n`)
  return lines.join('') + callersText(endpoint, io)
}

/** Who calls, as a table. */
export function callersText(
  { callers, otherCallers }: Pick<EndpointAnswer, 'callers' | 'otherCallers'>,
  io: Io,
): string {
  if (callers.length === 0) return ''
  const rows = callers.map(({ agent, network, requests, last }) => [agent, network, countText(requests), dayText(last)])
  const table = columns(
    ['CALLER', 'NETWORK', 'REQUESTS', 'LAST'],
    rows.map((row) => row.map(printable)),
    io.colours.out,
  )
  return otherCallers === 0 ? table : `${table}and ${countText(otherCallers)} requests of other callers\n`
}

/** `1.2M`. */
export function countText(count: number): string {
  if (count < 10_000) return String(count)
  return count < 999_500 ? `${Math.round(count / 1000)}k` : `${(count / 1_000_000).toPrecision(3)}M`
}

/** Two digits, and what is little is not nothing. */
export function percentText(share: number): string {
  if (share === 0 || share === 1) return `${share * 100} %`
  if (share < 0.001) return '<0.1 %'
  if (share > 0.999) return '99.9 %'
  return `${Math.round(share * 1000) / 10} %`
}

function timeText(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toPrecision(2)} s`
}

/** `2026-11-30 08:15`. */
export function dayText(time: string): string {
  return time.slice(0, 16).replace('T', ' ')
}

function shortened(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text
}
