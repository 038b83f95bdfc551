/**
 * `banyan purge`: takes answers out of the cache, of all processes.
 */
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText } from './io.ts'

const TARGETS = ['route', 'upstream', 'url', 'prefix', 'tag'] as const

export const purge: Command = {
  name: 'purge',
  usage: '--route ROUTE | --upstream NAME | --url URL | --prefix URL | --tag TAG | --everything',
  summary: 'take answers out of the cache, in every process',
  about: 'A URL without a host is that of every host. With --soft they become stale instead, and stay for failures.',
  examples: [
    'banyan purge --url /stores/3/gtins/123456789012',
    'banyan purge --route gtin-lookup --upstream gtin',
    'banyan purge --prefix https://shop.example.test/stores/ --soft',
    'banyan purge --everything',
  ],
  flags: {
    route: { value: 'ROUTE', help: 'what a route has stored; with --upstream only that side' },
    upstream: { value: 'NAME', help: 'what an upstream has answered' },
    url: { value: 'URL', help: 'one URL with all its variants' },
    prefix: { value: 'URL', help: 'all URLs that begin so' },
    tag: { value: 'TAG', help: 'answers with this tag' },
    everything: { value: '', help: 'all of it' },
    soft: { value: '', help: 'make it stale, and keep it for failures' },
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
    throw new CommandError(EXIT.usage, `purge what? usage: banyan purge ${purge.usage}`)
  if (given.has('soft')) body.soft = true
  const { json } = await given.client(io).ask('POST', '/cache/purge', { body })
  if (given.has('json')) io.out(jsonText(json))
  else io.out(`purged${json.shared ? '' : ' here; other processes are told when Redis is reached again'}\n`)
  return EXIT.done
}
