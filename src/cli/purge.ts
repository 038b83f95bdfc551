/**
 * `banyan purge`: purges the cache of all processes.
 */
import type { PurgeAnswer } from '../answers/cache.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG, reasonHeader } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

const TARGETS = ['route', 'upstream', 'url', 'prefix', 'tag'] as const

export const purge: Command = {
  name: 'purge',
  usage: '--route ROUTE | --upstream NAME | --url URL | --prefix URL | --tag TAG | --everything',
  summary: 'purge the cache, in all processes',
  about:
    'A URL without a host applies to all hosts. With --soft, responses become stale instead and remain available on failures.',
  examples: [
    'banyan purge --url /stores/3/gtins/123456789012',
    'banyan purge --route gtin-lookup --upstream gtin',
    'banyan purge --prefix https://shop.example.test/stores/ --soft',
    'banyan purge --everything',
  ],
  flags: {
    route: { value: 'ROUTE', help: 'responses of a route; with --upstream only those of one upstream' },
    upstream: { value: 'NAME', help: 'responses of an upstream' },
    url: { value: 'URL', help: 'one URL, all variants' },
    prefix: { value: 'URL', help: 'all URLs with this prefix' },
    tag: { value: 'TAG', help: 'responses with this tag' },
    everything: { value: '', help: 'the whole cache' },
    soft: { value: '', help: 'mark as stale instead, for use on failures' },
    reason: { value: 'TEXT', help: 'the reason, logged' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 0],
  run: runPurge,
}

async function runPurge(given: Given, io: Io): Promise<ExitCode> {
  const body: Record<string, unknown> = {}
  for (const target of TARGETS) {
    const value = given.text(target)
    if (value !== undefined) body[target] = value
  }
  if (given.has('everything')) body.everything = true
  if (Object.keys(body).length === 0)
    throw new CommandError(EXIT.usage, `nothing to purge; usage: banyan purge ${purge.usage}`)
  if (given.has('soft')) body.soft = true
  const { json } = await given
    .client(io)
    .ask('POST', '/cache/purge', { body, fromFlags: true, headers: reasonHeader(given) })
  if (given.has('json')) io.out(jsonText(json))
  else io.out(`${purgedText(json)}\n`)
  return EXIT.done
}

function purgedText({ shared, why, entries, note }: PurgeAnswer): string {
  const count = typeof entries === 'number' ? `: ${entries} response${entries === 1 ? '' : 's'} in memory` : ''
  const because = typeof note === 'string' ? ` (${printable(note)})` : ''
  const elsewhere =
    shared === true ? '' : `; other instances may follow later: ${printable(String(why ?? 'Redis is not reachable'))}`
  return `purged${count}${because}${elsewhere}`
}
