/**
 * A worker seen from the primary: the child process, its port, and the connections that are being passed to it.
 */
import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import type { Socket } from 'node:net'
import type { RevisionText } from '../control/table/followers.ts'
import type { PlaneReport } from '../state/plane-port.ts'
import {
  type LinkTo,
  PROTOCOL,
  Questions,
  type ToPrimary,
  type ToWorker,
  type WorkerPort,
  type WorkerStart,
} from './workers.ts'

/** Where a worker stands: it is being started, serves, finishes what it has, or is no more. */
export type WorkerWord = 'starting' | 'up' | 'leaving' | 'gone'

/** How a worker has ended. */
export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it has said of why, or null. */
  readonly why: string | null
}

/** What its primary hears of it. */
export interface WorkerEvents {
  /** It asks what to begin with. */
  onHello(): WorkerStart
  /** It can serve. */
  onReady(): void
  /** Whole lines of its log. */
  onLines(text: string): boolean
  /** What is stored under these keys is untrue, and the others must know. */
  onForgotten(keys: readonly string[]): void
  /** So many connections did not reach it: it had no file descriptor for them. */
  onLost(count: number): void
  /** It is gone, with connections that it has never had in its hands. */
  onEnd(end: WorkerEnd, untaken: readonly Socket[]): void
}

/** Beyond its deadline for draining, a worker is given so long to go. */
const LAST_WORDS_MS = 5_000

/** What an ended worker has written is read for so long: another process may hold the other end, or nobody takes our own lines. */
const LAST_LINES_MS = 2_000

/** Connections that it has not taken by then are asked after. */
const SETTLE_MS = 1_000

/** One worker process. */
export class WorkerProcess {
  readonly child: ChildProcess
  readonly link: LinkTo<WorkerPort>
  word: WorkerWord = 'starting'
  /** Connections it has, those that are on their way to it included. */
  connections = 0
  /** The revision that it decides by; null before it can serve. */
  inForce: RevisionText | null = null
  /** Resolves when it is gone and its last line is read, as far as it can be. */
  readonly closed: Promise<void>
  readonly #events: WorkerEvents
  readonly #questions: Questions
  readonly #untaken = new Map<number, Socket>()
  /** Numbers connections and questions, in the order in which it gets them. */
  #next = 0
  #settling: NodeJS.Timeout | undefined
  #why: string | null = null

  /** @param args of `banyan serve`: the worker reads its settings by itself */
  constructor(args: readonly string[], events: WorkerEvents) {
    this.#events = events
    // By the path that this program was started by, not by where that led to then: a link to another release counts.
    this.child = fork(process.argv[1] as string, ['worker', ...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    this.#questions = new Questions(
      (message) => this.#send(message),
      () => this.#next++,
    )
    this.link = this.#questions.link()
    this.child.on('message', (message) => this.#hear(message as ToPrimary))
    this.child.on('error', (error) => {
      this.#fail(error.message)
      // It was not started at all, and has no end of its own.
      if (this.child.pid === undefined) this.#end({ code: null, signal: null, why: this.#why })
    })
    this.child.once('exit', (code, signal) => this.#end({ code, signal, why: this.#why }))
    this.closed = new Promise((resolve) => this.child.once('close', () => resolve()))
    this.child.once('exit', () => {
      const late = setTimeout(() => this.child.stdout?.destroy(), LAST_LINES_MS)
      void this.closed.then(() => clearTimeout(late))
    })
    this.#readLines()
  }

  /** Number of the revision that it decides by; 0 before it can serve. */
  get revision(): number {
    return this.inForce?.number ?? 0
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Hands a connection over. The primary keeps it too until the worker has it: one that dies before loses none. */
  take(socket: Socket): void {
    const id = this.#next++
    this.connections++
    this.#untaken.set(id, socket)
    this.#send({ kind: 'connection', id }, socket)
    this.#settling ??= setTimeout(() => this.#settle(), SETTLE_MS).unref()
  }

  /**
   * Lets it finish what it has, and go. Resolves when it is gone. Never rejects.
   * @param onLast told what it has counted last, unless it is cut short
   */
  async leave(patient: boolean, timeoutMs: number, onLast: (report: PlaneReport) => void): Promise<void> {
    this.word = 'leaving'
    const cut = setTimeout(() => this.kill(), timeoutMs + LAST_WORDS_MS)
    await this.link.drain(patient, timeoutMs).then(onLast, () => {})
    await this.closed
    clearTimeout(cut)
  }

  /** Ends it at once. */
  kill(): void {
    this.child.kill('SIGKILL')
  }

  #hear(message: ToPrimary): void {
    switch (message.kind) {
      case 'hello':
        if (message.protocol === PROTOCOL) this.#start(this.#events.onHello())
        else this.#fail('the code on disk is a different version: restart banyan')
        return
      case 'ready':
        this.#events.onReady()
        return
      case 'failed':
        this.#why = message.message
        return
      case 'taken':
        this.#dropBefore(message.id)
        // Closed here, it goes on there.
        this.#untaken.get(message.id)?.destroy()
        this.#untaken.delete(message.id)
        return
      case 'closed':
        this.connections -= message.count
        return
      case 'forgotten':
        this.#events.onForgotten(message.keys)
        return
      case 'answer':
      case 'refusal':
        this.#dropBefore(message.id)
        this.#questions.onAnswer(message)
    }
  }

  /** The last connections may have been lost, with none behind them that would tell. */
  #settle(): void {
    this.#settling = undefined
    if (this.#untaken.size === 0 || this.word === 'gone') return
    const again = (): void => {
      this.#settling ??= setTimeout(() => this.#settle(), SETTLE_MS).unref()
    }
    this.link.settle().then(again, () => {})
  }

  /** All arrives in its order. A descriptor that a worker has no room for is lost on the way: node does not tell. */
  #dropBefore(id: number): void {
    let lost = 0
    for (const [one, socket] of this.#untaken) {
      if (one >= id) break
      socket.destroy()
      this.#untaken.delete(one)
      lost++
    }
    if (lost === 0) return
    this.connections -= lost
    this.#events.onLost(lost)
  }

  #start(start: WorkerStart): void {
    this.inForce = start.revision
    this.#send({ kind: 'start', start })
  }

  #fail(why: string): void {
    this.#why = why
    this.kill()
  }

  #send(message: ToWorker, handle?: SendHandle): void {
    // One that is gone can't be told: its end is heard of in a moment, and what it was to have is given to others.
    if (this.child.connected) this.child.send(message, handle, { keepOpen: true }, () => {})
  }

  #end(end: WorkerEnd): void {
    this.word = 'gone'
    this.#questions.end()
    // A worker says that it has a connection before it reads from it: of these no byte is lost.
    const untaken = [...this.#untaken.values()]
    this.#untaken.clear()
    this.#events.onEnd(end, untaken)
  }

  #readLines(): void {
    const out = this.child.stdout
    // Undefined where it could not be started.
    if (!out) return
    let rest = ''
    out.setEncoding('utf8').on('data', (text: string) => {
      const end = text.lastIndexOf('\n') + 1
      if (end === 0) {
        rest += text
        return
      }
      const lines = rest + text.slice(0, end)
      rest = text.slice(end)
      if (!this.#events.onLines(lines)) out.pause()
    })
  }

  /** Its log is read on after `onLines` has said false. */
  resume(): void {
    this.child.stdout?.resume()
  }
}
