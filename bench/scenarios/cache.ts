/**
 * The cache: hits from memory beside nginx and Varnish, hits from Redis beside banyan's own forwarding, a 304, misses that
 * are stored, and a Zipf workload over a million lookups with little memory over Redis.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bench, columnsFor, cpuBudget, rowsOf, timingOf } from '../harness/contest.ts'
import { EARLIER, earlierProgram, hasEarlier } from '../harness/earlier.ts'
import { nginxFrame, startNginx } from '../harness/nginx.ts'
import type { Report } from '../harness/report.ts'
import { disturbances, type Entrant, interleave, type Measured } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { LOOKUP, startNodeUpstream, startQuickUpstream } from '../harness/upstream.ts'
import { readSummary } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const SCRIPT = fileURLToPath(new URL('../load/cache.lua', import.meta.url))
const FIXED_ANSWER = fileURLToPath(new URL('../load/fixed-answer.ts', import.meta.url))
const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))
const CONNECTIONS = 32
/** Distinct enough that no two of the connections ask for the same at the same time. */
const SOME_PATHS = 10_000
const MANY_PATHS = 1_000_000

const EARLIER_HIT = `banyan-${EARLIER}, memory hit`

/** How wrk asks: see cache.lua. */
interface Asking {
  readonly mode: 'same' | 'unchanged' | 'each' | 'new' | 'zipf'
  /** What stands before the number, where paths differ. */
  readonly path: string
  readonly count: number
}

/** One row of the report. */
interface Case extends Entrant {
  readonly asking: Asking
}

export const cache: Scenario = {
  name: 'cache',
  about: 'answers from memory, from Redis and from a 304; misses that are stored; a million lookups by Zipf',
  standard: true,
  async run(bench): Promise<Report> {
    const [quick, node] = [await startQuickUpstream(bench.stage), await startNodeUpstream(bench.stage)]
    const redis = await startRedisServer(bench)
    const started: Running[] = [quick.running, node.running, redis.running]
    const cases: Case[] = []
    const add = async (label: string, asking: Asking, starting: Promise<{ port: number; running: Running }>) => {
      bench.progress(`starting ${label}`)
      const { port, running } = await starting
      started.push(running)
      cases.push({ label, port, pid: running.pid, asking })
    }
    const same: Asking = { mode: 'same', path: LOOKUP, count: 1 }
    const each: Asking = { mode: 'each', path: `${LOOKUP}?n=`, count: SOME_PATHS }
    const { url } = redis
    await add('nginx, hit', same, startCachingNginx(bench, quick.port))
    await add('varnish, hit', same, startVarnish(bench, quick.port))
    await add('node:net, fixed answer', same, startFixedAnswer(bench, quick.port))
    await add('banyan, memory hit', same, startBanyan(bench, quick.port, []))
    if (hasEarlier()) await add(EARLIER_HIT, same, startBanyan(bench, quick.port, [], true, earlierProgram()))
    await add('banyan, 304', { ...same, mode: 'unchanged' }, stocked(startBanyan(bench, quick.port, [])))
    await add('banyan, forward', each, startBanyan(bench, quick.port, [], false))
    // Room for nothing: every answer comes from Redis.
    await add('banyan, Redis hit', each, startBanyan(bench, quick.port, ['--redis', url, '--memory-cache', '1B']))
    for (const [name, bytes] of Object.entries({ '1 KiB': 1024, '1 MiB': 1024 * 1024 })) {
      const asking: Asking = { mode: 'new', path: `/bytes/${bytes}/`, count: 1 }
      await add(`banyan, miss of ${name}`, asking, startBanyan(bench, node.port, []))
      await add(`banyan, pass of ${name}`, asking, startBanyan(bench, node.port, [], false))
    }
    const zipf: Asking = { mode: 'zipf', path: '/bytes/240/', count: MANY_PATHS }
    await add('banyan, Zipf', zipf, startBanyan(bench, node.port, ['--redis', url, '--memory-cache', '8MiB']))
    const series = await interleave(cases, timingOf(bench), (entrant, seconds) => drive(bench, entrant, cases, seconds))
    await Promise.all(started.reverse().map((running) => running.stop()))
    return {
      scenario: cache.name,
      about: cache.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: [
        ...cpuBudget(series, 'banyan, memory hit', 'nginx, hit', 0.75),
        ...cpuBudget(series, 'banyan, memory hit', 'varnish, hit', 1.1),
        ...cpuBudget(series, 'banyan, memory hit', EARLIER_HIT, 0.65),
        ...cpuBudget(series, 'banyan, Redis hit', 'banyan, forward', 1.1),
      ],
      notes: [
        `Hits: the answer of 240 bytes. "Redis hit" has no memory tier, and ${SOME_PATHS} paths in turn; Redis runs on the core of wrk. Misses and passes: a path never asked for before, from the Node upstream. Zipf: ${MANY_PATHS} paths of 240 bytes, 8 MiB of memory over Redis.`,
        ...disturbances(series),
      ],
      failures: series.flatMap((one) => one.failures),
    }
  },
}

