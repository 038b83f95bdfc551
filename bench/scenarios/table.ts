/**
 * A table of 5,000 routes: what an edit of a percent costs, in time, in CPU of the threads that serve, and for clients; and what
 * a route costs that is added or removed.
 */
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tableText } from '../contestants/banyan.ts'
import type { Bench } from '../harness/contest.ts'
import { quantile, type Spread, spread } from '../harness/figures.ts'
import { threadMicros, tree } from '../harness/procfs.ts'
import type { Report } from '../harness/report.ts'
import type { Running } from '../harness/stage.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))
const ROUTES = 5_000
/** Edits of one round. */
const EDITS = 20
/** Routes that are added and removed in one round. */
const ROUTES_ADDED = 3
/** Between two edits: clients are served, and nothing is due. */
const PAUSE_MS = 50
/** A new process compiles code and reports what it has counted. */
const SETTLED_MS = 3_000

export const table: Scenario = {
  name: 'table',
  about: 'edits in a table of 5,000 routes, with a worker that serves: of a percent; a route added, and removed again',
  standard: true,
  run,
}

/** Figures of one round, in milliseconds. */
interface Round {
  readonly edits: readonly number[]
  /** CPU of the thread that serves, for each edit. */
  readonly serving: number
  /** CPU of all processes, for each edit. */
  readonly all: number
  /** The longest request of a client. */
  readonly longest: number
}

