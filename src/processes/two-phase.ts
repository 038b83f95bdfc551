/**
 * Two-phase commit of a revision to the workers: it is applied only after all of them have prepared it.
 */
import type { ControlLog } from '../control/control-log.ts'
import type { Followers, RevisionText } from '../control/table/followers.ts'
import { NO_MATERIAL, type TlsMaterial } from '../state/tls/material.ts'
import type { WorkerProcess } from './worker-process.ts'

/** A worker that has not responded by then hangs: it has neither accepted nor rejected the revision. */
const PATIENCE_MS = 5_000
/** Minimum parsing speed that is assumed; an idle machine is a hundred times faster. */
const CHARACTERS_PER_MS = 10

/** Two-phase commit over a changing set of workers. */
export class TwoPhase implements Followers {
  #inForce: RevisionText = { number: 0, text: '', appliedAtMs: 0, material: NO_MATERIAL }
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

  async prepare(text: string, material: TlsMaterial): Promise<string | null> {
    this.#prepared.clear()
    const refusals = await Promise.all(this.#workers().map((worker) => this.#prepareIn(worker, text, material)))
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
      const { number, text, appliedAtMs, material } = revision
      const refusal = this.#prepared.has(worker) ? null : await this.#prepareIn(worker, text, material)
      const done = refusal === null && (await soon(worker.link.commit(number, appliedAtMs).then(() => true, gone)))
      if (done === true) worker.inForce = revision
      else {
        if (done !== 'gone') this.#end(worker, number, refusal ?? 'no response')
        return
      }
    }
  }

  /** @returns null if it is prepared or the worker is gone, which rejects nothing; otherwise the reason */
  async #prepareIn(worker: WorkerProcess, text: string, material: TlsMaterial): Promise<string | null> {
    const known = worker.inForce?.material === material
    const patienceMs = PATIENCE_MS + Math.ceil(text.length / CHARACTERS_PER_MS)
    const answer = await soon(worker.link.prepare(text, known ? null : material).catch(gone), patienceMs)
    if (answer === 'late') {
      return `worker with pid ${worker.pid} did not respond within ${Math.ceil(patienceMs / 1000)} s`
    }
    if (answer === 'gone') return null
    if (answer === null) this.#prepared.add(worker)
    return answer
  }

  #end(worker: WorkerProcess, revision: number, why: string): void {
    this.#log.error(
      { event: 'worker-behind', pid: worker.pid, revision, why },
      `a worker failed to apply the revision: ${why}`,
    )
    worker.kill()
  }
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
