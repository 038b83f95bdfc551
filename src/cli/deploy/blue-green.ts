/**
 * `banyan deploy blue-green`: switches everything from one upstream to another in one revision, and back in one.
 */
import { editTable } from '../../rules/language/edit.ts'
import { targetNames } from '../../rules/routing/targets.ts'
import type { RouteDocument, TableDocument } from '../../rules/table/schema.ts'
import { CommandError, EXIT, type ExitCode } from '../io.ts'
import { DeployInterrupt, type DeployRun, flawsOf, isGood, isOfDeploy } from './run.ts'

/** Retries after concurrent edits. */
const ATTEMPTS = 5

/** Runs it. */
export async function blueGreen(run: DeployRun, [from, to]: readonly string[]): Promise<ExitCode> {
  const [blue, green] = [from as string, to as string]
  if (blue === green) throw new CommandError(EXIT.usage, `FROM and TO are both ${blue}: there is nothing to switch`)
  run.check()
  const terms = run.terms()
  await checkReady(run, green)
  await run.client.ask('GET', `/upstreams/${encodeURIComponent(blue)}`)
  if (run.isDryRun) {
    const { changed } = await switchOver(run, blue, green, true)
    return run.end('done', `nothing was changed (dry run): would switch to ${green}: ${changed}`)
  }
  run.heedInterrupts()
  const { changed, revision, wasUsed } = await switchOver(run, blue, green, false)
  // What used the other one before does not follow where this is undone.
  const wayBack = wasUsed ? `banyan revert ${revision}` : `banyan deploy blue-green ${green} ${blue}`
  run.say(`switched to ${green}: ${changed}`)
  try {
    const here = (): boolean => true
    await run.watch({ name: green, upstreams: [green], here, against: blue, terms }, run.duration('watch', '30s'))
  } catch (error) {
    if (!isOfDeploy(error)) throw error
    if (error instanceof DeployInterrupt && !run.given.has('abort-on-interrupt')) {
      const left = `${green} is in use, and not watched any more`
      return run.end('stopped', `${error.message}: ${left}; to switch back: ${wayBack}`)
    }
    run.say(`failed: ${error.message}`)
    try {
      const headers = reasonOf(run, `blue-green: ${green} failed, back to ${blue}`)
      await run.client.ask('POST', `/revisions/${revision}/revert`, { headers })
    } catch (problem) {
      if (!(problem instanceof CommandError)) throw problem
      return run.end('stopped', `cannot switch back, ${green} is still in use: ${problem.message}`)
    }
    return run.end('reverted', `switched back to ${blue}: ${changed}`)
  }
  return run.end('done', `switched from ${blue} to ${green}; to switch back: ${wayBack}`)
}

/** @throws {CommandError} if no server is healthy; nothing has been changed yet */
export async function checkReady(run: DeployRun, upstream: string): Promise<void> {
  const servers = await run.servers(upstream)
  if (servers.some(isGood)) return
  throw new CommandError(EXIT.refused, `${upstream} is not ready: ${servers.flatMap(flawsOf).join(', ')}`)
}

/** What a switch has changed. */
interface Switch {
  /** The names. */
  readonly changed: string
  readonly revision: number
  /** Something else used the other upstream before. */
  readonly wasUsed: boolean
}

/** Writes one revision. */
async function switchOver(run: DeployRun, from: string, to: string, dryRun: boolean): Promise<Switch> {
  for (let attempt = 1; ; attempt++) {
    const { text, headers } = await run.client.ask('GET', '/routes.yaml')
    const changed: string[] = []
    let wasUsed = false
    const next = editTable(text, (document) => {
      wasUsed = usesOf(document).includes(to)
      return switched(document, from, to, changed)
    })
    if (changed.length === 0) throw new CommandError(EXIT.refused, `no route uses ${from}`)
    try {
      const { json } = await run.client.ask('PUT', `/routes.yaml${dryRun ? '?dryRun=true' : ''}`, {
        text: next,
        headers: { 'If-Match': String(headers.etag), ...reasonOf(run, `blue-green: ${from} -> ${to}`) },
      })
      return { changed: changed.join(', '), revision: json.revision, wasUsed }
    } catch (error) {
      const isOutdated = error instanceof CommandError && error.code === EXIT.outdated
      if (!isOutdated || attempt === ATTEMPTS) throw error
    }
  }
}

function reasonOf({ given }: DeployRun, why: string): Readonly<Record<string, string>> {
  return { 'Banyan-Reason': Buffer.from(given.text('reason') ?? why, 'utf8').toString('latin1') }
}

/** The upstreams that the default and the routes send to. */
function usesOf({ default: rest, routes = [] }: TableDocument): readonly unknown[] {
  return [rest, ...routes.flatMap(({ from, to }) => [from, ...targetNames(to)])]
}

function switched(document: TableDocument, from: string, to: string, changed: string[]): TableDocument {
  const routes = document.routes?.map((route): RouteDocument => {
    const other = targetNames(route.to).includes(from) ? { ...route, to: renamed(route.to, from, to) } : route
    const both = other.from === from ? { ...other, from: to } : other
    if (both !== route) changed.push(`route ${route.id}`)
    return both
  })
  const isDefault = document.default === from
  if (isDefault) changed.push('the default')
  return { ...document, ...(isDefault ? { default: to } : {}), ...(routes === undefined ? {} : { routes }) }
}

/** Of several targets, one under another name; what has that name already gets its weight too. */
function renamed(targets: RouteDocument['to'], from: string, to: string): RouteDocument['to'] {
  if (typeof targets === 'string') return to
  const weights: Record<string, number> = {}
  for (const [name, weight] of Object.entries(targets)) {
    const now = name === from ? to : name
    weights[now] = Math.min(1000, (weights[now] ?? 0) + weight)
  }
  return weights
}
