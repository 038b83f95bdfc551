/**
 * Builds, starts and drains the proxy: one process, or a primary with workers.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Gate, isLoopback, whyNotBind } from './control/access/security.ts'
import { flawOfSecret, readTokens, TokenBook, tokenOf } from './control/access/tokens.ts'
import { Acme } from './control/acme/acme.ts'
import { FolderFiles } from './control/acme/folder.ts'
import { SharedFiles } from './control/acme/shared-files.ts'
import { createAdmin } from './control/admin/api.ts'
import { adminServer } from './control/admin/server.ts'
import { speakTls } from './control/admin/tls.ts'
import { type Cluster, serverKey } from './control/cluster/cluster.ts'
import { FollowedFile } from './control/cluster/followed-file.ts'
import { tellUnfollowed } from './control/cluster/founding-file.ts'
import type { AdminParts } from './control/context.ts'
import type { Planes } from './control/figures/planes.ts'
import { activeAt, figuresOf, seenServersOf } from './control/fleet/server-state.ts'
import { SOLE_OWNER } from './control/ownership.ts'
import { Ramps } from './control/ramps/ramps.ts'
import type { RampNews } from './control/ramps/steps.ts'
import { CertificateError, CertificateFiles, type CertificatePaths } from './control/tls/certificate-files.ts'
import { Certificates } from './control/tls/certificates.ts'
import { Webhook } from './control/webhook/webhook.ts'
import { awaitOwnership, openCore, openMember, stateFolderOf, type TableCore } from './core.ts'
import { openLogs } from './logging/log.ts'
import { logExceptions } from './processes/exceptions.ts'
import { type Front, OneProcess } from './processes/front.ts'
import { Primary } from './processes/primary.ts'
import { Descriptors } from './proxy/client/descriptors.ts'
import type { ListenPlace } from './proxy/client/listen-at.ts'
import { formatDuration } from './rules/values/units.ts'
import { type Address, placesOf, placeText, type Settings } from './settings/settings.ts'
import { StartError } from './start-error.ts'
import { WINDOW_TICK_MS } from './state/figures/windows.ts'
import type { StateFolder } from './state/store/state-folder.ts'
import { version } from './version.ts'

/** How often an instance of a cluster reads what all have counted. */
const SUMS_EVERY_MS = 15_000

/** How often an instance of a cluster looks whether the one that orders certificates is gone. */
const SHARED_LOOK_MS = 2_000

/** Time for a pending edit, or evidence, at shutdown, as the disk may never respond. */
const LAST_EDIT_MS = 5_000

/**
 * Runs the proxy until a signal, and prints `banyan ready ...` when it accepts requests.
 * @param args the arguments that the settings were read from, for the workers
 * @returns the exit code: 0 after a drain
 * @throws {StartError} if the table is invalid, a port is in use, a file can't be read, or workers keep dying
 */
