/**
 * The protocol between primary and workers: a closed set of messages, plain data except for the listening sockets, and remote
 * calls on top of them.
 */

import type { PackedDocument } from '../control/table/apart-jobs.ts'
import type { RevisionText, TableMove } from '../control/table/followers.ts'
import type { Purge } from '../rules/caching/purge.ts'
import type { NumberChange } from '../rules/language/numbers.ts'
import type { Pin } from '../state/pins.ts'
import type { PlanePort, PlaneReport } from '../state/plane-port.ts'
import type { TlsMaterial } from '../state/tls/material.ts'
import type { ServerTls } from '../state/tls/server-tls.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'

/**
 * Version of the messages and of the reports of data planes. A worker with another version than the primary's does not start:
 * on SIGHUP the code on disk may be newer than the primary's.
 */
export const PROTOCOL = 10

/** Pieces of a packed document. */
export type DocumentPart = Pick<PackedDocument, 'upstreams' | 'routes'>

/** How a worker gets at a table: from its text, or as `TableMove`, with the pieces of a document sent before. */
export type WorkerMove =
  | { readonly kind: 'text'; readonly text: string }
  | Exclude<TableMove, { kind: 'document' }>
  | ({ readonly kind: 'document'; readonly changes: readonly NumberChange[] } & Omit<
      PackedDocument,
      keyof DocumentPart
    >)

/** Remote calls to a worker. Calls to a worker that is gone are rejected. */
export interface WorkerPort extends PlanePort {
  /** Takes a part of a document that is about to be prepared: small ones, since each is parsed at once. */
  receive(part: DocumentPart): void
  /**
   * First phase of a new revision, or of the current one with changed TLS files.
   * @param material content of its TLS files; null if unchanged
   * @returns null, or the reason for rejecting it
   */
  prepare(move: WorkerMove, material: TlsMaterial | null): Promise<string | null>
  /** Second phase: activates the prepared table. */
  commit(number: number, etag: string, appliedAtMs: number): void
  abandon(): void
  /** From now on each response closes its connection. */
  endConnections(): void
  /**
   * Finishes requests in flight, returns its last report, and exits.
   * @param patient whether idle connections are kept until their next request
   * @param timeoutMs remaining connections are cut after this
   */
  drain(patient: boolean, timeoutMs: number): Promise<PlaneReport>
  /** Cuts the remaining connections now. */
  hurry(): void
  /** Reopens the access log file, if there is one. */
  reopenLog(): void
  /** Uses other certificates for new connections. */
  setTls(tls: ServerTls): void
  /** Compares its connections with those of the others now. The answer shows that it still responds. */
  look(): void
}

/** The start message of a worker. */
export interface WorkerStart {
  /** Slot number, from 1; a replacement gets the same. */
  readonly worker: number
  readonly revision: RevisionText
  /** Name of the table in error messages. */
  readonly tableName: string
  readonly fleet: Fleet
  /** Instance id, the same in all workers. */
  readonly instance: string
  /** Its record in the shared file. */
  readonly record: number
  readonly tls: ServerTls
}

/** An error of listen(2). */
export interface ListenFault {
  readonly code: string | null
  readonly message: string
}

/** Messages from the primary to a worker. */
export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  /** Comes with the listening socket of a place: once it has all of them, it is to accept connections. */
  | { readonly kind: 'listen'; readonly place: number }
  | { readonly kind: 'ask'; readonly id: number; readonly name: keyof WorkerPort; readonly args: readonly unknown[] }

/** Messages from a worker to the primary. */
export type ToPrimary =
  | { readonly kind: 'hello'; readonly protocol: number }
  /** It accepts connections and uses the revision of its start message. */
  | { readonly kind: 'ready' }
  /** It can't start, for a reason that the operator can fix. */
  | { readonly kind: 'failed'; readonly message: string }
  /** It accepts connections; or it can't. */
  | { readonly kind: 'listening'; readonly fault: ListenFault | null }
  /** A worker that is paused is to accept connections again. */
  | { readonly kind: 'due' }
  /** Unsafe requests have invalidated these, in the other workers too. */
  | { readonly kind: 'invalidated'; readonly purges: readonly Purge[] }
  /** Writes have pinned the reads of these keys, in the other workers too. */
  | { readonly kind: 'pinned'; readonly pins: readonly Pin[] }
  /** A server with this host name can't be reached, or was ejected. */
  | { readonly kind: 'suspect'; readonly hostname: string }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly message: string }

/** A remote port: any call may be rejected. */
export type LinkTo<Port> = {
  readonly [Name in keyof Port]: Port[Name] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never
}

/** The methods of a worker's port; no others are called. */
const NAMES: Readonly<Record<keyof WorkerPort, true>> = {
  report: true,
  recent: true,
  findRecent: true,
  explain: true,
  purge: true,
  invalidated: true,
  pinned: true,
  setJudged: true,
  setFleet: true,
  receive: true,
  prepare: true,
  commit: true,
  abandon: true,
  endConnections: true,
  drain: true,
  hurry: true,
  reopenLog: true,
  setTls: true,
  look: true,
}

/** Makes remote calls to a worker and matches the answers. */
export class Questions {
  readonly #send: (message: ToWorker) => void
  readonly #nextId: () => number
  readonly #open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #gone = false

  /** @param nextId returns a unique id for each call */
  constructor(send: (message: ToWorker) => void, nextId: () => number) {
    this.#send = send
    this.#nextId = nextId
  }

  /** The worker's port. A call is rejected if the worker is gone, or exits before it answers. */
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

  /** Rejects open calls: the worker is gone. */
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

/** Executes a call. @returns the message with the answer */
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
