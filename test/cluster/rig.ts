/**
 * Instances of one cluster, for tests: each with a table file and a state folder of its own.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'

const answering = (text: string) => (request: UpstreamRequest) =>
  request.send(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`)

/** What a test has to undo, the last first. */
export const left: (() => unknown)[] = []

export async function undo(): Promise<void> {
  for (const one of left.splice(0).reverse()) await one()
}

/** A table with routes a to c between two upstreams. */
export async function clusterTable(): Promise<string> {
  const [legacy, modern] = await Promise.all([scriptedUpstream(answering('old')), scriptedUpstream(answering('new'))])
  left.push(() => Promise.all([legacy.stop(), modern.stop()]))
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}", "http://localhost:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a }, to: modern, percent: 0 }
  - { id: b, match: { path: /b }, to: modern, percent: 0 }
  - { id: c, match: { path: /c }, to: modern, percent: 0 }
`
}

/** A folder that goes with the test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-cluster-'))
  left.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Starts an instance. @param state folder; another one each time by default */
export async function member(
  table: string,
  redis: string,
  args: string[] = [],
  state = folder(),
  env: Readonly<Record<string, string>> = {},
): Promise<Banyan> {
  const flags = ['--cluster', 'shop', '--cluster-redis', redis, '--state', state, ...args]
  const banyan = await startBanyan({ table, args: flags, env, complains: true })
  left.push(() => banyan.stop())
  return banyan
}

/** A way to a port that can be cut, and healed. */
export class Gate {
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #state: 'open' | 'cut' | 'stalled' | 'late' = 'open'
  /** So many bytes pass to the port before it stalls, which is told then. */
  #bytesLeft = Number.POSITIVE_INFINITY
  #onStalled: () => void = () => {}
  /** What is to be done when it is healed. */
  #late: (() => void)[] = []

  /** @param delayMs how long everything takes, there and back */
  constructor(port: number, delayMs = 0) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1')
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one)
        one
          .on('error', () => {})
          .on('close', () => {
            this.#sockets.delete(one)
            this.#do(one === near, () => other.destroy())
          })
        const pass = (bytes: Buffer): void => this.#do(one === near, () => other.write(bytes))
        if (one === near) one.on('data', (bytes: Buffer) => this.#count(bytes.length))
        one.on('data', (bytes: Buffer) => (delayMs === 0 ? pass(bytes) : setTimeout(pass, delayMs / 2, bytes)))
      }
      if (this.#state === 'cut') this.cut()
    })
  }

  /** Now, never, or when it is healed. @param isThere on the way to the port */
  #do(isThere: boolean, act: () => void): void {
    if (this.#state === 'open' || this.#state === 'cut') act()
    else if (this.#state === 'late' && isThere) this.#late.push(act)
  }

  /** @returns its URL */
  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    left.push(() => {
      this.cut()
      this.#server.close()
    })
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  cut(): void {
    this.#state = 'cut'
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Nothing passes any more, and no end is told. @param isLate what is sent arrives when it is healed, whoever has sent it is gone by then */
  stall(isLate = false): void {
    this.#state = isLate ? 'late' : 'stalled'
  }

  /** Stalls when so many more bytes have come for the port. @returns when that is so */
  stallAfter(bytes: number): Promise<void> {
    this.#bytesLeft = bytes
    return new Promise((done) => {
      this.#onStalled = done
    })
  }

  #count(bytes: number): void {
    this.#bytesLeft -= bytes
    if (this.#bytesLeft >= 0 || this.#state !== 'open') return
    this.stall()
    this.#onStalled()
  }

  heal(): void {
    const before = this.#state
    this.#state = 'open'
    for (const act of this.#late.splice(0)) act()
    // What they lack makes connections that stand useless.
    if (before === 'stalled' || before === 'late') for (const socket of this.#sockets) socket.end()
  }
}

export interface Said {
  readonly status: number
  readonly etag: string | null
  /** How many instances have it in force: `2/3`. */
  readonly instances: string | null
  /** How many replicas of Redis have confirmed it: `1/1`; null where none were waited for. */
  readonly replicas: string | null
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  readonly json: any
}

/** Asks the admin API of an instance. */
export async function ask(
  { adminPort }: Banyan,
  method: string,
  path: string,
  body?: object,
  reason = 'why',
): Promise<Said> {
  const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method,
    ...(body && {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', 'Banyan-Reason': reason },
    }),
  })
  const { status, headers } = response
  const [instances, replicas] = ['Banyan-Instances', 'Banyan-Replicas'].map((name) => headers.get(name)) as [null, null]
  return { status, etag: headers.get('ETag'), instances, replicas, json: await response.json() }
}

/** Sets the percent of a route. */
export function setPercent(banyan: Banyan, route: string, percent: number, reason?: string): Promise<Said> {
  return ask(banyan, 'PATCH', `/routes/${route}`, { percent }, reason)
}

/** The history of an instance: the newest revision, and all, by number, etag, author and reason. */
export async function historyOf(banyan: Banyan): Promise<{ current: number; list: string[] }> {
  const { json } = await ask(banyan, 'GET', '/revisions')
  const list = (json.revisions as Record<string, unknown>[]).map(({ revision, etag, author, reason }) =>
    [revision, etag, author, reason].join(' '),
  )
  return { current: json.current, list }
}

/** The percents of the routes. */
export async function percents(banyan: Banyan): Promise<number[]> {
  const { json } = await ask(banyan, 'GET', '/routes')
  return json.routes.map(({ percent }: { percent: number }) => percent)
}

/** Waits until a check holds. */
export const soon = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 120_000, interval: 50 })