async function run({ stage, progress, options, banyanFlags }: Bench): Promise<Report> {
  const upstream = await startQuickUpstream(stage)
  const file = join(stage.newFolder('banyan'), 'routes.yaml')
  writeFileSync(file, tableText(upstream.port, ROUTES))
  const [port, admin] = [await stage.freePort(), await stage.freePort()]
  const running = await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      ...[
        process.execPath,
        ...banyanFlags,
        PROGRAM,
        'serve',
        '--table',
        file,
        '--workers',
        '1',
        '--access-log',
        'none',
      ],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`],
    ] as [string, ...string[]],
    ready: { line: 'banyan ready' },
  })
  const agent = new Agent({ keepAlive: true })
  const ask = (to: number, method: string, path: string, body = '') => asked(agent, to, method, path, body)
  await new Promise((done) => setTimeout(done, SETTLED_MS))
  const [without, beside, quiet, routes]: [Round[], Round[], Round[], Round[]] = [[], [], [], []]
  for (let round = -1; round < options.rounds; round++) {
    progress(`table: round ${Math.max(0, round) + 1}`)
    const idle = await oneRound(running, ask, port, null)
    const edited = await oneRound(running, ask, port, admin)
    const alone = await oneRound(running, ask, null, admin)
    const changed = await routesRound(running, ask, admin)
    // The first one is a warm-up.
    if (round === -1) continue
    without.push(idle)
    beside.push(edited)
    quiet.push(alone)
    routes.push(changed)
  }
  agent.destroy()
  await running.stop()
  await upstream.running.stop()
  const added = (of: (round: Round) => number): Spread =>
    spread(beside.map((round, at) => of(round) - of(without[at] as Round)))
  const edits = beside.flatMap((round) => round.edits)
  const ascending = [...edits].sort((a, b) => a - b)
  const serving = spread(quiet.map((round) => round.serving))
  const longest = added((round) => round.longest)
  return {
    scenario: table.name,
    about: table.about,
    columns: [{ key: 'median', title: 'median ms (low-high)', digits: 2, withRange: true }],
    rows: [
      { label: 'until the edit is answered, and in force', figures: { median: spread(edits) } },
      { label: 'the same, p99', figures: { median: spread([quantile(ascending, 0.99)]) } },
      { label: 'CPU of the thread that serves, an edit', figures: { median: serving } },
      { label: 'CPU of all processes, an edit', figures: { median: spread(quiet.map((round) => round.all)) } },
      {
        label: 'longest request of a client, without edits',
        figures: { median: spread(without.map((one) => one.longest)) },
      },
      {
        label: 'longest request of a client, beside edits',
        figures: { median: spread(beside.map((one) => one.longest)) },
      },
      {
        label: 'a route added, or removed: until it is answered',
        figures: { median: spread(routes.flatMap((one) => one.edits)) },
      },
      {
        label: 'the same, CPU of the thread that serves',
        figures: { median: spread(routes.map((one) => one.serving)) },
      },
      { label: 'the same, CPU of all processes', figures: { median: spread(routes.map((one) => one.all)) } },
    ],
    budgets: [
      { what: 'an edit of a percent', limit: 100, unit: ' ms', digits: 1, found: spread(edits) },
      { what: 'CPU of the thread that serves', limit: 1, unit: ' ms', digits: 2, found: serving },
      { what: 'added to the longest request of a client', limit: 10, unit: ' ms', digits: 1, found: longest },
    ],
    notes: [
      `${EDITS} edits a round, ${PAUSE_MS} ms apart, beside one client that sends one request after the other.`,
      'CPU: of rounds without a client, reports and all else that is due included.',
    ],
    failures: [],
  }
}

type Ask = (to: number, method: string, path: string, body?: string) => Promise<void>

/** @param port null for a round without a client @param admin null for a round without edits */
async function oneRound({ pid }: Running, ask: Ask, port: number | null, admin: number | null): Promise<Round> {
  const worker = tree(pid)[1] as number
  let [over, longest] = [false, 0]
  const client = (async () => {
    while (!over && port !== null) {
      const startedMs = performance.now()
      await ask(port, 'GET', LOOKUP)
      longest = Math.max(longest, performance.now() - startedMs)
      await new Promise((done) => setTimeout(done, 2))
    }
  })()
  const edits: number[] = []
  const before = cpuOf(pid, worker)
  for (let edit = 0; edit < EDITS; edit++) {
    const startedMs = performance.now()
    if (admin !== null)
      await ask(admin, 'PATCH', `/routes/route-${edit + 1}`, JSON.stringify({ percent: (startedMs % 90) | 1 }))
    edits.push(performance.now() - startedMs)
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
  const after = cpuOf(pid, worker)
  over = true
  await client
  const [serving = 0, ...all] = after.map((ms, at) => (ms - (before[at] as number)) / EDITS)
  return { edits, serving, all: all.reduce((sum, ms) => sum + ms, 0), longest }
}

/** Adds and removes routes, without a client. */
async function routesRound({ pid }: Running, ask: Ask, admin: number): Promise<Round> {
  const worker = tree(pid)[1] as number
  const edits: number[] = []
  const timed = async (...[method, path, body = '']: [string, string, string?]): Promise<void> => {
    const startedMs = performance.now()
    await ask(admin, method, path, body)
    edits.push(performance.now() - startedMs)
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
  const before = cpuOf(pid, worker)
  for (let route = 0; route < ROUTES_ADDED; route++) {
    const id = `added-${route}`
    await timed('POST', '/routes', JSON.stringify({ id, match: { path: `/${id}/:id` }, to: 'gtin', percent: 5 }))
    await timed('DELETE', `/routes/${id}`)
  }
  const after = cpuOf(pid, worker)
  const [serving = 0, ...all] = after.map((ms, at) => (ms - (before[at] as number)) / edits.length)
  return { edits, serving, all: all.reduce((sum, ms) => sum + ms, 0), longest: 0 }
}

/** Milliseconds of CPU so far: of the thread that serves in the worker, and of each process. */
function cpuOf(pid: number, worker: number): number[] {
  return [threadMicros(worker, worker), ...tree(pid).map((one) => threadMicros(one))].map((micros) => micros / 1000)
}

function asked(agent: Agent, port: number, method: string, path: string, body: string): Promise<void> {
  const headers = body === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length }
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, agent, headers }, (res) => {
      res.resume()
      res.once('error', reject)
      res.once('end', () =>
        res.statusCode === 200 || res.statusCode === 201
          ? resolve()
          : reject(new Error(`${method} ${path}: ${res.statusCode}`)),
      )
    })
    req.once('error', reject)
    req.end(body)
  })
}
