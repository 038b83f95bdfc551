/**
 * Edits: how soon the answers follow an edit by the admin API and one of the file, and what edits do to a load.
 */
import { once } from 'node:events'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Bench } from '../harness/contest.ts'
import { quantile, type Spread, spread } from '../harness/figures.ts'
import type { Report } from '../harness/report.ts'
import type { Running, Stage } from '../harness/stage.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import { runWrk } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))
const BY_API = 100
const BY_FILE = 20
/** An edit that shows in no answer by then never will. */
const GIVE_UP_MS = 10_000

export const edits: Scenario = {
  name: 'edits',
  about: 'how soon answers follow an edit by the API and one of the file, and edits under load',
  standard: true,
  run,
}

/** banyan in front of two sides, one of which answers 240 bytes and the other none. */
interface Proxy {
  readonly running: Running
  readonly table: string
  readonly port: number
  readonly admin: number
  readonly agent: Agent
}

async function run(bench: Bench): Promise<Report> {
  const { stage, progress, options } = bench
  const legacy = await startQuickUpstream(stage)
  const other = createServer((_req, res) => res.end())
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const proxy = await startProxy(stage, legacy.port, other)
  progress(`edits: ${BY_API} by the API`)
  const byApi: { answered: number; shown: number }[] = []
  for (let edit = 0; edit < BY_API; edit++) byApi.push(await editByApi(proxy, edit % 2 === 0 ? 100 : 0))
  progress(`edits: ${BY_FILE} of the file`)
  const byFile: number[] = []
  for (let edit = 0; edit < BY_FILE; edit++) byFile.push(await editFile(proxy, edit % 2 === 0 ? 100 : 0))
  progress('edits: under load')
  const loaded = await underLoad(bench, proxy, options.seconds * options.rounds)
  proxy.agent.destroy()
  await proxy.running.stop()
  other.close()
  await legacy.running.stop()
  const shown = byApi.map((edit) => edit.shown)
  return {
    scenario: edits.name,
    about: edits.about,
    columns: [
      { key: 'median', title: 'median ms (low-high)', digits: 1, withRange: true },
      { key: 'p99', title: 'p99 ms', digits: 1 },
    ],
    rows: [
      { label: 'API: until the edit is answered', figures: figuresOf(byApi.map((edit) => edit.answered)) },
      { label: 'API: until answers follow it', figures: figuresOf(shown) },
      { label: 'file: until answers follow it', figures: figuresOf(byFile) },
      { label: 'API under load: until the edit is answered', figures: figuresOf(loaded.answered) },
    ],
    budgets: [
      { what: 'until answers follow an edit by the API', limit: 10, unit: ' ms', digits: 1, found: spread(shown) },
      { what: 'until answers follow an edit of the file', limit: 1000, unit: ' ms', digits: 0, found: spread(byFile) },
    ],
    notes: [`Under load: ${loaded.answered.length} edits during ${loaded.requests} requests.`],
    failures: loaded.failures,
  }
}

async function startProxy(stage: Stage, legacy: number, other: Server): Promise<Proxy> {
  const table = join(stage.newFolder('banyan'), 'routes.yaml')
  const to = (other.address() as AddressInfo).port
  writeFileSync(
    table,
    `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  other: { servers: [http://127.0.0.1:${to}] }
default: legacy
routes:
  - { id: moving, match: { path: /stores/:storeId/gtins/:gtin }, to: other, percent: 0 }
  - { id: beside, match: { path: /beside }, to: other, percent: 0 }
`,
  )
  const [port, admin] = [await stage.freePort(), await stage.freePort()]
  const addresses = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`]
  const running = await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      process.execPath,
      PROGRAM,
      'serve',
      '--table',
      table,
      ...addresses,
      '--workers',
      '0',
      '--access-log',
      'none',
    ],
    ready: { line: 'banyan ready' },
  })
  return { running, table, port, admin, agent: new Agent({ keepAlive: true }) }
}

/** Milliseconds until the edit was answered, and until the first answer by it was in. */
async function editByApi(proxy: Proxy, percent: number): Promise<{ answered: number; shown: number }> {
  const startedMs = performance.now()
  const answered = patch(proxy, 'moving', percent).then(() => performance.now() - startedMs)
  const shown = await untilShown(proxy, percent, startedMs)
  return { answered: await answered, shown }
}

async function editFile(proxy: Proxy, percent: number): Promise<number> {
  const text = readFileSync(proxy.table, 'utf8').replace(/(id: moving.*percent: )\d+/, `$1${percent}`)
  writeFileSync(`${proxy.table}.new`, text)
  const startedMs = performance.now()
  renameSync(`${proxy.table}.new`, proxy.table)
  return untilShown(proxy, percent, startedMs)
}

/** Asks again and again, one request at a time. */
async function untilShown(proxy: Proxy, percent: number, startedMs: number): Promise<number> {
  for (;;) {
    const isOther = (await ask(proxy, proxy.port, 'GET', LOOKUP)) === 0
    const tookMs = performance.now() - startedMs
    if (isOther === (percent === 100)) return tookMs
    if (tookMs > GIVE_UP_MS) throw new Error(`an edit to ${percent} per cent shows in no answer`)
  }
}

/** One edit after the other beside wrk: none of its requests may fail. */
async function underLoad(bench: Bench, proxy: Proxy, seconds: number) {
  const answered: number[] = []
  let over = false
  const load = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32 } as const
  const measured = runWrk(bench.stage, proxy.port, load, seconds).finally(() => {
    over = true
  })
  for (let edit = 1; !over; edit++) {
    const startedMs = performance.now()
    await patch(proxy, 'beside', edit % 100)
    answered.push(performance.now() - startedMs)
  }
  const { units, errors } = await measured
  const failures = Object.entries(errors).map(([kind, count]) => `${count} ${kind} errors of wrk while edits were made`)
  return { answered, requests: units, failures }
}

async function patch(proxy: Proxy, id: string, percent: number): Promise<void> {
  await ask(proxy, proxy.admin, 'PATCH', `/routes/${id}`, JSON.stringify({ percent }))
}

/** @returns the length of the answer's body */
function ask({ agent }: Proxy, port: number, method: string, path: string, body = ''): Promise<number> {
  const headers = body === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length }
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, agent, headers }, (res) => {
      let length = 0
      res.on('data', (piece: Buffer) => {
        length += piece.length
      })
      res.once('end', () =>
        res.statusCode === 200 ? resolve(length) : reject(new Error(`${method} ${path}: ${res.statusCode}`)),
      )
      res.once('error', reject)
    })
    req.once('error', reject)
    req.end(body)
  })
}

function figuresOf(values: readonly number[]): Record<string, Spread> {
  const ascending = [...values].sort((a, b) => a - b)
  return { median: spread(values), p99: spread([quantile(ascending, 0.99)]) }
}
