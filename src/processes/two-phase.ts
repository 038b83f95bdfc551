/**
 * Two-phase commit of a revision to the workers: it is applied only after all of them have prepared it.
 */
import type { ControlLog } from '../control/control-log.ts'
import type { Followers, ProposedTable, RevisionText, TableMove, Unprepared } from '../control/table/followers.ts'
import { NO_MATERIAL, type TlsMaterial } from '../state/tls/material.ts'
import type { WorkerProcess } from './worker-process.ts'
import type { DocumentPart, WorkerMove } from './workers.ts'

/** A worker that has not responded by then hangs: it has neither accepted nor rejected the revision. */
const PATIENCE_MS = 5_000
/** Minimum parsing speed that is assumed; an idle machine is a hundred times faster. */
const CHARACTERS_PER_MS = 10

/** Two-phase commit over a changing set of workers. */
export class TwoPhase implements Followers {
  #inForce: RevisionText = { number: 0, etag: '', text: '', appliedAtMs: 0, material: NO_MATERIAL }
  readonly #workers: () => readonly WorkerProcess[]
  readonly #log: ControlLog
  /** Workers that have prepared the pending revision. */
  readonly #prepared = new Set<WorkerProcess>()

  /** @param workers those that serve requests now */
  constructor(workers: () => readonly WorkerProcess[], log: ControlLog) {
    this.#workers = workers
    this.#log = log
  }

  /** @param revision the current one at the start */
  begin(revision: RevisionText): void {
    this.#inForce = revision
  }

  /** The revision that a new worker starts with. */
  get inForce(): RevisionText {
    return this.#inForce
  }

  async prepare(proposed: ProposedTable): Promise<Unprepared | null> {
    this.#prepared.clear()
    const refusals = await Promise.all(this.#workers().map((worker) => this.#prepareIn(worker, proposed)))
    return refusals.find((refusal) => refusal !== null) ?? null
  }

  async commit(revision: RevisionText): Promise<void> {
    this.#inForce = revision
    await Promise.all(this.#workers().map((worker) => this.bring(worker)))
    this.#prepared.clear()
  }

  abandon(): void {
    for (const worker of this.#prepared) worker.link.abandon().catch(ignore)
    this.#prepared.clear()
  }

  /**
   * Brings a worker to the current revision. A worker that can't follow is killed: it must not serve another revision than
   * the other workers. Never rejects.
   */
  async bring(worker: WorkerProcess): Promise<void> {
    while (worker.word !== 'gone' && worker.inForce !== this.#inForce) {
      const revision = this.#inForce
      const { number, etag, appliedAtMs } = revision
      const refusal = this.#prepared.has(worker) ? null : await this.#prepareIn(worker, revision)
      const done =
        refusal === null && (await soon(worker.link.commit(number, etag, appliedAtMs).then(() => true, gone)))
      if (done === true) worker.inForce = revision
      else {
        if (done !== 'gone') this.#end(worker, number, refusal?.why ?? 'no response')
        return
      }
    }
  }

  /** @returns null if it is prepared or the worker is gone, which rejects nothing; otherwise the reason */
  async #prepareIn(
    worker: WorkerProcess,
    { text, material, move }: Pick<ProposedTable, 'text' | 'material'> & Partial<ProposedTable>,
  ): Promise<Unprepared | null> {
    const known = worker.inForce?.material === material ? null : material
    const patienceMs = PATIENCE_MS + Math.ceil(text.length / CHARACTERS_PER_MS)
    const asked =
      move?.kind === 'document'
        ? sendDocument(worker, move, known)
        : worker.link.prepare(move?.base === worker.inForce?.etag && move ? move : { kind: 'text', text }, known)
    const answer = await soon(asked.catch(gone), patienceMs)
    if (answer === 'late') {
      const why = `worker with pid ${worker.pid} did not respond within ${Math.ceil(patienceMs / 1000)} s`
      return { isLate: true, why }
    }
    if (answer === 'gone') return null
    if (answer !== null) return { isLate: false, why: answer }
    this.#prepared.add(worker)
    return null
  }

  #end(worker: WorkerProcess, revision: number, why: string): void {
    this.#log.error(
      { event: 'worker-behind', pid: worker.pid, revision, why },
      `a worker failed to apply the revision: ${why}`,
    )
    worker.kill()
  }
}

/** What a message has at most: it is parsed at once by a process that serves. */
const PART_CHARACTERS = 32_768

async function sendDocument(
  { link }: WorkerProcess,
  { document: { upstreams, routes, ...rest }, changes }: Extract<TableMove, { kind: 'document' }>,
  material: TlsMaterial | null,
): Promise<string | null> {
  for (const part of partsOf(upstreams)) await link.receive({ upstreams: part, routes: [] })
  for (const part of partsOf(routes)) await link.receive({ upstreams: [], routes: part })
  const move: WorkerMove = { kind: 'document', changes, ...rest }
  return await link.prepare(move, material)
}

function* partsOf(pieces: DocumentPart['routes']): Iterable<string[]> {
  let part: string[] = []
  let size = 0
  for (const piece of pieces) {
    part.push(piece)
    size += piece.length
    if (size < PART_CHARACTERS) continue
    yield part
    part = []
    size = 0
  }
  if (part.length > 0) yield part
}

/** The answer if it comes in time, otherwise `late`. */
async function soon<T>(answer: Promise<T>, patienceMs = PATIENCE_MS): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), patienceMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

function gone(): 'gone' {
  return 'gone'
}

function ignore(): void {
  // A worker that is gone needs no cancellation.
}
