/**
 * Step 1: turns a node:http request into an exchange, or refuses it. The engine is a plain `(req, res) => void` handler.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { FailureCode } from '../rules/failures/failure.ts'
import {
  forwardsLeft,
  hasBody,
  hasPassed,
  type RequestFields,
  readRequestFields,
  schemeOf,
  tracedHead,
} from '../rules/http/headers.ts'
import { clientOf, readAddress } from '../rules/patterns/address.ts'
import { type AbsoluteTarget, isHost, isSameAuthority, readAbsolute } from '../rules/patterns/target.ts'
import { tellException } from '../wire/exceptions.ts'
import { Answer, endGently } from './client/answer.ts'
import { SharedAnswer } from './client/shared-answer.ts'
import { UpgradeClient } from './client/tunnel.ts'
import { nextRequestId, type Peer } from './exchange.ts'
import type { Journey } from './journey.ts'
import type { Observer } from './observe.ts'
import { forwardOf } from './upstream/forward.ts'

/** Limits of a request in addition to those of node:http. */
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
  /** Scheme that clients use, for a TLS-terminating proxy in front; null: that of the connection. */
  readonly clientScheme: 'http' | 'https' | null
  /** Whether X-Forwarded-* headers of a peer are trusted, by its canonical address. */
  isTrusted(address: string): boolean
  /** Called with errors that middleware throws during a request. */
  onFault(error: unknown): void
}

/** A request listener of node:http. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => void

const SLASH = 0x2f
const PEER = Symbol('peer')

/** Property of a response to an upgrade request: the client side of the upgrade. */
const UPGRADE = Symbol('upgrade')

type Asking = ServerResponse & { [UPGRADE]?: UpgradeClient }

/** The stream of an HTTP/2 request: an application's server may support both versions. */
interface Stream {
  readonly stream: { readonly destroyed: boolean; close(code: number): void }
}

/** The error code of RFC 9113 section 7. */
const HTTP_1_1_REQUIRED = 0xd

function isStream(res: object): res is Stream {
  return 'stream' in res
}

/** The data plane behind a node:http server, banyan's own or an application's. */
export class Engine {
  readonly #parts: EngineParts
  /** New responses close their connection: the process is about to exit. */
  draining = false
  /** No foreign middleware sees the requests and responses of this engine. */
  exclusive = false

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  /** Proxies a request. Never throws, and responds exactly once. */
  readonly handle: Handler = (req, res) => {
    if (req.httpVersionMajor === 2 && isStream(res)) this.#refuseStream(req, res)
    else this.#receive(req, res)
  }

