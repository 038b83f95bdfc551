/**
 * Step 1: turns a client's request into an exchange, or refuses it.
 */
import type { FailureCode } from '../rules/failures/failure.ts'
import { type ClientField, connectionWithout, withSubject } from '../rules/http/client-field.ts'
import {
  forwardsLeft,
  hasBody,
  hasPassed,
  type RequestFields,
  readRequestFields,
  saidRequestId,
  schemeOf,
  tracedHead,
} from '../rules/http/headers.ts'
import type { HttpsRedirect } from '../rules/http/https-redirect.ts'
import { clientOf, readPeer } from '../rules/patterns/address.ts'
import { type AbsoluteTarget, isHost, isSameAuthority, readAbsolute } from '../rules/patterns/target.ts'
import { tellException } from '../wire/exceptions.ts'
import { acmeAnswerTo } from './acme-answers.ts'
import type { Arrival, ClientRequest, Peer, RequestHandler } from './client/request.ts'
import { nextRequestId } from './exchange.ts'
import { type ForceLink, withoutToken } from './force-link.ts'
import type { Journey } from './journey.ts'
import type { Observer, RefusedRequest } from './observe.ts'

/** Limits of a request. */
export interface RequestLimits {
  /** Maximum number of headers. */
  readonly maxFields: number
  /** Maximum length of the request target. */
  readonly maxTargetLength: number
}

/** Dependencies of the engine. */
export interface EngineParts {
  readonly journey: Journey
  readonly observer: Observer
  readonly limits: RequestLimits
  /** Instance id: a request with it in CDN-Loop is in a loop. */
  readonly instance: string
  /** Answers links with force tokens; null if they are off. */
  readonly forceLink: ForceLink | null
  /** Scheme that clients use, for a TLS-terminating proxy in front; null: that of the connection. */
  readonly clientScheme: 'http' | 'https' | null
  /** The header that tells upstreams the subject of a client's certificate; null for none. */
  readonly clientField: ClientField | null
  /** Where requests without TLS are redirected; null where they are served. */
  readonly redirect: HttpsRedirect | null
  /** X-Request-Id is sent to upstreams and clients. */
  readonly requestIds: boolean
  /** Whether X-Forwarded-* headers of a peer are trusted, by its canonical address. */
  isTrusted(address: string): boolean
  /** Called with errors that middleware throws during a request. */
  onFault(error: unknown): void
}

const SLASH = 0x2f

const NOT_READ = { fields: ['Allow', 'GET, HEAD', 'Content-Length', '0'] }

/** The data plane behind the implementations of the client side. */
export class Engine implements RequestHandler {
  readonly #parts: EngineParts
  /** The last valid Host: the next one is nearly always the same. */
  #host = ''
  /** Answers to http-01 by their tokens, while orders of certificates are open. */
  acmeAnswers: ReadonlyMap<string, string> = new Map()
  /** New responses close their connection: the process is about to exit. */
  draining = false

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  peerOf(arrival: Arrival): Peer {
    const { remoteAddress, subject, encrypted } = arrival
    const { clientScheme, isTrusted } = this.#parts
    // A closed socket has no address.
    const address = readPeer(remoteAddress ?? '') ?? ''
    return {
      address,
      trusted: address !== '' && isTrusted(address),
      // What a balancer may have done does not matter where the connection itself is secure.
      tls: encrypted || clientScheme === 'https',
      subject,
      refused: false,
      privates: null,
      whenClosed: (listener) => arrival.whenClosed(listener),
    }
  }

  handle(request: ClientRequest): void {
    try {
      this.#begin(request)
    } catch (error) {
      request.destroy()
      tellException(error)
    }
  }

