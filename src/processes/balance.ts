/**
 * The primary's part in sharing connections: it holds the listening sockets, sends them to workers that are to accept again, and
 * leaves those that don't respond out of the comparison. It never touches a connection.
 */
import type { Bound, ListenPlace } from '../proxy/client/listen-at.ts'
import { ListeningSocket } from './listening-socket.ts'
import type { Shares } from './shares.ts'
import type { WorkerProcess } from './worker-process.ts'
import type { ListenFault } from './workers.ts'

/** How often workers are looked after while one of them is paused. */
const WATCH_MS = 1000

/** A worker that does not respond for this long is not waited for: the others accept what would be its part. */
const PATIENCE_MS = 3000

/** The workers that accept connections. */
export class Balance {
  readonly #shares: Shares
  readonly #workers = new Set<WorkerProcess>()
  #sockets: readonly ListeningSocket[] = []
  #watch: NodeJS.Timeout | undefined
  #onFirst: ((fault: ListenFault | null) => void) | null = null
  /** Workers that the socket was sent to before the last look. */
  #sentBefore = new Set<WorkerProcess>()

  constructor(shares: Shares) {
    this.#shares = shares
  }

  /**
   * Has all workers accept connections.
   * @returns the bound address of each place
   * @throws errors of bind(2) and listen(2), with a `code`, and the `place` where that is known
   */
  async listen(places: readonly ListenPlace[]): Promise<Bound[]> {
    this.#sockets = await openAll(places)
    const first = new Promise<ListenFault | null>((resolve) => {
      this.#onFirst = resolve
    })
    this.arrange()
    this.#watch = setInterval(() => this.#lookAfter(), WATCH_MS)
    this.#watch.unref()
    const fault = await first
    if (fault !== null) throw Object.assign(new Error(fault.message), { code: fault.code })
    return this.#sockets.map(({ address }) => address)
  }

  /** A worker has the sockets, or can't listen on it. */
  onListening(fault: ListenFault | null): void {
    this.#onFirst?.(fault)
    this.#onFirst = null
  }

  /** A worker takes its part of the connections from now on. */
  add(worker: WorkerProcess): void {
    this.#workers.add(worker)
    this.#shares.setCounts(worker.record, true)
    this.arrange()
    // Those with more connections are to leave the next ones to it.
    for (const other of this.#workers) if (other !== worker) other.link.look().catch(ignore)
  }

  /** A worker takes no more connections, or has exited. */
  remove(worker: WorkerProcess): void {
    if (!this.#workers.delete(worker)) return
    if (worker.word !== 'gone') this.#shares.setCounts(worker.record, false)
    this.arrange()
  }

  /** Sends the sockets to those that are due. */
  arrange(): void {
    if (this.#sockets.length === 0) return
    this.#shares.read()
    const due = new Set(this.#shares.due())
    for (const worker of this.#workers) {
      if (!due.has(worker.record)) continue
      this.#shares.setSent(worker.record, true)
      for (const [place, { handle }] of this.#sockets.entries()) worker.listen(handle, place)
    }
  }

  /** Reads how many connections there are. */
  refresh(): void {
    this.#shares.read()
  }

  /** Closes the sockets. Workers that accept go on. */
  close(): void {
    clearInterval(this.#watch)
    for (const socket of this.#sockets) socket.close()
    this.#sockets = []
  }

  #lookAfter(): void {
    this.#shares.read()
    const workers = [...this.#workers]
    // It does not arrive if the worker has no descriptor for it.
    for (const worker of this.#sentBefore) {
      if (this.#workers.has(worker) && this.#shares.isSent(worker.record)) this.#shares.setSent(worker.record, false)
    }
    if (workers.some(({ record }) => this.#shares.isPaused(record))) for (const worker of workers) this.#ask(worker)
    this.arrange()
    this.#sentBefore = new Set(workers.filter(({ record }) => this.#shares.isSent(record)))
  }

  /** Asks a worker whether it responds. */
  #ask(worker: WorkerProcess): void {
    const nowMs = performance.now()
    if (worker.askedAtMs === null) {
      worker.askedAtMs = nowMs
      const answered = (): void => {
        worker.askedAtMs = null
        if (this.#workers.has(worker)) this.#shares.setCounts(worker.record, true)
      }
      worker.link.look().then(answered, ignore)
    } else if (nowMs - worker.askedAtMs >= PATIENCE_MS) this.#shares.setCounts(worker.record, false)
  }
}

/** All of them, or none. */
async function openAll(places: readonly ListenPlace[]): Promise<ListeningSocket[]> {
  const sockets: ListeningSocket[] = []
  try {
    for (const place of places) sockets.push(await ListeningSocket.open(place))
    return sockets
  } catch (error) {
    for (const socket of sockets) socket.close()
    throw Object.assign(error as Error, { place: places[sockets.length] })
  }
}

function ignore(): void {
  // A worker that has exited needs no look.
}
