/**
 * `banyan retire --check`: what stands in the way of switching the old application off.
 */
import type { RetirementAnswer } from '../answers/progress.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { callersText } from './discover.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

export const retire: Command = {
  name: 'retire',
  usage: '[ROUTE] --check',
  summary: 'say what stands in the way of switching the old application off',
  about: `For a route: whether its old side is still needed, and by whom. Without one: whether the old application is needed at all. Exits with 1 if
it is. Nothing is changed: "retire:" of a route ends an endpoint, and "default: { status: 404 }" the old application.`,
  examples: [
    'banyan retire gtin-lookup --check',
    'banyan retire gtin-lookup --check --days 7',
    'banyan retire --check',
  ],
  flags: {
    check: { value: '', help: 'list what stands in the way' },
    days: { value: 'N', help: 'days that it has to be quiet, 1 to 35 (30)' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 1],
  run: runRetire,
}

async function runRetire(given: Given, io: Io): Promise<ExitCode> {
  if (!given.has('check'))
    throw new CommandError(EXIT.usage, 'missing --check: this only looks; retire: of a route is what ends an endpoint')
  const [route] = given.args
  const days = given.text('days')
  const query = days === undefined ? '' : `?days=${encodeURIComponent(days)}`
  const path = route === undefined ? '/retirement' : `/routes/${encodeURIComponent(route)}/retirement`
  const { json } = await given.client(io).ask('GET', path + query)
  io.out(given.has('json') ? jsonText(json) : checkText(json, io))
  return json.ready === true ? EXIT.done : EXIT.refused
}

function checkText(told: RetirementAnswer, io: Io): string {
  const { obstacles, callers, ended } = told
  const lines = [`${printable(verdictOf(told))}\n`]
  for (const { kind, why, blocks, command } of obstacles) {
    lines.push(printable(`  ${(blocks ? kind : 'note').padEnd(10)} ${why}`), '\n')
    if (command !== null) lines.push(`${' '.repeat(13)}${printable(command)}\n`)
  }
  const who = ended === true ? 'still asked for' : 'still on the old side'
  if (callers.length > 0) lines.push(`${who}, since everybody has moved:\n`, callersText(told, io))
  return lines.join('')
}

function verdictOf({ route, from, ended, ready, days }: RetirementAnswer): string {
  const what = route === null ? 'the old application' : route
  if (ended === true) return `${what}: has ended`
  if (from === null) return `${what}: done, there is no old side`
  if (!ready) return `${what}: not yet, ${from} is still needed`
  const then = route === null ? 'write default: { status: 404 } and remove the upstream' : `its code in ${from} can go`
  return `${what}: ready, nothing has needed ${from} for ${days} days; ${then}`
}
