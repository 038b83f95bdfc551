/**
 * `banyan deploy canary ROUTE`: starts a ramp with a plan of its own, and tells what it does. The proxy does the work: this command
 * can end at any time.
 */
import type { RampAnswer } from '../../answers/ramps.ts'
import { targetNames, targetsText } from '../../rules/routing/targets.ts'
import { flawOfPercent } from '../../rules/values/units.ts'
import { CommandError, EXIT, type ExitCode } from '../io.ts'
import { keylessText } from '../ramp.ts'
import { checkReady } from './blue-green.ts'
import type { DeployRun } from './run.ts'

/** How often the proxy is asked. */
const LOOK_MS = 500

/** So long a proxy may be away: it may be restarting. */
const AWAY_MS = 60_000

/** One canary while it is watched. */
interface Watch {
  readonly run: DeployRun
  readonly route: string
  readonly path: string
  /** How long there may be too little evidence for a step; null for ever. */
  readonly readyMs: number | null
  /** The last event that was told. */
  told: string
  holdingSinceMs: number | null
}

/** Runs it. @param steps percents, ascending; or descending, which is done at once and judged by nothing */
export async function canaryByPercent(run: DeployRun, route: string, steps: readonly number[]): Promise<ExitCode> {
  const wrong = steps.find((step) => flawOfPercent(step) !== null)
  if (wrong !== undefined)
    throw new CommandError(EXIT.usage, `--steps: invalid percent ${wrong}: must be 0 to 100, with at most 4 decimals`)
  const path = `/routes/${encodeURIComponent(route)}`
  const { percent, to } = (await run.client.ask('GET', path)).json
  const isRise = steps.every((step, at) => step > (at === 0 ? percent : (steps[at - 1] as number)))
  const isFall = steps.every((step, at) => step < (at === 0 ? percent : (steps[at - 1] as number)))
  if (!isRise && !isFall)
    throw new CommandError(
      EXIT.usage,
      `--steps: from ${percent} % on, each must be above the one before, or each below`,
    )
  const what = `route ${route}: ${[percent, ...steps].join(' -> ')} % to ${targetsText(to)}`
  if (isRise) for (const target of targetNames(to)) await checkReady(run, target)
  if (run.isDryRun) return run.end('done', `nothing was changed (dry run): ${what.replace(':', ' would go')}`)
  return isRise ? await rise(run, route, planOf(run, steps), what) : await fall(run, path, steps, what)
}

function planOf(run: DeployRun, steps: readonly number[]): object {
  const { maxErrors, minExchanges } = run.terms()
  const { given } = run
  const guard = {
    ...(given.text('min-requests') === undefined ? {} : { minKeys: Math.max(1, minExchanges) }),
    ...(given.text('max-errors') === undefined ? {} : { tolerate: { harm: Math.max(0.01, maxErrors * 100) } }),
  }
  return { steps, hold: `${run.duration('hold', '30s')}ms`, guard }
}

async function rise(run: DeployRun, route: string, plan: object, what: string): Promise<ExitCode> {
  const path = `/routes/${encodeURIComponent(route)}/ramp`
  const readyMs = run.given.text('ready') === undefined ? null : run.duration('ready', '0s')
  run.heedInterrupts()
  const { json } = await run.client.ask('POST', `${path}/start`, { body: { plan } })
  const keyless = keylessText(json.withoutKey).trimEnd()
  if (keyless !== '') run.say(keyless)
  const watch: Watch = { run, route, path, readyMs, told: '', holdingSinceMs: null }
  let ramp: RampAnswer = json
  for (;;) {
    tell(watch, ramp)
    const end = await endOf(watch, ramp, what)
    if (end !== null) return end
    await run.io.sleep(LOOK_MS)
    try {
      ramp = await ask(watch)
    } catch (error) {
      if (!(error instanceof CommandError) || error.code !== EXIT.unreachable) throw error
      const { message } = error
      return run.end('stopped', left(watch, run.interrupt === null ? message : `${run.interrupt}: ${message}`))
    }
  }
}

