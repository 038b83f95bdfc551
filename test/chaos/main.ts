/**
 * `npm run test:chaos -- [--seconds N] [--seed N] [--only KIND] [--workers N]`: random replies as Redis, random bytes as upstream, random
 * tables as file and random bodies at the admin API, one after the other, at a real proxy. It fails where the proxy ends,
 * throws, stops answering, or stalls its clients for longer than a second proxy at rest does at the same moment.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { FakeRedis } from '../support/fake-redis.ts'
import { startGarbage } from './garbage-upstream.ts'
import type { Look, Seen } from './probe.ts'
import { Random } from './random.ts'
import { type Scene, TROUBLES } from './trouble.ts'

const SLICE_MS = 5000
/** Looks begun within so long of each other saw the same machine. */
const TOGETHER_MS = 500
/** Behind each slice: what it began is over, and its stalls are its own. */
const REST_MS = 500

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    workers: { type: 'string', default: '0' },
    only: { type: 'string' },
  },
})

function tableOf(good: number, garbage: number): string {
  return `version: 1
upstreams:
  good:
    servers: [http://127.0.0.1:${good}]
  garbage:
    servers:
      - { id: s1, url: http://127.0.0.1:${garbage} }
    timeouts: { headers: 2s, idle: 2s }
default: good
routes:
  - { id: garbage, match: { path: /g/* }, to: garbage, percent: 100 }
  - { id: cached, match: { path: /c/* }, to: garbage, percent: 100, cache: { ttl: 1s } }
  - { id: fallen, match: { path: /f/* }, to: garbage, percent: 50, fallback: {} }
`
}

/** Starts the probe. @returns the port of its upstream, what it has seen so far, and what begins and ends it */
async function startProbe() {
  const child = spawn(process.execPath, [new URL('probe.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const looks: Look[] = []
  const port = await new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('port ')) resolve(Number(line.slice(5)))
      else looks.push(JSON.parse(line) as Look)
    })
  })
  const begin = (...about: number[]): void => void child.stdin.write(`${about.join(' ')}\n`)
  return { port, looks, begin, stop: () => child.kill() }
}

/** The longest stall of the proxy in trouble. */
interface Stall {
  /** Beyond what the proxy at rest took about then. */
  readonly excessMs: number
  readonly look: Look | null
}

/**
 * What a proxy itself took: what its main thread computed in any case, and what else it waited for where there was a core for
 * it. So a proxy that computes or blocks is seen, and a busy machine is not.
 */
function ownMs({ ms, starved, ran }: Seen): number {
  return ms === null ? 0 : Math.max(Math.min(ran, ms), ms - starved)
}

/** The longest stall, and how many looks were answered. */
function worst(looks: readonly Look[]): Stall & { readonly answered: number } {
  let stall: Stall = { excessMs: 0, look: null }
  let answered = 0
  for (const look of looks) {
    const { ms } = look.tried
    if (ms === null) continue
    answered++
    if (ownMs(look.tried) <= stall.excessMs) continue
    const near = looks.filter(({ atMs }) => Math.abs(atMs - look.atMs) < TOGETHER_MS + ms)
    const excessMs = ownMs(look.tried) - Math.max(...near.map(({ atRest }) => ownMs(atRest)))
    if (excessMs > stall.excessMs) stall = { excessMs, look }
  }
  return { ...stall, answered }
}

async function main(): Promise<number> {
  const seed = Number(values.seed)
  const untilMs = Date.now() + Number(values.seconds) * 1000
  const random = new Random(seed)
  const kinds = Object.entries(TROUBLES).filter(([kind]) => values.only === undefined || kind === values.only)
  console.log(`chaos: seed ${seed}, ${values.seconds} s, workers ${values.workers}`)
  const [probe, redis, garbage] = await Promise.all([startProbe(), FakeRedis.start(), startGarbage(random)])
  const table = tableOf(probe.port, garbage.port)
  const [banyan, atRest] = await Promise.all([
    startBanyan({ table, args: ['--redis', redis.url, '--workers', String(values.workers)], complains: true }),
    startBanyan({ table }),
  ])
  probe.begin(banyan.port, banyan.pid, atRest.port, atRest.pid)
  const scene: Scene = {
    random,
    redis,
    port: banyan.port,
    adminPort: banyan.adminPort as number,
    tableFile: banyan.tableFile,
    table,
    ports: [probe.port, garbage.port],
  }
  const faults: string[] = []
  const seen = Object.fromEntries(kinds.map(([kind]) => [kind, { slices: 0, excessMs: 0, stalls: 0 }]))
  while (Date.now() < untilMs && faults.length === 0) {
    for (const [kind, { make, stallMs }] of kinds) {
      const from = probe.looks.length
      await make(scene, Math.min(Date.now() + SLICE_MS, untilMs + 1000))
      await wait(REST_MS)
      const { excessMs, look, answered } = worst(probe.looks.slice(from))
      const row = seen[kind] as { slices: number; excessMs: number; stalls: number }
      row.slices++
      row.excessMs = Math.max(row.excessMs, excessMs)
      if (excessMs > stallMs) {
        const stall = `${kind}: clients waited ${Math.round(excessMs)} ms longer than at rest, over ${stallMs}`
        // Many turns of the event loop with others' work add up where the machine is starved; what the proxy does, it does again.
        if (row.stalls++ > 0) faults.push(`${stall}, again (${JSON.stringify(look)})`)
        else console.log(`chaos: ${stall} (${JSON.stringify(look)}): looking for another`)
      }
      if (answered === 0) faults.push(`${kind}: no probe was answered`)
      const ended = endOf(banyan)
      if (ended !== null) faults.push(`${kind}: ${ended}`)
      if (faults.length > 0) break
    }
  }
  for (const [kind, { slices, excessMs }] of Object.entries(seen)) {
    console.log(
      `chaos: ${kind}: ${slices} slices of ${SLICE_MS / 1000} s, longest stall beyond rest ${Math.round(excessMs)} ms`,
    )
  }
  const code = await banyan.stop()
  if (code !== 0 && faults.length === 0) faults.push(`ended with ${code} on SIGTERM`)
  faults.push(...exceptions(banyan))
  await atRest.stop()
  probe.stop()
  garbage.stop()
  await redis.stop()
  for (const fault of faults) console.log(`chaos: FAILED with seed ${seed}: ${fault}`)
  if (faults.length > 0)
    console.log(`${banyan.program.stderr.slice(-4000)}\n${banyan.log.slice(-30).join('\n').slice(-8000)}`)
  return faults.length === 0 ? 0 : 1
}

function endOf({ program }: Banyan): string | null {
  const { exitCode, signalCode } = program.child
  return exitCode === null && signalCode === null ? null : `the proxy ended with ${exitCode ?? signalCode}`
}

function exceptions({ log, program }: Banyan): string[] {
  const lines = log.filter((line) => line.includes('"event":"exception"') || line.includes('"event":"worker-died"'))
  const warned = program.stderr === '' ? [] : [`it wrote to stderr: ${program.stderr.slice(0, 2000)}`]
  return [...lines.slice(0, 5), ...warned]
}

// What a failed run leaves open must not keep it from ending.
if (import.meta.main) process.exit(await main())