export async function serve(settings: Settings, args: readonly string[]): Promise<number> {
  const logs = openLogs(settings)
  const { log } = logs
  logExceptions(log, () => performance.now())
  let serving: Front | null = null
  process.on('SIGHUP', () => serving?.replace())
  process.on('SIGUSR1', () => serving?.reopenLog())
  process.on('SIGUSR2', () =>
    log.warn({ event: 'signal' }, 'SIGUSR2 ignored; use SIGHUP to reload code, SIGTERM to stop'),
  )
  new Descriptors(log).checkLimit()
  const tokens = tokenBook(settings, (message) => log.error({ event: 'tokens' }, message))
  const refusal = whyNotBind(settings.admin.host, tokens.current(Date.now()))
  if (refusal !== null) throw new StartError(refusal)
  if (settings.adminTls === null && !isLoopback(settings.admin.host)) {
    const told = `--admin ${hostPort(settings.admin)}: tokens and what they may read cross the network unencrypted`
    log.warn({ event: 'admin-tls' }, `${told}: set --admin-tls-cert and --admin-tls-key, or listen on 127.0.0.1`)
  }
  const adminCertificates = await adminCertificatesOf(settings, log)
  const primary = settings.workers === 0 ? null : new Primary({ settings, args, logs })
  const clustered = settings.cluster && { ...settings.cluster, workers: settings.workers, version: version() }
  const core =
    clustered === null
      ? openCore(settings, log, primary?.followers)
      : await openMember(settings, log, primary?.followers, clustered)
  await joined(core)
  const front = primary ?? (await OneProcess.of(settings, core, logs))
  const reasons: string[] = ['starting']
  let adminAddress: string | null = null
  const webhook = webhookOf(settings, core, log)
  const ramps = rampsOf(core, front, log, webhook)
  const admin = adminOf(settings, core, front, {
    ramps,
    webhook,
    gate: new Gate(tokens, Date.now),
    isReady: () => ({
      ready: reasons.length === 0 && front.isUp,
      reasons: [
        ...reasons,
        ...front.problems(),
        ...degraded(core, front),
        ...new Set([...certificates.problems, ...adminCertificates.problems]),
      ],
    }),
    workers: () => primary?.states() ?? [],
    acmeFailures: () => certificates.failures,
    certificates: () => [...certificates.pairs, ...adminCertificates.pairs],
    hostNames: () => [settings.admin.host.toLowerCase(), ...adminCertificates.pairs.flatMap(({ names }) => names)],
    address: () => adminAddress,
    log,
  })
  const certificates = await certificatesOf(settings, core, log)
  secure(admin, adminCertificates, settings, log)
  const adminBound = hostPort(await listening(listenAt(admin, settings.admin), [settings.admin], '--admin'))
  adminAddress = settings.adminTls === null ? adminBound : `https://${adminBound}`
  const { number: atStart, etag, text, appliedAtMs } = core.live.current
  await front.setTls(certificates.current)
  await primary?.start({ number: atStart, etag, text, appliedAtMs, material: core.live.material })
  await ramps.start()
  // Before clients are served, which a worker does before this process hears of it.
  const stopped = signal()
  const addresses = (await listeningAt(settings, front)).join(' ')
  reasons.length = 0
  core.operations.watch()
  certificates.start((tls) => front.setTls(tls))
  front.onSuspect((hostname) => core.fleet.suspect(hostname))
  core.fleet.start((known) => front.planes.setFleet(known))
  const windows = setInterval(() => void front.planes.tick(Date.now()), WINDOW_TICK_MS)
  windows.unref()
  // Before the ready line, after which signals may arrive.
  serving = front
  core.state?.announce(adminAddress)
  followTable(settings, core, log)
  startCluster(core, front, ramps, adminAddress)
  awaitOwnership(core, log)
  const ended = Promise.race([stopped, front.broken])
  const { number, table } = core.live.current
  logs.lines(
    `banyan ready ${addresses} admin ${settings.adminTls === null ? 'http' : 'https'}://${adminBound} table ${settings.table} revision ${number} routes ${table.routes.length}\n`,
  )
  const name = await ended
  reasons.push('draining')
  const limit = formatDuration(settings.drainTimeoutMs)
  log.info({ event: 'draining', signal: name }, `${name}: requests in flight have ${limit} to finish`)
  await drain(settings, core, front, admin, { ramps, certificates: [certificates, adminCertificates] }, log)
  log.info({ event: 'ended' }, 'drained, exiting')
  await logs.close()
  return 0
}

/** Takes in the table of the cluster, before anything is served. @throws {StartError} if it must not be joined */
async function joined({ cluster, operations }: TableCore): Promise<void> {
  try {
    await cluster?.join((reading) => operations.takeIn(reading))
  } catch (error) {
    throw new StartError((error as Error).message)
  }
}

/** Listens for clients. @returns the addresses, as the ready line has them */
async function listeningAt(settings: Settings, front: Front): Promise<string[]> {
  const places = placesOf(settings)
  const bound = await listening(front.listen(), places)
  return bound.map((at, n) => {
    const scheme = places[n]?.tls === true ? 'https' : 'http'
    if ('path' in at) return scheme === 'https' ? `https+unix:${at.path}` : `unix:${at.path}`
    return `${scheme}://${hostPort(at)}`
  })
}

/**
 * Certificates from wherever the settings say.
 * @throws {StartError} if a file can't be used
 */
async function certificatesOf(settings: Settings, core: TableCore, log: AdminParts['log']): Promise<Certificates> {
  const certificates = new Certificates(log, Date.now)
  if (settings.tls === null) return certificates
  const { tlsCert: certs, tlsKey: keys, tlsClientCa: clientCa } = settings
  await addFiles(certificates, { certs, keys, clientCa }, '--tls', log)
  if (settings.acme.length > 0) certificates.add(await acmeOf(settings, core, log))
  return certificates
}

