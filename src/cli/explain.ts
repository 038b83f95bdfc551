/**
 * `banyan explain`: shows where a request would go and why, using a running proxy or a table file.
 */

import { type CacheExplanation, type Explanation, explain as explainRequest, isUrl, viewOf } from '../rules/explain.ts'
import type { Reason } from '../rules/http/exchange.ts'
import { readTable } from '../rules/language/text.ts'
import { readPeer } from '../rules/patterns/address.ts'
import { TOKEN } from '../rules/values/schema-blocks.ts'
import { report, textOf } from './check.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, paint, printable } from './io.ts'

export const explain: Command = {
  name: 'explain',
  usage: '[METHOD] URL | --id REQUEST_ID',
  summary: 'show where a request would go, and why',
  about: [
    'Asks the running proxy, or with --table evaluates a table file offline. URL is a path or an http URL, taken byte for byte.',
    'With --id it explains a recent request, by its id in the access log or in a problem document.',
  ].join('\n'),
  examples: [
    "banyan explain GET 'http://shop.example.test/stores/3/gtins/123456789012' -H 'cookie: sid=alice'",
    'banyan explain /stores/3/gtins/123456789012 --client 10.1.2.3',
    'banyan explain /search --table routes.yaml --chance 0.07',
    'banyan explain --id ktnduo-4f',
  ],
  flags: {
    header: { value: "'NAME: VALUE'", help: 'a request header; may be repeated', short: 'H', multiple: true },
    client: { value: 'ADDRESS', help: "the client's IP address, or unix (127.0.0.1)" },
    chance: { value: 'N', help: 'random draw for routes without a sticky key, from 0 to below 1 (random)' },
    table: { value: 'FILE', help: 'use this table instead of the running proxy' },
    id: { value: 'REQUEST_ID', help: 'explain a recent request' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 2],
  run: runExplain,
}

/** The explanation from the proxy, or the equivalent from a table file. */
interface Told extends Explanation {
  readonly revision: number | null
  readonly server: string | null
  /** Null if the route has no cache, or with a table file. */
  readonly cache: CacheExplanation | null
}

async function runExplain(given: Given, io: Io): Promise<ExitCode> {
  const id = given.text('id')
  if (id !== undefined) return tellExchange(id, given, io)
  const description = describe(given)
  const table = given.text('table')
  const told = table === undefined ? await askProxy(description, given, io) : askTable(table, description, io)
  if (told === null) return EXIT.refused
  io.out(given.has('json') ? jsonText(told) : tell(told, io.colours.out))
  return EXIT.done
}

interface Description {
  readonly method: string
  readonly url: string
  readonly headers: [string, string][]
  readonly clientAddress?: string
  readonly chance?: number
}

function describe(given: Given): Description {
  const [first, second] = given.args
  if (first === undefined) throw new CommandError(EXIT.usage, 'missing URL; usage: banyan explain [METHOD] URL')
  const [method, url] = second === undefined ? ['GET', first] : [first, second]
  if (!TOKEN.test(method)) throw new CommandError(EXIT.usage, `invalid method '${method}'`)
  if (!isUrl(url)) throw new CommandError(EXIT.usage, `invalid URL '${url}': expected a path or an http URL`)
  const clientAddress = given.text('client')
  if (clientAddress !== undefined && readPeer(clientAddress) === null) {
    throw new CommandError(EXIT.usage, `--client: invalid IP address '${clientAddress}'`)
  }
  const chance = given.text('chance')
  if (chance !== undefined && !(Number(chance) >= 0 && Number(chance) < 1 && chance.trim() !== '')) {
    throw new CommandError(EXIT.usage, `--chance: invalid value '${chance}': must be from 0 to below 1`)
  }
  return {
    method,
    url,
    headers: given.list('header').map(readField),
    ...(clientAddress === undefined ? {} : { clientAddress }),
    ...(chance === undefined ? {} : { chance: Number(chance) }),
  }
}

function readField(text: string): [string, string] {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(0, colon)).trim()
  if (!TOKEN.test(name)) throw new CommandError(EXIT.usage, `-H: invalid header '${text}': expected 'NAME: VALUE'`)
  return [name, text.slice(colon + 1).trim()]
}

async function askProxy(description: Description, given: Given, io: Io): Promise<Told> {
  const { json } = await given.client(io).ask('POST', '/explain', { body: description })
  return json as Told
}

function askTable(file: string, description: Description, io: Io): Told | null {
  const text = textOf(file, io)
  const read = readTable(text, file)
  if (!read.ok) {
    report(read, text, io)
    return null
  }
  const { clientAddress = '127.0.0.1', chance = Math.random() } = description
  const view = viewOf({ ...description, headers: description.headers.flat(), clientAddress, chance })
  return { revision: null, server: null, cache: null, ...explainRequest(read.table, view, () => true) }
}

/** Why a request goes where it goes. */
const WHY: Readonly<Record<Reason, string>> = {
  default: 'no route matches',
  percent: 'within the percent of the route',
  rest: 'outside the percent of the route',
  'no-key': 'no sticky key in the request, and noKey says so',
  pinned: 'the client has an authenticated connection to it, or has just written there',
  forced: 'forced by a token',
  unavailable: 'within the percent of the route, but that upstream is unavailable',
  fallback: 'the other upstream failed',
  ambiguous: 'ambiguous path, so no route is tried',
  retired: 'the endpoint has ended, or a brownout refuses it',
}

