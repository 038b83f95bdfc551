/**
 * The spans of one exchange: one for the exchange, one for each attempt at a server, one for its copy.
 */
import type { Decision, RequestView, Side } from '../../rules/http/exchange.ts'
import { schemeOf } from '../../rules/http/headers.ts'
import { splitHost } from '../../rules/patterns/request-parts.ts'
import { answeringSide } from '../../rules/routing/decide.ts'
import type { Match } from '../../rules/routing/match.ts'
import type { ParentSpan } from '../../rules/tracing/context.ts'
import { readParent, traceparent } from '../../rules/tracing/context.ts'
import type { AttributeValue, SpanData } from '../../rules/tracing/otlp.ts'
import type { Outcome } from '../../state/figures/attempt-cell.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'

/** What spans say of an exchange. */
export interface TracedExchange {
  readonly view: RequestView
  readonly peer: { readonly trusted: boolean; readonly tls: boolean }
  readonly said: Parameters<typeof schemeOf>[1]
  readonly matched: Match
  readonly decision: Decision
  readonly answer: { readonly status: number }
  readonly cache: string
  readonly failure: string | null
  readonly fallbackOn: string | null
  readonly server: string | null
  readonly startedMs: number
  readonly revision: { readonly number: number }
  readonly id: string
}

/** Where ended spans go. Never throws, and never waits. */
export interface SpanSink {
  span(span: SpanData): void
}

/** Makes traces. */
export interface TracerParts {
  readonly sink: SpanSink
  /** The share of exchanges that are sampled where no trusted parent decides, in [0, 1]. */
  readonly share: number
  /** Random bytes as hexadecimal digits. */
  random(bytes: number): string
}

/** Begins the trace of each exchange. */
export class Tracer {
  readonly #parts: TracerParts

  constructor(parts: TracerParts) {
    this.#parts = parts
  }

  /**
   * Continues the trace that the request names, or begins one. Whether it is sampled is the word of a trusted peer; a client could
   * have everything sampled by a flag, so for others chance decides.
   */
  begin(exchange: TracedExchange): Trace {
    const { view, peer } = exchange
    const parent = readParent(view.rawHeaders)
    // A number of its own: `chance` draws the side too, and only some sides would be seen.
    const sampled = parent !== null && peer.trusted ? parent.sampled : Math.random() < this.#parts.share
    return new Trace(this.#parts, exchange, parent, sampled)
  }
}

/** The trace of one exchange. */
export class Trace {
  readonly #parts: TracerParts
  readonly #exchange: TracedExchange
  readonly #parentId: string
  readonly #spanId: string
  readonly traceId: string
  readonly sampled: boolean
  /** The request names a valid parent. */
  readonly hasParent: boolean
  /** The value of `traceparent` for the request that is sent next. */
  header: string

