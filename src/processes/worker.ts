/**
 * A worker: a process with a data plane, which receives connections and revisions from the primary.
 */

import type { Socket } from 'node:net'
import { readApart } from '../control/table/apart.ts'
import { cookieKeysOf, planeOf } from '../core.ts'
import { exitNow } from '../exit.ts'
import { openLogs } from '../logging/log.ts'
import { handlerOf } from '../mount.ts'
import { Descriptors } from '../proxy/descriptors.ts'
import { Listener } from '../proxy/listen.ts'
import type { Plane } from '../proxy/plane.ts'
import type { Purge } from '../rules/caching/purge.ts'
import { countsText, formatProblems, readTable } from '../rules/language/text.ts'
import type { Table } from '../rules/table/table.ts'
import type { Settings } from '../settings.ts'
import { StartError } from '../start-error.ts'
import { LiveTable } from '../state/live-table.ts'
import type { PlaneReport } from '../state/plane-port.ts'
import type { TlsMaterial } from '../state/tls/material.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'
import { logExceptions } from './exceptions.ts'
import { answerTo, PROTOCOL, type ToPrimary, type ToWorker, type WorkerPort, type WorkerStart } from './workers.ts'

/** Signals that the primary handles. */
const PRIMARYS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

/** Closed connections are reported in batches. */
const BUNCH_MS = 20

/**
 * Runs a worker until the primary ends it or exits.
 * @returns the exit code
 * @throws {StartError} if there is no primary
 */
export async function runWorker(settings: Settings): Promise<number> {
  if (process.send === undefined) throw new StartError('workers are started by `banyan serve --workers N` only')
  // A signal sent to the process group is handled by the primary.
  for (const signal of PRIMARYS) process.on(signal, () => {})
  // The primary may have died while this worker was loading.
  if (!process.connected) return 1
  process.once('disconnect', () => exitNow(1))
  const start = await begin()
  const logs = openLogs(settings)
  try {
    const log = logs.log.child({ worker: start.worker })
    logExceptions(log, () => performance.now())
    const live = liveTableOf(start)
    let listener: Listener | null = null
    const connections = (): number => listener?.connections ?? 0
    const { fleet, instance } = start
    const cookieKeys = cookieKeysOf(settings)
    const more = { accessLog: logs.access, fleet, instance, connections, cookieKeys, processes: settings.workers }
    const plane = planeOf(settings, live, log, more)
    const { node, handler } = await handlerOf(settings.middleware, plane.engine, log)
    listener = new Listener({ ...settings.listen, ...settings }, plane.engine, node, handler)
    listener.descriptors = new Descriptors(log)
    await new Worker({ live, plane, listener, reopenLog: logs.reopen }, start).serve()
    await logs.close()
    return 0
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    await tell({ kind: 'failed', message: error.message })
    return 1
  }
}

/** Sends `hello` and waits for the start message. */
function begin(): Promise<WorkerStart> {
  return new Promise((resolve) => {
    const hear = (message: ToWorker): void => {
      if (message.kind !== 'start') return
      process.off('message', hear)
      resolve(message.start)
    }
    process.on('message', hear)
    void tell({ kind: 'hello', protocol: PROTOCOL })
  })
}

function liveTableOf({ revision, tableName }: WorkerStart): LiveTable {
  const read = readTable(revision.text, tableName)
  // The primary accepted it, but the code on disk may be another version.
  if (!read.ok) {
    const said = `${formatProblems(read.problems, revision.text)}${countsText(read)}`
    throw new StartError(`${tableName} is invalid\n${said}`)
  }
  return new LiveTable(read.table, revision.text, revision.appliedAtMs, revision.number, revision.material)
}

/** Resolves when the primary has it, or is gone. */
function tell(message: ToPrimary): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, {}, () => resolve())
    else resolve()
  })
}

/** A prepared revision, with the server state that it was prepared for. */
interface Prepared {
  readonly text: string
  readonly table: Table
  readonly material: TlsMaterial
  readonly commits: (() => void)[]
  readonly fleet: Fleet
}

/** Dependencies of a worker. */
interface WorkerParts {
  readonly live: LiveTable
  readonly plane: Plane
  readonly listener: Listener
  reopenLog(): void
}

