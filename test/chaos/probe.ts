/**
 * A process that looks at two proxies at the same moments, one in trouble and one at rest, through the same upstream of its
 * own. What is slow on both is the machine's doing.
 *
 * Prints `port N` of its upstream; takes `PORT PID PORT PID` on stdin, the proxy in trouble first; then prints a line of JSON
 * for each look.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'

const EVERY_MS = 20

/** What one of the proxies did with a request. */
export interface Seen {
  /** Milliseconds until it had answered; null where it gave another answer than the upstream's. */
  readonly ms: number | null
  /**
   * Milliseconds of it in which the proxy, or this process, was ready to run and the machine had no core for it. Of the proxy's
   * other threads the one that waited longest counts: its main thread waits for them in a collection.
   */
  readonly starved: number
  /** Milliseconds of CPU time of its main thread. */
  readonly ran: number
}

/** One look at both, begun at the same moment. */
export interface Look {
  readonly atMs: number
  readonly tried: Seen
  readonly atRest: Seen
}

const MARK = 'x-probe-upstream'

async function main(): Promise<void> {
  const server = createServer((_request, response) => response.setHeader(MARK, '1').end('ok'))
  server.keepAliveTimeout = 600_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`)
  for await (const line of createInterface({ input: process.stdin })) {
    const [triedPort = 0, triedPid = 0, restPort = 0, restPid = 0] = line.split(' ').map(Number)
    const [askTried, askAtRest] = [prober(triedPort, triedPid), prober(restPort, restPid)]
    setInterval(() => {
      const atMs = Date.now()
      void Promise.all([askTried(), askAtRest()]).then(([tried, atRest]) => {
        process.stdout.write(`${JSON.stringify({ atMs, tried, atRest } satisfies Look)}\n`)
      })
    }, EVERY_MS)
  }
}

/** What a thread has had of a core so far, and how long it has waited for one; milliseconds. */
interface Ran {
  readonly ran: number
  readonly waited: number
}

/** The threads of a process by their ids, the main thread first (proc_pid_schedstat); none once it has ended. */
function threadsOf(pid: number): Map<string, Ran> {
  const threads = new Map<string, Ran>()
  try {
    for (const id of readdirSync(`/proc/${pid}/task`)) {
      const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ').map(Number)
      threads.set(id, { ran: ran / 1e6, waited: waited / 1e6 })
    }
  } catch {
    // It has ended, or the thread has.
  }
  return threads
}

/** What each thread has had since then, the main thread first. */
function since(before: ReadonlyMap<string, Ran>, now: ReadonlyMap<string, Ran>): Ran[] {
  return [...now].map(([id, { ran, waited }]) => {
    const then = before.get(id) ?? { ran: 0, waited: 0 }
    return { ran: ran - then.ran, waited: waited - then.waited }
  })
}

/** Each look has a connection: one that waits holds no other up. */
function prober(port: number, pid: number): () => Promise<Seen> {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const ask = (begun: number): Promise<number | null> =>
    new Promise((resolve) => {
      get({ host: '127.0.0.1', port, path: '/probe', agent }, (response) => {
        response.resume()
        response.once('end', () => resolve(response.headers[MARK] === '1' ? performance.now() - begun : null))
        response.once('error', () => resolve(null))
      }).once('error', () => resolve(null))
    })
  return async () => {
    const before = { proxy: threadsOf(pid), own: threadsOf(process.pid) }
    const ms = await ask(performance.now())
    const [main, ...others] = since(before.proxy, threadsOf(pid))
    const [own] = since(before.own, threadsOf(process.pid))
    const starved = (main?.waited ?? 0) + (own?.waited ?? 0) + Math.max(0, ...others.map(({ waited }) => waited))
    return { ms, starved, ran: main?.ran ?? 0 }
  }
}

if (import.meta.main) await main()
