/**
 * Supervises the workers: starts them, restarts those that die, and replaces them one by one to run new code.
 */

import type { WorkerState } from '../control/context.ts'
import type { ControlLog } from '../control/control-log.ts'
import type { Purge } from '../rules/caching/purge.ts'
import { StartError } from '../start-error.ts'
import type { Pin } from '../state/pins.ts'
import { isForPrimary } from './signals.ts'
import type { WorkerEnd, WorkerEvents, WorkerProcess } from './worker-process.ts'
import type { ListenFault, WorkerStart } from './workers.ts'

/** A worker that never came up, or exits this soon after it did, counts as failed. The start itself may take longer on a busy machine. */
const LIFE_MS = 10_000
/** When this many workers in a row have failed in every place, banyan gives up. */
const MAX_STILLBORN = 5
/** Delay before a failed worker is restarted: the first one, doubled each time up to the second. */
const PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000

/** A worker slot: its number stays the same when its process is replaced. */
interface Place {
  readonly number: number
  worker: WorkerProcess | null
  /** When its worker came up; null if it has not yet. */
  upAtMs: number | null
  /** Consecutive failed workers. */
  stillborn: number
  starts: number
  /** CPU time of its earlier processes. */
  cpuSeconds: number
  pause: NodeJS.Timeout | undefined
  /** A replacement is already starting. */
  replacing: boolean
}

/** Callbacks for the life cycle of workers. */
export interface PlaceParts {
  readonly log: ControlLog
  create(events: WorkerEvents): WorkerProcess
  /** What a worker starts with, except its number and record. */
  start(): Omit<WorkerStart, 'worker' | 'record'>
  /** Brings it to the current revision and has it accept connections. */
  onReady(worker: WorkerProcess): Promise<void>
  onLines(worker: WorkerProcess, text: string): boolean
  onInvalidated(worker: WorkerProcess, purges: readonly Purge[]): void
  onPinned(worker: WorkerProcess, pins: readonly Pin[]): void
  onSuspect(hostname: string): void
  onListening(fault: ListenFault | null): void
  onDue(): void
  /** It has exited. @returns the CPU time that it used, as last reported */
  onGone(worker: WorkerProcess): number
  /** Drains it. Resolves when it has exited. */
  letGo(worker: WorkerProcess): Promise<void>
}

/** Keeps one worker running in each slot. */
export class Places {
  readonly #parts: PlaceParts
  readonly #places: readonly Place[]
  #hasStarted = false
  #closed = false
  #asked = 0
  /** Rejects when no worker can be kept alive. */
  readonly broken: Promise<never>
  #break!: (error: StartError) => void

  constructor(count: number, parts: PlaceParts) {
    this.#parts = parts
    this.#places = Array.from({ length: count }, (_, at) => newPlace(at + 1))
    this.broken = new Promise((_, reject) => {
      this.#break = reject
    })
    // It may reject before anything awaits it.
    this.broken.catch(() => {})
  }

  /**
   * Starts the workers. Resolves when each has been up.
   * @throws {StartError} if one lacks something it needs, or they exit right after starting
   */
  async fill(): Promise<void> {
    const up = this.#places.map((place) => new Promise<void>((resolve) => this.#fill(place, resolve)))
    await Promise.race([Promise.all(up), this.broken])
    this.#hasStarted = true
  }

  /** The workers that are up. */
  up(): WorkerProcess[] {
    return this.#places.flatMap(({ worker }) => (worker?.word === 'up' ? [worker] : []))
  }

