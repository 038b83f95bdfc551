/**
 * A real redis-server for a test: on a free port, in memory only, ended by its own pid.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { findProgram } from '../../scripts/need-tools.ts'
import { freePort } from './free-port.ts'

const READY_WITHIN_MS = 120_000

/** A redis-server. */
export class RedisServer {
  readonly port: number
  readonly #options: readonly string[]
  readonly #folder = mkdtempSync(join(tmpdir(), 'banyan-redis-'))
  #child: ChildProcess | null = null

  constructor(port: number, options: readonly string[]) {
    this.port = port
    this.#options = options
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child?.pid as number
  }

  /** Starts it, empty. */
  async start(): Promise<void> {
    const program = findProgram('redis-server')
    if (program === null) throw new Error('redis-server is missing: node scripts/need-tools.ts test installs it')
    const own = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.#folder,
      // A replica need not wait for others that could be served together with it.
      '--repl-diskless-sync-delay',
      '0',
    ]
    this.#child = spawn(program, [...own, ...this.#options], { stdio: 'ignore' })
    const until = Date.now() + READY_WITHIN_MS
    while (!(await this.#answers())) {
      if (Date.now() > until || this.#child.exitCode !== null) throw new Error('redis-server did not start')
      await wait(10)
    }
  }

  /** SIGSTOP: it stands still, its connections stay. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Runs one command (see `commandOf`). */
  command(...words: (string | Buffer)[]): Promise<string> {
    return commandOf(this.port, ...words)
  }

  async #answers(): Promise<boolean> {
    try {
      return /^(\+PONG|-NOAUTH)/.test(await this.command('PING'))
    } catch {
      return false
    }
  }
}

/**
 * Runs one command, its words as they are, and returns the raw reply up to its first line's end.
 * @throws where the connection ends before there is one: a server that changes its role cuts its clients off
 */
export async function commandOf(port: number, ...words: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const parts = words.flatMap((word) => {
    const bytes = Buffer.from(word as string)
    return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
  })
  try {
    return await new Promise((resolve, reject) => {
      socket.once('connect', () => socket.write(Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts])))
      socket.once('data', (reply) => resolve(reply.toString('latin1')))
      socket.once('error', reject)
      socket.once('close', () => reject(new Error(`the connection ended before there was a reply to ${words[0]}`)))
    })
  } finally {
    socket.destroy()
  }
}

/** Starts one. @param options more of redis-server's own, such as `--maxmemory`, `2mb` */
export async function startRedis(...options: string[]): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), options)
  await server.start()
  return server
}
