/**
 * A process that looks at two proxies at the same moments, one in trouble and one at rest, through the same upstream of its
 * own. What is slow on both is the machine's doing.
 *
 * Prints `port N` of its upstream; takes `PORT PORT PID` on stdin, the proxy in trouble first; then prints a line of JSON for
 * each look.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'

const EVERY_MS = 20

/** One look: milliseconds until each had answered; null where it gave another answer than the upstream's. */
export interface Look {
  readonly atMs: number
  readonly tried: number | null
  readonly atRest: number | null
  /** Milliseconds of it in which the proxy in trouble, or this process, was ready to run and the machine had no core for it. */
  readonly starved: number
}

const MARK = 'x-probe-upstream'

async function main(): Promise<void> {
  const server = createServer((_request, response) => response.setHeader(MARK, '1').end('ok'))
  server.keepAliveTimeout = 600_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`)
  for await (const line of createInterface({ input: process.stdin })) {
    const [tried = 0, atRest = 0, pid = 0] = line.split(' ').map(Number)
    const [askTried, askAtRest] = [prober(tried), prober(atRest)]
    setInterval(() => {
      const atMs = Date.now()
      const before = starvedMs(pid) + starvedMs(process.pid)
      const look = askTried().then((ms) => [ms, starvedMs(pid) + starvedMs(process.pid) - before] as const)
      void Promise.all([look, askAtRest()]).then(([[ms, starved], other]) => {
        process.stdout.write(`${JSON.stringify({ atMs, tried: ms, atRest: other, starved } satisfies Look)}\n`)
      })
    }, EVERY_MS)
  }
}

/** How long the main thread of a process has waited for a core so far (proc_pid_schedstat), milliseconds. */
function starvedMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}

/** Each look has a connection: one that waits holds no other up. */
function prober(port: number): () => Promise<number | null> {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  return () =>
    new Promise((resolve) => {
      const begun = performance.now()
      get({ host: '127.0.0.1', port, path: '/probe', agent }, (response) => {
        response.resume()
        response.once('end', () => resolve(response.headers[MARK] === '1' ? performance.now() - begun : null))
        response.once('error', () => resolve(null))
      }).once('error', () => resolve(null))
    })
}

if (import.meta.main) await main()