/** Reads files, and again when they change. @throws {StartError} if one can't be used */
async function addFiles(
  certificates: Certificates,
  paths: CertificatePaths,
  flag: string,
  log: AdminParts['log'],
): Promise<void> {
  const files = new CertificateFiles(paths, log, Date.now)
  try {
    await files.load()
  } catch (error) {
    if (error instanceof CertificateError) throw new StartError(`${flag}: ${error.message}`)
    throw error
  }
  certificates.add(files)
  files.watch(() => certificates.changed())
}

/** The certificate of the admin API; none where it is served without TLS. @throws {StartError} if it can't be used */
async function adminCertificatesOf({ adminTls }: Settings, log: AdminParts['log']): Promise<Certificates> {
  const own: AdminParts['log'] = {
    info: (fields, message) => log.info(fields, `admin API: ${message}`),
    warn: (fields, message) => log.warn(fields, `admin API: ${message}`),
    error: (fields, message) => log.error(fields, `admin API: ${message}`),
  }
  const certificates = new Certificates(own, Date.now)
  if (adminTls === null) return certificates
  const paths = { certs: [adminTls.cert], keys: [adminTls.key], clientCa: null }
  await addFiles(certificates, paths, '--admin-tls-cert', own)
  return certificates
}

/** Has the admin API speak TLS, if it has a certificate. @throws {StartError} if that does not go with the ciphers */
function secure(admin: Server, certificates: Certificates, settings: Settings, log: AdminParts['log']): void {
  const [first] = certificates.pairs
  if (first === undefined) return
  const use = speakTls(admin, { minVersion: settings.tlsMinVersion, ciphers: settings.tlsCiphers }, log)
  try {
    use(first)
  } catch (error) {
    throw new StartError(`--admin-tls-cert: ${(error as Error).message}`)
  }
  certificates.start(({ pairs: [pair] }) => {
    if (pair !== undefined) use(pair)
  })
}

/** @throws {StartError} if there is no folder for certificates */
async function acmeOf(settings: Settings, { cluster }: TableCore, log: AdminParts['log']): Promise<Acme> {
  const { acme: names, acmeDirectory: directory, acmeEmail: email, acmeEab: eab, acmeChallenges: challenges } = settings
  const state = stateFolderOf(settings)
  const path = settings.acmeState ?? (state === null ? null : join(state, 'acme'))
  if (path === null)
    throw new StartError('--acme: needs a folder for account and certificates: --acme-state or --state')
  const folder = new FolderFiles(path, (message) => log.error({ event: 'acme' }, message))
  const isShared = cluster !== null && (settings.cluster?.secrets.length ?? 0) > 0
  if (cluster !== null && !isShared)
    log.warn({ event: 'acme' }, '--acme without --cluster-secret: each instance orders certificates of its own')
  const acme = new Acme({
    settings: { names, directory, email, eab, challenges },
    files: isShared ? new SharedFiles(cluster, folder, log) : folder,
    ...(isShared && { lookMs: SHARED_LOOK_MS }),
    log,
    now: Date.now,
    chance: Math.random,
  })
  try {
    await acme.load()
  } catch (error) {
    throw new StartError(`--acme: ${path} can't be used: ${(error as Error).message}`)
  }
  return acme
}

/** The table file of an instance of a cluster is followed, or it is told that it is not. */
function followTable({ table: path, cluster: clustered }: Settings, core: TableCore, log: AdminParts['log']): void {
  const { cluster, live, history, operations } = core
  if (cluster === null || clustered === null || path === '-') return
  if (clustered.follow === 'no') {
    tellUnfollowed(path, cluster.name, cluster.problem === null, live, log)
    return
  }
  const takesPercents = clustered.follow === 'take-percents'
  const isInStep = (): boolean => cluster.problem === null
  const common = { path, cluster: cluster.name, takesPercents, live, history, operations, log, isInStep }
  cluster.followed = new FollowedFile(common)
  cluster.followed.start()
}

/** Tells the other instances of this one. */
function startCluster({ cluster, fleet, live }: TableCore, front: Front, ramps: Ramps, admin: string): void {
  if (cluster === null) return
  const { planes } = front
  cluster.elsewhere.start(async (name) => {
    const upstream = live.current.table.upstreams.get(name)
    return upstream === undefined ? {} : seenServersOf(upstream, fleet, await planes.figures())
  })
  cluster.pins.start((pins) => planes.pinned(pins))
  front.onPinned((pins) => cluster.pins.relay(pins))
  cluster.active = async () => {
    const drained = fleet.drained()
    if (drained.length === 0) return {}
    const figures = await planes.figures()
    const active = drained.map(([name, id]) => [serverKey(name, id), activeAt(figuresOf(name, id, figures))] as const)
    return Object.fromEntries(active.filter(([, count]) => count > 0))
  }
  cluster.start(admin)
  cluster.rampLease.start({
    takeOver: () => ramps.takeOver(),
    follow: () => ramps.follow(),
    save: () => ramps.save(),
    count: (delta) => ramps.count(delta),
    report: async () => ramps.isAnyUnderWay && (await planes.figures()),
  })
}

