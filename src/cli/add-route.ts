/**
 * `banyan routes add`: a route at 0 percent for an endpoint that was discovered.
 */
import type { EndpointAnswer } from '../answers/progress.ts'
import { editTerms, type Given } from './command.ts'
import { dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

/** Ids of routes are no longer. */
const MAX_ID = 60

/** @throws {CommandError} */
export async function addRoute(endpointId: string, given: Given, io: Io): Promise<ExitCode> {
  const client = given.client(io)
  const endpoint: EndpointAnswer = (await client.ask('GET', `/discovered/${encodeURIComponent(endpointId)}`)).json
  if (endpoint.route !== null)
    throw new CommandError(EXIT.refused, `${endpoint.method} ${endpoint.path} has a route by now: ${endpoint.route}`)
  const { routes, default: old } = (await client.ask('GET', '/routes')).json
  const { upstreams } = (await client.ask('GET', '/upstreams')).json
  const names = (upstreams as readonly { readonly name: string }[]).map(({ name }) => name)
  const to = given.text('to') ?? onlyOther(names, old)
  const used = new Set((routes as readonly { readonly id: string }[]).map(({ id }) => id))
  const body = {
    id: given.text('id') ?? freeId(endpoint, used),
    match: { path: endpoint.path, ...methodsOf(endpoint.method) },
    to,
    percent: 0,
  }
  const { headers, query } = editTerms(given)
  const { json } = await client.ask('POST', `/routes${query}`, { body, headers })
  if (given.has('json')) io.out(jsonText(json))
  else if (given.has('dry-run')) io.out(dryRunText(json, io.colours.out))
  else {
    const { id, revision } = json
    io.out(printable(`${id}: ${endpoint.method} ${endpoint.path}, 0 % to ${to} (revision ${revision})`))
    io.out(`\ncompare both sides: banyan shadow start ${printable(id)}\n`)
  }
  return EXIT.done
}

/** The upstream that is not the old application, where there is one only. @throws {CommandError} */
function onlyOther(names: readonly string[], old: unknown): string {
  const others = names.filter((name) => name !== old)
  const [only] = others
  if (only !== undefined && others.length === 1) return only
  const known = others.length === 0 ? 'the table has no upstream for it yet' : `one of ${others.join(', ')}`
  throw new CommandError(EXIT.usage, printable(`missing --to UPSTREAM: where the endpoint is to move (${known})`))
}

/** A client that may GET may HEAD. */
function methodsOf(method: string): { readonly methods?: readonly string[] } {
  if (method === 'OTHER') return {}
  return { methods: method === 'GET' ? ['GET', 'HEAD'] : [method] }
}

/** `stores-hours` for GET /stores/:id/hours, and with a number where there is such a route. */
function freeId({ method, path }: EndpointAnswer, used: ReadonlySet<string>): string {
  const words = path.split('/').filter((part) => /^[\w.-]+$/.test(part))
  const verb = method === 'GET' ? [] : [method.toLowerCase()]
  const base = [...verb, ...(words.length === 0 ? ['root'] : words)]
    .join('-')
    .replaceAll(/[^\w-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, MAX_ID)
  let id = base === '' ? 'route' : base
  for (let number = 2; used.has(id); number++) id = `${base}-${number}`
  return id
}
