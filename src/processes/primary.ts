/**
 * The primary: holds the listening socket that the workers accept from, and connects the control plane to the workers' data
 * planes.
 */
import type { WorkerState } from '../control/context.ts'
import { Planes } from '../control/figures/planes.ts'
import type { RevisionText } from '../control/table/followers.ts'
import { newInstanceId } from '../core.ts'
import type { Logs } from '../logging/log.ts'
import type { Bound } from '../proxy/client/listen-at.ts'
import { placesOf, type Settings } from '../settings/settings.ts'
import type { Pin } from '../state/pins.ts'
import { NO_SERVER_TLS, type ServerTls } from '../state/tls/server-tls.ts'
import { Balance } from './balance.ts'
import type { Front } from './front.ts'
import { Places } from './places.ts'
import { Shares } from './shares.ts'
import { TwoPhase } from './two-phase.ts'
import { WorkerProcess } from './worker-process.ts'

/** Dependencies of the primary. */
export interface PrimaryParts {
  readonly settings: Settings
  /** Arguments of `banyan serve`: each worker reads the settings from them. */
  readonly args: readonly string[]
  readonly logs: Logs
}

/** The workers of one instance. */
export class Primary implements Front {
  readonly planes = new Planes()
  /** Distributes revisions to the workers. */
  readonly followers: TwoPhase
  readonly #parts: PrimaryParts
  readonly #places: Places
  readonly #balance: Balance
  /** Workers that serve requests, draining ones included, with their plane numbers. */
  readonly #planeOf = new Map<WorkerProcess, number>()
  readonly #paused = new Set<WorkerProcess>()
  readonly #instance = newInstanceId()
  #nextPlane = 1
  #tls = NO_SERVER_TLS
  #onSuspect: (hostname: string) => void = () => {}
  #onPinned: (pins: readonly Pin[]) => void = () => {}

  constructor(parts: PrimaryParts) {
    const { log } = parts.logs
    this.#parts = parts
    const shares = Shares.create(parts.settings.workers)
    this.#balance = new Balance(shares)
    this.followers = new TwoPhase(() => [...this.#planeOf.keys()], log)
    this.#places = new Places(parts.settings.workers, {
      log,
      create: (events) => new WorkerProcess(parts.args, shares, events),
      start: () => ({
        revision: this.followers.inForce,
        tableName: parts.settings.table === '-' ? 'stdin' : parts.settings.table,
        fleet: this.planes.fleet,
        instance: this.#instance,
        tls: this.#tls,
      }),
      onReady: (worker) => this.#employ(worker),
      onLines: (worker, text) => this.#print(worker, text),
      onInvalidated: (worker, purges) => {
        for (const other of this.#planeOf.keys()) if (other !== worker) other.link.invalidated(purges).catch(ignore)
      },
      onPinned: (worker, pins) => {
        for (const other of this.#planeOf.keys()) if (other !== worker) other.link.pinned(pins).catch(ignore)
        this.#onPinned(pins)
      },
      onSuspect: (hostname) => this.#onSuspect(hostname),
      onListening: (fault) => this.#balance.onListening(fault),
      onDue: () => this.#balance.arrange(),
      onGone: (worker) => this.#dismiss(worker),
      letGo: (worker) => this.#letGo(worker, true, parts.settings.drainTimeoutMs),
    })
  }

  /** Rejects when no worker can be kept alive. */
  get broken(): Promise<never> {
    return this.#places.broken
  }

  /**
   * Starts the workers. Resolves when all of them can serve.
   * @param revision the current one
   * @throws {StartError} if one lacks something it needs, or they exit right after starting
   */
  async start(revision: RevisionText): Promise<void> {
    this.followers.begin(revision)
    await this.#places.fill()
  }

  onSuspect(listener: (hostname: string) => void): void {
    this.#onSuspect = listener
  }

  onPinned(listener: (pins: readonly Pin[]) => void): void {
    this.#onPinned = listener
  }

  listen(): Promise<Bound[]> {
    return this.#balance.listen(placesOf(this.#parts.settings))
  }

  async setTls(tls: ServerTls): Promise<void> {
    this.#tls = tls
    await Promise.all([...this.#planeOf.keys()].map((worker) => worker.link.setTls(tls).catch(ignore)))
  }

  get isUp(): boolean {
    return this.#places.up().length > 0
  }

  problems(): string[] {
    const states = this.#places.states()
    const down = states.filter(({ state }) => state !== 'up').map(({ worker }) => worker)
    return down.length === 0 ? [] : [`${down.length} of ${states.length} workers not up: ${down.join(', ')}`]
  }

  /** The workers' places in order. */
  states(): WorkerState[] {
    this.#balance.refresh()
    const planes = new Map([...this.#planeOf].map(([worker, plane]) => [worker.pid, plane]))
    return this.#places.states().map((state) => ({ ...state, plane: planes.get(state.pid ?? 0) ?? null }))
  }

  endConnections(): void {
    for (const worker of this.#planeOf.keys()) worker.link.endConnections().catch(ignore)
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#places.close()
    // Once the workers have closed it too, connections are refused.
    this.#balance.close()
    await Promise.all([...this.#planeOf.keys()].map((worker) => this.#letGo(worker, false, timeoutMs)))
  }

  hurry(): void {
    for (const worker of this.#planeOf.keys()) worker.link.hurry().catch(ignore)
  }

  reopenLog(): void {
    for (const worker of this.#planeOf.keys()) worker.link.reopenLog().catch(ignore)
  }

  replace(): void {
    void this.#places.replace()
  }

  async #employ(worker: WorkerProcess): Promise<void> {
    // There may be a new revision since it started, or one on the way.
    await this.followers.bring(worker)
    const tls = this.#tls
    await worker.link.setTls(tls).catch(ignore)
    if (worker.word !== 'starting') return
    worker.word = 'up'
    const plane = this.#nextPlane++
    this.#planeOf.set(worker, plane)
    if (this.#tls !== tls) worker.link.setTls(this.#tls).catch(ignore)
    this.planes.add(plane, worker.link)
    this.#balance.add(worker)
  }

  #dismiss(worker: WorkerProcess): number {
    this.#balance.remove(worker)
    const plane = this.#planeOf.get(worker)
    this.#planeOf.delete(worker)
    return plane === undefined ? 0 : (this.planes.remove(plane)?.cpuSeconds ?? 0)
  }

  async #letGo(worker: WorkerProcess, patient: boolean, timeoutMs: number): Promise<void> {
    this.#balance.remove(worker)
    const plane = this.#planeOf.get(worker) ?? 0
    await worker.leave(patient, timeoutMs, (report) => this.planes.take(plane, report))
  }

  /** @returns false to stop reading its output for now */
  #print(worker: WorkerProcess, text: string): boolean {
    const { logs } = this.#parts
    if (logs.lines(text)) return true
    if (this.#paused.size === 0) {
      logs.onDrain(() => {
        for (const one of this.#paused) one.resume()
        this.#paused.clear()
      })
    }
    this.#paused.add(worker)
    return false
  }
}

function ignore(): void {
  // A worker that has exited needs no message.
}
