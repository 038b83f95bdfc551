/**
 * `banyan deploy canary`: gives the new version more and more traffic while it fails no more often than the rest. By percent of a
 * route, which is a ramp of the proxy, or by weight of one server.
 */
import { CommandError, EXIT, type ExitCode } from '../io.ts'
import { serverPath } from '../server-steps.ts'
import { canaryByPercent } from './canary-route.ts'
import { DeployFailure, DeployInterrupt, type DeployRun, type DeployServer, isOfDeploy, type Watched } from './run.ts'

/** What is changed step by step. */
interface Canary {
  readonly name: string
  /** A value as text: `5 % to gtin`, `weight 5`. */
  print(value: number | string): string
  readonly steps: readonly number[]
  /** The value before; null if it did not exist. */
  readonly before: number | null
  readonly watched: Watched
  set(value: number): Promise<void>
  /** The current value, from the proxy. */
  get(): Promise<number | null>
  remove(): Promise<void>
}

/** Runs it. With one argument by percent of that route, with two by weight of that server of that upstream. */
export async function canary(run: DeployRun, args: readonly string[]): Promise<ExitCode> {
  run.check()
  const [first, server] = args as [string, string | undefined]
  if (server === undefined) return await canaryByPercent(run, first, stepsOf(run, 'steps'))
  const moved = await byWeight(run, first, server)
  run.heedInterrupts()
  const holdMs = run.duration('hold', '30s')
  const limitMs = run.duration('ready', '60s')
  const path = [moved.before ?? 'absent', ...moved.steps].join(' -> ')
  if (run.isDryRun) return run.end('done', `nothing was changed (dry run): ${moved.name} would go ${moved.print(path)}`)
  let stood = moved.before
  for (const step of moved.steps) {
    const now = await moved.get()
    if (now !== stood)
      return run.end(
        'stopped',
        `${moved.name} was changed by someone else: ${now === null ? 'removed' : moved.print(now)}`,
      )
    const isRise = step > (stood ?? 0)
    try {
      await moved.set(step)
      stood = step
      run.say(`${moved.name}: ${moved.print(step)}`)
      run.throwIfInterrupted()
      // When stepping down, no result would be a reason to step up again.
      if (isRise) await hold(run, moved.watched, holdMs, limitMs)
    } catch (error) {
      if (error instanceof DeployInterrupt && !run.given.has('abort-on-interrupt'))
        return run.end('stopped', `${error.message}: ${moved.name} stays at ${moved.print(stood ?? 0)}`)
      if (!isOfDeploy(error)) throw error
      run.say(`failed: ${error.message}`)
      return goBack(run, moved)
    }
  }
  return run.end('done', `${moved.name}: ${moved.print(path)}`)
}

/** @throws {DeployFailure} if it fails, or there is not enough traffic */
async function hold(run: DeployRun, watched: Watched, holdMs: number, limitMs: number): Promise<void> {
  const verdict = await run.watch(watched, holdMs, holdMs + limitMs)
  if (verdict === 'pass') return
  const { minExchanges } = watched.terms
  throw new DeployFailure(`not enough traffic at ${watched.name}: fewer than ${minExchanges} requests (--min-requests)`)
}

async function goBack(run: DeployRun, moved: Canary): Promise<ExitCode> {
  try {
    if (moved.before === null) await moved.remove()
    else await moved.set(moved.before)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return run.end('stopped', `cannot roll back ${moved.name}: ${error.message}`)
  }
  const where = moved.before === null ? 'removed' : `back to ${moved.print(moved.before)}`
  return run.end('reverted', `${moved.name}: ${where}`)
}

async function byWeight(run: DeployRun, upstream: string, id: string): Promise<Canary> {
  const path = serverPath(upstream, id)
  const steps = stepsOf(run, 'weights')
  const wrong = steps.find((step) => !Number.isInteger(step) || step < 1 || step > 1000)
  if (wrong !== undefined) throw new CommandError(EXIT.usage, `--weights: invalid weight ${wrong}: must be 1 to 1000`)
  const url = run.given.text('url')
  const find = async (): Promise<DeployServer | undefined> => (await run.servers(upstream)).find((one) => one.id === id)
  const before = await find()
  if (before === undefined && url === undefined) {
    throw new CommandError(EXIT.refused, `unknown server ${id} of ${upstream} (--url URL adds it)`)
  }
  return {
    name: `${upstream}/${id}`,
    print: (value) => `weight ${value}`,
    steps,
    before: before?.weight ?? null,
    watched: { name: `${upstream}/${id}`, upstreams: [upstream], here: (one) => one.id === id, terms: run.terms() },
    get: async () => (await find())?.weight ?? null,
    set: async (weight) => {
      const isThere = (await find()) !== undefined
      const body = isThere ? { weight } : { url, weight }
      await edit(run, isThere ? 'PATCH' : 'PUT', path, body, `canary: weight ${weight}`)
    },
    remove: () => edit(run, 'DELETE', path, undefined, 'canary: back'),
  }
}

function stepsOf(run: DeployRun, flag: 'steps' | 'weights'): readonly number[] {
  const text = run.given.text(flag)
  if (text === undefined) throw new CommandError(EXIT.usage, `missing --${flag}, such as --${flag} 1,5,25`)
  const steps = text
    .split(',')
    .map((part) => (/^\s*\d+(\.\d+)?\s*%?\s*$/.test(part) ? Number.parseFloat(part) : Number.NaN))
  if (steps.some(Number.isNaN))
    throw new CommandError(EXIT.usage, `--${flag} ${text}: expected numbers, such as 1,5,25`)
  return steps
}

async function edit(run: DeployRun, method: string, path: string, body: unknown, why: string): Promise<void> {
  const reason = Buffer.from(run.given.text('reason') ?? why, 'utf8').toString('latin1')
  await run.client.ask(method, path, { ...(body === undefined ? {} : { body }), headers: { 'Banyan-Reason': reason } })
}
