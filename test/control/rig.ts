/**
 * What the control plane's tests stand on: a folder of their own, a table full of comments, and the admin API on a real port.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Gate } from '../../src/control/access/security.ts'
import { type AdminToken, TokenBook } from '../../src/control/access/tokens.ts'
import { createAdmin } from '../../src/control/admin/api.ts'
import { adminServer } from '../../src/control/admin/server.ts'
import type { AdminParts } from '../../src/control/context.ts'
import type { ControlLog } from '../../src/control/control-log.ts'
import { Planes } from '../../src/control/figures/planes.ts'
import { FleetKeeper } from '../../src/control/fleet/keeper.ts'
import { SOLE_OWNER } from '../../src/control/ownership.ts'
import { Ramps } from '../../src/control/ramps/ramps.ts'
import { TableFile, type WatchTimes } from '../../src/control/table/file.ts'
import { History } from '../../src/control/table/history.ts'
import { Operations } from '../../src/control/table/operations.ts'
import { TlsFiles } from '../../src/control/table/tls-files.ts'
import { readTable } from '../../src/rules/language/text.ts'
import type { IsAvailable } from '../../src/rules/routing/decide.ts'
import { CacheControl, newCounters } from '../../src/state/caching/figures.ts'
import { MemoryStore } from '../../src/state/caching/store.ts'
import { CacheTiers } from '../../src/state/caching/tiers.ts'
import { CookieKeySource } from '../../src/state/cookie-key-source.ts'
import { UsageTally } from '../../src/state/discovery/usage-tally.ts'
import { RampTally } from '../../src/state/evidence/ramp-tally.ts'
import { Tally } from '../../src/state/evidence/tally.ts'
import { Measurements } from '../../src/state/figures/measurements.ts'
import { LiveTable } from '../../src/state/live-table.ts'
import { LocalPlane, linkTo } from '../../src/state/local-plane.ts'
import { folderOf } from '../../src/state/store/state-folder.ts'
import { Upstreams } from '../../src/state/upstreams/upstreams.ts'

/** Comments and odd spacing everywhere: whatever an edit touches beyond its number shows. */
export const TABLE = `# The table of the catalog.   Two spaces stay  two.
version: 1

upstreams:
  legacy:            # the wrapped application
    servers: [ http://127.0.0.1:4001 ]   # one
  gtin:
    servers:
      - http://127.0.0.1:4002
      - { url: http://127.0.0.1:4003,   weight: 2 }

default: legacy   # whatever no route claims

routes:
  - id: gtin-lookup          # moved first
    match:
      path: "/stores/:storeId/gtins/:gtin"
      methods: [GET, HEAD]
    to: gtin
    percent: 5               # żółw: raised on Mondays
    sticky: [cookie:sid, 'header:x-client-id']

  - { id: search, match: { path: /search }, to: gtin, percent: 100 }
  # the last one has no percent yet
  - id: reviews
    match: { path: /reviews/* }
    to: gtin
# the end`

/** Quick, and still far above what a write takes. */
export const QUICK: WatchTimes = { pollMs: 40, quietMs: 30, suspiciousMs: 120, limitMs: 5_000 }

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** A log that keeps its lines. */
export function logInto(lines: LogLine[]): ControlLog {
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

/** A temporary folder, and what removes it. */
export async function folder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'banyan-control-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export interface Rig {
  readonly path: string
  readonly folder: string
  readonly live: LiveTable
  readonly history: History
  readonly operations: Operations
  readonly lines: LogLine[]
  text(): Promise<string>
  close(): Promise<void>
}

/**
 * A table file, the table in force, and the operations on both. The file is not watched until `operations.watch()`, and
 * revisions are kept in memory unless `keeps` says otherwise.
 */
export async function rig(text = TABLE, times: WatchTimes = QUICK, keeps: 'memory' | 'disk' = 'memory'): Promise<Rig> {
  const { path: dir, remove } = await folder()
  const path = join(dir, 'routes.yaml')
  await writeFile(path, text)
  const read = readTable(text, path)
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  const history = new History(keeps === 'disk' ? folderOf(path) : null)
  const { number, atMs } = history.start(text, 1_000)
  const tlsFiles = new TlsFiles(dir)
  const live = new LiveTable(read.table, text, atMs, number, tlsFiles.loadNow(read.table).material)
  const lines: LogLine[] = []
  const file = new TableFile(path, times)
  const cookieKeys = new CookieKeySource([], null)
  const operations = new Operations({
    live,
    file,
    tlsFiles,
    cookieKeys,
    history,
    log: logInto(lines),
    now: () => 2_000,
  })
  const close = async () => {
    await operations.close()
    await remove()
  }
  return { path, folder: dir, live, history, operations, lines, text: () => readFile(path, 'utf8'), close }
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body as JSON; any member may be asked of it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers of every shape
  readonly json: any
}

