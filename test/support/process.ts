/**
 * Real processes for tests: started on free ports, awaited by their ready line, ended by their own pid.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const READY_WITHIN_MS = 120_000

/** A process that has said that it is ready. */
export class Program {
  readonly child: ChildProcess
  readonly pid: number
  /** Lines of stdout, the ready line first. */
  readonly log: string[] = []
  /** Everything of stderr so far. */
  stderr = ''
  readonly #closed: Promise<number | null>
  readonly #waiting = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.child = child
    this.pid = child.pid as number
    let rest = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() as string
      this.log.push(...lines)
      for (const look of [...this.#waiting]) look()
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#closed = once(child, 'close').then(([code]) => {
      for (const look of [...this.#waiting]) look()
      return code as number | null
    })
  }

  /** Resolves with the first line of stdout, past or to come, that `matches`. */
  line(matches: (line: string) => boolean): Promise<string> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#waiting.delete(look)
        clearTimeout(timer)
        act()
      }
      const look = (): void => {
        const found = this.log.find(matches)
        if (found !== undefined) settle(() => resolve(found))
        else if (this.child.exitCode !== null || this.child.signalCode !== null)
          settle(() => reject(this.#why('ended')))
      }
      const timer = setTimeout(() => settle(() => reject(this.#why('said nothing of the kind'))), READY_WITHIN_MS)
      this.#waiting.add(look)
      look()
    })
  }

  /** SIGTERM. @returns the exit code, null where a signal had to end it */
  async stop(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    const kill = setTimeout(() => this.child.kill('SIGKILL'), READY_WITHIN_MS)
    const code = await this.#closed
    clearTimeout(kill)
    return code
  }

  /** Resolves when it has ended by itself. @returns the exit code, null where a signal has ended it */
  ended(): Promise<number | null> {
    return this.#closed
  }

  /** SIGKILL, for a program that listens to nothing else. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#closed
  }

  /** Resident memory now, bytes. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }

  /** Sockets that the process holds open now. */
  sockets(): number {
    const folder = `/proc/${this.pid}/fd`
    return readdirSync(folder).filter((fd) => isSocket(`${folder}/${fd}`)).length
  }

  /** Resolves when the process holds that many sockets. Nothing tells of it, so it is looked at again and again. */
  async socketsBecome(count: number): Promise<void> {
    for (let looks = 0; this.sockets() !== count; looks++) {
      if (looks === 12_000) throw new Error(`${this.sockets()} sockets, not ${count}`)
      await wait(10)
    }
  }

  #why(what: string): Error {
    const { spawnargs, exitCode } = this.child
    return new Error(`${spawnargs.join(' ')}: ${what} (exit ${exitCode}): ${this.log.join('\n')}\n${this.stderr}`)
  }
}

/**
 * Starts a program of this repository under the node that runs the tests, its file first in `args`.
 * @param more variables of its environment
 */
export function startProgram(args: readonly string[], more: Readonly<Record<string, string>> = {}): Program {
  const env = environment(more)
  return new Program(spawn(process.execPath, [...args], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** The environment of a program of this repository. @param more variables of it */
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BANYAN_')))
  // Options of the test runner's own node are not for its children.
  delete env.NODE_OPTIONS
  // What was stripped and compiled once need not be again by the next of many processes.
  env.NODE_COMPILE_CACHE = `${ROOT}node_modules/.cache/compile`
  // Nothing it loads is behind a link: a sixth of its start is spent on looking for some.
  env.NODE_PRESERVE_SYMLINKS = '1'
  return { ...env, ...more }
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('socket:')
  } catch {
    // Closed between the listing and the look.
    return false
  }
}

/** Flags of a Node that says it is another, before anything else runs. */
export function pretending(version: string): string[] {
  const versions = `{value:{...process.versions,node:'${version}'}}`
  return ['--import', `data:text/javascript,Object.defineProperty(process,'versions',${versions})`]
}
