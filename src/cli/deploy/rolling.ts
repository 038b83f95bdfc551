/**
 * `banyan deploy rolling`: drains, replaces and undrains one server after the other.
 */

import { inForceOf } from '../admin-client.ts'
import { count } from '../check.ts'
import { CommandError, EXIT, type ExitCode } from '../io.ts'
import { serverPath } from '../server-steps.ts'
import { DeployFailure, DeployInterrupt, type DeployRun, type DeployServer, everOf, isGood, isOfDeploy } from './run.ts'

interface Plan {
  readonly upstream: string
  readonly servers: readonly DeployServer[]
  readonly replace: string
  readonly revert: string | null
  /** Successful probes until a server is healthy. */
  readonly up: number
}

/** Runs it. */
export async function rolling(run: DeployRun, [upstream]: readonly string[]): Promise<ExitCode> {
  const plan = await planOf(run, upstream as string)
  const ids = plan.servers.map(({ id }) => id).join(', ')
  if (run.isDryRun) {
    for (const { id, url } of plan.servers) {
      run.say(
        `would drain ${id}, run ${commandFor(plan.replace, { id, url })}, wait until it is healthy, and undrain it`,
      )
    }
    return run.end('done', `nothing was changed (dry run of ${ids})`)
  }
  const replaced: DeployServer[] = []
  run.heedInterrupts()
  for (const server of plan.servers) {
    try {
      run.throwIfInterrupted()
      await replace(run, plan, server, plan.replace, replaced)
    } catch (error) {
      if (!isOfDeploy(error)) throw error
      if (error instanceof DeployInterrupt && !run.given.has('abort-on-interrupt'))
        return await leave(run, plan, replaced, error.message)
      run.say(`failed: ${error.message}`)
      return goBack(run, plan, replaced, server, error)
    }
  }
  return run.end('done', `replaced ${count(plan.servers.length, 'server')} of ${upstream}: ${ids}`)
}

/** @throws {CommandError} if it can't be done without failed requests */
async function planOf(run: DeployRun, upstream: string): Promise<Plan> {
  const { given, client } = run
  const replace = given.text('replace')
  if (replace === undefined)
    throw new CommandError(EXIT.usage, "missing --replace 'COMMAND', with {id} or {url} for the server")
  run.check()
  const { json } = await client.ask('GET', `/upstreams/${encodeURIComponent(upstream)}`)
  if (json.health === undefined) {
    const hint = `add health: { path: ... } to the table`
    throw new CommandError(EXIT.refused, `${upstream} has no health checks, which a rolling deploy needs (${hint})`)
  }
  const all = await run.servers(upstream)
  const only = given.list('only')
  const missing = only.find((id) => !all.some((server) => server.id === id))
  if (missing !== undefined) throw new CommandError(EXIT.refused, `unknown server ${missing} of ${upstream}`)
  const chosen = all.filter(({ id, drained }) => (only.length > 0 ? only.includes(id) : !drained))
  if (chosen.length === 0) throw new CommandError(EXIT.refused, `${upstream} has no server to replace`)
  if (!given.has('allow-last') && all.filter((server) => !server.drained).length < 2) {
    const hint = 'add another one first, or use --allow-last if its routes have a fallback'
    throw new CommandError(EXIT.refused, `${upstream} has only one server in use (${hint})`)
  }
  return { upstream, servers: chosen, replace, revert: given.text('revert') ?? null, up: json.health.up ?? 2 }
}

/**
 * @param replaced the server is added before its command starts
 * @throws {DeployFailure} if it did not become healthy; it is then drained
 */
async function replace(
  run: DeployRun,
  plan: Plan,
  server: DeployServer,
  command: string,
  replaced: DeployServer[],
): Promise<void> {
  const { upstream } = plan
  const { id } = server
  const before = everOf(await run.servers(upstream))
  await checkOthers(run, plan, id)
  await drain(run, plan, id)
  if (run.interrupt !== null) {
    await run.client.ask('POST', `${serverPath(upstream, id)}/undrain`)
    run.throwIfInterrupted()
  }
  replaced.push(server)
  const text = commandFor(command, server)
  run.say(`${id}: ${text}`)
  const code = await run.io.run(text, { BANYAN_SERVER_ID: id, BANYAN_SERVER_URL: server.url })
  run.throwIfInterrupted()
  if (code !== 0)
    throw new DeployFailure(`${id}: the command ${code === null ? 'was killed by a signal' : `exited with ${code}`}`)
  await waitHealthy(run, plan, id)
  await run.client.ask('POST', `${serverPath(upstream, id)}/undrain`)
  try {
    const terms = run.terms()
    const here = (one: DeployServer): boolean => one.id === id
    const watched = { name: `${upstream}/${id}`, upstreams: [upstream], here, before, terms }
    await run.watch(watched, run.duration('watch', '5s'))
  } catch (error) {
    await run.client.ask('POST', `${serverPath(upstream, id)}/drain`)
    throw error
  }
  run.say(`${id}: healthy, back in use`)
}

/** Ends where it is, and says what is left. */
async function leave(
  run: DeployRun,
  { upstream, servers }: Plan,
  replaced: readonly DeployServer[],
  signal: string,
): Promise<ExitCode> {
  const isDrained = await drainedOf(run, upstream)
  if (isDrained === null) {
    const all = replaced.length === 0 ? 'nothing was replaced' : `the command has run for ${names(replaced)}`
    return run.end('stopped', `${signal}: ${all}; one may still be drained: banyan servers`)
  }
  const drained = replaced.filter(isDrained)
  const done = replaced.filter((server) => !isDrained(server))
  const left = servers.filter(({ id }) => !done.some((one) => one.id === id))
  const parts = [
    ...(done.length === 0 ? [] : [`${names(done)} replaced`]),
    ...(drained.length === 0 ? [] : [`${names(drained)} still drained, its command has run`]),
    ...(left.length === drained.length ? [] : [`${names(left.filter((one) => !isDrained(one)))} unchanged`]),
  ]
  const only = left.map(({ id }) => `--only ${id}`).join(' ')
  return run.end(
    'stopped',
    `${signal}: ${parts.join('; ')}${left.length === 0 ? '' : `; to go on: the same with ${only}`}`,
  )
}