function adminOf(
  settings: Settings,
  { live, operations, history, fleet, state, cluster }: TableCore,
  { planes }: Front,
  parts: Pick<
    AdminParts,
    | 'ramps'
    | 'webhook'
    | 'gate'
    | 'isReady'
    | 'workers'
    | 'acmeFailures'
    | 'certificates'
    | 'hostNames'
    | 'address'
    | 'log'
  >,
): Server {
  if (cluster !== null) shareFigures(cluster, planes, parts.log)
  else if (state !== null) keepFigures(state, planes, parts.log)
  planes.follow(live.current.table, Date.now())
  live.onApply(({ table }) => planes.follow(table, Date.now()))
  const { handler } = createAdmin({
    ...parts,
    live,
    operations,
    history,
    planes,
    fleet,
    ...(cluster !== null ? { cluster } : state !== null && { ownership: state }),
    requireIfMatch: settings.requireIfMatch,
    version: version(),
    chance: Math.random,
    now: Date.now,
  })
  return adminServer(handler, parts.log)
}

function webhookOf({ webhook: target }: Settings, { state }: TableCore, log: AdminParts['log']): Webhook | null {
  if (target === null) return null
  const store = state?.store ?? null
  const webhook = new Webhook({ target, store, log, now: Date.now, chance: Math.random })
  if (state === null) return webhook
  if (state.isOwner) void webhook.start()
  state.onOwned(() => void webhook.start())
  return webhook
}

function rampsOf(core: TableCore, { planes }: Front, log: AdminParts['log'], webhook: Webhook | null): Ramps {
  const tell = (news: RampNews): void => webhook?.tell('ramp', news)
  const { live, operations, history, state, cluster } = core
  const monotonic = (): number => performance.now()
  const store = cluster?.rampLease.fenced() ?? state?.store ?? null
  const ownership = cluster?.rampLease ?? state ?? SOLE_OWNER
  const ramps = new Ramps({ live, operations, history, planes, store, ownership, log, tell, now: Date.now, monotonic })
  // Where they can't be read, which is told, none goes on.
  if (cluster === null) state?.onOwned(() => void ramps.takeOver().catch(() => {}))
  else planes.onRamp = (delta) => cluster.rampLease.relay(delta)
  return ramps
}

/** What is kept of the figures: each with what it is. */
function figuresOfPlanes({ evidence, discovery, progress }: Planes) {
  return [
    ['evidence', evidence],
    ['discovered endpoints', discovery],
    ['figures of the progress', progress],
  ] as const
}

function keepFigures(state: StateFolder, planes: Planes, log: AdminParts['log']): void {
  for (const [what, kept] of figuresOfPlanes(planes)) {
    state.onOwned(() => {
      kept.reload()
      void kept.tick()
    })
    kept.keepIn(state.store, storageLog(what, log))
  }
}

/** All instances add to what the cluster has, and read the sums again now and then. */
function shareFigures({ store }: Cluster, planes: Planes, log: AdminParts['log']): void {
  const all = figuresOfPlanes(planes)
  for (const [what, kept] of all) kept.keepIn(store, storageLog(what, log))
  const again = setInterval(() => {
    for (const [, kept] of all) {
      kept.reload()
      void kept.save()
    }
  }, SUMS_EVERY_MS)
  again.unref()
}

function storageLog(what: string, log: AdminParts['log']): (problem: string | null) => void {
  return (problem) => {
    if (problem === null) log.info({ event: 'evidence' }, `${what}: stored again`)
    else log.warn({ event: 'evidence' }, problem)
  }
}