async function drive(bench: Bench, entrant: Entrant, cases: readonly Case[], seconds: number): Promise<Measured> {
  const { mode, path, count } = (cases.find((one) => one.label === entrant.label) as Case).asking
  const printed = await bench.stage.run('wrk', 'load', [
    ...(['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '5s', '-s', SCRIPT] as const),
    ...[`http://127.0.0.1:${entrant.port}/`, '--', mode, path, String(count)],
  ])
  return readSummary(printed)
}

async function startBanyan(
  bench: Bench,
  upstreamPort: number,
  args: readonly string[],
  ...[caches = true, program = PROGRAM]: [caches?: boolean, program?: string]
) {
  const { stage } = bench
  const port = await stage.freePort()
  const table = join(stage.newFolder('banyan'), 'routes.yaml')
  const settings = caches ? ', cache: { ttl: 1h, maxBody: 2MiB }' : ''
  writeFileSync(
    table,
    `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${upstreamPort}] }
default: legacy
routes:
  - { id: all, match: { path: /* }, to: legacy${settings} }
`,
  )
  const running = await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      ...[process.execPath, ...bench.banyanFlags, program, 'serve', '--table', table, '--workers', '0'],
      ...[
        '--access-log',
        'none',
        '--listen',
        `127.0.0.1:${port}`,
        '--admin',
        `127.0.0.1:${await stage.freePort()}`,
        ...args,
      ],
    ] as [string, ...string[]],
    ready: { line: 'banyan ready' },
  })
  return { port, running }
}

/** With the lookup in its memory: a request whose condition holds for anything is not answered from nothing. */
async function stocked<T extends { readonly port: number }>(starting: Promise<T>): Promise<T> {
  const started = await starting
  const response = await fetch(`http://127.0.0.1:${started.port}${LOOKUP}`)
  await response.arrayBuffer()
  return started
}

async function startCachingNginx({ stage }: Bench, upstreamPort: number) {
  const port = await stage.freePort()
  const folder = stage.newFolder('nginx-cache')
  mkdirSync(join(folder, 'cache'))
  const config = nginxFrame(
    folder,
    `
    access_log off;
    proxy_cache_path ${folder}/cache keys_zone=answers:10m;
    open_file_cache max=1000;
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_cache answers;
        proxy_cache_valid 1h;
        proxy_pass http://127.0.0.1:${upstreamPort};
      }
    }`,
  )
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, config)
  return { port, running: await startNginx(stage, 'nginx', 'proxy', { folder, file, port }) }
}

async function startFixedAnswer({ stage }: Bench, upstreamPort: number) {
  const port = await stage.freePort()
  const running = await stage.start({
    name: 'node:net',
    core: 'proxy',
    command: [process.execPath, FIXED_ANSWER, String(port), String(upstreamPort), LOOKUP],
    ready: { port },
  })
  return { port, running }
}

async function startVarnish({ stage }: Bench, upstreamPort: number) {
  const port = await stage.freePort()
  const folder = stage.newFolder('varnish')
  const running = await stage.start({
    name: 'varnish',
    core: 'proxy',
    command: [
      // Without its jail: started by root, it would become an account that may not enter the temporary folder.
      ...(['varnishd', '-F', '-j', 'none', '-n', folder] as const),
      ...[
        '-a',
        `127.0.0.1:${port}`,
        '-b',
        `127.0.0.1:${upstreamPort}`,
        '-s',
        'malloc,64m',
        '-t',
        '3600',
        '-p',
        'timeout_idle=3600',
      ],
    ],
    ready: { port },
  })
  return { port, running }
}

async function startRedisServer({ stage }: Bench) {
  const port = await stage.freePort()
  const running = await stage.start({
    name: 'redis',
    core: 'load',
    command: [
      ...(['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'] as const),
      ...['--maxmemory', '512mb', '--maxmemory-policy', 'allkeys-lru', '--dir', stage.newFolder('redis')],
    ],
    ready: { port },
  })
  return { url: `redis://127.0.0.1:${port}`, running }
}