function tell(told: Told, colour: boolean): string {
  const { request, decision, route, server, revision } = told
  const on = request.host === '' ? 'without a host ' : `on ${request.host} `
  const rows: [string, string][] = [
    ['request', printable(`${request.method} ${request.target} ${on}from ${request.clientAddress}`)],
    [
      'goes to',
      `${paint(colour, 'bold', decision.upstream || 'nowhere')}: ${WHY[decision.reason]} (${decision.reason})`,
    ],
  ]
  if (server !== null) rows.push(['server', `${server}, if sent now`])
  if (route !== null) rows.push(...routeRows(told, route))
  rows.push(...sentRows(told))
  if (revision !== null) rows.push(['revision', String(revision)])
  const lines = rows.map(([name, text]) => `${paint(colour, 'dim', name.padEnd(9))} ${text}`)
  return `${lines.join('\n')}\n\n${candidatesText(told, colour)}`
}

function routeRows({ request, decision, cache }: Told, route: NonNullable<Explanation['route']>): [string, string][] {
  const { id, from, to, targets = [], percent, sticky, fallback, cached, tellSide = null } = route
  const all = targets.map(({ upstream, weight }) => `${upstream} ${weight}`).join(', ')
  const where = targets.length > 1 ? `${all} (this request: ${to})` : to
  const rows: [string, string][] = [['route', `${id}: ${percent} % to ${where}, the rest to ${from}`]]
  const keys = sticky.map(
    ({ source, present, used }) =>
      `${source} ${used ? (present ? '(used)' : '(given, used)') : present ? '(present)' : '(absent)'}`,
  )
  rows.push(['sticky', keys.length === 0 ? 'none: each request is drawn independently' : keys.join(', ')])
  if (decision.bucket !== null) {
    const { bucket } = decision
    rows.push(['bucket', `${bucket.toFixed(4)}, ${bucket < percent ? 'below' : 'not below'} ${percent}`])
  }
  if (tellSide !== null) rows.push(['tells', `clients the side by ${tellSide}`])
  if (fallback) rows.push(['fallback', `to ${from} if ${to} fails`])
  rows.push(['cache', cache !== null ? cacheText(cache, request.host) : cached ? 'enabled' : 'not used'])
  if (cache !== null && cache.key !== null) rows.push(['key', printable(cache.key)])
  return rows
}

/** What each side would get, where they would get different requests: the fields that the other one does not get. */
function sentRows({ sent = [] }: Told): [string, string][] {
  const lines = sent.map(({ headers }) => headers.map((field) => field.join(': ')))
  const requests = sent.map(({ target }, at) => JSON.stringify([target, lines[at]]))
  if (new Set(requests).size < 2) return []
  return sent.flatMap(({ upstream, method, target }, at): [string, string][] => {
    if (target === null) return [['sent', `${upstream}: refused, a part of the path has more than one reading (400)`]]
    const others = new Set(lines[at === 0 ? 1 : 0])
    const own = (lines[at] ?? []).filter((line) => !others.has(line))
    return [
      ['sent', printable(`${upstream}: ${method} ${target}`)],
      ...own.map((line): [string, string] => ['', printable(`  ${line}`)]),
    ]
  })
}

/** What the cache does. */
const CACHE_DOES: Readonly<Record<CacheExplanation['verdict'], string>> = {
  fresh: 'hit',
  stale: 'stale hit',
  'stale-while-revalidate': 'stale hit, revalidated in the background',
  validate: 'revalidates with the upstream',
  miss: 'miss',
  'only-if-cached': 'miss, and only-if-cached: 504',
  pass: 'bypassed',
}

function cacheText({ verdict, why, stored }: CacheExplanation, host: string): string {
  const does = `${CACHE_DOES[verdict]} (${why})`
  // The host is part of the key: what clients have asked for is stored under theirs.
  if (stored === null)
    return host === '' && verdict !== 'pass'
      ? `${does}; responses are stored by host: give one, as in http://shop.test/`
      : does
  const { where, status, ageSeconds, freshForSeconds } = stored
  const fresh = freshForSeconds < 0 ? `stale for ${-freshForSeconds} s` : `fresh for another ${freshForSeconds} s`
  return `${does}; stored in ${where}: status ${status}, age ${ageSeconds} s, ${fresh}`
}

function candidatesText({ candidates, otherRoutes }: Explanation, colour: boolean): string {
  if (candidates.length === 0) return 'the table has no routes\n'
  const width = Math.max(...candidates.map(({ routeId }) => routeId.length))
  const lines = candidates.flatMap(({ routeId, won, lost }) => {
    const [first = '', ...more] = won ? [paint(colour, 'green', 'matches')] : lost.map(printable)
    const indent = ' '.repeat(width + 4)
    return [`  ${routeId.padEnd(width)}  ${first}`, ...more.map((line) => indent + line)]
  })
  const others = otherRoutes > 0 ? `  and ${otherRoutes} more\n` : ''
  return `${paint(colour, 'dim', 'candidates')}\n${lines.join('\n')}\n${others}`
}

async function tellExchange(id: string, given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('GET', `/exchanges/${encodeURIComponent(id)}`)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const { at, status, durationMs, decision, server, cache, failure, revision, now } = json
  const how = `${status === 0 ? 'client disconnected' : status}${failure === null ? '' : `, ${failure}`}, ${durationMs.toFixed(1)} ms`
  io.out(`${printable(`at ${at}, revision ${revision}: ${how}`)}\n`)
  io.out(
    `${printable(`went to ${decision.upstream || 'nowhere'}${server === null ? '' : ` (${server})`}: ${decision.reason}, cache ${cache}`)}\n`,
  )
  io.out(`\nthe same request now, revision ${now.revision}:\n`)
  io.out(tell({ ...now, request: json.request, server: null }, io.colours.out))
  return EXIT.done
}
