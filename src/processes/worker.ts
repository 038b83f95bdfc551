/**
 * A worker: a process with a data plane, which accepts connections, and receives revisions from the primary.
 */

import { readApart } from '../control/table/apart.ts'
import { tableSteps } from '../control/table/apart-jobs.ts'
import { inTurns } from '../control/turns.ts'
import { cookieKeysOf, planeOf } from '../core.ts'
import { exitNow } from '../exit.ts'
import { openLogs } from '../logging/log.ts'
import { tracingOf } from '../logging/tracing.ts'
import { publicServerOf } from '../mount.ts'
import { Descriptors } from '../proxy/client/descriptors.ts'
import { BACKLOG } from '../proxy/client/listen-at.ts'
import type { PublicServer } from '../proxy/client/listener.ts'
import type { Plane } from '../proxy/plane.ts'
import type { Purge } from '../rules/caching/purge.ts'
import { withRoutesSteps } from '../rules/language/compile.ts'
import { type NumberChange, tableWithNumbers } from '../rules/language/numbers.ts'
import { countsText, formatProblems, readTable } from '../rules/language/text.ts'
import type { Table } from '../rules/table/table.ts'
import { placesOf, type Settings } from '../settings/settings.ts'
import { StartError } from '../start-error.ts'
import { LiveTable } from '../state/live-table.ts'
import type { Pin } from '../state/pins.ts'
import type { PlaneReport } from '../state/plane-port.ts'
import type { TlsMaterial } from '../state/tls/material.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'
import { onlyWithRoom } from '../wire/shortages.ts'
import { Acceptor, type ListeningHandle } from './acceptor.ts'
import { logExceptions } from './exceptions.ts'
import { Secure } from './secure.ts'
import { Shares } from './shares.ts'
import {
  answerTo,
  type DocumentPart,
  PROTOCOL,
  type ToPrimary,
  type ToWorker,
  type WorkerMove,
  type WorkerPort,
  type WorkerStart,
} from './workers.ts'

/** The descriptor that a worker inherits, after standard input, output and error and the channel to the primary. */
const SHARES_FD = 4

/**
 * Runs a worker until the primary ends it or exits.
 * @returns the exit code
 * @throws {StartError} if there is no primary
 */
