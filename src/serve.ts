/**
 * Builds one process, starts it and drains it.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdmin } from './control/admin-api.ts'
import { Gate, whyNotBind } from './control/admin-security.ts'
import { Planes } from './control/planes.ts'
import { readTokens, TokenBook, tokenOf } from './control/tokens.ts'
import { openLogs } from './log.ts'
import { type Core, createCore, handlerOf } from './mount.ts'
import { Listener } from './proxy/listen.ts'
import type { Address, Settings } from './settings.ts'
import { StartError } from './start-error.ts'
import { linkTo } from './state/local-plane.ts'
import { WINDOW_TICK_MS } from './state/windows.ts'

/** Bounds of the admin listener: what an operator never reaches, and a runaway client must not pass. */
const ADMIN_REQUEST_MS = 30_000
const ADMIN_CONNECTIONS = 256

/**
 * Runs the proxy until a signal ends it, and prints `banyan ready ...` when it accepts requests.
 * @returns the exit code: 0 after a drain
 * @throws {StartError} the table is invalid, a port is taken, a file can't be read
 */
export async function serve(settings: Settings): Promise<number> {
  const logs = openLogs(settings)
  const { log } = logs
  const tokens = tokenBook(settings, (message) => log.error({ event: 'tokens' }, message))
  const refusal = whyNotBind(settings.admin.host, tokens.current(Date.now()))
  if (refusal !== null) throw new StartError(refusal)
  const core = createCore(settings, log, logs.access)
  const { plane, live, operations, history, fleet } = core
  const planes = new Planes()
  planes.add(0, linkTo(plane.port))
  live.onApply(({ table }) => planes.keepOnly(new Set(table.routes.map((route) => route.id))))
  const reasons: string[] = []
  plane.engine.exclusive = settings.middleware === null
  const adminHandler = createAdmin({
    live,
    operations,
    history,
    planes,
    fleet,
    gate: new Gate(tokens, Date.now),
    requireIfMatch: settings.requireIfMatch,
    isReady: () => ({ ready: reasons.length === 0, reasons: [...reasons, ...degraded(core)] }),
    log,
    chance: Math.random,
    now: Date.now,
    hostNames: [settings.admin.host.toLowerCase()],
  }).handler
  const admin = createServer({ requestTimeout: ADMIN_REQUEST_MS }, adminHandler)
  admin.maxConnections = ADMIN_CONNECTIONS
  const listener = new Listener(
    { ...settings.listen, ...settings },
    plane.engine,
    plane.observer,
    await handlerOf(settings.middleware, plane.engine, log),
  )
  const adminAddress = await listening(listenAt(admin, settings.admin), '--admin', settings.admin)
  const address = await listening(listener.listen(), '--listen', settings.listen).catch((error) => {
    admin.close()
    throw error
  })
  operations.watch()
  fleet.start((known) => planes.setFleet(known))
  const windows = setInterval(() => void planes.tick(Date.now()), WINDOW_TICK_MS)
  windows.unref()
  for (const warning of notYet(settings)) log.warn({ event: 'setting' }, warning)
  process.once('exit', () => logs.close())
  const { number, table } = live.current
  process.stdout.write(
    `banyan ready http://${hostPort(address)} admin http://${hostPort(adminAddress)} table ${settings.table} revision ${number} routes ${table.routes.length}\n`,
  )
  await signal()
  reasons.push('draining')
  await drain(settings, core, listener, admin)
  log.info({ event: 'ended' }, 'every exchange is over')
  logs.close()
  return 0
}

/** @throws {StartError} a line that is no token, a file that can't be read */
function tokenBook(settings: Settings, onFault: (message: string) => void): TokenBook {
  const { adminToken, adminTokens, adminTokenFile } = settings
  const own = adminToken === null ? [] : [tokenOf('admin', adminToken)]
  try {
    return new TokenBook([...own, ...readTokens(adminTokens)], adminTokenFile, onFault)
  } catch (error) {
    const flag = adminTokenFile === null ? '--admin-tokens' : '--admin-tokens, --admin-token-file'
    throw new StartError(`${flag}: ${(error as Error).message}`)
  }
}

/** What is not well although requests are served. */
function degraded({ live, history, fleet, plane }: Core): string[] {
  const reasons: string[] = []
  if (live.refusal !== null) reasons.push('the table file was refused: an earlier revision serves')
  if (history.problem !== null) reasons.push(history.problem)
  if (fleet.problem !== null) reasons.push(fleet.problem)
  if (plane.cache.degraded !== null) reasons.push(plane.cache.degraded)
  return reasons
}

/** Design section 10: readiness fails first, then nothing new is accepted, then what runs is over. */
async function drain(settings: Settings, core: Core, listener: Listener, admin: Server): Promise<void> {
  core.plane.engine.draining = true
  if (settings.drainDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, settings.drainDelayMs))
  await listener.drain(settings.drainTimeoutMs)
  core.fleet.close()
  core.plane.upstreams.close()
  await core.plane.cache.close()
  await core.operations.close()
  admin.close()
  admin.closeAllConnections()
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once, as it would without us. */
function signal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}

/** What is asked for and not part of this version: said once, at the start. */
function notYet(settings: Settings): string[] {
  const said: string[] = []
  if (settings.workers > 0) said.push(`--workers ${settings.workers}: this version runs everything in one process`)
  return said
}

function listenAt(server: Server, { host, port }: Address): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve(server.address() as AddressInfo)
    })
  })
}

async function listening(started: Promise<AddressInfo>, flag: string, asked: Address): Promise<Address> {
  try {
    const { address, port } = await started
    return { host: address, port }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'EADDRINUSE' ? 'the port is in use' : code === 'EACCES' ? 'not permitted' : message
    throw new StartError(`${flag} ${hostPort(asked)}: ${why}`)
  }
}

function hostPort({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
