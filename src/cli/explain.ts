/**
 * `banyan explain`: where a request would go and why, asked of a running proxy, or of a table alone.
 */

import { type CacheLook, type Explanation, explain as explainRequest, isUrl, viewOf } from '../rules/explain.ts'
import type { Reason } from '../rules/http/exchange.ts'
import { readTable } from '../rules/language/text.ts'
import { readAddress } from '../rules/patterns/address.ts'
import { TOKEN } from '../rules/values/schema-blocks.ts'
import { report, textOf } from './check.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, paint, printable } from './io.ts'

export const explain: Command = {
  name: 'explain',
  usage: '[METHOD] URL | --id REQUEST_ID',
  summary: 'where a request would go, and why',
  about: [
    'Asks the running proxy; with --table it asks a table file, and needs no proxy. URL is a path or an http URL, taken byte',
    'for byte. With --id it tells of one of the last exchanges, by the id in the access log or in a problem document.',
  ].join('\n'),
  examples: [
    "banyan explain GET 'http://shop.example.test/stores/3/gtins/123456789012' -H 'cookie: sid=alice'",
    'banyan explain /stores/3/gtins/123456789012 --client 10.1.2.3',
    'banyan explain /search --table routes.yaml --chance 0.07',
    'banyan explain --id ktnduo-4f',
  ],
  flags: {
    header: { value: "'NAME: VALUE'", help: 'a header field; may be given again', short: 'H', multiple: true },
    client: { value: 'ADDRESS', help: "the client's IP address (127.0.0.1)" },
    chance: { value: 'N', help: 'the draw of routes without a sticky key, 0 up to 1 (at random)' },
    table: { value: 'FILE', help: 'ask this table, not the running proxy' },
    id: { value: 'REQUEST_ID', help: 'tell of an exchange that is over' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 2],
  run: runExplain,
}

/** The answer of the proxy, or what stands in for it where a table is asked. */
interface Told extends Explanation {
  readonly revision: number | null
  readonly server: string | null
  /** Null where the cache is not asked, or where there is none to be looked into. */
  readonly cache: CacheLook | null
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
  if (first === undefined) throw new CommandError(EXIT.usage, 'which request? usage: banyan explain [METHOD] URL')
  const [method, url] = second === undefined ? ['GET', first] : [first, second]
  if (!TOKEN.test(method)) throw new CommandError(EXIT.usage, `'${method}' is no method`)
  if (!isUrl(url)) throw new CommandError(EXIT.usage, `'${url}' is no path and no http URL`)
  const clientAddress = given.text('client')
  if (clientAddress !== undefined && readAddress(clientAddress) === null) {
    throw new CommandError(EXIT.usage, `--client: '${clientAddress}' is no IP address`)
  }
  const chance = given.text('chance')
  if (chance !== undefined && !(Number(chance) >= 0 && Number(chance) < 1 && chance.trim() !== '')) {
    throw new CommandError(EXIT.usage, `--chance: '${chance}' is not in 0 up to 1`)
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
  if (!TOKEN.test(name)) throw new CommandError(EXIT.usage, `-H '${text}' is not 'NAME: VALUE'`)
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

/** In words, why a request goes where it goes. */
const WHY: Readonly<Record<Reason, string>> = {
  default: 'no route claims the request',
  percent: 'it lies in the share',
  rest: 'it lies outside the share',
  'no-key': 'the request has none of the sticky keys, so it stays',
  pinned: 'its client is logged in on a connection to that side',
  forced: 'a force token names the upstream',
  unavailable: 'it lies in the share, but that upstream is unavailable',
  fallback: 'the other side failed',
  ambiguous: 'the path has more than one reading, so no route is asked',
}

function tell(told: Told, colour: boolean): string {
  const { request, decision, route, server, revision } = told
  const on = request.host === '' ? '' : `on ${request.host} `
  const rows: [string, string][] = [
    ['request', printable(`${request.method} ${request.target} ${on}from ${request.clientAddress}`)],
    ['goes to', `${paint(colour, 'bold', decision.upstream)}: ${WHY[decision.reason]} (${decision.reason})`],
  ]
  if (server !== null) rows.push(['server', `${server}, if it were sent now`])
  if (route !== null) rows.push(...routeRows(told, route))
  if (revision !== null) rows.push(['revision', String(revision)])
  const lines = rows.map(([name, text]) => `${paint(colour, 'dim', name.padEnd(9))} ${text}`)
  return `${lines.join('\n')}\n\n${candidatesText(told, colour)}`
}

function routeRows({ decision, cache }: Told, route: NonNullable<Explanation['route']>): [string, string][] {
  const { id, from, to, percent, sticky, fallback, cached } = route
  const rows: [string, string][] = [['route', `${id}: ${percent} % to ${to}, the rest to ${from}`]]
  const keys = sticky.map(
    ({ source, present, used }) => `${source} ${used ? '(used)' : present ? '(present)' : '(absent)'}`,
  )
  rows.push(['sticky', keys.length === 0 ? 'each request is drawn by itself' : keys.join(', ')])
  if (decision.bucket !== null) {
    const { bucket } = decision
    rows.push(['bucket', `${bucket.toFixed(4)}, ${bucket < percent ? 'below' : 'not below'} ${percent}`])
  }
  if (fallback) rows.push(['fallback', `${from} answers where ${to} fails`])
  rows.push(['cache', cache !== null ? cacheText(cache) : cached ? 'is asked first' : 'is not asked'])
  if (cache !== null) rows.push(['key', printable(cache.key)])
  return rows
}

/** In words, what the cache does. */
const CACHE_DOES: Readonly<Record<CacheLook['verdict'], string>> = {
  fresh: 'answers',
  stale: 'answers, stale',
  'stale-while-revalidate': 'answers, stale, and is refreshed behind',
  validate: 'asks the upstream whether what it has still holds',
  miss: 'has no answer, and asks the upstream',
  'only-if-cached': 'may not ask the upstream: 504',
}

function cacheText({ verdict, why, stored }: CacheLook): string {
  const does = `${CACHE_DOES[verdict]} (${why})`
  if (stored === null) return does
  const { where, status, ageSeconds, freshForSeconds } = stored
  const fresh = freshForSeconds < 0 ? `stale for ${-freshForSeconds} s` : `fresh for ${freshForSeconds} s more`
  return `${does}; ${where} has a ${status}, ${ageSeconds} s old, ${fresh}`
}

function candidatesText({ candidates, otherRoutes }: Explanation, colour: boolean): string {
  if (candidates.length === 0) return 'the table has no routes\n'
  const width = Math.max(...candidates.map(({ routeId }) => routeId.length))
  const lines = candidates.flatMap(({ routeId, won, lost }) => {
    const [first = '', ...more] = won ? [paint(colour, 'green', 'claims the request')] : lost.map(printable)
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
  const how = `${status === 0 ? 'the client left' : status}${failure === null ? '' : `, ${failure}`}, ${durationMs.toFixed(1)} ms`
  io.out(`${printable(`at ${at}, revision ${revision}: ${how}`)}\n`)
  io.out(
    `${printable(`went to ${decision.upstream}${server === null ? '' : ` (${server})`}: ${decision.reason}, cache ${cache}`)}\n`,
  )
  io.out(`\nthe same request now, by revision ${now.revision}:\n`)
  io.out(tell({ ...now, request: json.request, server: null }, io.colours.out))
  return EXIT.done
}
