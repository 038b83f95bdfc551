/**
 * `banyan ramp`: raises percent step by step while the evidence allows it.
 */
import type { OfSidesAnswer, RampAnswer } from '../answers/ramps.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, type Given, LIST_FLAGS, reasonHeader, unknownSubcommand } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

/** By subcommand: what it does, and its usage. */
const STEPS = {
  start: { run: runStart, usage: 'start ROUTE' },
  status: { run: runStatus, usage: 'status [ROUTE]' },
  pause: { run: act('pause'), usage: 'pause ROUTE' },
  resume: { run: act('resume'), usage: 'resume ROUTE' },
  approve: { run: act('approve'), usage: 'approve ROUTE' },
  step: { run: runStep, usage: 'step ROUTE --reason TEXT' },
  abort: { run: runAbort, usage: 'abort ROUTE [--back]' },
} as const

export const ramp: Command = {
  name: 'ramp',
  usage: Object.values(STEPS)
    .map(({ usage }) => usage)
    .join(' | '),
  summary: 'raise the percent of a route step by step while the evidence allows it',
  about: `start begins the plan that the route has as "ramp:"; routes of a group ramp together. Each step is held for a while; then the next one is taken if the new side is
not shown to be worse, and the evidence suffices. If it is worse, percent goes back to what it was before the start. status shows
where it stands and why. step takes the next step on your word; the guard goes on. abort leaves percent as it is, or with --back
as it was. The proxy does the work: this command can be closed.`,
  examples: [
    'banyan ramp start gtin-lookup',
    'banyan ramp status gtin-lookup',
    'banyan ramp approve gtin-lookup',
    'banyan ramp step gtin-lookup --reason "too little traffic at night"',
    'banyan ramp abort gtin-lookup --back',
  ],
  flags: {
    reason: { value: 'TEXT', help: 'the reason, stored with the revision or logged; step needs one' },
    back: { value: '', of: ['abort'], help: 'set percent back to what it was before the start' },
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [1, 2],
  lists: ({ args: [name] }) => name === 'status',
  run: runRamp,
}

/** The last things that happened. */
const SHOWN_EVENTS = 10

function runRamp(given: Given, io: Io): Promise<ExitCode> {
  const [name, route, ...rest] = given.args as [string, string | undefined, ...string[]]
  if (!Object.hasOwn(STEPS, name)) throw unknownSubcommand(name, Object.keys(STEPS))
  const { run, usage } = STEPS[name as keyof typeof STEPS]
  if (rest.length > 0 || (route === undefined && name !== 'status'))
    throw new CommandError(EXIT.usage, `usage: banyan ramp ${usage}`)
  return run(route as string, given, io)
}

function act(name: string) {
  return (route: string, given: Given, io: Io): Promise<ExitCode> => post(name, route, {}, given, io)
}

async function runStart(route: string, given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('POST', `${pathOf(route)}/start`, { headers: reasonHeader(given) })
  if (given.has('json')) io.out(jsonText(json))
  else io.out(`${lineOf(json)}\n${keylessText(json.withoutKey)}`)
  return EXIT.done
}

/** What becomes of the requests without a key. */
export function keylessText({ exchanges, withoutKey, moveAt }: Keyless): string {
  if (withoutKey === 0) return ''
  const what =
    moveAt === null ? 'no step moves these at once' : `these move all at once at the step ${stepText(moveAt)}`
  return `${withoutKey} of the last ${exchanges} requests have no sticky key: ${what}\n`
}

interface Keyless {
  readonly exchanges: number
  readonly withoutKey: number
  readonly moveAt: number | string | null
}

function runStep(route: string, given: Given, io: Io): Promise<ExitCode> {
  const reason = given.text('reason')
  if (reason === undefined)
    throw new CommandError(EXIT.usage, 'missing --reason: say why, it is stored with the revision')
  return post('step', route, { reason }, given, io)
}

function runAbort(route: string, given: Given, io: Io): Promise<ExitCode> {
  return post('abort', route, { back: given.has('back') }, given, io)
}

async function post(name: string, route: string, body: object, given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('POST', `${pathOf(route)}/${name}`, {
    body,
    headers: reasonHeader(given),
  })
  if (given.has('json')) io.out(jsonText(json))
  else io.out(`${lineOf(json)}\n`)
  return EXIT.done
}

async function runStatus(route: string | undefined, given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('GET', route === undefined ? '/ramps' : pathOf(route))
  if (given.has('json')) io.out(jsonText(json))
  else if (route === undefined) io.out(listText(json.ramps, given, io))
  else io.out(statusText(json))
  return EXIT.done
}

function listText(ramps: readonly RampAnswer[], given: Given, io: Io): string {
  if (ramps.length === 0) return 'no route has a ramp: add "ramp: {}" to one\n'
  const rows = ramps.map((one) => [one.route, one.status, stepText(one.step), stepText(one.next), one.why ?? '-'])
  return columns(
    [{ title: 'ROUTE', least: 12 }, 'STATUS', 'STEP', 'NEXT', { title: 'WHY', least: 20 }],
    rows.map((row) => row.map(printable)),
    given.layout(io),
  )
}

function statusText(ramp: RampAnswer): string {
  const lines = [lineOf(ramp)]
  lines.push(`steps   ${ramp.steps.map(stepText).join(', ')}, each held for ${ramp.hold} at least`)
  if (ramp.routes.length > 1) lines.push(`routes  ${ramp.routes.join(', ')}, which move together`)
  if (ramp.approve.length > 0) lines.push(`approve ${ramp.approve.map(stepText).join(', ')}`)
  if (ramp.window !== null) lines.push(`window  ${ramp.window}`)
  if (ramp.requires.length > 0) lines.push(`needs   ${ramp.requires.join(', ')}`)
  if (ramp.heldSeconds !== null && ramp.step !== null)
    lines.push(`held    ${ramp.heldSeconds} s at ${stepText(ramp.step)}`)
  if (ramp.verdict !== null) lines.push(`guard   ${ramp.verdict.verdict}: ${printable(ramp.verdict.words)}`)
  lines.push(...withoutKeyText(ramp.evidence))
  if (ramp.problem !== null) lines.push(`problem ${printable(ramp.problem)}`)
  if (ramp.isFull) lines.push('guard   too many keys: nothing is counted any more')
  if (ramp.status !== 'not-started' && ramp.storage === 'memory') lines.push('kept in memory only: a restart ends it')
  for (const { at, by, what } of ramp.events.slice(-SHOWN_EVENTS)) lines.push(printable(`${at}  ${by}  ${what}`))
  return `${lines.join('\n')}\n`
}

/** Requests without a key, which are judged apart from those with one. */
function withoutKeyText(steps: RampAnswer['evidence']): string[] {
  const ofSide = (side: keyof OfSidesAnswer, name: string): string[] => {
    const seen = steps.reduce((sum, { withoutKey }) => sum + withoutKey.seen[side], 0)
    const errors = steps.reduce((sum, { withoutKey }) => sum + withoutKey.failed.error[side], 0)
    return seen === 0 ? [] : [`${name} fails ${errors} of ${seen}`]
  }
  const sides = [...ofSide('to', 'the new side'), ...ofSide('rest', 'the rest')]
  return sides.length === 0 ? [] : [`no key  ${sides.join(', ')} requests, judged apart`]
}

function lineOf({ route, status, step, next, why }: RampAnswer): string {
  const where = step === null ? '' : ` at ${stepText(step)}`
  const then = next === null ? '' : `, next ${stepText(next)}`
  return printable(`${route}: ${status}${where}${then}${why === null ? '' : ` (${why})`}`)
}

function stepText(step: number | string | null): string {
  if (step === null) return '-'
  return typeof step === 'number' ? `${step} %` : step
}

function pathOf(route: string): string {
  return `/routes/${encodeURIComponent(route)}/ramp`
}