  /**
   * Passes an upgrade request ('upgrade' of http.Server) to a handler as an ordinary request with a response on that socket
   * (RFC 9110 section 7.8). If it reaches `handle` the connection can be upgraded; any earlier response closes it.
   */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, handler: Handler): void {
    const res = new ServerResponse(req)
    res.assignSocket(socket as Socket)
    res.shouldKeepAlive = false
    const client = new UpgradeClient(req, socket, head)
    ;(res as Asking)[UPGRADE] = client
    // Refused upgrade: the bytes after the request may belong to the other protocol.
    res.once('finish', () => {
      client.take()
      endGently(socket)
    })
    handler(req, res)
  }

  /** Refuses an upgrade: a handler for `upgrade` if nothing else handles it. */
  readonly refuseUpgrade: Handler = (_, res) => this.#refuse(res, 'upgrade-refused')

  /** Responds for middleware that failed before anything was sent. */
  readonly fail: Handler = (_, res) => this.#refuse(res, 'internal')

  /** Refuses CONNECT ('connect' of http.Server): a reverse proxy opens no tunnels to hosts that clients name. */
  readonly connect = (req: IncomingMessage, socket: Duplex): void => {
    const res = new ServerResponse(req)
    res.assignSocket(socket as Socket)
    socket.on('error', () => socket.destroy())
    res.once('finish', () => endGently(socket))
    this.#refuse(res, 'method-connect')
  }

  /**
   * Whether a request with Upgrade is treated as an upgrade (http.Server's `shouldUpgradeCallback`). Not for h2c: it is obsolete
   * (RFC 9113 section 3.1), and clients that offer it continue with HTTP/1.1.
   */
  readonly shouldUpgrade = (req: IncomingMessage): boolean => {
    const protocol = req.headers.upgrade
    return protocol !== undefined && req.httpVersionMinor === 1 && !/^h2c\b/i.test(protocol)
  }

  /**
   * The body of a request in flight has ended early.
   * @param left the client has disconnected; otherwise the body is malformed
   */
  requestBroken(res: ServerResponse, left: boolean): void {
    const forward = forwardOf(res)
    if (forward === undefined) res.destroy()
    else if (left) forward.clientClosed()
    else forward.requestBroken()
  }

  /** Whether a response comes from an upstream and is passed on as it comes. */
  isPassing(res: ServerResponse): boolean {
    return forwardOf(res) !== undefined
  }

  #receive(req: IncomingMessage, res: ServerResponse): void {
    try {
      this.#begin(req, res)
    } catch (error) {
      res.destroy()
      tellException(error)
    }
  }

  #begin(req: IncomingMessage, res: ServerResponse): void {
    const peer = this.#peer(req.socket)
    if (peer.refused) return
    const said = readRequestFields(req.rawHeaders)
    const upgrade = said.upgrade !== null && this.shouldUpgrade(req) ? ((res as Asking)[UPGRADE] ?? null) : null
    const received = req.url as string
    const absolute = received.charCodeAt(0) === SLASH ? null : readAbsolute(received, req.method as string)
    const refusal = this.#refusal(req, said, absolute, peer)
    // After an upgrade that was offered and not accepted, node:http does not read further from the connection.
    if (this.draining || (upgrade === null && said.upgrade !== null)) res.shouldKeepAlive = false
    if (refusal !== null) {
      this.#refuse(res, refusal)
      return
    }
    if (!this.exclusive && req.readableDidRead && hasBody(said)) {
      this.#parts.onFault(
        new Error(
          `the body of ${req.method} ${received} was read before it reached the proxy: move body parsers after it`,
        ),
      )
      this.#refuse(res, 'internal')
      return
    }
    if (forwardsLeft(req.method as string, said) === 0) {
      this.#answerLast(req, res)
      return
    }
    // Host is the same, or missing, which HTTP/1.0 allows.
    if (absolute !== null && said.hostCount === 0) said.host = absolute.authority
    this.#parts.journey.begin({
      req,
      res,
      peer,
      said,
      upgrade,
      exclusive: this.exclusive,
      onFault: this.#parts.onFault,
      view: {
        method: req.method as string,
        target: absolute === null ? received : absolute.origin,
        host: said.host.toLowerCase(),
        rawHeaders: req.rawHeaders,
        clientAddress:
          peer.trusted && said.forwardedFor !== null
            ? clientOf(said.forwardedFor, peer.address, this.#parts.isTrusted)
            : peer.address,
        chance: Math.random(),
      },
    })
  }

  /** Why a request that node:http accepts is refused, or null. RFC 9112 sections 2.3, 3.2, 6.1 and 6.3. */
  #refusal(req: IncomingMessage, said: RequestFields, absolute: AbsoluteTarget | null, peer: Peer): FailureCode | null {
    const { limits, instance } = this.#parts
    const target = req.url as string
    if (req.httpVersionMajor !== 1 || req.httpVersionMinor > 1) return 'http-version'
    if (req.rawHeaders.length > limits.maxFields * 2) return 'head-too-large'
    if (target.length > limits.maxTargetLength) return 'request-line-too-long'
    if (said.disguisedFraming) return 'bad-request'
    if (said.transferEncoding !== null) {
      if (said.contentLength !== null || req.httpVersionMinor === 0) return 'bad-request'
      if (said.transferEncoding.toLowerCase() !== 'chunked') return 'transfer-coding'
    }
    if (said.contentLength !== null && !/^[0-9]{1,15}$/.test(said.contentLength)) return 'bad-request'
    if (said.hostCount !== 1 && (said.hostCount > 1 || req.httpVersionMinor === 1)) return 'bad-request'
    if (said.hostCount === 1 && !isHost(said.host)) return 'bad-request'
    if (said.cdnLoop !== null && hasPassed(said.cdnLoop, instance)) return 'loop'
    if (target.charCodeAt(0) === SLASH) return null
    if (target === '*') return req.method === 'OPTIONS' ? null : 'bad-request'
    // With two different hosts, a server behind banyan could route by the other one.
    if (absolute === null || (said.hostCount === 1 && !isSameAuthority(absolute, said.host))) return 'bad-request'
    return absolute.scheme === schemeOf(peer, said) ? null : 'misdirected'
  }

  /** Answers OPTIONS or TRACE as the last recipient: the request may pass no more proxies (RFC 9110 section 7.6.2). */
  #answerLast(req: IncomingMessage, res: ServerResponse): void {
    const { method = '', url = '', httpVersion, rawHeaders } = req
    const traced = method === 'TRACE'
    const body = Buffer.from(traced ? tracedHead(`${method} ${url} HTTP/${httpVersion}`, rawHeaders) : '', 'latin1')
    const fields = ['Content-Length', String(body.length)]
    if (traced) fields.push('Content-Type', 'message/http')
    this.#parts.observer.answered({ id: nextRequestId(), client: this.#peer(req.socket).address, request: req }, 200)
    const answer = this.exclusive ? new Answer(res) : new SharedAnswer(res, this.#parts.onFault)
    answer.begin(200, 'OK', fields)
    if (traced) answer.body(body)
    answer.end([])
  }

  #refuse(res: ServerResponse, failure: FailureCode): void {
    const peer = this.#peer(res.req.socket)
    const id = nextRequestId()
    peer.refused = true
    res.shouldKeepAlive = false
    this.#parts.observer.refused({ id, client: peer.address, request: res.req, failure })
    const answer = this.exclusive ? new Answer(res) : new SharedAnswer(res, this.#parts.onFault)
    answer.problem(failure, id)
  }

  /**
   * Refuses an HTTP/2 request and keeps the session: clients that support HTTP/1.1 repeat the request with it (RFC 9113
   * section 7).
   */
  #refuseStream(request: IncomingMessage, { stream }: Stream): void {
    if (stream.destroyed) return
    const client = request.socket.remoteAddress ?? ''
    this.#parts.observer.refused({ id: nextRequestId(), client, request, failure: 'http-version' })
    stream.close(HTTP_1_1_REQUIRED)
  }

  #peer(socket: Socket): Peer {
    const known = (socket as Socket & { [PEER]?: Peer })[PEER]
    if (known !== undefined) return known
    // A closed socket has no address.
    const address = readAddress(socket.remoteAddress ?? '') ?? ''
    const { clientScheme, isTrusted } = this.#parts
    const encrypted = (socket as Partial<TLSSocket>).encrypted === true
    const tls = clientScheme === null ? encrypted : clientScheme === 'https'
    const peer: Peer = {
      address,
      trusted: address !== '' && isTrusted(address),
      tls,
      refused: false,
      privates: null,
      whenClosed(listener) {
        if (socket.destroyed) listener()
        else socket.once('close', listener)
      },
    }
    ;(socket as Socket & { [PEER]?: Peer })[PEER] = peer
    return peer
  }
}
