/**
 * Step 7: one record per exchange feeds the access log and the measurements. Nothing else measures.
 */
import { causeText } from '../rules/failures/cause.ts'
import { FAILURES, type FailureCode } from '../rules/failures/failure.ts'
import { sideOf } from '../rules/routing/decide.ts'
import type { UsageTally } from '../state/discovery/usage-tally.ts'
import type { RampTally } from '../state/evidence/ramp-tally.ts'
import type { ExchangeRecord } from '../state/figures/cell.ts'
import type { Measurements } from '../state/figures/measurements.ts'
import type { Exchange } from './exchange.ts'
import { countForRamp } from './judged.ts'
import { countUsage } from './usage.ts'

/** Writes a line to the access log. */
export type AccessLog = (fields: Record<string, unknown>) => void

/** Receives the access log. */
export interface AccessSink {
  /** @param durationMs in milliseconds */
  exchange(exchange: Exchange, durationMs: number): void
  /** A request that was refused. */
  refusal(fields: Record<string, unknown>): void
}

/**
 * A sink that converts everything to fields.
 * @param log may be foreign code: errors that it throws or rejects with do not affect the exchange
 * @param onFault called with those errors
 */
export function sinkOf(log: AccessLog, onFault: (error: unknown) => void): AccessSink {
  const tell = (fields: Record<string, unknown>): void => {
    try {
      const told: unknown = log(fields)
      if (told !== undefined) Promise.resolve(told).catch(onFault)
    } catch (error) {
      onFault(error)
    }
  }
  return { exchange: (exchange, durationMs) => tell(logFields(exchange, durationMs)), refusal: tell }
}

/** What can be told of a request that was refused. */
export interface RefusedRequest {
  readonly method: string | null
  readonly target: string | null
}

/** A refused request. */
export interface Refusal {
  readonly id: string
  /** Peer address. */
  readonly client: string
  /** Null if it could not be parsed. */
  readonly request: RefusedRequest | null
  readonly failure: FailureCode
  /** False if it followed a request whose response closes the connection. */
  readonly answered?: boolean
}

/** Counts finished exchanges, and logs them if there is an access log. */
export class Observer {
  readonly #measurements: Measurements
  readonly #ramps: RampTally
  readonly #usage: UsageTally
  readonly #accessLog: AccessSink | null

  constructor(measurements: Measurements, ramps: RampTally, usage: UsageTally, accessLog: AccessSink | null) {
    this.#measurements = measurements
    this.#ramps = ramps
    this.#usage = usage
    this.#accessLog = accessLog
  }

  begun(): void {
    this.#measurements.active++
  }

  /** A request that was answered without being routed. */
  answered({ id, client, request }: Pick<Refusal, 'id' | 'client' | 'request'>, status: number): void {
    this.#accessLog?.refusal({ id, method: request?.method ?? null, target: request?.target ?? null, client, status })
  }

  /** A request that was refused before it became an exchange. */
  refused(refusal: Refusal): void {
    this.#measurements.refuse(refusal.failure)
    if (this.#accessLog === null) return
    const { id, client, request, failure, answered = true } = refusal
    const status = answered ? FAILURES[failure].status : 0
    this.#accessLog.refusal({
      id,
      method: request?.method ?? null,
      target: request?.target ?? null,
      client,
      status,
      failure,
    })
  }

  over(exchange: Exchange): void {
    const { answer, decision, cache, failure } = exchange
    const nowMs = performance.now()
    const durationMs = nowMs - exchange.startedMs
    const { retries, fallbackOn } = exchange
    this.#measurements.active--
    const side = sideOf(decision, exchange.matched.route)
    const status = exchange.outcome ?? answer.status
    const record: ExchangeRecord = { decision, side, status, cache, failure, durationMs, retries, fallbackOn }
    this.#measurements.count(record)
    const { route } = exchange.matched
    if (route !== null && (route.ramp !== null || this.#ramps.judged.has(route.id)))
      countForRamp(this.#ramps, exchange, route)
    countUsage(this.#usage, exchange, durationMs)
    if (this.#measurements.recent.wants(nowMs, failure !== null)) this.#remember(exchange, record)
    this.#accessLog?.exchange(exchange, durationMs)
  }

  #remember({ id, view, server, revision }: Exchange, record: ExchangeRecord): void {
    this.#measurements.recent.add({ id, view, server, revision: revision.number, atMs: Date.now(), ...record })
  }
}

/** The access log fields of an exchange. */
export function logFields(exchange: Exchange, durationMs: number): Record<string, unknown> {
  const { decision, answer, view } = exchange
  const fields: Record<string, unknown> = {
    id: exchange.id,
    method: view.method,
    host: view.host,
    target: view.target,
    client: view.clientAddress,
    status: answer.status,
    bytes: answer.bodyBytes,
    requestBytes: exchange.requestBytes,
    durationMs: Math.round(durationMs * 1000) / 1000,
    route: decision.routeId,
    upstream: decision.upstream || null,
    server: exchange.server,
    bucket: decision.bucket,
    percent: decision.percent,
    reason: decision.reason,
    cache: exchange.cache,
    revision: exchange.revision.number,
  }
  if (exchange.retries > 0) fields.retries = exchange.retries
  if (exchange.fallbackOn !== null) {
    fields.fallbackOn = exchange.fallbackOn
    fields.failedServer = exchange.failedServer
    if (exchange.failedCause !== null) fields.failedCause = causeText(exchange.failedCause)
  }
  if (exchange.trace !== null) fields.traceId = exchange.trace.traceId
  if (exchange.shadow !== null) fields.shadow = exchange.shadow
  if (exchange.failure !== null) fields.failure = exchange.failure
  if (exchange.cause !== null) fields.cause = causeText(exchange.cause)
  return fields
}
