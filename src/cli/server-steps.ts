/**
 * The subcommands of `banyan servers`: add, remove, drain, undrain, weight.
 */

import type { ServerAnswer } from '../answers/upstreams.ts'
import { compileServer } from '../rules/language/compile.ts'
import { flawOfServerUrl } from '../rules/patterns/origin.ts'
import type { AdminClient } from './admin-client.ts'
import { count } from './check.ts'
import { durationOf, editTerms, type Given, reasonHeader } from './command.ts'
import { dryRunText } from './dry-run.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

/** The answer to a step. */
interface Stepped extends Omit<ServerAnswer, 'live'> {
  readonly revision: number
  readonly note?: string | null
}

/** The subcommands with their arguments. */
export const STEPS: Readonly<Record<string, { readonly usage: string; run(step: Step): Promise<string> }>> = {
  add: { usage: 'UPSTREAM URL', run: add },
  remove: { usage: 'UPSTREAM SERVER', run: remove },
  drain: { usage: 'UPSTREAM SERVER', run: drain },
  undrain: { usage: 'UPSTREAM SERVER', run: undrain },
  weight: { usage: 'UPSTREAM SERVER WEIGHT', run: weigh },
}

interface Step {
  readonly client: AdminClient
  readonly given: Given
  readonly args: readonly string[]
  readonly io: Io
}

/** Runs one of them. @throws {CommandError} if an argument is missing or the proxy refuses */
export async function runStep(word: string, args: readonly string[], given: Given, io: Io): Promise<ExitCode> {
  const { usage, run } = STEPS[word] as (typeof STEPS)[string]
  if (args.length !== usage.split(' ').length) {
    throw new CommandError(EXIT.usage, `wrong number of arguments; usage: banyan servers ${word} ${usage}`)
  }
  io.out(await run({ client: given.client(io), given, args, io }))
  return EXIT.done
}

/** The path of a server in the admin API. */
export function serverPath(upstream: string, id: string): string {
  return `/upstreams/${encodeURIComponent(upstream)}/servers/${encodeURIComponent(id)}`
}

async function add({ client, given, args, io }: Step): Promise<string> {
  const [upstream, url] = args as [string, string]
  const flaw = flawOfServerUrl(url)
  if (flaw !== null) {
    const hint = flaw.hint === undefined ? '' : ` (${flaw.hint})`
    throw new CommandError(EXIT.usage, `'${url}': ${flaw.message}${hint}`)
  }
  const id = given.text('id') ?? compileServer(url).id
  const weight = given.text('weight')
  const ttl = given.text('ttl')
  const body = {
    url,
    ...(weight === undefined ? {} : { weight: numberOf(weight) }),
    ...(ttl === undefined ? {} : { ttl }),
  }
  const { headers, query } = editTerms(given)
  const { status, json } = await client.ask('PUT', serverPath(upstream, id) + query, { body, headers })
  return told(json, given, io, ({ lease, revision }) => {
    const how = lease === null ? `revision ${revision}` : `leased until ${lease.endsAt}`
    return `${upstream}/${id}: ${status === 201 ? 'added' : 'updated'} (${how})`
  })
}

async function remove({ client, given, args, io }: Step): Promise<string> {
  const [upstream, id] = args as [string, string]
  const { headers, query } = editTerms(given)
  const { json } = await client.ask('DELETE', serverPath(upstream, id) + query, { headers })
  return told(json, given, io, ({ revision }) => `${upstream}/${id}: removed (revision ${revision})`)
}

async function drain({ client, given, args, io }: Step): Promise<string> {
  const [upstream, id] = args as [string, string]
  const wait = given.text('wait')
  const waitMs = wait === undefined ? 0 : durationOf('wait', wait)
  const query = wait === undefined ? '' : `?wait=${encodeURIComponent(wait)}`
  const { json } = await client.ask('POST', `${serverPath(upstream, id)}/drain${query}`, {
    patienceMs: waitMs,
    headers: reasonHeader(given),
  })
  return told(json, given, io, ({ active }) => {
    return `${upstream}/${id}: drained, ${count(active, 'request')} in flight`
  })
}

async function undrain({ client, given, args, io }: Step): Promise<string> {
  const [upstream, id] = args as [string, string]
  const { json } = await client.ask('POST', `${serverPath(upstream, id)}/undrain`, { headers: reasonHeader(given) })
  return told(json, given, io, () => `${upstream}/${id}: back in use`)
}

async function weigh({ client, given, args, io }: Step): Promise<string> {
  const [upstream, id, text] = args as [string, string, string]
  const { headers, query } = editTerms(given)
  const body = { weight: numberOf(text) }
  const { json } = await client.ask('PATCH', serverPath(upstream, id) + query, { body, headers })
  return told(json, given, io, ({ weight, revision }) => `${upstream}/${id}: weight ${weight} (revision ${revision})`)
}

function told(json: Stepped, given: Given, io: Io, line: (answer: Stepped) => string): string {
  if (given.has('json')) return jsonText(json)
  if (given.has('dry-run')) return dryRunText(json as unknown as Parameters<typeof dryRunText>[0], io.colours.out)
  const note = json.note ?? null
  return printable(`${line(json)}\n${note === null ? '' : `${note}\n`}`)
}

function numberOf(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text)
  throw new CommandError(EXIT.usage, `invalid weight '${text}': must be 1 to 1000`)
}