async function checkOthers(run: DeployRun, { upstream }: Plan, id: string): Promise<void> {
  if (run.given.has('allow-last')) return
  const others = (await run.servers(upstream)).filter((server) => server.id !== id)
  if (!others.some(isGood)) throw new DeployFailure(`no other server of ${upstream} is healthy: ${id} stays in use`)
}

async function drain(run: DeployRun, { upstream }: Plan, id: string): Promise<void> {
  const waitMs = run.duration('wait', '30s')
  const path = serverPath(upstream, id)
  const answer = await run.client.ask('POST', `${path}/drain?wait=${waitMs}ms`, { patienceMs: waitMs })
  const { json } = answer
  const { inForce, instances } = inForceOf(answer)
  if (inForce < instances) {
    await run.client.ask('POST', `${path}/undrain`)
    throw new DeployFailure(`${id}: only ${inForce} of ${instances} instances have drained it (banyan status)`)
  }
  if (json.active > 0) {
    await run.client.ask('POST', `${path}/undrain`)
    throw new DeployFailure(`${id}: ${count(json.active, 'request')} still in flight after ${waitMs / 1000} s (--wait)`)
  }
  run.say(`${id}: drained`)
}

/** Counts only probes that started after the replacement. */
async function waitHealthy(run: DeployRun, { upstream, up }: Plan, id: string): Promise<void> {
  const limitMs = run.duration('ready', '60s')
  const look = async () => (await run.servers(upstream)).find((server) => server.id === id)?.live ?? []
  const before = new Map((await look()).map((one) => [one.id, one.health?.probes.good ?? 0]))
  let detail = 'it was removed'
  const healthy = await run.until(limitMs, async () => {
    const live = await look()
    detail =
      live.find(({ health }) => health?.last?.good === false)?.health?.last?.detail ?? 'not enough successful probes'
    return (
      live.length > 0 &&
      live.every(({ id: one, health }) => {
        const good = (health?.probes.good ?? 0) - (before.get(one) ?? 0)
        // One may have been in flight when the command exited.
        return health?.healthy === true && health.last?.good === true && good > up
      })
    )
  })
  if (!healthy) throw new DeployFailure(`${id}: not healthy within ${limitMs / 1000} s (--ready): ${detail}`)
}

/** Rolls back the replaced servers, last one first. */
async function goBack(
  run: DeployRun,
  plan: Plan,
  replaced: readonly DeployServer[],
  failed: DeployServer,
  why: Error,
): Promise<ExitCode> {
  const { upstream, revert } = plan
  const hasRun = replaced.at(-1)?.id === failed.id
  if (revert === null && replaced.length > 0) {
    const left = (await drainedText(run, upstream, [failed])) ?? `${failed.id} is ${hasRun ? 'in use' : 'unchanged'}`
    const rest = replaced.filter(({ id }) => id !== failed.id)
    const more = rest.length > 0 ? `, ${names(rest)} replaced` : ''
    return run.end('stopped', `${left}${more}; use --revert 'COMMAND' for automatic rollback`)
  }
  const left = [...replaced]
  for (let server = left.at(-1); server !== undefined; server = left.at(-1)) {
    try {
      await replace(run, plan, server, revert as string, [])
      left.pop()
    } catch (error) {
      if (!isOfDeploy(error)) throw error
      const drained = await drainedText(run, upstream, hasRun ? left : [...left, failed])
      const then = `not rolled back: ${names(left)}${drained === null ? '' : `; ${drained}`}`
      return run.end('stopped', `cannot roll back ${server.id}: ${error.message}; ${then}`)
    }
  }
  const what =
    replaced.length === 0 ? 'nothing was replaced' : `rolled back ${count(replaced.length, 'server')} of ${upstream}`
  const drained = hasRun ? null : await drainedText(run, upstream, [failed])
  if (drained !== null)
    return run.end(
      'stopped',
      `${what}, but ${drained}; to use it again: banyan servers undrain ${upstream} ${failed.id}`,
    )
  if (replaced.length > 0) return run.end('reverted', what)
  return run.end(why instanceof CommandError ? 'refused' : 'reverted', `${what}: ${failed.id} is unchanged`)
}

/** Which servers are drained, as the proxy says; null where it can't be asked. */
async function drainedOf(run: DeployRun, upstream: string): Promise<((server: DeployServer) => boolean) | null> {
  try {
    const now = await run.servers(upstream)
    return ({ id }) => now.some((one) => one.id === id && one.drained)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return null
  }
}

/** Which of these servers are drained; null where none is. */
async function drainedText(run: DeployRun, upstream: string, some: readonly DeployServer[]): Promise<string | null> {
  const isDrained = await drainedOf(run, upstream)
  if (isDrained === null) return `${names(some)} may still be drained`
  const drained = some.filter(isDrained)
  return drained.length === 0 ? null : `${names(drained)} ${drained.length === 1 ? 'is' : 'are'} still drained`
}

function names(servers: readonly DeployServer[]): string {
  return servers.map(({ id }) => id).join(', ')
}

function commandFor(command: string, { id, url }: { readonly id: string; readonly url: string }): string {
  return command.replaceAll('{id}', id).replaceAll('{url}', url)
}
