/**
 * Many simulated ramps, on all cores.
 */
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { type RampEnd, runRamp } from './ramp.ts'
import type { World } from './traffic.ts'
import { JUDGES, type JudgeName } from './worlds.ts'

/** A ramp that has not ended after so many days is unfinished. */
const LIMIT_S = 14 * 86_400

/** Ramps that a thread is given at once. */
const PORTION = 5

/** Some ramps of one world under one judge, with the seeds from `first` on. */
interface Task {
  readonly world: World
  readonly judge: JudgeName
  readonly first: number
  readonly count: number
  readonly hold: number | null
}

const run = ({ world, judge, first, count, hold }: Task): RampEnd[] =>
  Array.from({ length: count }, (_, at) => runRamp(world, JUDGES[judge](), first + at, LIMIT_S, hold))

if (!isMainThread) parentPort?.on('message', (task: Task) => parentPort?.postMessage(run(task)))

/** Threads that simulate. */
export class Simulators {
  readonly #idle: Worker[]
  readonly #all: readonly Worker[]
  readonly #waiting: ((worker: Worker) => void)[] = []

  constructor() {
    this.#all = Array.from({ length: availableParallelism() }, () => new Worker(new URL(import.meta.url)))
    this.#idle = [...this.#all]
  }

  /** Ends of ramps of one world, in the order of their seeds. @param hold percent at which they stay; null for whole ramps */
  async ramps(world: World, judge: JudgeName, count: number, hold: number | null = null): Promise<RampEnd[]> {
    const tasks: Task[] = []
    for (let first = 1; first <= count; first += PORTION)
      tasks.push({ world, judge, first, count: Math.min(PORTION, count - first + 1), hold })
    return (await Promise.all(tasks.map((task) => this.#give(task)))).flat()
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()))
  }

  async #give(task: Task): Promise<RampEnd[]> {
    const worker = this.#idle.pop() ?? (await new Promise<Worker>((free) => this.#waiting.push(free)))
    try {
      return await new Promise((done, fail) => {
        worker.once('message', (ends: RampEnd[]) => {
          worker.off('error', fail)
          done(ends)
        })
        worker.once('error', fail)
        worker.postMessage(task)
      })
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#idle.push(worker)
      else next(worker)
    }
  }
}