  refuse(request: ClientRequest, failure: FailureCode): void {
    const { peer, answer } = request
    peer.refused = true
    answer.closes()
    const id = this.refused(peer, request, failure)
    if (this.#parts.requestIds)
      answer.own = { addTo: (_, fields) => [...fields, 'X-Request-Id', id], trailers: (fields) => fields }
    answer.problem(failure, id)
  }

  refused({ address }: Peer, request: RefusedRequest | null, failure: FailureCode, answered = true): string {
    const id = nextRequestId()
    this.#parts.observer.refused({ id, client: address, request: this.#loggable(request), failure, answered })
    return id
  }

  fault(error: unknown): void {
    this.#parts.onFault(error)
  }

  #begin(request: ClientRequest): void {
    const { peer, method, answer } = request
    if (peer.refused) return
    const said = readRequestFields(request.rawHeaders)
    const received = request.target
    const absolute = received.charCodeAt(0) === SLASH ? null : readAbsolute(received, method)
    const refusal = this.#refusal(request, said, absolute)
    if (this.draining) answer.closes()
    if (refusal !== null) {
      this.refuse(request, refusal)
      return
    }
    if (request.bodyTaken && hasBody(said)) {
      const message = `the body of ${method} ${received} was read before it reached the proxy: move body parsers after it`
      this.fault(new Error(message))
      this.refuse(request, 'internal')
      return
    }
    if (forwardsLeft(method, said) === 0) {
      this.#answerLast(request)
      return
    }
    const target = absolute === null ? received : absolute.origin
    const acmeAnswer = acmeAnswerTo(this.acmeAnswers, method, target)
    if (acmeAnswer !== undefined) {
      this.#answerAuthority(request, said, acmeAnswer)
      return
    }
    const { redirect, clientField } = this.#parts
    if (redirect !== null && schemeOf(peer, said) === 'http') {
      this.#redirect(request, said, redirect.locationOf(absolute?.authority ?? said.host, target))
      return
    }
    if (this.#parts.forceLink?.takes(target) === true) {
      this.#answerLink(request, said, target)
      return
    }
    // Host is the same, or missing, which HTTP/1.0 allows.
    if (absolute !== null && said.hostCount === 0) said.host = absolute.authority
    let { rawHeaders } = request
    if (clientField !== null) {
      rawHeaders = withSubject(rawHeaders, clientField, peer.subject)
      said.connection = connectionWithout(said.connection, clientField.dashed)
    }
    const { requestIds } = this.#parts
    this.#parts.journey.begin({
      request,
      said,
      id: requestIds && peer.trusted ? saidRequestId(request.rawHeaders) : null,
      tellsId: requestIds,
      clientField,
      view: {
        method,
        target,
        host: said.host.toLowerCase(),
        rawHeaders,
        clientAddress:
          peer.trusted && said.forwardedFor !== null
            ? clientOf(said.forwardedFor, peer.address, this.#parts.isTrusted)
            : peer.address,
        chance: Math.random(),
      },
    })
  }

  /** Whether a request is for banyan itself, whatever middleware there is: it is given to `handle` at once then. */
  isForAuthority(method: string, target: string): boolean {
    return acmeAnswerTo(this.acmeAnswers, method, target) !== undefined
  }

  #answerAuthority({ peer, method, target, answer }: ClientRequest, said: RequestFields, text: string): void {
    // Nobody reads the body.
    if (hasBody(said)) answer.closes()
    this.#parts.observer.answered({ id: nextRequestId(), client: peer.address, request: { method, target } }, 200)
    const fields = ['Content-Type', 'application/octet-stream', 'Content-Length', String(text.length)]
    answer.begin(200, 'OK', [...fields, 'Cache-Control', 'no-store'])
    if (method === 'GET') answer.body(Buffer.from(text, 'latin1'))
    answer.end([])
  }

  /** Answers a link with a force token: it never reaches an application. */
  #answerLink(request: ClientRequest, said: RequestFields, target: string): void {
    const { peer, method, answer } = request
    const isRead = method === 'GET' || method === 'HEAD'
    const secure = schemeOf(peer, said) === 'https'
    const told = isRead ? this.#parts.forceLink!.answer(target, secure, Date.now()) : NOT_READ
    if ('failure' in told) {
      this.refuse(request, told.failure)
      return
    }
    // Nobody reads the body.
    if (hasBody(said)) answer.closes()
    const status = isRead ? 303 : 405
    const logged = { id: nextRequestId(), client: peer.address, request: this.#loggable(request) }
    this.#parts.observer.answered(logged, status)
    answer.begin(status, isRead ? 'See Other' : 'Method Not Allowed', [...told.fields])
    answer.end([])
  }

  /** Sends a client to the same URL with https. */
  #redirect(request: ClientRequest, said: RequestFields, location: string | null): void {
    if (location === null) {
      this.refuse(request, 'bad-request')
      return
    }
    const { peer, answer } = request
    // Nobody reads the body.
    if (hasBody(said)) answer.closes()
    this.#parts.observer.answered({ id: nextRequestId(), client: peer.address, request: this.#loggable(request) }, 308)
    // Not for long: whoever turns TLS off again would lose those who have learnt it.
    answer.begin(308, 'Permanent Redirect', ['Location', location, 'Cache-Control', 'no-store', 'Content-Length', '0'])
    answer.end([])
  }

  /** Without the token of a link. */
  #loggable(request: RefusedRequest | null): RefusedRequest | null {
    if (request?.target == null || this.#parts.forceLink === null) return request
    return { method: request.method, target: withoutToken(request.target) }
  }

  /** Why a request that can be read is refused, or null. RFC 9112 sections 2.3, 3.2, 6.1 and 6.3. */
  #refusal(request: ClientRequest, said: RequestFields, absolute: AbsoluteTarget | null): FailureCode | null {
    const { limits, instance } = this.#parts
    const { method, target, minor, rawHeaders, peer } = request
    // A reverse proxy opens no tunnels to hosts that clients name.
    if (method === 'CONNECT') return 'method-connect'
    if (rawHeaders.length > limits.maxFields * 2) return 'head-too-large'
    if (target.length > limits.maxTargetLength) return 'request-line-too-long'
    if (said.disguisedFraming) return 'bad-request'
    if (said.transferEncoding !== null) {
      if (said.contentLength !== null || minor === 0) return 'bad-request'
      const coding = said.transferEncoding.toLowerCase()
      // Chunked more than once is an error of its own (RFC 9112 section 6.1).
      if (coding !== 'chunked') return /chunked.*chunked/.test(coding) ? 'bad-request' : 'transfer-coding'
    }
    if (said.contentLength !== null && !/^[0-9]{1,15}$/.test(said.contentLength)) return 'bad-request'
    if (said.hostCount !== 1 && (said.hostCount > 1 || minor === 1)) return 'bad-request'
    if (said.hostCount === 1 && said.host !== this.#host) {
      if (!isHost(said.host)) return 'bad-request'
      this.#host = said.host
    }
    if (said.cdnLoop !== null && hasPassed(said.cdnLoop, instance)) return 'loop'
    if (target.charCodeAt(0) === SLASH) return null
    if (target === '*') return method === 'OPTIONS' ? null : 'bad-request'
    // With two different hosts, a server behind banyan could route by the other one.
    if (absolute === null || (said.hostCount === 1 && !isSameAuthority(absolute, said.host))) return 'bad-request'
    return absolute.scheme === schemeOf(peer, said) ? null : 'misdirected'
  }

  /** Answers OPTIONS or TRACE as the last recipient: the request may pass no more proxies (RFC 9110 section 7.6.2). */
  #answerLast({ peer, method, target, minor, rawHeaders, answer }: ClientRequest): void {
    const traced = method === 'TRACE'
    const body = Buffer.from(traced ? tracedHead(`${method} ${target} HTTP/1.${minor}`, rawHeaders) : '', 'latin1')
    const fields = ['Content-Length', String(body.length)]
    if (traced) fields.push('Content-Type', 'message/http')
    this.#parts.observer.answered({ id: nextRequestId(), client: peer.address, request: { method, target } }, 200)
    answer.begin(200, 'OK', fields)
    if (traced) answer.body(body)
    answer.end([])
  }
}
