/**
 * `banyan deploy blue-green`: switches everything from one upstream to another in one revision, and back in one.
 */
import { editTable } from '../../rules/language/edit.ts'
import { targetNames } from '../../rules/routing/targets.ts'
import type { RouteDocument, TableDocument } from '../../rules/table/schema.ts'
import { CommandError, EXIT, type ExitCode } from '../io.ts'
import { DeployFailure, type DeployRun, isGood } from './run.ts'

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
    const changed = await switchOver(run, blue, green, true)
    return run.end('done', `nothing was changed (dry run): would switch to ${green}: ${changed}`)
  }
  const changed = await switchOver(run, blue, green, false)
  run.say(`switched to ${green}: ${changed}`)
  try {
    const here = (): boolean => true
    await run.watch({ name: green, upstreams: [green], here, against: blue, terms }, run.duration('watch', '30s'))
  } catch (error) {
    if (!(error instanceof DeployFailure || error instanceof CommandError)) throw error
    run.say(`failed: ${error.message}`)
    const back = await switchOver(run, green, blue, false).catch((problem: Error) => problem)
    if (back instanceof Error)
      return run.end('stopped', `cannot switch back, ${green} is still in use: ${back.message}`)
    return run.end('reverted', `switched back to ${blue}: ${back}`)
  }
  return run.end('done', `switched from ${blue} to ${green}; to switch back: banyan deploy blue-green ${green} ${blue}`)
}

/** @throws {CommandError} if no server is healthy; nothing has been changed yet */
export async function checkReady(run: DeployRun, upstream: string): Promise<void> {
  const servers = await run.servers(upstream)
  if (servers.some(isGood)) return
  const why = servers.flatMap(({ id, live }) => live.map(({ state }) => `${id} is ${state}`)).join(', ')
  throw new CommandError(EXIT.refused, `${upstream} is not ready: ${why}`)
}

/** Writes one revision. @returns the names of what it changed */
async function switchOver(run: DeployRun, from: string, to: string, dryRun: boolean): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const { text, headers } = await run.client.ask('GET', '/routes.yaml')
    const changed: string[] = []
    const next = editTable(text, (document) => switched(document, from, to, changed))
    if (changed.length === 0) throw new CommandError(EXIT.refused, `no route uses ${from}`)
    const reason = run.given.text('reason') ?? `blue-green: ${from} -> ${to}`
    try {
      await run.client.ask('PUT', `/routes.yaml${dryRun ? '?dryRun=true' : ''}`, {
        text: next,
        headers: { 'If-Match': String(headers.etag), 'Banyan-Reason': Buffer.from(reason, 'utf8').toString('latin1') },
      })
      return changed.join(', ')
    } catch (error) {
      const isOutdated = error instanceof CommandError && error.code === EXIT.outdated
      if (!isOutdated || attempt === ATTEMPTS) throw error
    }
  }
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
