/**
 * Shared by all parts of the admin API: its dependencies and the state of a request.
 */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { ParameterizedContext } from 'koa'
import type Router from 'koa-router'
import { readAddress } from '../rules/patterns/address.ts'
import type { LiveTable } from '../state/live-table.ts'
import type { Gate } from './access/security.ts'
import type { Cluster } from './cluster/cluster.ts'
import type { ControlLog } from './control-log.ts'
import type { Planes } from './figures/planes.ts'
import type { FleetView } from './fleet/keeper.ts'
import type { Ownership } from './ownership.ts'
import type { Ramps } from './ramps/ramps.ts'
import type { History } from './table/history.ts'
import type { Operations } from './table/operations.ts'
import { inTurns, jsonSteps, onePerTurnOf } from './turns.ts'
import type { Webhook } from './webhook/webhook.ts'

/** Whether requests may be sent here, and if not why. */
export interface Readiness {
  readonly ready: boolean
  /** In words, for a person; empty where all is well. May be given with `ready` too: degraded. */
  readonly reasons: readonly string[]
}

/** A worker's place: its number stays while processes come and go. */
export interface WorkerState {
  /** From 1. */
  readonly worker: number
  readonly state: 'starting' | 'up' | 'leaving' | 'gone'
  readonly pid: number | null
  /** Number of the revision that it decides by; null where there is none. */
  readonly revision: number | null
  readonly connections: number
  /** Processes that have been started for it. */
  readonly starts: number
  /** CPU time of those that are gone. */
  readonly cpuSecondsBefore: number
  /** Its number among the planes; null while it is none of them. */
  readonly plane: number | null
}

/** What the admin API works with. */
export interface AdminParts {
  readonly live: LiveTable
  readonly operations: Pick<Operations, 'commit'>
  readonly history: History
  /** The data planes, wherever they are. */
  readonly planes: Planes
  readonly ramps: Ramps
  /** Default: none is told. */
  readonly webhook?: Pick<Webhook, 'figures'> | null
  /** What is known of servers beyond the table. */
  readonly fleet: FleetView
  readonly gate: Gate
  isReady(): Readiness
  /** Failed orders in a row of each name of --acme. Default: none. */
  acmeFailures?(): ReadonlyMap<string, number>
  /** Certificates that clients and the admin API get. Default: none. */
  certificates?(): readonly CertificateFigures[]
  /** The workers, where there are any. Default: this process does it all. */
  workers?(): readonly WorkerState[]
  readonly log: ControlLog
  /** Names, in lower case and without port, that Host may have besides addresses and localhost; `*.example.test` for one label. */
  hostNames?(): readonly string[]
  /** Of the admin API; null while it listens nowhere. Default: not known. */
  address?(): string | null
  /** Who makes changes. Default: this instance. */
  readonly ownership?: Ownership
  /** The cluster that this instance is one of. Default: none. */
  readonly cluster?: Cluster
  /** Whether each write must say which revision it was made for. Default: no. */
  readonly requireIfMatch?: boolean
  /** Of the program. */
  readonly version?: string
  /** A draw in [0, 1), for explain where none is given. Default: Math.random. */
  chance?(): number
  /** Epoch milliseconds. */
  now(): number
}

/** A certificate, for metrics. */
export interface CertificateFigures {
  readonly label: string
  readonly notAfterMs: number
}

/** What is known of an admin request once it is let in. */
export interface AdminState {
  requestId: string
  /** The token's name, `anonymous` where none is asked for, null before that is known. */
  author: string | null
}

export type AdminContext = ParameterizedContext<AdminState>
export type AdminRouter = Router<AdminState>

/** Answers with JSON that a person can read. */
export function answerJson(ctx: AdminContext, value: unknown, type = 'application/json'): void {
  ctx.body = `${JSON.stringify(value, null, 2)}\n`
  ctx.set('Content-Type', type)
}

/**
 * As `answerJson`, for a value that grows with the table: written in turns with everything else. Its iterators are lists.
 * @param more how much deeper than usual what grows is in the value
 */
export async function answerLarge(
  ctx: AdminContext,
  value: object,
  type = 'application/json',
  more = 0,
): Promise<void> {
  answerChunks(ctx, await inTurns(jsonSteps(value, -more)), type)
}

/** Answers with a text in chunks. */
export function answerChunks(ctx: AdminContext, chunks: readonly Buffer[], type: string): void {
  const [only, ...others] = chunks
  ctx.body = others.length === 0 ? only : Readable.from(onePerTurnOf(chunks), { objectMode: false })
  ctx.length = chunks.reduce((sum, { length }) => sum + length, 0)
  ctx.set('Content-Type', type)
}

/** Who asks, by its address in canonical form; empty where the connection is gone. */
export function clientAddressOf({ socket }: IncomingMessage): string {
  return readAddress(socket.remoteAddress ?? '') ?? ''
}