export interface Ask {
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer | object
}

export interface AdminRig extends Rig {
  readonly port: number
  ask(method: string, path: string, how?: Ask): Promise<Reply>
}

/** A cache in memory that nothing fills. */
export function memoryCache(): CacheControl {
  return new CacheControl(new CacheTiers(new MemoryStore(1_000_000), null), newCounters(), () => 2_000)
}

/** What a rig is told beside the admin API's parts. */
export interface AdminRigOptions extends Partial<AdminParts> {
  readonly tokens?: readonly AdminToken[]
  readonly text?: string
  readonly keeps?: 'memory' | 'disk'
  /** The totals, as the control plane has them; the last exchanges in them are the data plane's. */
  readonly measurements?: Measurements
  /** What the data plane has counted of comparisons. */
  readonly tally?: Tally
  /** What it has counted of requests without a route. */
  readonly usage?: UsageTally
  /** In the place of the breakers. */
  isAvailable?: IsAvailable
}

/** The admin API over a rig. */
export async function adminRig(options: AdminRigOptions = {}): Promise<AdminRig> {
  const {
    tokens = [],
    text,
    keeps,
    measurements = new Measurements(),
    tally = new Tally(),
    usage = new UsageTally(),
    isAvailable,
    ...parts
  } = options
  const base = await rig(text, QUICK, keeps)
  const counted = Object.assign(new Measurements(), { recent: measurements.recent })
  const upstreams = new Upstreams({ measurements: counted })
  base.live.onPrepare((table, material) => upstreams.prepare(table, material))
  const planes = new Planes(measurements)
  const plane = {
    live: base.live,
    measurements: counted,
    tally,
    ramps: new RampTally(),
    usage,
    upstreams,
    cache: memoryCache(),
  }
  if (isAvailable !== undefined) Object.assign(upstreams, { isAvailable })
  planes.add(0, linkTo(new LocalPlane(plane)))
  planes.follow(base.live.current.table, 0)
  base.live.onApply(({ table }) => planes.follow(table, 0))
  const now = parts.now ?? (() => 61_000)
  const fleet = new FleetKeeper({
    live: base.live,
    log: logInto(base.lines),
    folder: keeps === 'disk' ? base.folder : null,
    dnsServers: [],
    now,
    chance: () => 0,
  })
  fleet.start((known) => planes.setFleet(known))
  const { handler } = createAdmin({
    live: base.live,
    operations: base.operations,
    history: base.history,
    isReady: () => ({ ready: true, reasons: [] }),
    planes,
    ramps: new Ramps({
      ...base,
      planes,
      store: null,
      ownership: SOLE_OWNER,
      log: logInto(base.lines),
      now,
      monotonic: now,
    }),
    fleet,
    log: logInto(base.lines),
    gate: new Gate(new TokenBook(tokens), now),
    chance: () => 0.5,
    now,
    ...parts,
  })
  const server = adminServer(handler, logInto(base.lines))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const close = async () => {
    fleet.close()
    await new Promise((done) => server.close(done))
    await base.close()
  }
  return { ...base, port, close, ask: (method, path, how) => ask(port, method, path, how) }
}

function ask(port: number, method: string, path: string, how: Ask = {}): Promise<Reply> {
  const isObject = typeof how.body === 'object' && !Buffer.isBuffer(how.body)
  const body = isObject ? JSON.stringify(how.body) : (how.body as string | Buffer | undefined)
  const headers = { ...(isObject ? { 'Content-Type': 'application/json' } : {}), ...how.headers }
  return new Promise((done, fail) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (res) => {
      const pieces: Buffer[] = []
      res.on('data', (piece: Buffer) => pieces.push(piece))
      res.on('error', fail)
      res.on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8')
        const isJson = /json/.test(res.headers['content-type'] ?? '') && text !== ''
        done({ status: res.statusCode as number, headers: res.headers, text, json: isJson ? JSON.parse(text) : null })
      })
    })
    req.on('error', fail)
    req.end(body)
  })
}
