/**
 * Step 5: one attempt at a server, then retry or fallback where rules/resilience allows it. Streams both ways.
 */
import type { Decision } from '../rules/exchange.ts'
import { FAILURES, type FailureCode } from '../rules/failure.ts'
import {
  interimFields,
  type OriginMap,
  requestHead,
  responseFields,
  trailerFields,
  upgradeFields,
  withoutLength,
} from '../rules/headers.ts'
import { mayFallBack, mayRetry } from '../rules/resilience.ts'
import type { ServerState } from '../state/server-state.ts'
import type { UpstreamState, Upstreams } from '../state/upstreams.ts'
import type { ClientExchange, Connection, WireFailure } from '../wire/client.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { onceWritten } from '../wire/spent.ts'
import type { Exchange } from './exchange.ts'
import { Tunnel } from './tunnel.ts'

/** An answer came before the request was complete: this long the rest of it is read and dropped, as nginx lingers. */
const LINGER_MS = 30_000

/** What the forwarder needs of the process. */
export interface ForwardParts {
  readonly upstreams: Upstreams
  /** Called once when the exchange is over, however it ended. */
  over(exchange: Exchange): void
  /** An upgraded connection stands (+1) or is gone (-1). */
  tunnels(change: 1 | -1): void
}

/** Takes a copy of an answer as it passes. */
export interface Recorder {
  /** @param fields of the head as the client gets them */
  head(head: ResponseHead, fields: readonly string[]): void
  body(piece: Buffer): void
  end(): void
  /** The answer broke off or was replaced: nothing of it is stored. */
  abandon(): void
}

/** The forwarding of one exchange. It hears the upstream's answer and passes it on. */
export class Forward implements ClientExchange {
  readonly #parts: ForwardParts
  readonly #exchange: Exchange
  readonly #recorder: Recorder | null
  #upstream!: UpstreamState
  #server: ServerState | null = null
  #connection: Connection | null = null
  #attempts = 0
  #bodyConsumed = false
  #requestDone = false
  #reading = false
  #upstreamPaused = false
  #settled = false

  /** @param recorder takes a copy of the answer for the cache, or null */
  constructor(parts: ForwardParts, exchange: Exchange, recorder: Recorder | null) {
    this.#parts = parts
    this.#exchange = exchange
    this.#recorder = recorder
  }

  start(): void {
    const { req, res } = this.#exchange
    const owned = res as typeof res & { [FORWARD]?: Forward }
    owned[FORWARD] = this
    res.on('close', onClientClose)
    this.#requestDone = this.#exchange.said.contentLength === null && this.#exchange.said.transferEncoding === null
    if (req.destroyed && !req.complete) this.#clientGone()
    else this.#attempt(null)
  }

