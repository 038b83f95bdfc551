/**
 * What the tests of deploys stand on: the catalog, three GTIN services in processes of their own, a proxy, and load of which every
 * outcome is known.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { expect } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type DemoProgram, startGtin, startLegacy } from '../../support/demo.ts'
import { freePort } from '../../support/free-port.ts'
import { type Load, type Outcome, startLoad } from '../../support/load.ts'
import { type Ended, banyan as inProcess, type Surroundings } from '../rig.ts'

// Each starts half a dozen processes, and watches them.
export const LOOKUP = '/stores/3/gtins/123456789012'
export const HEALTH = 'health: { path: /stores/health/gtins/check, every: 100ms, timeout: 20s, up: 2, down: 2 }'

/** GTIN services by id of their server; each can be ended and come back on its port as another version. */
export class Fleet {
  readonly #running = new Map<string, { stop(): Promise<unknown>; port: number }>()

  /** @param port that of the version before; the next one listens on the same */
  async start(id: string, version: string, port?: number): Promise<number> {
    const gtin: DemoProgram = await startGtin([
      ...['--name', `${id}-${version}`, '--drain-delay', '0ms'],
      ...['--listen', `127.0.0.1:${port ?? (await freePort())}`],
    ])
    this.#running.set(id, gtin)
    return gtin.port
  }

  portOf(id: string): number {
    return this.#running.get(id)!.port
  }

  /** The next version takes the port over from the one before. */
  async replace(id: string, version: string): Promise<void> {
    const port = await this.end(id)
    await this.start(id, version, port)
  }

  /** A version that is something else. */
  async replaceBy(id: string, listener: RequestListener): Promise<void> {
    const port = await this.end(id)
    const server: Server = createServer(listener)
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
    const stop = (): Promise<void> => {
      server.closeAllConnections()
      return new Promise((done) => server.close(() => done()))
    }
    this.#running.set(id, { port, stop })
  }

  async end(id: string): Promise<number> {
    const { port, stop } = this.#running.get(id)!
    await stop()
    return port
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ stop }) => stop()))
  }
}

export interface Stage {
  readonly banyan: Banyan
  readonly fleet: Fleet
  /** Runs `banyan WORDS...` against the proxy. */
  cli(words: readonly string[], with_?: Surroundings): Promise<Ended>
  admin(method: string, path: string, body?: unknown): Promise<Response>
  load(clients?: number): Load
  stop(): Promise<void>
}

/** @param table from the ports of the catalog and of the services */
export async function stageOf(
  ids: readonly string[],
  table: (legacy: number, port: (id: string) => number) => string,
  args: readonly string[] = [],
): Promise<Stage> {
  const fleet = new Fleet()
  const [legacy] = await Promise.all([startLegacy(['--latency', 'none']), ...ids.map((id) => fleet.start(id, 'v1'))])
  const banyan = await startBanyan({ table: table(legacy.port, (id) => fleet.portOf(id)), args })
  const admin = `127.0.0.1:${banyan.adminPort}`
  // A deploy does not begin with a server that has not been looked at often enough.
  const states = async (): Promise<string> => (await fetch(`http://${admin}/upstreams`)).text()
  await expect.poll(states).not.toMatch(/"state": ?"unhealthy"/)
  return {
    banyan,
    fleet,
    cli: (words, with_ = {}) =>
      inProcess(words, { now: Date.now, timeoutMs: 120_000, ...with_, env: { BANYAN_ADMIN: admin } }),
    admin: (method, path, body) =>
      fetch(`http://${admin}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      }),
    // A lookup of each of many clients, and a page of the catalog now and then.
    load: (clients = 6) =>
      startLoad(banyan.port, clients, (n) =>
        n % 8 === 0 ? { path: '/' } : { path: LOOKUP, headers: { 'x-client-id': `client-${n % 500}` } },
      ),
    stop: async () => {
      await banyan.stop()
      await Promise.all([legacy.stop(), fleet.stop()])
    },
  }
}

/** Which service answered, by the name that it gives itself; null for the catalog. */
export function answeredBy({ text }: Outcome): string | null {
  return /^\{"host":"([^"]+)"/.exec(text)?.[1] ?? null
}

/** Every request was answered, and well. @returns how many there were */
export function allGood(load: Load): number {
  const bad = load.outcomes.filter(({ status }) => status !== 200)
  expect(bad.map(({ status, error, text }) => `${status} ${error ?? text.slice(0, 200)}`)).toEqual([])
  return load.outcomes.length
}
