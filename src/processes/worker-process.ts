/**
 * A worker seen from the primary: the child process and its port.
 */

import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import type { RevisionText } from '../control/table/followers.ts'
import type { Purge } from '../rules/caching/purge.ts'
import type { Pin } from '../state/pins.ts'
import type { PlaneReport } from '../state/plane-port.ts'
import type { ListeningHandle } from './acceptor.ts'
import type { Shares } from './shares.ts'
import {
  type LinkTo,
  type ListenFault,
  PROTOCOL,
  Questions,
  type ToPrimary,
  type ToWorker,
  type WorkerPort,
  type WorkerStart,
} from './workers.ts'

/** State of a worker: starting, serving, draining, or exited. */
export type WorkerWord = 'starting' | 'up' | 'leaving' | 'gone'

/** How a worker exited. */
export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The reason that it reported, or null. */
  readonly why: string | null
}

/** Events of a worker for the primary. */
export interface WorkerEvents {
  /** It has started and asks for its start message. */
  onHello(): WorkerStart
  /** It is ready to serve. */
  onReady(): void
  /** Complete lines of its log. @returns false to stop reading for now */
  onLines(text: string): boolean
  /** Unsafe requests have invalidated these, in all workers. */
  onInvalidated(purges: readonly Purge[]): void
  /** Writes have pinned the reads of these keys, in all workers. */
  onPinned(pins: readonly Pin[]): void
  /** It can't reach a server with this host name, or has ejected it. */
  onSuspect(hostname: string): void
  /** It accepts connections, or can't. */
  onListening(fault: ListenFault | null): void
  /** A worker that is paused is to accept connections again. */
  onDue(): void
  /** It has exited. */
  onEnd(end: WorkerEnd): void
}

/** Time that a worker has to exit after its drain timeout. */
const LAST_WORDS_MS = 5_000

/** How long the output of an exited worker is read: another process may hold the pipe open, or our own output may be blocked. */
const LAST_LINES_MS = 2_000

/** One worker process. */
export class WorkerProcess {
  readonly child: ChildProcess
  readonly link: LinkTo<WorkerPort>
  word: WorkerWord = 'starting'
  /** Its record in the shared file. */
  readonly record: number
  /** When it was asked whether it responds, and has not yet; null if it has. */
  askedAtMs: number | null = null
  /** The revision that it uses; null before it is ready. */
  inForce: RevisionText | null = null
  /** Resolves when it has exited and its output has been read as far as possible. */
  readonly closed: Promise<void>
  readonly #events: WorkerEvents
  readonly #questions: Questions
  readonly #shares: Shares
  #next = 0
  #why: string | null = null

  /** @param args of `banyan serve`: the worker reads its settings from them */
  constructor(args: readonly string[], shares: Shares, events: WorkerEvents) {
    this.#events = events
    this.#shares = shares
    this.record = shares.take()
    // By the path that this program was started with, not resolved: a symlink may point to another release by now.
    this.child = fork(process.argv[1] as string, ['worker', ...args], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc', shares.fd],
    })
    this.#questions = new Questions(
      (message) => this.#send(message),
      () => this.#next++,
    )
    this.link = this.#questions.link()
    this.child.on('message', (message) => this.#hear(message as ToPrimary))
    this.child.on('error', (error) => {
      this.#fail(error.message)
      // It could not be spawned, so there will be no 'exit' event.
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

  /** Number of the revision that it uses; 0 before it is ready. */
  get revision(): number {
    return this.inForce?.number ?? 0
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Its open connections, as last read from the shared file. */
  get connections(): number {
    return this.word === 'gone' ? 0 : this.#shares.connections(this.record)
  }

  /** Has it accept connections from the listening socket of a place, which the primary keeps open. */
  listen(handle: ListeningHandle, place: number): void {
    this.#send({ kind: 'listen', place }, handle as unknown as SendHandle)
  }

  /**
   * Drains it. Resolves when it has exited. Never rejects.
   * @param onLast gets its last report, unless it is killed
   */
  async leave(patient: boolean, timeoutMs: number, onLast: (report: PlaneReport) => void): Promise<void> {
    this.word = 'leaving'
    const cut = setTimeout(() => this.kill(), timeoutMs + LAST_WORDS_MS)
    await this.link.drain(patient, timeoutMs).then(onLast, () => {})
    await this.closed
    clearTimeout(cut)
  }

  /** Kills it. */
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
      case 'listening':
        this.#events.onListening(message.fault)
        return
      case 'due':
        this.#events.onDue()
        return
      case 'invalidated':
        this.#events.onInvalidated(message.purges)
        return
      case 'pinned':
        this.#events.onPinned(message.pins)
        return
      case 'suspect':
        this.#events.onSuspect(message.hostname)
        return
      case 'answer':
      case 'refusal':
        this.#questions.onAnswer(message)
    }
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
    // A worker that is gone gets no message: its exit follows.
    if (this.child.connected) this.child.send(message, handle, {}, () => {})
  }

  #end(end: WorkerEnd): void {
    this.word = 'gone'
    this.#shares.free(this.record)
    this.#questions.end()
    this.#events.onEnd(end)
  }

  #readLines(): void {
    const out = this.child.stdout
    // Undefined if it could not be spawned.
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

  /** Resumes reading its log after `onLines` has returned false. */
  resume(): void {
    this.child.stdout?.resume()
  }
}