  states(): Omit<WorkerState, 'plane'>[] {
    return this.#places.map(({ number, worker, starts, cpuSeconds }) => ({
      worker: number,
      state: worker?.word ?? 'gone',
      pid: worker?.pid ?? null,
      revision: worker?.word === 'up' ? worker.revision : null,
      connections: worker?.connections ?? 0,
      starts,
      cpuSecondsBefore: cpuSeconds,
    }))
  }

  /** Replaces the workers one at a time: the new one is up before the old one drains. A call during a round starts another round. */
  async replace(): Promise<void> {
    if (++this.#asked > 1) return
    const { log } = this.#parts
    for (; this.#asked > 0 && !this.#closed; this.#asked--) {
      this.#asked = 1
      log.info({ event: 'replace' }, 'replacing workers one at a time')
      let replaced = 0
      for (const place of this.#places) {
        if (this.#closed || !(await this.#replaceIn(place))) break
        replaced++
      }
      if (replaced === this.#places.length) log.info({ event: 'replaced', workers: replaced }, 'replaced all workers')
      else
        log.error(
          { event: 'replace-failed', workers: replaced },
          'replacing workers failed: keeping the remaining old workers',
        )
    }
  }

  /** Stops restarting workers and kills those that are not up yet. */
  close(): void {
    this.#closed = true
    for (const { worker, pause } of this.#places) {
      clearTimeout(pause)
      if (worker?.word === 'starting') worker.kill()
    }
  }

  #fill(place: Place, onUp: () => void = () => {}): void {
    place.upAtMs = null
    const up = (): void => {
      place.upAtMs = performance.now()
      onUp()
    }
    place.worker = this.#create(place, up, (worker, end) => this.#died(place, worker, end, onUp))
  }

  #create(place: Place, onUp: () => void, onEnd: (worker: WorkerProcess, end: WorkerEnd) => void): WorkerProcess {
    place.starts++
    const { create, start, onReady, onLines, onInvalidated, onPinned, onSuspect, onListening, onDue, onGone } =
      this.#parts
    const worker = create({
      onHello: () => ({ ...start(), worker: place.number, record: worker.record }),
      onReady: () => void onReady(worker).then(() => worker.word === 'up' && onUp()),
      onLines: (text) => onLines(worker, text),
      onInvalidated: (purges) => onInvalidated(worker, purges),
      onPinned: (pins) => onPinned(worker, pins),
      onSuspect,
      onListening,
      onDue,
      onEnd: (end) => {
        place.cpuSeconds += onGone(worker)
        onEnd(worker, end)
      },
    })
    return worker
  }

  /** A worker has exited on its own. */
  #died(place: Place, worker: WorkerProcess, end: WorkerEnd, onUp: () => void): void {
    if (this.#closed || place.worker !== worker) return
    place.worker = null
    if (place.upAtMs === null && !place.replacing && isForPrimary(end.signal)) {
      this.#fill(place, onUp)
      return
    }
    const hasLived = place.upAtMs !== null && performance.now() - place.upAtMs >= LIFE_MS
    place.stillborn = hasLived ? 0 : place.stillborn + 1
    const { number, stillborn } = place
    const fields = { event: 'worker-died', worker: number, pid: worker.pid, ...end, stillborn }
    if (!this.#hasStarted && end.why !== null) {
      this.#break(new StartError(end.why))
      return
    }
    this.#parts.log.error(fields, `worker ${number} ended: ${wordsOf(end)}`)
    if (this.#places.every((one) => one.stillborn >= MAX_STILLBORN)) {
      this.#break(new StartError(`workers exit right after starting, the last one with: ${wordsOf(end)}`))
    } else if (!place.replacing) {
      const pauseMs = stillborn === 0 ? 0 : Math.min(PAUSE_MS * 2 ** (stillborn - 1), MAX_PAUSE_MS)
      place.pause = setTimeout(() => this.#fill(place, onUp), pauseMs)
    }
  }

  /** Starts a replacement. @returns it when it is up, or how it has ended */
  #startedFor(place: Place): Promise<WorkerProcess | WorkerEnd> {
    return new Promise((resolve) => {
      const worker = this.#create(
        place,
        () => resolve(worker),
        (_, end) => (place.worker === worker ? this.#died(place, worker, end, () => {}) : resolve(end)),
      )
    })
  }

  /** @returns false if the new worker can't start: then the old one stays */
  async #replaceIn(place: Place): Promise<boolean> {
    clearTimeout(place.pause)
    place.replacing = true
    let fresh = await this.#startedFor(place)
    while (!('child' in fresh) && isForPrimary(fresh.signal) && !this.#closed) fresh = await this.#startedFor(place)
    place.replacing = false
    const before = place.worker
    if (!('child' in fresh)) {
      const fields = { event: 'replace-failed', worker: place.number, ...fresh }
      this.#parts.log.error(fields, `replacement for worker ${place.number} failed to start: ${wordsOf(fresh)}`)
      if (before === null && !this.#closed) this.#fill(place)
      return false
    }
    Object.assign(place, { worker: fresh, upAtMs: performance.now(), stillborn: 0 })
    if (before !== null) await this.#parts.letGo(before)
    return true
  }
}

function newPlace(number: number): Place {
  const nothing = { worker: null, upAtMs: null, stillborn: 0, starts: 0, cpuSeconds: 0, pause: undefined }
  return { number, ...nothing, replacing: false }
}

function wordsOf({ code, signal, why }: WorkerEnd): string {
  return why ?? (signal === null ? `exit code ${code}` : `signal ${signal}`)
}
