/**
 * The stage of the benchmark with real processes: what it starts it can measure, and nothing is left of it.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bench, bringUp, loadInRounds, plain } from '../../bench/harness/contest.ts'
import { cpuMicros, family, isRunning, openSockets, residentBytes } from '../../bench/harness/procfs.ts'
import { interleave, type Measured } from '../../bench/harness/rounds.ts'
import { Stage } from '../../bench/harness/stage.ts'
import { startNodeUpstream } from '../../bench/harness/upstream.ts'
import { download, upload } from '../../bench/load/bodies.ts'

const MEASURED: Measured = { units: 10, perSecond: 10, p50Micros: 1, p99Micros: 1, errors: {} }
const quiet = { rounds: 2, seconds: 1, proxyCore: 0, progress: () => {} }

let stage: Stage

beforeEach(() => {
  stage = new Stage()
})

afterEach(async () => {
  await stage.close()
})

describe('stage', () => {
  test('ends what it started, with children that are left behind, and removes its folder', async () => {
    const program = join(stage.newFolder('family'), 'parent.mjs')
    writeFileSync(
      program,
      `import { spawn } from 'node:child_process'
       const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
       process.on('SIGTERM', () => process.exit(0))
       child.once('spawn', () => console.log('ready'))`,
    )
    const order = {
      name: 'family',
      core: 'load',
      command: [process.execPath, program],
      ready: { line: 'ready' },
    } as const
    const running = await stage.start(order)
    const members = family(running.pid)
    expect(members.length).toBe(2)
    await stage.close()
    await expect.poll(() => members.filter(isRunning)).toEqual([])
    expect(existsSync(stage.folder)).toBe(false)
  })

  test('a program that ends at start is an error that quotes it', async () => {
    const command = [process.execPath, '-e', 'console.error("no such table"); process.exit(1)'] as const
    const start = stage.start({ name: 'broken', core: 'proxy', command, ready: { line: 'ready' } })
    await expect(start).rejects.toThrow(/broken ended at start: no such table/)
  })

  test('a program that fails is an error, one that succeeds gives what it printed', async () => {
    await expect(stage.run('bad', 'load', [process.execPath, '-e', 'process.exit(3)'])).rejects.toThrow(/bad failed/)
    await expect(stage.run('good', 'load', [process.execPath, '-e', 'console.log(1 + 1)'])).resolves.toBe('2\n')
  })

  test('a missing program is an error that names it', async () => {
    await expect(stage.run('load', 'load', ['no-such-program'])).rejects.toThrow('no-such-program is missing')
  })
})

describe('the Node upstream', () => {
  test('sends and takes bodies, and can be measured', async () => {
    const { port, running } = await startNodeUpstream(stage)
    await download(port, '/bytes/1000000', 120_000)
    await upload(port, '/sink', 1_000_000, 120_000)
    expect(cpuMicros(running.pid)).toBeGreaterThan(0)
    expect(residentBytes(running.pid)).toBeGreaterThan(10 * 1024 * 1024)
    const idle = openSockets(running.pid)
    const client = connect(port, '127.0.0.1')
    await new Promise((resolve) => client.once('connect', resolve))
    await expect.poll(() => openSockets(running.pid)).toBe(idle + 1)
    client.destroy()
  })
})

describe('rounds', () => {
  const entrants = ['a', 'b', 'c'].map((label) => ({ label, port: 0, pid: null }))

  test('warm everyone up, then go round, beginning with another one each time', async () => {
    const order: string[] = []
    await interleave(entrants, quiet, async ({ label }) => {
      order.push(label)
      return MEASURED
    })
    expect(order.join('')).toBe('abc' + 'abc' + 'bca')
  })

  test('keep every error, of the warm-up too', async () => {
    let runs = 0
    const series = await interleave(entrants.slice(0, 1), quiet, async () => {
      return runs++ === 0 ? { ...MEASURED, errors: { status: 2 } } : { ...MEASURED, units: 0 }
    })
    expect(series[0]?.failures).toEqual(['a: 2 status errors in a run', 'a: a run without one answer'])
  })
})

describe('contest', () => {
  const bench = (): Bench => ({
    stage,
    options: {
      ...{
        scenarios: [],
        json: false,
        seconds: 1,
        rounds: 1,
        only: null,
        cpuProf: false,
        worlds: null,
        minutes: 1,
        help: false,
      },
    },
    contestants: [],
    banyanFlags: [],
    progress: () => {},
  })

  test('one that cannot start is a failure, and the others go on', async () => {
    const upstream = await startNodeUpstream(stage)
    const contestant = { name: 'x', about: '', upgrades: false, fromPeers: false }
    const broken = { ...contestant, name: 'broken', start: () => Promise.reject(new Error('no')) }
    const sound = { ...contestant, name: 'sound', start: () => Promise.resolve(upstream.running) }
    const field = await bringUp(bench(), [plain(broken), plain(sound)], upstream.port)
    expect(field.failures).toEqual(['broken: no'])
    expect(field.entrants.map((entrant) => entrant.label)).toEqual(['sound'])
    await field.leave()
    expect(upstream.running.over).toBe(true)
  })

  test('one that answers something else is not measured', async () => {
    const upstream = await startNodeUpstream(stage)
    const closedPort = await stage.freePort()
    const load = { path: '/bytes/5', method: 'GET', bodyBytes: 0, connections: 1 } as const
    const entrants = [upstream.port, closedPort].map((port) => ({ label: String(port), port, pid: null }))
    const series = await loadInRounds(
      { ...bench(), options: { ...bench().options, rounds: 0 } },
      entrants.slice(1),
      load,
    )
    expect(series[0]?.failures[0]).toMatch(/answers no answer: connect ECONNREFUSED/)
  })
})