/** @throws {StartError} on an invalid token or an unreadable file */
function tokenBook(settings: Settings, onFault: (message: string) => void): TokenBook {
  const { adminToken, adminTokens, adminTokenFile } = settings
  const flaw = adminToken === null ? null : flawOfSecret(adminToken)
  if (flaw !== null) throw new StartError(`--admin-token: ${flaw}`)
  const own = adminToken === null ? [] : [tokenOf('admin', adminToken)]
  try {
    return new TokenBook([...own, ...readTokens(adminTokens)], adminTokenFile, onFault)
  } catch (error) {
    const flag = adminTokenFile === null ? '--admin-tokens' : '--admin-tokens, --admin-token-file'
    throw new StartError(`${flag}: ${(error as Error).message}`)
  }
}

/** Problems that do not prevent serving. */
function degraded(core: TableCore, { planes }: Front): string[] {
  const { live, history, fleet, operations, state, cluster, cookieKeys } = core
  const reasons: string[] = []
  if (live.refusal !== null) reasons.push('the table file is invalid: serving an earlier revision')
  if (operations.staleTlsFiles.length > 0) reasons.push('TLS files are invalid: using their previous content')
  if (history.problem !== null) reasons.push(history.problem)
  if (cluster !== null && cluster.problem !== null)
    reasons.push(`cluster ${cluster.name}: ${cluster.problem}; changing nothing`)
  for (const message of cluster?.foreign ?? []) reasons.push(`cluster ${cluster?.name}: ${message}`)
  if (cluster?.followed?.drift != null)
    reasons.push(`${cluster.followed.path} ${cluster.followed.drift.why}: it is not the table that is live`)
  const alone = cookieKeys.problemOf(live.current.table)
  if (alone !== null) reasons.push(alone)
  if (cluster === null && state?.isOwner === false)
    reasons.push(`changing nothing: the state folder is owned by ${state.owner}`)
  if (fleet.problem !== null) reasons.push(fleet.problem)
  const problem = planes.evidence.problem ?? planes.discovery.problem ?? planes.progress.problem
  if (problem !== null) reasons.push(problem)
  if (planes.cacheDegraded !== null) reasons.push(planes.cacheDegraded)
  return reasons
}

/** Readiness fails first, then the listener closes, then requests in flight finish. A second signal aborts them. */
async function drain(
  settings: Settings,
  core: TableCore,
  front: Front,
  admin: Server,
  { ramps, certificates }: { readonly ramps: Ramps; readonly certificates: readonly Certificates[] },
  log: AdminParts['log'],
): Promise<void> {
  front.endConnections()
  const hurry = signal()
  await Promise.race([hurry, wait(settings.drainDelayMs)])
  void hurry.then((name) => {
    log.warn({ event: 'draining', signal: name }, `${name} again: aborting what is left`)
    front.hurry()
  })
  await front.drain(settings.drainTimeoutMs)
  core.fleet.close()
  await Promise.race([core.operations.close(), wait(LAST_EDIT_MS)])
  const { evidence, discovery, progress } = front.planes
  await Promise.race([Promise.all([evidence.tick(), discovery.save(), progress.save()]), wait(LAST_EDIT_MS)])
  await Promise.race([Promise.all([ramps.close(), ...certificates.map((each) => each.close())]), wait(LAST_EDIT_MS)])
  await core.state?.close()
  await Promise.race([core.cluster?.close(), wait(LAST_EDIT_MS)])
  admin.close()
  admin.closeAllConnections()
}

function wait(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms))
}

/** Resolves at the next SIGTERM or SIGINT, with its name. */
function signal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}

function listenAt(server: Server, { host, port }: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      // One connection can't be accepted, for lack of memory for example: the next one may be.
      server.on('error', () => {})
      const bound = server.address() as AddressInfo
      resolve({ host: bound.address, port: bound.port })
    })
  })
}

/**
 * @param places of which one can't be listened at where it fails
 * @throws {StartError} which names that one, as the flag says it
 */
async function listening<T>(started: Promise<T>, places: readonly ListenPlace[], flag?: string): Promise<T> {
  try {
    return await started
  } catch (error) {
    const { code, message, place = places[0] } = error as NodeJS.ErrnoException & { place?: ListenPlace }
    const { path, port, tls } = place as ListenPlace
    const isReserved = path === undefined && port > 0 && port < 1024
    const denied = `permission denied${isReserved ? ' (ports below 1024 need root or CAP_NET_BIND_SERVICE)' : ''}`
    const why = code === 'EADDRINUSE' ? 'address already in use' : code === 'EACCES' ? denied : message
    throw new StartError(`${flag ?? (tls ? '--tls' : '--listen')} ${placeText(place as ListenPlace)}: ${why}`)
  }
}

function hostPort({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
