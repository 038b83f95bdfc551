/**
 * Everything that a benchmark run puts on the machine: processes pinned to a core, free ports, one temporary folder;
 * all of it goes with the stage, however the run ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findProgram } from '../../scripts/need-tools.ts'
import { family, type Identity, isRunning, twoCores } from './procfs.ts'

/** Where a process runs: on the proxy's core, on that of the load, or on whichever of both is free. */
export type Core = 'proxy' | 'load' | 'both'

/** A process to start. */
export interface Order {
  /** What it is called in reports. */
  readonly name: string
  readonly core: Core
  /** The program (a name to be found, or a path) and its arguments. */
  readonly command: readonly [string, ...string[]]
  /** It is ready when it accepts connections on this port of 127.0.0.1, or has printed a line that begins so. */
  readonly ready: { readonly port: number } | { readonly line: string }
}

const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 15_000
/** How much of what a process printed is kept to explain a failure, in characters. */
const KEPT_OUTPUT = 64 * 1024

/** A started process. */
export class Running {
  readonly name: string
  readonly pid: number
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  #output = ''
  #over = false
  #status: number | null = null

  constructor(name: string, child: ChildProcess) {
    if (child.pid === undefined) throw new Error(`${name}: cannot start ${child.spawnfile}`)
    this.name = name
    this.pid = child.pid
    this.#child = child
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-KEPT_OUTPUT)
    }
    child.stdout?.setEncoding('utf8').on('data', keep)
    child.stderr?.setEncoding('utf8').on('data', keep)
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => keep(`${error.message}\n`))
      child.once('close', (status) => {
        this.#over = true
        this.#status = status
        resolve()
      })
    })
  }

  /** The last 64 KiB of what it printed on stdout and stderr. */
  get output(): string {
    return this.#output
  }

  get over(): boolean {
    return this.#over
  }

  /** The exit status, or null while it runs and where a signal ended it. */
  get status(): number | null {
    return this.#status
  }

  /** Asks it to end, waits, and ends it and its descendants by force where asking did not help. */
  async stop(): Promise<void> {
    if (this.#over) return
    const members = family(this.pid)
    this.#child.kill('SIGTERM')
    const patience = new AbortController()
    const late = delay(STOP_TIMEOUT_MS, 'late', { signal: patience.signal }).catch(() => 'ended')
    const outcome = await Promise.race([this.ended.then(() => 'ended'), late])
    patience.abort()
    if (outcome === 'late') killAll(members)
    await this.ended
    // Whoever it has left behind.
    killAll(members)
  }

  /** Ends it and its descendants at once, without waiting. */
  kill(): void {
    if (!this.#over) killAll(family(this.pid))
  }
}

/** Owns what a run has started and created. */
export class Stage {
  /** A temporary folder of this run. */
  readonly folder: string
  readonly cores: { readonly proxy: number; readonly load: number }
  readonly #running = new Set<Running>()
  readonly #taskset: string
  #closed = false

  constructor() {
    const taskset = findProgram('taskset')
    if (taskset === null) throw new Error('taskset (package util-linux) is missing')
    this.#taskset = taskset
    this.cores = twoCores()
    this.folder = mkdtempSync(join(tmpdir(), 'banyan-bench-'))
    process.once('exit', () => this.#vanish())
  }

  /** Whether everything has been ended. */
  get closed(): boolean {
    return this.#closed
  }

  /** Moves this process to the core of the load, so that a proxy has its core alone. */
  stepAside(): void {
    this.#moveTo(String(this.cores.load))
  }

  /** Gives this process both cores while it works, in a scenario that starts no proxy. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.#moveTo(`${this.cores.proxy},${this.cores.load}`)
    try {
      return await work()
    } finally {
      this.stepAside()
    }
  }

  #moveTo(cores: string): void {
    spawnSync(this.#taskset, ['-acp', cores, String(process.pid)], { stdio: 'ignore' })
  }

  /** Starts a process and waits until it is ready; throws with its output where it ends or stays silent instead. */
  async start(order: Order): Promise<Running> {
    const running = this.#spawn(order.name, order.core, order.command)
    const deadlineMs = performance.now() + START_TIMEOUT_MS
    while (!(await isReady(running, order.ready))) {
      if (running.over) throw new Error(`${order.name} ended at start: ${lastLines(running.output)}`)
      if (performance.now() > deadlineMs) {
        await running.stop()
        throw new Error(`${order.name} is not ready after ${START_TIMEOUT_MS / 1000} s: ${lastLines(running.output)}`)
      }
      await delay(20)
    }
    return running
  }

  /** Runs a program on a core to its end and returns what it printed on stdout; throws where it failed. */
  async run(name: string, core: Core, command: readonly [string, ...string[]]): Promise<string> {
    let printed = ''
    const running = this.#spawn(name, core, command, (child) => {
      child.stdout?.on('data', (text: string) => {
        printed += text
      })
    })
    await running.ended
    if (running.status !== 0) throw new Error(`${name} failed: ${lastLines(running.output)}`)
    return printed
  }

  /** A port of 127.0.0.1 that nobody listens on now. */
  async freePort(): Promise<number> {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve)
    })
    const address = server.address()
    await new Promise((resolve) => server.close(resolve))
    if (address === null || typeof address === 'string') throw new Error('no port')
    return address.port
  }

  /** A new folder inside the stage's own. */
  newFolder(name: string): string {
    return mkdtempSync(join(this.folder, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}-`))
  }

  /** Ends all processes, removes the folder. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([...this.#running].map((running) => running.stop()))
    rmSync(this.folder, { recursive: true, force: true })
  }

  #coresOf(core: Core): string {
    return core === 'both' ? `${this.cores.proxy},${this.cores.load}` : String(this.cores[core])
  }

  #spawn(
    name: string,
    core: Core,
    command: readonly [string, ...string[]],
    watch?: (child: ChildProcess) => void,
  ): Running {
    if (this.#closed) throw new Error('the stage is closed')
    const [program, ...args] = command
    const path = program.includes('/') ? program : findProgram(program)
    if (path === null) throw new Error(`${name}: ${program} is missing`)
    const child = spawn(this.#taskset, ['-c', this.#coresOf(core), path, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_ENV: 'production' },
      cwd: this.folder,
    })
    const running = new Running(name, child)
    watch?.(child)
    this.#running.add(running)
    void running.ended.then(() => this.#running.delete(running))
    return running
  }

  /** The last resort, synchronous: for an exit that nobody announced. */
  #vanish(): void {
    for (const running of this.#running) running.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

async function isReady(running: Running, sign: Order['ready']): Promise<boolean> {
  if ('line' in sign) return running.output.split('\n').some((line) => line.startsWith(sign.line))
  return await new Promise((resolve) => {
    const socket = connect(sign.port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function lastLines(output: string): string {
  return output.trim().split('\n').slice(-5).join(' | ') || 'it printed nothing'
}

function killAll(members: readonly Identity[]): void {
  for (const member of members) {
    if (!isRunning(member)) continue
    try {
      process.kill(member.pid, 'SIGKILL')
    } catch {
      // Gone in this very moment.
    }
  }
}
