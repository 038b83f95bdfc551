/**
 * The soak: minutes of aborts, upgrades, slow readers and upstream restarts under load against a real banyan, with and without TLS,
 * over HTTP/1.1 and HTTP/2; afterwards its sockets and its heap must be where they were.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { startSecureBanyan } from './contestants/secure.ts'
import { heapAfterCollection, inspectorUrl } from './harness/inspector.ts'
import { openSockets, residentBytes } from './harness/procfs.ts'
import type { Running, Stage } from './harness/stage.ts'
import { startNodeUpstream, type Upstream } from './harness/upstream.ts'
import { download } from './load/bodies.ts'
import { Churn, type Counts, newCounts, type Ports } from './load/churn.ts'

/** What a proxy at rest holds. */
export interface Holdings {
  readonly sockets: number
  readonly heapBytes: number
  readonly externalBytes: number
  readonly residentBytes: number
}

/** What a soak found. */
export interface Soaked {
  readonly seconds: number
  /** At rest after a warm-up of the same kind. */
  readonly before: Holdings
  /** At rest after the soak. */
  readonly after: Holdings
  readonly counts: Counts
  readonly restarts: number
  /** What should not be; empty when all is well. */
  readonly failures: readonly string[]
}

/** What to soak, and for how long. */
export interface SoakOrder {
  /** Seconds of churn after the warm-up. */
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly progress: (what: string) => void
}

/** Heap and external memory may each differ by this much: counters of the table's own, code compiled late. */
const SLACK_BYTES = 2 * 1024 * 1024
const RESTART_EVERY_MS = 5000
const DOWN_MS = 200
/** A proxy needs as long, after the upstream has come back, to see that it is there. */
const BACK_MS = 500
/** How long connections may take to be gone after the last client left. */
const SETTLE_MS = 30_000

/** Starts banyan on a stage, soaks it and returns what it found. Throws only where the soak itself cannot run. */
export async function soak(stage: Stage, order: SoakOrder): Promise<Soaked> {
  const upstreamPort = await stage.freePort()
  const port = await stage.freePort()
  const upstream = new RestartedUpstream(stage, upstreamPort)
  await upstream.start()
  const ports = { port, tlsPort: await stage.freePort() }
  const proxy = await startSecureBanyan(stage, { ...ports, upstream: upstreamPort }, ['--inspect=127.0.0.1:0'])
  try {
    await download(port, '/bytes/1000', SETTLE_MS)
    order.progress(`warming up for ${order.warmUpSeconds} s`)
    await churnFor(order.warmUpSeconds, ports, upstream, newCounts())
    const before = await atRest(proxy, upstream, null)
    order.progress(`soaking for ${order.seconds} s`)
    const counts = newCounts()
    const restartsBefore = upstream.restarts
    await churnFor(order.seconds, ports, upstream, counts)
    const restarts = upstream.restarts - restartsBefore
    const after = await atRest(proxy, upstream, before.sockets)
    const failures = judge(before, after, counts)
    await download(port, '/bytes/1000', SETTLE_MS).catch((error: Error) => {
      failures.push(`no answer after the soak: ${error.message}`)
    })
    return { seconds: order.seconds, before, after, counts, restarts, failures }
  } finally {
    await proxy.stop()
    await upstream.stop()
  }
}

/** An upstream that is killed and comes back on the same port. */
class RestartedUpstream {
  restarts = 0
  readonly #stage: Stage
  readonly #port: number
  #upstream: Upstream | null = null
  #backMs = Number.POSITIVE_INFINITY

  constructor(stage: Stage, port: number) {
    this.#stage = stage
    this.#port = port
  }

  async start(): Promise<void> {
    this.#upstream = await startNodeUpstream(this.#stage, this.#port)
    this.#backMs = performance.now()
  }

  /** The number of its restarts while it is there, and has been for a while; else null. */
  get era(): number | null {
    return performance.now() > this.#backMs + BACK_MS ? this.restarts : null
  }

  /** Ends without a farewell, stays away for a moment, and returns. */
  async restart(): Promise<void> {
    const running = this.#upstream?.running
    this.#backMs = Number.POSITIVE_INFINITY
    running?.kill()
    await running?.ended
    await delay(DOWN_MS)
    await this.start()
    this.restarts++
  }

  async stop(): Promise<void> {
    await this.#upstream?.running.stop()
  }
}

async function churnFor(seconds: number, ports: Ports, upstream: RestartedUpstream, counts: Counts): Promise<void> {
  const churn = new Churn(ports, counts, () => upstream.era)
  const endMs = performance.now() + seconds * 1000
  churn.start()
  try {
    while (performance.now() < endMs) {
      await delay(Math.min(RESTART_EVERY_MS, Math.max(0, endMs - performance.now())))
      if (performance.now() < endMs) await upstream.restart()
    }
  } finally {
    await churn.stop()
  }
}

/**
 * What the proxy holds when all clients are gone and the upstream has been replaced once more, so that no kept-alive
 * connection is left. `expected` sockets end the wait early; without it, a count that stays the same for two seconds.
 */
async function atRest(proxy: Running, upstream: RestartedUpstream, expected: number | null): Promise<Holdings> {
  await upstream.restart()
  const deadlineMs = performance.now() + SETTLE_MS
  let sockets = openSockets(proxy.pid)
  let same = 0
  while (performance.now() < deadlineMs && (expected === null ? same < 8 : sockets > expected)) {
    await delay(250)
    const now = openSockets(proxy.pid)
    same = now === sockets ? same + 1 : 0
    sockets = now
  }
  const heap = await heapAfterCollection(inspectorUrl(proxy.output))
  return { sockets, ...heap, residentBytes: residentBytes(proxy.pid) }
}

function judge(before: Holdings, after: Holdings, counts: Counts): string[] {
  const failures = counts.wrong.map((what) => `a client saw ${what}`)
  if (after.sockets > before.sockets) failures.push(`${after.sockets} sockets open, ${before.sockets} before`)
  for (const key of ['heapBytes', 'externalBytes'] as const) {
    const grown = after[key] - before[key]
    if (grown > SLACK_BYTES) failures.push(`${key} grew by ${grown} (from ${before[key]})`)
  }
  for (const status of Object.keys(counts.answers)) {
    if (!['200', '502', '503', '504'].includes(status)) failures.push(`${counts.answers[status]} answers ${status}`)
  }
  if ((counts.answers[200] ?? 0) === 0) failures.push('no answer with status 200')
  if (counts.upgrades === 0) failures.push('no upgraded connection')
  if (counts.slowReads === 0) failures.push('no slowly read answer')
  if (counts.streams === 0) failures.push('no answer over HTTP/2')
  if (counts.handshakes === 0) failures.push('no connection with TLS')
  return failures
}
