/**
 * What the tests of workers stand on: an upstream that answers, load whose every request is accounted for, and the workers as
 * the admin API tells of them.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { type Banyan, type BanyanOptions, startBanyan } from '../support/banyan.ts'
import { PAUSE_MS } from '../support/load.ts'

/** An upstream that answers each request with its name. */
export async function upstreamNamed(name: string): Promise<number> {
  const server: Server = createServer((req, res) => {
    req.resume()
    res.end(name)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** Banyan with so many workers. It is stopped at the end of the test, and must have drained: exit 0. */
export async function banyanWith(workers: number, options: BanyanOptions): Promise<Banyan> {
  const banyan = await startBanyan({ ...options, args: [...(options.args ?? []), '--workers', String(workers)] })
  onTestFinished(async () => {
    await banyan.stop()
  })
  return banyan
}

/** One request of a load, and what became of it: the status, or the error that broke it. */
export interface Outcome {
  readonly status: number | null
  readonly text: string
  readonly error: string | null
  /** The answer ended its connection. */
  readonly closes: boolean
}

/** GET with nothing repeated: an error is an error. */
export function get(port: number, path: string, agent: Agent, headers: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const broken = (error: Error): void =>
      resolve({
        status: null,
        text: '',
        error: `${(error as NodeJS.ErrnoException).code}: ${error.message}`,
        closes: true,
      })
    const asked = request({ host: '127.0.0.1', port, path, agent, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.once('error', broken)
      response.once('end', () => {
        const closes = response.headers.connection === 'close'
        resolve({ status: response.statusCode as number, text, error: null, closes })
      })
    })
    asked.once('error', broken)
    asked.end()
  })
}

/** What kind of clients a load has. */
export interface LoadOptions {
  readonly path?: string
  /** Each request has a connection of its own. */
  readonly closes?: boolean
}

/** Clients that ask again and again, each on a kept-alive connection of its own; a new one where the last was ended. */
export class Load {
  /** Requests that are over. */
  requests = 0
  /** Those of them that were not answered with 200. */
  readonly failed: Outcome[] = []
  /** By the text of the answer. */
  readonly answers = new Map<string, number>()
  /** Answers that ended their connection. */
  closes = 0
  #going = true
  readonly #over: Promise<unknown>
  #waiting: (() => void)[] = []

  constructor(port: number, clients: number, { path = '/', closes = false }: LoadOptions = {}) {
    this.#over = Promise.all(Array.from({ length: clients }, () => this.#client(port, path, !closes)))
  }

  /** Resolves when so many more requests are over. */
  async more(count: number): Promise<void> {
    const enough = this.requests + count
    while (this.requests < enough) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Ends it, with every request over. */
  async stop(): Promise<void> {
    this.#going = false
    await this.#over
  }

  async #client(port: number, path: string, keepAlive: boolean): Promise<void> {
    const agent = new Agent({ keepAlive, maxSockets: 1 })
    while (this.#going) {
      const outcome = await get(port, path, agent)
      this.requests++
      if (outcome.closes) this.closes++
      if (outcome.status !== 200) this.failed.push(outcome)
      this.answers.set(outcome.text, (this.answers.get(outcome.text) ?? 0) + 1)
      for (const wake of this.#waiting.splice(0)) wake()
      await setTimeout(PAUSE_MS)
    }
    agent.destroy()
  }
}

export interface WorkerLine {
  readonly worker: number
  readonly state: string
  readonly pid: number
  readonly revision: number
  readonly connections: number
  readonly starts: number
}

/** The workers, as /readyz tells of them. */
export async function workersOf(banyan: Banyan): Promise<WorkerLine[]> {
  const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)
  return ((await answer.json()) as { workers: WorkerLine[] }).workers
}

/** Asks until what the workers are is as it should be. Nothing tells of it, so it is asked again and again. */
export async function workersBecome(banyan: Banyan, right: (workers: WorkerLine[]) => boolean): Promise<WorkerLine[]> {
  for (;;) {
    const workers = await workersOf(banyan)
    if (right(workers)) return workers
    await setTimeout(20)
  }
}

/** A sample of /metrics, or the sum of those that begin so. */
export async function metric(banyan: Banyan, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  const samples = text.split('\n').filter((line) => line.startsWith(name))
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** Sets the percent of a route. */
export function setPercent(banyan: Banyan, route: string, percent: number): Promise<Response> {
  return patch(banyan, route, { percent })
}

export function patch(banyan: Banyan, route: string, body: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${banyan.adminPort}/routes/${route}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify(body),
  })
}

/** Whether a process runs; one that has ended and that nobody has asked after yet does not. */
export function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
