/**
 * `banyan deploy preview`: a host that goes to the new version only, for testers.
 */

import type { ExitCode } from '../io.ts'
import { checkReady } from './blue-green.ts'
import type { DeployRun } from './run.ts'

/** Runs it. */
export async function preview(run: DeployRun, args: readonly string[]): Promise<ExitCode> {
  const [upstream, host] = args as [string, string]
  const id = run.given.text('id') ?? `preview-${upstream}`
  const route = `/routes/${encodeURIComponent(id)}`
  const reason = Buffer.from(run.given.text('reason') ?? `preview: ${host}`, 'utf8').toString('latin1')
  const headers = { 'Banyan-Reason': reason }
  if (run.given.has('remove')) {
    if (run.isDryRun) return run.end('done', `nothing was changed (dry run): route ${id} would be removed`)
    await run.client.ask('DELETE', route, { headers })
    return run.end('done', `route ${id} removed`)
  }
  await checkReady(run, upstream)
  const path = run.given.text('path') ?? '/*'
  const body = { match: { hosts: [host], path }, to: upstream, percent: 100 }
  const query = run.isDryRun ? '?dryRun=true' : ''
  const { status } = await run.client.ask('PUT', route + query, { body, headers })
  if (run.isDryRun) return run.end('done', `nothing was changed (dry run): ${host}${path} would go to ${upstream}`)
  run.say(`route ${id}: ${host}${path} goes to ${upstream}`)
  const explained = (
    await run.client.ask('POST', '/explain', { body: { url: `http://${host}${path.replace('*', '')}` } })
  ).json
  const isThere = path.includes(':') || explained.decision.upstream === upstream
  const isWell = (await run.servers(upstream)).some(({ live }) =>
    live.some(({ state }) => state === 'up' || state === 'slow-start'),
  )
  if (isThere && isWell)
    return run.end(
      'done',
      `${host}${path} goes to ${upstream} only; to remove it: banyan deploy preview ${upstream} ${host} --remove`,
    )
  run.say(
    isThere
      ? `failed: ${upstream} is not healthy`
      : `failed: route ${explained.decision.routeId ?? '(default)'} takes precedence`,
  )
  if (status === 201) await run.client.ask('DELETE', route, { headers })
  return run.end(
    status === 201 ? 'reverted' : 'stopped',
    status === 201 ? `route ${id} removed` : `route ${id} remains`,
  )
}
