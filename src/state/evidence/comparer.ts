/**
 * Compares answers on a thread of its own: a large or hostile body costs those who serve no time, and a comparison that does
 * not end is given up.
 */
import { Worker } from 'node:worker_threads'
import {
  type ComparedAnswer,
  type CompareSettings,
  type Comparison,
  compare,
  isQuick,
} from '../../rules/evidence/compare.ts'
import { tellException } from '../../wire/exceptions.ts'

/** Two answers on their way to the thread. */
export interface Pair {
  readonly from: ComparedAnswer
  readonly to: ComparedAnswer
  readonly settings: CompareSettings
}

/** What the thread says of a pair. */
export type Outcome =
  | { readonly ok: true; readonly comparison: Comparison }
  | { readonly ok: false; readonly message: string }

/** What the thread sends: that it is ready, once, and then an outcome for each pair. */
type Message = 'ready' | Outcome

/** Why there is no comparison: too many wait, it took too long, it failed, or the comparer is closed. */
export type ComparerFault = 'busy' | 'timeout' | 'failed' | 'closed'

export class ComparerError extends Error {
  readonly fault: ComparerFault

  constructor(fault: ComparerFault, message: string) {
    super(message)
    this.fault = fault
  }
}

export interface ComparerOptions {
  /** Comparisons that may wait for the one under way. */
  readonly waiting?: number
  /** How long one comparison may take. The largest need less than a second of a processor, which may be busy with others. */
  readonly patienceMs?: number
  /** A thread without work ends after this, and its memory is the system's again. */
  readonly idleMs?: number
  /** Much more than the largest pair needs. Beyond it the thread ends, and not the process. */
  readonly memoryMb?: number
}

interface Job {
  readonly pair: Pair
  resolve(comparison: Comparison): void
  reject(error: ComparerError): void
}

/** Loading the code of the thread may take this long, on a machine with little to spare. */
const START_MS = 10_000

/** One thread, started with the first comparison that needs it. Neither it nor what waits for it keeps the process alive. */
export class Comparer {
  readonly #waiting: Job[] = []
  readonly #most: number
  readonly #patienceMs: number
  readonly #idleMs: number
  readonly #memoryMb: number
  #worker: Worker | null = null
  /** What the thread works on, or will once it has started. */
  #current: Job | null = null
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  /** The failure that was told last. */
  #told: string | null = null

  constructor({ waiting = 32, patienceMs = 10_000, idleMs = 60_000, memoryMb = 256 }: ComparerOptions = {}) {
    this.#most = waiting
    this.#patienceMs = patienceMs
    this.#idleMs = idleMs
    this.#memoryMb = memoryMb
  }

  /**
   * The comparison of two answers. Bodies are copied, unless there is no need to look into them.
   * @throws {ComparerError} there is none
   */
  async compare(from: ComparedAnswer, to: ComparedAnswer, settings: CompareSettings): Promise<Comparison> {
    if (this.#isClosed) throw closed()
    if (isQuick(from, to, settings)) return compare(from, to, settings)
    if (this.#waiting.length >= this.#most) throw new ComparerError('busy', `${this.#most} comparisons are waiting`)
    const pair = { from: copyOf(from), to: copyOf(to), settings }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pair, resolve, reject })
      if (this.#current === null) this.#next()
    })
  }

  /** Ends the thread. What is under way or waiting is rejected. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const job of [this.#current, ...this.#waiting.splice(0)]) job?.reject(closed())
    this.#current = null
    await this.#end()
  }

  #next(): void {
    const job = this.#waiting.shift() ?? null
    this.#current = job
    if (job === null) this.#after(this.#idleMs, () => void this.#end())
    else if (this.#worker === null) this.#start()
    else this.#send(this.#worker, job)
  }

  #start(): void {
    // Compiled, the thread is a file of JavaScript beside this one.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
    const worker = new Worker(new URL(`./comparer-thread${extension}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#memoryMb },
      // What the process was started with (a module to preload, an inspector) is not for this thread.
      execArgv: [],
    })
    worker.on('message', (message: Message) => this.#hear(worker, message))
    worker.on('error', (error: Error) => this.#giveUp(worker, 'failed', error.message))
    worker.on('exit', () => this.#giveUp(worker, 'failed', 'the thread has ended'))
    // Only now: a listener for messages holds the process again.
    worker.unref()
    this.#worker = worker
    this.#after(START_MS, () => this.#giveUp(worker, 'timeout', `not started after ${START_MS / 1000} s`))
  }

  #send(worker: Worker, { pair }: Job): void {
    const bodies = [pair.from.body, pair.to.body].flatMap((body) => body?.buffer ?? [])
    this.#after(this.#patienceMs, () => this.#giveUp(worker, 'timeout', `not compared after ${this.#patienceMs} ms`))
    try {
      worker.postMessage(pair, bodies as ArrayBuffer[])
    } catch (error) {
      this.#giveUp(worker, 'failed', (error as Error).message)
    }
  }

  #hear(worker: Worker, message: Message): void {
    const job = this.#current
    if (worker !== this.#worker || job === null) return
    if (message === 'ready') {
      this.#send(worker, job)
      return
    }
    if (message.ok) job.resolve(message.comparison)
    else {
      const error = new ComparerError('failed', message.message)
      this.#tell(error)
      job.reject(error)
    }
    this.#next()
  }

  /** Ends the thread with the comparison under way. The next one starts another thread. */
  #giveUp(worker: Worker, fault: ComparerFault, why: string): void {
    if (worker !== this.#worker) return
    void this.#end()
    const error = new ComparerError(fault, why)
    if (fault === 'failed') this.#tell(error)
    this.#current?.reject(error)
    this.#next()
  }

  /** Tells what is a fault of banyan's own, once: a route may have the same two answers again and again. */
  #tell(error: ComparerError): void {
    if (error.message === this.#told) return
    this.#told = error.message
    tellException(error)
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    const worker = this.#worker
    this.#worker = null
    await worker?.terminate()
  }

  #after(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms).unref()
  }
}

const closed = (): ComparerError => new ComparerError('closed', 'the comparer is closed')

/** With bytes of its own: a body may be part of a larger buffer, and that buffer be used again. */
function copyOf(answer: ComparedAnswer): ComparedAnswer {
  return { ...answer, body: answer.body && new Uint8Array(answer.body) }
}
