/**
 * `banyan routes` and `banyan set`: lists the routes with live figures, and sets a percent.
 */

import type { RouteAnswer } from '../answers/routes.ts'
import { flowText } from '../rules/language/yaml-print.ts'
import { targetsText } from '../rules/routing/targets.ts'
import { addRoute } from './add-route.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, EDIT_FLAGS, editTerms, type Given, JSON_FLAG, LIST_FLAGS } from './command.ts'
import { dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, paint, printable } from './io.ts'

export const routes: Command = {
  name: 'routes',
  usage: '[ROUTE] | add --endpoint ENDPOINT',
  summary: 'list the routes of the running proxy, with live figures',
  about: `ACTUAL, RATE, ERRORS and P95 cover the last minute; - means no data. banyan top has the two sides of each route. add makes a route at 0 percent for an endpoint that
banyan discover lists.`,
  examples: [
    'banyan routes',
    'banyan routes gtin-lookup',
    'banyan routes -o wide',
    'banyan routes --watch',
    'banyan routes --json | jq .routes[].percent',
    'banyan routes add --endpoint 3fa10c --to stores',
  ],
  flags: {
    endpoint: { value: 'ENDPOINT', of: ['add'], help: 'id of the endpoint, as banyan discover lists it' },
    to: { value: 'UPSTREAM', of: ['add'], help: 'where it is to move; not needed if there is one other upstream' },
    id: { value: 'NAME', of: ['add'], help: 'id of the route (made from its path)' },
    ...EDIT_FLAGS,
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [0, 1],
  lists: (given) => given.args[0] !== 'add',
  run: runRoutes,
}

export const set: Command = {
  name: 'set',
  usage: 'ROUTE [PERCENT] | GROUP PERCENT --group',
  summary: 'set the percent of a route, or of all routes of a group: 0 to 100, up to 4 decimals',
  about: 'Edits the table file: only the numbers change. Prints the old and the new value.',
  examples: [
    'banyan set gtin-lookup 25 --reason "p99 is fine"',
    'banyan set gtin-lookup 50 --dry-run',
    'banyan set gtin-lookup 0',
    'banyan set gtin-lookup --to gtin=50,gtin-next=50',
    'banyan set checkout 10 --group',
  ],
  flags: {
    group: { value: '', help: 'set all routes of this group, in one revision' },
    to: { value: 'NAME=WEIGHT,...', help: 'weights of the upstreams that the percent is shared among' },
    ...EDIT_FLAGS,
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [1, 2],
  run: runSet,
}

interface Listed extends RouteAnswer {
  readonly match: Parameters<typeof flowText>[0]
  readonly from?: string
  readonly to: string | Readonly<Record<string, number>>
  readonly revision?: number
  readonly noKey?: string
  readonly withoutKey?: { readonly exchanges: number; readonly withoutKey: number; readonly moved: number }
}

async function runRoutes(given: Given, io: Io): Promise<ExitCode> {
  const [id] = given.args
  const endpoint = given.text('endpoint')
  if (endpoint !== undefined) {
    if (id !== 'add') throw new CommandError(EXIT.usage, 'usage: banyan routes add --endpoint ENDPOINT')
    return addRoute(endpoint, given, io)
  }
  if (id === 'add' && given.text('to') !== undefined)
    throw new CommandError(EXIT.usage, 'missing --endpoint: banyan discover lists them')
  const client = given.client(io)
  const { json } = await client.ask('GET', id === undefined ? '/routes' : `/routes/${encodeURIComponent(id)}`)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const list: Listed[] = id === undefined ? json.routes : [json]
  const fallback: string = json.default ?? (json.defaultStatus == null ? 'the default' : `none (${json.defaultStatus})`)
  io.out(
    columns(
      COLUMNS,
      list.map((route) => rowOf(route, fallback)),
      given.layout(io),
    ),
  )
  if (list.length === 0) io.out(`no routes: every request goes to ${printable(fallback)}\n`)
  return EXIT.done
}

const COLUMNS = [
  { title: 'ROUTE', least: 12 },
  { title: 'FROM', wide: true },
  { title: 'TO', least: 8 },
  { title: 'PERCENT', right: true },
  { title: 'ACTUAL', right: true },
  { title: 'RATE', right: true },
  { title: 'ERRORS', right: true },
  { title: 'P50', right: true, wide: true },
  { title: 'P95', right: true },
  { title: 'P99', right: true, wide: true },
  { title: 'MATCH', least: 12 },
] as const

function rowOf({ id, match, from, to, percent, live }: Listed, fallback: string): string[] {
  const window = live.lastMinute
  const ms = (value: number | null | undefined): string => said(value, (ms) => `${ms} ms`)
  return [
    id,
    from ?? fallback,
    targetsText(to),
    `${percent} %`,
    said(window?.share?.actualPercent, (value) => `${Math.round(value * 100) / 100} %`),
    said(window?.perSecond, (value) => `${Number(value.toPrecision(3))}/s`),
    said(window?.errorRatio, (value) => `${Math.round(value * 10_000) / 100} %`),
    ms(window?.p50Ms),
    ms(window?.p95Ms),
    ms(window?.p99Ms),
    printable(matchText(match)),
  ]
}

/** A path alone as it is, more as in routes.yaml. */
function matchText(match: Listed['match']): string {
  const { path, ...rest } = match as { path?: unknown }
  return typeof path === 'string' && Object.keys(rest).length === 0 ? path : flowText(match)
}

/** A figure, or a dash if there is none. */
export function said(value: number | null | undefined, print: (value: number) => string): string {
  return value === null || value === undefined ? '-' : print(value)
}

async function runSet(given: Given, io: Io): Promise<ExitCode> {
  if (given.has('group')) return await setGroup(given, io)
  const [id, text] = given.args as [string, string | undefined]
  const weights = given.text('to')
  if (text === undefined && weights === undefined)
    throw new CommandError(EXIT.usage, 'missing PERCENT; usage: banyan set ROUTE [PERCENT]')
  const patch = {
    ...(text === undefined ? {} : { percent: percentIn(text) }),
    ...(weights === undefined ? {} : { to: weightsIn(weights) }),
  }
  const client = given.client(io)
  const path = `/routes/${encodeURIComponent(id)}`
  const { headers, query } = editTerms(given)
  const before = (await client.ask('GET', path)).json as Listed
  const { json } = await client.ask('PATCH', path + query, { body: patch, headers })
  if (given.has('json')) io.out(jsonText({ before: before.percent, ...json }))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else io.out(changeText(before, json as Listed, io.colours.out))
  return EXIT.done
}

async function setGroup(given: Given, io: Io): Promise<ExitCode> {
  const [group, text] = given.args as [string, string | undefined]
  if (text === undefined || given.text('to') !== undefined)
    throw new CommandError(EXIT.usage, 'usage: banyan set GROUP PERCENT --group')
  const { headers, query } = editTerms(given)
  const body = { percent: percentIn(text) }
  const path = `/groups/${encodeURIComponent(group)}`
  const { json } = await given.client(io).ask('PATCH', path + query, { body, headers })
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else io.out(groupText(json, io.colours.out))
  return EXIT.done
}

interface GroupAnswer {
  readonly percent: number
  readonly revision: number
  readonly routes: readonly { readonly id: string; readonly before: number | null }[]
  readonly withoutKey: NonNullable<Listed['withoutKey']>
}

function groupText({ percent, revision, routes, withoutKey }: GroupAnswer, colour: boolean): string {
  const lines = routes.map(({ id, before }) =>
    before === percent
      ? `${printable(id)}: unchanged, ${percent} %`
      : `${printable(id)}: ${before} % -> ${paint(colour, 'bold', `${percent} %`)}`,
  )
  return `${lines.join('\n')} (revision ${revision})\n${keylessText({ withoutKey, percent })}`
}

function percentIn(text: string): number {
  const percent = Number(text.replace(/ ?%$/, ''))
  if (/^[0-9.]+ ?%?$/.test(text) && percent >= 0 && percent <= 100) return percent
  throw new CommandError(EXIT.usage, `invalid percent '${text}': must be 0 to 100`)
}

/** `gtin=50,gtin-next=50`. Those that are not named keep their weight. */
function weightsIn(text: string): Record<string, number> {
  const pairs = text.split(',').map((pair) => /^\s*([^=\s]+)\s*=\s*(\d{1,4})\s*$/.exec(pair))
  if (pairs.every((pair) => pair !== null && Number(pair[2]) <= 1000)) {
    return Object.fromEntries(pairs.map((pair) => [pair?.[1], Number(pair?.[2])]))
  }
  throw new CommandError(
    EXIT.usage,
    `--to: invalid weights '${text}': expected such as gtin=60,gtin-next=40, 0 to 1000`,
  )
}

function changeText(before: Listed, after: Listed, colour: boolean): string {
  const where = `to ${targetsText(after.to)}`
  const targets = targetsText(before.to)
  if (targets !== targetsText(after.to)) {
    const split = `${before.percent} % to ${targets} -> ${paint(colour, 'bold', `${after.percent} % ${where}`)}`
    return `${after.id}: ${split} (revision ${after.revision})\n${keylessText(after)}`
  }
  if (before.percent === after.percent)
    return `${after.id}: unchanged, ${after.percent} % ${where} (revision ${after.revision})\n`
  const moved = `${before.percent} % -> ${paint(colour, 'bold', `${after.percent} %`)}`
  return `${after.id}: ${moved} ${where} (revision ${after.revision})\n${keylessText(after)}`
}

/** What has become of the requests without a key: below 100 they stay behind, so that they move all at once. */
function keylessText({ withoutKey, percent }: Pick<Listed, 'withoutKey' | 'percent'>): string {
  if (withoutKey === undefined || withoutKey.moved === 0) return ''
  const { exchanges, moved } = withoutKey
  const how = percent === 100 ? '; noKey: from keeps them' : ''
  return `${moved} of its last ${exchanges} requests have no sticky key: such requests move all at once${how}\n`
}
