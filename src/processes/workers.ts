/**
 * The protocol between primary and workers: a closed set of messages, plain data except for connections, and remote calls on
 * top of them.
 */
import type { RevisionText } from '../control/table/followers.ts'
import type { PlanePort, PlaneReport } from '../state/plane-port.ts'
import type { TlsMaterial } from '../state/tls/material.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'

/**
 * The version of everything here, and of what a data plane reports. A worker of another version than its primary's does not
 * start: on SIGHUP the code on disk may have become another one than the primary runs.
 */
export const PROTOCOL = 2

/** What a worker can be asked and told. `WorkerPort` of a worker that is gone refuses everything. */
export interface WorkerPort extends PlanePort {
  /**
   * First phase of a new revision, or of the one in force with other TLS files.
   * @param material what its TLS files hold; null where that is what they hold now
   * @returns null, or why it can't be taken over
   */
  prepare(text: string, material: TlsMaterial | null): Promise<string | null>
  /** Second phase: the text that was prepared is in force. */
  commit(number: number, appliedAtMs: number): void
  abandon(): void
  /** From now on each answer ends its connection. */
  endConnections(): void
  /**
   * Lets what runs finish, then tells what it has counted last, and ends.
   * @param patient whether a connection without a request is waited for until its next one
   * @param timeoutMs after this what is left is cut
   */
  drain(patient: boolean, timeoutMs: number): Promise<PlaneReport>
  /** Cuts what is left now. */
  hurry(): void
  /** Opens the access log's file anew, where there is one. */
  reopenLog(): void
  /** Does nothing: its answer says that all that was sent before has arrived, or never will. */
  settle(): void
}

/** What a worker begins with. */
export interface WorkerStart {
  /** Counts from 1; stays the same for whoever takes its place. */
  readonly worker: number
  readonly revision: RevisionText
  /** What problems with the table are printed with. */
  readonly tableName: string
  readonly fleet: Fleet
  /** Id of the instance, the same in all workers. */
  readonly instance: string
}

/** From the primary to a worker. */
export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  /** A client's connection comes with it, unless it is gone already. */
  | { readonly kind: 'connection'; readonly id: number }
  | { readonly kind: 'ask'; readonly id: number; readonly name: keyof WorkerPort; readonly args: readonly unknown[] }

/** From a worker to the primary. */
export type ToPrimary =
  | { readonly kind: 'hello'; readonly protocol: number }
  /** It takes connections, and decides by the revision that it was started with. */
  | { readonly kind: 'ready' }
  /** It can't start, and its operator can mend it. */
  | { readonly kind: 'failed'; readonly message: string }
  /** A connection is in its hands. */
  | { readonly kind: 'taken'; readonly id: number }
  /** So many of its connections have ended since it last said so. */
  | { readonly kind: 'closed'; readonly count: number }
  /** What is stored under these keys has become untrue, in the other workers too. */
  | { readonly kind: 'forgotten'; readonly keys: readonly string[] }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly message: string }

/** A port over a distance: each answer may fail to come. */
export type LinkTo<Port> = {
  readonly [Name in keyof Port]: Port[Name] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never
}

/** The names of a worker's port: what is not among them is not asked. */
const NAMES: Readonly<Record<keyof WorkerPort, true>> = {
  report: true,
  recent: true,
  findRecent: true,
  explain: true,
  purge: true,
  forget: true,
  setFleet: true,
  prepare: true,
  commit: true,
  abandon: true,
  endConnections: true,
  drain: true,
  hurry: true,
  reopenLog: true,
  settle: true,
}

/** Puts questions to a worker and finds the answers. */
export class Questions {
  readonly #send: (message: ToWorker) => void
  readonly #nextId: () => number
  readonly #open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #gone = false

  /** @param nextId gives each question a number of its own */
  constructor(send: (message: ToWorker) => void, nextId: () => number) {
    this.#send = send
    this.#nextId = nextId
  }

  /** The worker's port. A question to a worker that is gone, or goes before it answers, is rejected. */
  link(): LinkTo<WorkerPort> {
    const ask = (name: keyof WorkerPort, args: readonly unknown[]): Promise<unknown> => this.#ask(name, args)
    const entries = (Object.keys(NAMES) as (keyof WorkerPort)[]).map((name) => [
      name,
      (...args: unknown[]) => ask(name, args),
    ])
    return Object.fromEntries(entries) as LinkTo<WorkerPort>
  }

  onAnswer(message: Extract<ToPrimary, { kind: 'answer' | 'refusal' }>): void {
    const asked = this.#open.get(message.id)
    this.#open.delete(message.id)
    if (message.kind === 'answer') asked?.resolve(message.value)
    else asked?.reject(new Error(message.message))
  }

  /** The worker is gone: nothing is answered any more. */
  end(): void {
    this.#gone = true
    for (const { reject } of this.#open.values()) reject(gone())
    this.#open.clear()
  }

  #ask(name: keyof WorkerPort, args: readonly unknown[]): Promise<unknown> {
    if (this.#gone) return Promise.reject(gone())
    const id = this.#nextId()
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject })
      this.#send({ kind: 'ask', id, name, args })
    })
  }
}

/** Answers a question. @returns the message that tells the answer */
export async function answerTo(
  port: WorkerPort,
  { id, name, args }: Extract<ToWorker, { kind: 'ask' }>,
): Promise<ToPrimary> {
  try {
    const method = port[name] as (...given: readonly unknown[]) => unknown
    return { kind: 'answer', id, value: await method.apply(port, args as unknown[]) }
  } catch (error) {
    return { kind: 'refusal', id, message: (error as Error).message }
  }
}

function gone(): Error {
  return new Error('the worker has exited')
}