/** Handles the primary's messages. */
class Worker {
  readonly #live: LiveTable
  readonly #plane: Plane
  readonly #listener: Listener
  readonly #tableName: string
  #prepared: Prepared | null = null
  /** Number of prepare and cancel calls: tells an outdated attempt. */
  #attempts = 0
  #fleet: Fleet
  #closed = 0
  #invalidated: Purge[] = []
  readonly #reopenLog: () => void

  constructor(parts: WorkerParts, { tableName, fleet }: WorkerStart) {
    const { live, plane, listener, reopenLog } = parts
    this.#reopenLog = reopenLog
    this.#live = live
    this.#plane = plane
    this.#listener = listener
    this.#tableName = tableName
    this.#fleet = fleet
  }

  /** Resolves when it has drained. */
  async serve(): Promise<void> {
    this.#listener.onClosed = () => this.#countClosed()
    this.#plane.upstreams.onSuspect = (hostname) => void tell({ kind: 'suspect', hostname })
    this.#plane.cache.onInvalidated((purge) => this.#tellInvalidated(purge))
    this.#listener.open()
    await new Promise<void>((over) => {
      process.on('message', (message: ToWorker, handle?: unknown) => void this.#hear(message, handle, over))
      void tell({ kind: 'ready' })
    })
  }

  async #hear(message: ToWorker, handle: unknown, over: () => void): Promise<void> {
    if (message.kind === 'connection') this.#take(message.id, handle as Socket | undefined)
    if (message.kind !== 'ask') return
    await tell(await answerTo(this.#port(), message))
    if (message.name === 'drain') over()
  }

  #take(id: number, socket: Socket | undefined): void {
    // First: once a byte has been read here, the connection must not be passed to another worker.
    void tell({ kind: 'taken', id })
    if (socket === undefined) this.#countClosed()
    else this.#listener.take(socket)
  }

  #countClosed(): void {
    if (this.#closed++ > 0) return
    setTimeout(() => {
      void tell({ kind: 'closed', count: this.#closed })
      this.#closed = 0
    }, BUNCH_MS)
  }

  /** Batches those of one event loop turn: an unsafe request may invalidate several URLs. */
  #tellInvalidated(purge: Purge): void {
    if (this.#invalidated.push(purge) > 1) return
    setImmediate(() => {
      void tell({ kind: 'invalidated', purges: this.#invalidated })
      this.#invalidated = []
    })
  }

  #port(): WorkerPort {
    const { port, engine } = this.#plane
    return {
      report: () => port.report(),
      recent: () => port.recent(),
      findRecent: (id) => port.findRecent(id),
      explain: (request) => port.explain(request),
      purge: (purge, leads) => port.purge(purge, leads),
      invalidated: (purges) => port.invalidated(purges),
      setFleet: (fleet) => {
        this.#fleet = fleet
        port.setFleet(fleet)
      },
      prepare: (text, material) => this.#prepare(text, material ?? this.#live.material),
      commit: (number, appliedAtMs) => this.#commit(number, appliedAtMs),
      abandon: () => {
        this.#prepared = null
        this.#attempts++
      },
      endConnections: () => {
        engine.draining = true
      },
      drain: (patient, timeoutMs) => this.#drain(patient, timeoutMs),
      hurry: () => this.#listener.hurry(),
      reopenLog: this.#reopenLog,
      settle: () => {},
    }
  }

  async #prepare(text: string, material: TlsMaterial): Promise<string | null> {
    this.#prepared = null
    const attempt = ++this.#attempts
    const read = await readApart(text, this.#tableName)
    // The primary has cancelled it meanwhile.
    if (attempt !== this.#attempts) return 'cancelled'
    if (!read.ok) return formatProblems(read.problems, text, read.more)
    try {
      const { table } = read
      this.#prepared = { text, table, material, commits: this.#live.prepare(table, material), fleet: this.#fleet }
      return null
    } catch (error) {
      return (error as Error).message
    }
  }

  #commit(number: number, appliedAtMs: number): void {
    if (this.#prepared === null) throw new Error('no revision is prepared')
    const { table, text, material, commits, fleet } = this.#prepared
    this.#prepared = null
    this.#live.apply(table, text, appliedAtMs, { commits, number, material })
    if (fleet !== this.#fleet) this.#plane.port.setFleet(this.#fleet)
  }

  async #drain(patient: boolean, timeoutMs: number): Promise<PlaneReport> {
    await this.#listener.drain({ patient, timeoutMs })
    this.#plane.upstreams.close()
    await this.#plane.cache.close()
    return this.#plane.port.report()
  }
}