  #attempt(except: ServerState | null): void {
    const exchange = this.#exchange
    const upstream = this.#parts.upstreams.get(exchange.decision.upstream)
    const failed = except === null ? null : { candidate: except, maySucceed: false }
    const server = upstream?.pick(exchange.view.chance, failed) ?? null
    if (upstream === undefined || server === null) {
      this.#failed('no-server', null)
      return
    }
    this.#upstream = upstream
    this.#server = server
    this.#attempts++
    exchange.server = server.server.id
    const connection = server.pool.take(this, this.#attempts > 1)
    this.#connection = connection
    connection.send(this.#head(upstream, server), exchange.view.method, exchange.upgrade !== null)
    if (this.#requestDone) this.#finish(connection)
    else if (connection.ready) this.#readBody()
  }

  #head(upstream: UpstreamState, server: ServerState): string {
    const { view, said, peer, req, upgrade } = this.#exchange
    const { host } = upstream.settings
    const own = host === 'preserve' ? null : host === 'upstream' ? server.authority : host.literal
    return requestHead(`${view.method} ${view.target} HTTP/1.1\r\n`, view.rawHeaders, said, {
      host: own ?? (said.hostCount === 0 ? server.authority : null),
      peerAddress: peer.address,
      peerTrusted: peer.trusted,
      proto: peer.tls ? 'https' : 'http',
      minor: req.httpVersionMinor,
      upgrade: upgrade === null ? null : upgrade.protocol,
    })
  }

  #readBody(): void {
    if (this.#reading) return
    this.#reading = true
    const { req } = this.#exchange
    const owned = req as typeof req & { [FORWARD]?: Forward }
    owned[FORWARD] = this
    req.on('data', onRequestData)
    req.on('end', onRequestEnd)
  }

  /** @internal */
  requestData(piece: Buffer): void {
    this.#bodyConsumed = true
    this.#exchange.requestBytes += piece.length
    const connection = this.#connection
    if (connection === null) return
    const chunked = this.#exchange.said.transferEncoding !== null
    const written = this.#exchange.exclusive ? onceWritten(piece) : undefined
    const keepsUp = chunked ? connection.writeChunk(piece, written) : connection.write(piece, written)
    if (!keepsUp) this.#exchange.req.pause()
  }

  /** @internal */
  requestEnd(): void {
    this.#requestDone = true
    if (this.#connection !== null) this.#finish(this.#connection)
  }

  /** Ends the request as it is framed: one without a byte of content may still have been chunked. */
  #finish(connection: Connection): void {
    const { req, said } = this.#exchange
    connection.finish(said.transferEncoding === null ? null : lastChunk(req.rawTrailers))
  }

  onReady(): void {
    if (!this.#requestDone) this.#readBody()
  }

  onDrain(): void {
    if (this.#reading && this.#exchange.req.isPaused()) this.#exchange.req.resume()
  }

  onInformation(head: ResponseHead): void {
    this.#exchange.answer.information(head.status, interimFields(head.rawHeaders))
  }

  onHead(head: ResponseHead): void {
    const exchange = this.#exchange
    if (!this.#bodyConsumed && mayFallBack(exchange.matched.route, exchange.decision, exchange.view.method, head)) {
      this.#connection?.abort()
      this.#connection = null
      this.#fallBack()
      return
    }
    const fields = clientFields(exchange, head, this.#upstream.origins)
    this.#recorder?.head(head, fields)
    if (exchange.cacheStatus !== null) fields.push('Cache-Status', exchange.cacheStatus)
    if (exchange.upgrade !== null) exchange.res.shouldKeepAlive = false
    exchange.answer.begin(head.status, head.reason, fields)
  }

  onBody(piece: Buffer): void {
    this.#recorder?.body(piece)
    const written = this.#recorder === null && this.#exchange.exclusive ? onceWritten(piece) : undefined
    if (this.#exchange.answer.body(piece, written)) return
    this.#pauseUpstream()
  }

  onPause(): void {
    if (!this.#exchange.answer.flush()) this.#pauseUpstream()
  }

  onEnd(rawTrailers: string[]): void {
    this.#connection = null
    this.#recorder?.end()
    this.#exchange.answer.end(rawTrailers.length === 0 ? rawTrailers : trailerFields(rawTrailers))
    if (!this.#requestDone) this.#dropRest()
    this.#settle()
  }

  onUpgrade(head: ResponseHead): void {
    if (!this.#requestDone) {
      // RFC 9110 section 7.8: no server may switch before it has the whole request. What is whose is unknown now.
      this.#connection?.abort()
      this.#connection = null
      this.#failed('response-malformed', null)
      return
    }
    const { socket, rest } = this.#connection!.detach()
    this.#connection = null
    this.#exchange.res.off('close', onClientClose)
    this.#parts.tunnels(1)
    const tunnel = new Tunnel(this.#exchange, head, this.#upstream.settings.idleTimeoutMs, () => {
      this.#parts.tunnels(-1)
      this.#settle()
    })
    tunnel.open(socket, rest)
  }

  onFailure(failure: WireFailure, cause: Error | null): void {
    const connection = this.#connection
    this.#connection = null
    const code = this.#blame(failure)
    const attempt = {
      failure: code,
      method: this.#exchange.view.method,
      attempts: this.#attempts,
      reused: connection?.reused ?? false,
      answered: connection?.answered ?? false,
      bodyConsumed: this.#bodyConsumed,
    }
    if (!this.#exchange.answer.begun && mayRetry(attempt)) {
      this.#exchange.retries++
      this.#attempt(this.#server)
    } else this.#failed(code, cause)
  }

  /** Silence is the client's doing where it is the client that is being waited for. */
  #blame(failure: WireFailure): FailureCode {
    if (failure !== 'idle-timeout') return failure
    if (this.#upstreamPaused) return 'client-stalled'
    if (!this.#requestDone && this.#reading && !this.#exchange.req.isPaused()) return 'request-timeout'
    return 'idle-timeout'
  }

  #failed(failure: FailureCode, cause: Error | null): void {
    const exchange = this.#exchange
    const mayAnswer = !exchange.answer.begun && !this.#bodyConsumed
    const { method } = exchange.view
    if (mayAnswer && mayFallBack(exchange.matched.route, exchange.decision, method, { failure })) {
      this.#fallBack()
      return
    }
    exchange.failure = failure
    exchange.cause = cause
    this.#recorder?.abandon()
    exchange.answer.problem(failure, exchange.id)
    if (FAILURES[failure].status === 0) exchange.req.destroy()
    else if (!this.#requestDone) this.#dropRest()
    this.#settle()
  }

  #fallBack(): void {
    const { decision, matched } = this.#exchange
    this.#recorder?.abandon()
    const fallback: Decision = { ...decision, upstream: matched.route!.from, reason: 'fallback' }
    this.#exchange.decision = fallback
    this.#attempts = 0
    this.#attempt(null)
  }

  #pauseUpstream(): void {
    if (this.#upstreamPaused || this.#connection === null) return
    this.#upstreamPaused = true
    this.#connection.pause()
    this.#exchange.res.once('drain', () => {
      this.#upstreamPaused = false
      this.#connection?.resume()
    })
  }

  /** The request body is malformed: the upstream must not take what it has for a whole. */
  requestBroken(): void {
    if (this.#settled) {
      this.#exchange.req.destroy()
      return
    }
    this.#connection?.abort()
    this.#connection = null
    this.#exchange.failure = 'request-body'
    this.#recorder?.abandon()
    this.#exchange.answer.problem('request-body', this.#exchange.id)
    this.#settle()
  }

  /** @internal */
  clientClosed(): void {
    if (!this.#settled) this.#clientGone()
  }

  #clientGone(): void {
    this.#connection?.abort()
    this.#connection = null
    this.#recorder?.abandon()
    this.#exchange.failure = 'client-gone'
    this.#exchange.answer.break()
    this.#settle()
  }

  /** The answer is out and the request is not complete: what still comes of it is read and dropped, for a while. */
  #dropRest(): void {
    const { req } = this.#exchange
    if (req.complete || req.destroyed) return
    const timer = setTimeout(() => req.destroy(), LINGER_MS)
    timer.unref()
    req.once('close', () => clearTimeout(timer))
    req.once('end', () => clearTimeout(timer))
    req.on('error', ignore)
    req.resume()
  }

  #settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#parts.over(this.#exchange)
  }
}

/** The fields of an upstream's answer as the client of an exchange gets them. */
export function clientFields(exchange: Exchange, head: ResponseHead, origins: OriginMap | null): string[] {
  const bodiless = head.framing === 'none' || exchange.view.method === 'HEAD'
  const chunked = head.framing === 'chunked' && !bodiless && exchange.req.httpVersionMinor === 1
  let fields = responseFields(head.rawHeaders, chunked, head.minor, origins)
  // Clients that read it would wait for a body that a 204 never has.
  if (head.status === 204 && head.contentLength > 0) fields = withoutLength(fields)
  if (head.status === 426) fields.push(...upgradeFields(head.rawHeaders, !exchange.res.shouldKeepAlive))
  return fields
}

/** Where a request or response keeps its forwarder: listeners are shared functions, none is made per exchange. */
const FORWARD = Symbol('forward')

/** The forwarder of a response, while it has one. */
export function forwardOf(res: object): Forward | undefined {
  return (res as Owned)[FORWARD]
}

interface Owned {
  [FORWARD]?: Forward
}

function onRequestData(this: Owned, piece: Buffer): void {
  this[FORWARD]!.requestData(piece)
}

function onRequestEnd(this: Owned): void {
  this[FORWARD]!.requestEnd()
}

function onClientClose(this: Owned): void {
  this[FORWARD]!.clientClosed()
}

function ignore(): void {
  // The connection is given up anyway: 'close' follows and says what there is to do.
}

function lastChunk(rawTrailers: readonly string[]): string {
  if (rawTrailers.length === 0) return '0\r\n\r\n'
  let text = '0\r\n'
  const fields = trailerFields(rawTrailers)
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}