  constructor(parts: TracerParts, exchange: TracedExchange, parent: ParentSpan | null, sampled: boolean) {
    this.#parts = parts
    this.#exchange = exchange
    this.hasParent = parent !== null
    this.sampled = sampled
    this.traceId = parent?.traceId ?? parts.random(16)
    this.#parentId = parent?.spanId ?? ''
    this.#spanId = parts.random(8)
    this.header = traceparent(this.traceId, this.#spanId, sampled)
  }

  /**
   * An attempt at a server begins.
   * @param before attempts of the exchange before it
   * @returns its span, or null where the trace is not sampled
   */
  attempt(server: ServerState, upstream: string, before: number): AttemptSpan | null {
    if (!this.sampled) return null
    const spanId = this.#parts.random(8)
    this.header = traceparent(this.traceId, spanId, true)
    const { decision, matched } = this.#exchange
    const side = answeringSide(decision, matched.route)
    return new AttemptSpan(this, spanId, [
      ...attemptAttributes(this.#exchange, server, upstream, side),
      ...['banyan.reason', decision.reason, 'http.request.resend_count', before > 0 ? before : null],
    ])
  }

  /** A copy for the other side is sent. */
  copy(server: ServerState, upstream: string, side: Side): AttemptSpan | null {
    if (!this.sampled) return null
    const spanId = this.#parts.random(8)
    this.header = traceparent(this.traceId, spanId, true)
    return new AttemptSpan(this, spanId, [
      ...attemptAttributes(this.#exchange, server, upstream, side),
      ...['banyan.shadow', true],
    ])
  }

  /** An attempt or a copy has ended. */
  ended(spanId: string, startMs: number, attributes: readonly (string | AttributeValue)[], failed: boolean): void {
    const name = nameOf(this.#exchange)
    this.#tell({ spanId, parentId: this.#spanId, name, kind: 'client', startMs, attributes, failed })
  }

  /** The exchange is over. */
  end(): void {
    if (!this.sampled) return
    const exchange = this.#exchange
    const { view, matched, decision, answer, cache, failure, startedMs } = exchange
    const { status } = answer
    const query = view.target.indexOf('?')
    const { name, port } = splitHost(view.host)
    const attributes = [
      ...['http.request.method', view.method, 'http.route', matched.path?.text ?? null],
      ...['url.path', query === -1 ? view.target : view.target.slice(0, query)],
      ...['url.scheme', schemeOf(exchange.peer, exchange.said)],
      ...['server.address', name === '' ? null : name, 'server.port', /^\d{1,5}$/.test(port) ? Number(port) : null],
      ...['client.address', view.clientAddress, 'http.response.status_code', status > 0 ? status : null],
      ...['error.type', failure ?? (status >= 500 ? String(status) : null)],
      ...['banyan.request.id', exchange.id, 'banyan.route', decision.routeId, 'banyan.upstream', decision.upstream],
      ...['banyan.side', answeringSide(decision, matched.route), 'banyan.server', exchange.server],
      ...['banyan.reason', decision.reason, 'banyan.bucket', decision.bucket, 'banyan.percent', decision.percent],
      ...[
        'banyan.cache',
        cache,
        'banyan.revision',
        exchange.revision.number,
        'banyan.fallback_on',
        exchange.fallbackOn,
      ],
    ]
    const failed = failure !== null || status >= 500
    this.#tell({
      spanId: this.#spanId,
      parentId: this.#parentId,
      name: nameOf(exchange),
      kind: 'server',
      startMs: startedMs,
      attributes,
      failed,
    })
  }

  #tell(span: Omit<SpanData, 'traceId' | 'endMs'>): void {
    const { timeOrigin } = performance
    this.#parts.sink.span({
      ...span,
      traceId: this.traceId,
      startMs: timeOrigin + span.startMs,
      endMs: timeOrigin + performance.now(),
    })
  }
}

/** One attempt at a server, or a copy. */
export class AttemptSpan {
  readonly #trace: Trace
  readonly #spanId: string
  readonly #attributes: (string | AttributeValue)[]
  readonly #startMs = performance.now()
  #status: number | null = null

  constructor(trace: Trace, spanId: string, attributes: (string | AttributeValue)[]) {
    this.#trace = trace
    this.#spanId = spanId
    this.#attributes = attributes
  }

  /** The response headers have arrived. */
  answered(status: number): void {
    this.#status = status
  }

  /** @param outcome as the metrics call it */
  end(outcome: Outcome | string): void {
    const status = this.#status
    const isBroken = !/^[1-5]xx$/.test(outcome)
    // For a client span a 4xx is an error, too (OpenTelemetry's conventions for HTTP).
    const failed = isBroken || (status !== null && status >= 400)
    const error = isBroken ? outcome : failed ? String(status) : null
    const attributes = [...this.#attributes, 'http.response.status_code', status, 'error.type', error]
    this.#trace.ended(this.#spanId, this.#startMs, attributes, failed)
  }
}

function attemptAttributes(
  { view, decision }: TracedExchange,
  { name, server }: ServerState,
  upstream: string,
  side: Side | null,
): (string | AttributeValue)[] {
  return [
    ...['http.request.method', view.method, 'server.address', server.hostname, 'server.port', server.port],
    ...['banyan.upstream', upstream, 'banyan.server', name, 'banyan.route', decision.routeId, 'banyan.side', side],
  ]
}

/** The method, and the path of the route: few names, whatever clients ask for. */
function nameOf({ view, matched }: TracedExchange): string {
  return matched.path === null ? view.method : `${view.method} ${matched.path.text}`
}
