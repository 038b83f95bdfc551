/**
 * Memory: what a thousand idle connections take, and what a large body or a reader that stalls adds.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bench, bringUp, plain } from '../harness/contest.ts'
import { type Spread, spread } from '../harness/figures.ts'
import { cpuMicros, peakResidentBytes, resetPeakResident, residentBytes } from '../harness/procfs.ts'
import type { Budget, Column, Row } from '../harness/report.ts'
import type { Entrant } from '../harness/rounds.ts'
import { startNodeUpstream } from '../harness/upstream.ts'
import { runWrk } from '../harness/wrk.ts'
import { download, rawConnection, sendUntilStalled, upload } from '../load/bodies.ts'
import type { Scenario } from './scenario.ts'

const MIB = 1024 * 1024
const IDLE_CONNECTIONS = 1000
const BODY_BYTES = 1024 * MIB
/** The same kind of body, once before: what the proxy needs to stream at all is not what the size of a body costs. */
const WARM_UP_BYTES = 64 * MIB
const REPEATS = 3
const BODY_TIMEOUT_MS = 120_000

const COLUMNS: readonly Column[] = [
  { key: 'start', title: 'RSS MiB', digits: 1 },
  { key: 'idle', title: `RSS MiB, ${IDLE_CONNECTIONS} idle`, digits: 1 },
  { key: 'download', title: '+MiB, 1 GiB down', digits: 1, withRange: true },
  { key: 'upload', title: '+MiB, 1 GiB up', digits: 1, withRange: true },
  { key: 'stalledReader', title: '+MiB, stalled reader', digits: 1, withRange: true },
  { key: 'stalledUpstream', title: '+MiB, stalled upstream', digits: 1, withRange: true },
]

const NOTES = [
  `Growth is the peak of the resident memory during the body over what was resident right before, ${REPEATS} times, after one body of 64 MiB. A stalled transfer is measured when the proxy has come to rest.`,
]

export const memory: Scenario = {
  name: 'memory',
  about: 'resident memory: 1,000 idle connections, a 1 GiB body either way, a reader that stalls',
  standard: true,
  async run(bench) {
    const behind = await startNodeUpstream(bench.stage)
    const field = await bringUp(bench, bench.contestants.map(plain), behind.port)
    const rows: Row[] = []
    const failures: string[] = [...field.failures]
    for (const entrant of field.entrants) {
      try {
        rows.push({ label: entrant.label, figures: await figuresOf(bench, entrant) })
      } catch (error) {
        failures.push(`${entrant.label}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    await field.leave()
    await behind.running.stop()
    const { name, about } = memory
    return { scenario: name, about, columns: COLUMNS, rows, budgets: budgetsOf(rows), notes: NOTES, failures }
  },
}

async function figuresOf(bench: Bench, { label, port, pid }: Entrant): Promise<Record<string, Spread>> {
  if (pid === null) throw new Error('no process')
  const step = (what: string): void => bench.progress(`${label}: ${what}`)
  step('warming up')
  await runWrk(bench.stage, port, { path: '/bytes/240', method: 'GET', bodyBytes: 0, connections: 32 }, 3)
  const start = spread([residentBytes(pid) / MIB])
  step(`${IDLE_CONNECTIONS} idle connections`)
  const idle = spread([(await idleResident(port, pid)) / MIB])
  step('1 GiB down')
  const down = await growth(pid, (bytes) => download(port, `/bytes/${bytes}`, BODY_TIMEOUT_MS))
  step('1 GiB up')
  const up = await growth(pid, (bytes) => upload(port, '/sink', bytes, BODY_TIMEOUT_MS))
  step('a stalled reader')
  const stalledReader = await stalledGrowth(pid, () => stalledDownload(port))
  step('a stalled upstream')
  const stalledUpstream = await stalledGrowth(pid, () => sendUntilStalled(port, '/stall', BODY_BYTES))
  return { start, idle, download: down, upload: up, stalledReader, stalledUpstream }
}

/** Resident bytes while a thousand connections, each of which has had one answer, are kept open. */
async function idleResident(port: number, pid: number): Promise<number> {
  const sockets: Socket[] = []
  try {
    for (let i = 0; i < IDLE_CONNECTIONS; i++) {
      const connection = await rawConnection(port)
      sockets.push(connection.socket)
      await connection.get('/bytes/240')
    }
    await atRest(pid)
    return residentBytes(pid)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

async function growth(pid: number, transfer: (bytes: number) => Promise<void>): Promise<Spread> {
  await transfer(WARM_UP_BYTES)
  const grown: number[] = []
  for (let i = 0; i < REPEATS; i++) {
    resetPeakResident(pid)
    const before = residentBytes(pid)
    await transfer(BODY_BYTES)
    grown.push((peakResidentBytes(pid) - before) / MIB)
  }
  return spread(grown)
}

async function stalledGrowth(pid: number, stall: () => Promise<Socket>): Promise<Spread> {
  const grown: number[] = []
  for (let i = 0; i < REPEATS; i++) {
    const before = residentBytes(pid)
    const socket = await stall()
    await atRest(pid)
    grown.push((residentBytes(pid) - before) / MIB)
    socket.destroy()
    await atRest(pid)
  }
  return spread(grown)
}

/** Asks for 1 GiB and reads nothing. */
async function stalledDownload(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  socket.pause()
  socket.write(`GET /bytes/${BODY_BYTES} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
  return socket
}

/** Waits until a process has used next to no CPU time for a second, 20 seconds at most. */
async function atRest(pid: number): Promise<void> {
  for (let i = 0; i < 20; i++) {
    const before = cpuMicros(pid)
    await delay(1000)
    if (cpuMicros(pid) - before <= 20_000) return
  }
}

function added(before: Spread, after: Spread): Spread {
  return spread([after.median - before.median])
}

function budgetsOf(rows: readonly Row[]): Budget[] {
  const figures = rows.find((row) => row.label === 'banyan')?.figures
  if (figures === undefined) return []
  const { start, idle } = figures
  const budget = (what: string, key: string, limit: number): Budget[] => {
    const found = figures[key]
    return found === undefined ? [] : [{ what, limit, unit: ' MiB', digits: 1, found }]
  }
  return [
    ...(start === undefined || idle === undefined
      ? []
      : [{ what: 'added by 1,000 idle connections', limit: 110, unit: ' MiB', digits: 1, found: added(start, idle) }]),
    ...budget('added by 1 GiB down', 'download', 4),
    ...budget('added by 1 GiB up', 'upload', 4),
    ...budget('added by a stalled reader', 'stalledReader', 4),
    ...budget('added by a stalled upstream', 'stalledUpstream', 4),
  ]
}