/** Prints what has happened since the last look. */
function tell(watch: Watch, { events }: RampAnswer): void {
  const at = events.findLastIndex((event) => keyOf(event) === watch.told)
  for (const event of events.slice(at + 1)) {
    watch.run.say(`${watch.route}: ${event.what}`)
    watch.told = keyOf(event)
  }
}

function keyOf({ at, by, what }: RampAnswer['events'][number]): string {
  return [at, by, what].join('\n')
}

/** The end of the command; null while there is something to wait for. */
async function endOf(watch: Watch, ramp: RampAnswer, what: string): Promise<ExitCode | null> {
  const { run, route } = watch
  switch (ramp.status) {
    case 'done':
      return run.end('done', what)
    case 'rolled-back':
      return run.end('reverted', `${route}: ${ramp.why}`)
    case 'aborted':
      return run.end('stopped', `${route}: ${ramp.why}`)
    case 'paused':
      return run.end('stopped', `${route}: ${ramp.why}; to go on: banyan ramp resume ${route}`)
  }
  if (run.interrupt !== null) return await interrupted(watch, ramp, run.interrupt)
  const nowMs = run.io.now()
  watch.holdingSinceMs = ramp.status === 'holding' ? (watch.holdingSinceMs ?? nowMs) : null
  const { holdingSinceMs, readyMs } = watch
  if (readyMs === null || holdingSinceMs === null || nowMs - holdingSinceMs < readyMs) return null
  return await abort(watch, `not enough evidence within ${readyMs / 1000} s (--ready): ${ramp.why}`)
}

async function interrupted(watch: Watch, { step, next }: RampAnswer, signal: string): Promise<ExitCode> {
  const { run, route } = watch
  if (run.given.has('abort-on-interrupt')) return await abort(watch, signal)
  const where = step === null ? 'before its first step' : `at ${step} %`
  const then = next === null ? '' : `, next ${next} %`
  return run.end('stopped', `${signal}: the ramp of ${route} goes on ${where}${then}; ${commandsFor(route)}`)
}

/** What is left where the proxy can't be asked. */
function left({ route }: Watch, why: string): string {
  return `${why}; the ramp of ${route} may go on; ${commandsFor(route)}`
}

function commandsFor(route: string): string {
  return `to see it: banyan ramp status ${route}; to end it: banyan ramp abort ${route} --back`
}

async function abort(watch: Watch, why: string): Promise<ExitCode> {
  const { run, route, path } = watch
  try {
    const { json } = await run.client.ask('POST', `${path}/abort`, { body: { back: true } })
    return run.end('reverted', `${route}: ${why}: ${json.why}`)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return run.end('stopped', left(watch, `${why}: cannot end the ramp of ${route}: ${error.message}`))
  }
}

/** @throws {CommandError} if the proxy stays away, or has the route no more */
async function ask({ run, path }: Watch): Promise<RampAnswer> {
  const endMs = run.io.now() + AWAY_MS
  for (;;) {
    try {
      return (await run.client.ask('GET', path)).json
    } catch (error) {
      const isAway = error instanceof CommandError && error.code === EXIT.unreachable
      if (!isAway || run.interrupt !== null || run.io.now() >= endMs) throw error
      await run.io.sleep(LOOK_MS)
    }
  }
}

/** Takes traffic back, as fast as it is asked to: nothing could be a reason to give more again. */
async function fall(run: DeployRun, path: string, steps: readonly number[], what: string): Promise<ExitCode> {
  const reason = Buffer.from(run.given.text('reason') ?? 'canary: down', 'utf8').toString('latin1')
  for (const percent of steps) {
    const { json } = await run.client.ask('PATCH', path, { body: { percent }, headers: { 'Banyan-Reason': reason } })
    run.say(`route ${json.id}: ${percent} % to ${targetsText(json.to)}`)
  }
  return run.end('done', what)
}