export async function runWorker(settings: Settings): Promise<number> {
  if (process.send === undefined) throw new StartError('workers are started by `banyan serve --workers N` only')
  // The primary may have died while this worker was loading.
  if (!process.connected) return 1
  const end = (): never => exitNow(1)
  process.once('disconnect', end)
  const start = await begin()
  const logs = openLogs(settings)
  try {
    const log = logs.log.child({ worker: start.worker })
    logExceptions(log, () => performance.now())
    const live = liveTableOf(start)
    let listener: PublicServer | null = null
    const connections = (): number => listener?.connections ?? 0
    const { fleet, instance } = start
    const cookieKeys = cookieKeysOf(settings)
    const tracing = await tracingOf(settings, log)
    const tracer = tracing?.tracer ?? null
    const more = {
      accessLog: logs.access,
      tracer,
      fleet,
      instance,
      connections,
      cookieKeys,
      processes: settings.workers,
    }
    const plane = planeOf(settings, live, log, more)
    const places = placesOf(settings)
    const secure = new Secure(settings, plane, log)
    secure.set(start.tls)
    listener = await publicServerOf({ ...settings, places, tls: secure.terms }, plane.engine, log)
    const descriptors = new Descriptors(log)
    onlyWithRoom((coming) => descriptors.hasRoom(coming))
    const shares = new Shares(SHARES_FD, settings.workers)
    const acceptor = new Acceptor({
      shares,
      record: start.record,
      server: listener,
      places,
      backlog: BACKLOG,
      hasDescriptors: () => descriptors.hasRoom(),
      onDue: () => void tell({ kind: 'due' }),
      onFault: ({ message }) => descriptors.lost(1, message),
    })
    listener.descriptors = {
      mayKeep: (socket) => {
        const may = descriptors.mayKeep(socket)
        if (!may) acceptor.setFull()
        return may
      },
      lost: (count, why) => descriptors.lost(count, why),
    }
    const worker = new Worker({ live, plane, listener, secure, acceptor, reopenLog: logs.reopen }, start)
    process.off('disconnect', end)
    process.once('disconnect', () => void worker.endAlone(settings.drainTimeoutMs).finally(() => exitNow(1)))
    await worker.serve()
    await tracing?.close()
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
  readonly table: Table
  readonly material: TlsMaterial
  readonly commits: (() => void)[]
  readonly fleet: Fleet
}

/** Dependencies of a worker. */
interface WorkerParts {
  readonly live: LiveTable
  readonly plane: Plane
  readonly listener: PublicServer
  readonly secure: Secure
  readonly acceptor: Acceptor
  reopenLog(): void
}

/** Handles the primary's messages. */
class Worker {
  readonly #live: LiveTable
  readonly #plane: Plane
  readonly #listener: PublicServer
  readonly #secure: Secure
  readonly #acceptor: Acceptor
  readonly #tableName: string
  #prepared: Prepared | null = null
  /** The pieces of a document that is about to be prepared. */
  #received = { upstreams: [] as string[], routes: [] as string[] }
  /** Number of prepare and cancel calls: tells an outdated attempt. */
  #attempts = 0
  #fleet: Fleet
  #hurries = false
  #invalidated: Purge[] = []
  readonly #reopenLog: () => void

  constructor(parts: WorkerParts, { tableName, fleet }: WorkerStart) {
    const { live, plane, listener, secure, acceptor, reopenLog } = parts
    this.#reopenLog = reopenLog
    this.#live = live
    this.#plane = plane
    this.#listener = listener
    this.#secure = secure
    this.#acceptor = acceptor
    this.#tableName = tableName
    this.#fleet = fleet
  }

  /** Resolves when it has drained. */
  async serve(): Promise<void> {
    this.#listener.onClosed = () => this.#acceptor.closed()
    this.#plane.upstreams.onSuspect = (hostname) => void tell({ kind: 'suspect', hostname })
    this.#plane.pins.onPinned = (pin) => this.#tellPinned(pin)
    this.#plane.cache.onInvalidated((purge) => this.#tellInvalidated(purge))
    this.#listener.open()
    await new Promise<void>((over) => {
      process.on('message', (message: ToWorker, handle?: unknown) => void this.#hear(message, handle, over))
      void tell({ kind: 'ready' })
    })
  }

  async #hear(message: ToWorker, handle: unknown, over: () => void): Promise<void> {
    if (message.kind === 'listen') await this.#listen(handle as ListeningHandle, message.place)
    if (message.kind !== 'ask') return
    await tell(await answerTo(this.#port(), message))
    if (message.name === 'drain') over()
  }

  async #listen(handle: ListeningHandle, place: number): Promise<void> {
    try {
      if (await this.#acceptor.listen(handle, place)) await tell({ kind: 'listening', fault: null })
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      await tell({ kind: 'listening', fault: { code: code ?? null, message } })
    }
  }

  /** The primary is gone: frees the address for its successor, and finishes requests in flight. */
  async endAlone(timeoutMs: number): Promise<void> {
    this.#plane.engine.draining = true
    await this.#acceptor.close(false)
    await this.#listener.drain({ timeoutMs })
  }

  /** Batches those of one event loop turn: an unsafe request may invalidate several URLs. */
  #tellInvalidated(purge: Purge): void {
    if (this.#invalidated.push(purge) > 1) return
    setImmediate(() => {
      void tell({ kind: 'invalidated', purges: this.#invalidated })
      this.#invalidated = []
    })
  }

  /** At once: the reads that follow may reach another worker. */
  #tellPinned(pin: Pin): void {
    void tell({ kind: 'pinned', pins: [pin] })
  }

  #port(): WorkerPort {
    const { port, engine } = this.#plane
    return {
      report: () => port.report(),
      recent: (route) => port.recent(route),
      findRecent: (id) => port.findRecent(id),
      explain: (request) => port.explain(request),
      purge: (purge, leads) => port.purge(purge, leads),
      invalidated: (purges) => port.invalidated(purges),
      pinned: (pins) => port.pinned(pins),
      setJudged: (routes) => port.setJudged(routes),
      setFleet: (fleet) => {
        this.#fleet = fleet
        port.setFleet(fleet)
      },
      receive: ({ upstreams, routes }) => {
        this.#received.upstreams.push(...upstreams)
        this.#received.routes.push(...routes)
      },
      prepare: (move, material) => this.#prepare(move, material ?? this.#live.material),
      commit: (number, etag, appliedAtMs) => this.#commit(number, etag, appliedAtMs),
      abandon: () => {
        this.#prepared = null
        this.#received = { upstreams: [], routes: [] }
        this.#attempts++
      },
      endConnections: () => {
        engine.draining = true
      },
      drain: (patient, timeoutMs) => this.#drain(patient, timeoutMs),
      hurry: () => {
        this.#hurries = true
        this.#listener.hurry()
      },
      reopenLog: this.#reopenLog,
      setTls: (tls) => this.#secure.set(tls),
      look: () => this.#acceptor.look(),
    }
  }

  async #prepare(move: WorkerMove, material: TlsMaterial): Promise<string | null> {
    this.#prepared = null
    const received = this.#received
    this.#received = { upstreams: [], routes: [] }
    const attempt = ++this.#attempts
    const table = await this.#tableOf(move, received)
    // The primary has cancelled it meanwhile.
    if (attempt !== this.#attempts) return 'cancelled'
    if (typeof table === 'string') return table
    try {
      this.#prepared = { table, material, commits: this.#live.prepare(table, material), fleet: this.#fleet }
      return null
    } catch (error) {
      return (error as Error).message
    }
  }

  /** @returns the table, or why there is none */
  async #tableOf(move: WorkerMove, received: DocumentPart): Promise<Table | string> {
    const { table, etag } = this.#live.current
    if (move.kind === 'document') {
      const parsed = await inTurns(tableSteps({ ...move, ...received }, table))
      return move.changes.length === 0 ? parsed : withNumbersIn(parsed, move.changes)
    }
    if (move.kind === 'text') {
      const read = await readApart(move.text, this.#tableName, table)
      return read.ok ? read.table : formatProblems(read.problems, move.text, read.more)
    }
    if (move.base !== etag) return `a worker has revision ${etag} in force, and not ${move.base}`
    if (move.kind === 'same') return table
    if (move.kind === 'routes') return await inTurns(withRoutesSteps(table, move.splices, move.upstreams))
    return withNumbersIn(table, move.changes)
  }

  #commit(number: number, etag: string, appliedAtMs: number): void {
    if (this.#prepared === null) throw new Error('no revision is prepared')
    const { table, material, commits, fleet } = this.#prepared
    this.#prepared = null
    this.#live.apply(table, '', appliedAtMs, { commits, number, etag, material })
    if (fleet !== this.#fleet) this.#plane.port.setFleet(this.#fleet)
  }

  async #drain(patient: boolean, timeoutMs: number): Promise<PlaneReport> {
    this.#plane.engine.draining = true
    // A replacement accepts what is in the queue.
    await this.#acceptor.close(!patient)
    const drained = this.#listener.drain({ patient, timeoutMs })
    if (this.#hurries) this.#listener.hurry()
    await drained
    this.#plane.upstreams.close()
    await this.#plane.cache.close()
    return this.#plane.port.report()
  }
}

function withNumbersIn(table: Table, changes: readonly NumberChange[]): Table | string {
  return tableWithNumbers(table, changes, true) ?? 'a worker can not change these numbers'
}
