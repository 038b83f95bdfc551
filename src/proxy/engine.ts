/**
 * Step 1: a request of node:http becomes an exchange, or is refused. The engine is a plain `(req, res) => void` handler.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { FailureCode } from '../rules/failures/failure.ts'
import { type RequestFields, readRequestFields } from '../rules/http/headers.ts'
import { authorityOf, isHost } from '../rules/patterns/target.ts'
import { Answer, endGently } from './client/answer.ts'
import { UpgradeClient } from './client/tunnel.ts'
import { nextRequestId, type Peer } from './exchange.ts'
import type { Journey } from './journey.ts'
import type { Observer } from './observe.ts'
import { forwardOf } from './upstream/forward.ts'

/** Limits of a request beyond those that node:http keeps. */
export interface RequestLimits {
  /** Header fields of one request. */
  readonly maxFields: number
  /** Characters of the request target. */
  readonly maxTargetLength: number
}

/** What the engine needs of the process. */
export interface EngineParts {
  readonly journey: Journey
  readonly observer: Observer
  readonly limits: RequestLimits
  /** Whether a peer's X-Forwarded-* fields are believed. */
  isTrusted(address: string): boolean
}

const PEER = Symbol('peer')
const IPV4_MAPPED = '::ffff:'

/** The data plane behind a server of node:http, banyan's own or somebody else's. */
export class Engine {
  readonly #parts: EngineParts
  /** New answers end their connection: the process is about to go. */
  draining = false
  /** No middleware of anybody else's sees the requests and responses that this engine handles. */
  exclusive = false

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  /** Takes a request through the proxy. It never throws and answers each request once. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): void => {
    this.#receive(req, res, null)
  }

  /** Takes an upgrade request ('upgrade' of http.Server) through the proxy. */
  readonly upgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const res = new ServerResponse(req)
    res.assignSocket(socket as Socket)
    res.shouldKeepAlive = false
    const client = new UpgradeClient(req, socket, head)
    // A refused upgrade: what came behind the request can't be told from what was meant for the other protocol.
    res.once('finish', () => {
      client.take()
      endGently(socket)
    })
    this.#receive(req, res, client)
  }

  /** Answers CONNECT ('connect' of http.Server): a reverse proxy opens no tunnels to where a client says. */
  readonly connect = (req: IncomingMessage, socket: Duplex): void => {
    const res = new ServerResponse(req)
    res.assignSocket(socket as Socket)
    socket.on('error', () => socket.destroy())
    res.once('finish', () => endGently(socket))
    this.#refuse(res, 'method-connect')
  }

  /**
   * Whether a request that names Upgrade is taken for one (http.Server's `shouldUpgradeCallback`). HTTP/2 over cleartext
   * is not: RFC 9113 section 3.1 has dropped it, and clients that offer it go on with HTTP/1.1.
   */
  readonly shouldUpgrade = (req: IncomingMessage): boolean => {
    const protocol = req.headers.upgrade
    return protocol !== undefined && req.httpVersionMinor === 1 && !/^h2c\b/i.test(protocol)
  }

  /** The body of a request that is under way has turned out malformed: it goes no further. */
  requestBroken(res: ServerResponse): void {
    const forward = forwardOf(res)
    if (forward === undefined) res.destroy()
    else forward.requestBroken()
  }

  #receive(req: IncomingMessage, res: ServerResponse, upgrade: UpgradeClient | null): void {
    const peer = this.#peer(req.socket)
    if (peer.refused) return
    const said = readRequestFields(req.rawHeaders)
    const refusal = this.#refusal(req, said)
    // Of a connection that offered an upgrade and got none, node:http reads no further.
    if (this.draining || (upgrade === null && said.upgrade !== null)) res.shouldKeepAlive = false
    if (refusal !== null) {
      this.#refuse(res, refusal)
      return
    }
    const target = req.url as string
    const authority = target.charCodeAt(0) === 47 ? null : authorityOf(target)
    this.#parts.journey.begin({
      req,
      res,
      peer,
      said,
      upgrade,
      exclusive: this.exclusive,
      view: {
        method: req.method as string,
        target,
        host: (authority ?? said.host).toLowerCase(),
        rawHeaders: req.rawHeaders,
        clientAddress: peer.trusted ? this.#client(said.forwardedFor, peer.address) : peer.address,
        chance: Math.random(),
      },
    })
  }

  /** What is wrong with a request that node:http lets through, or null. RFC 9112 sections 2.3, 3.2, 6.1 and 6.3. */
  #refusal(req: IncomingMessage, said: RequestFields): FailureCode | null {
    const { limits } = this.#parts
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
    if (target.charCodeAt(0) === 47) return null
    if (target === '*') return req.method === 'OPTIONS' ? null : 'bad-request'
    const authority = authorityOf(target)
    // With two names for one request, those behind could route by the other one.
    if (authority === null || authority.toLowerCase() !== said.host.toLowerCase()) return 'bad-request'
    return null
  }

  #refuse(res: ServerResponse, failure: FailureCode): void {
    const peer = this.#peer(res.req.socket)
    const id = nextRequestId()
    peer.refused = true
    this.#parts.observer.refused({ id, client: peer.address, request: res.req, failure })
    new Answer(res).problem(failure, id)
  }

  #peer(socket: Socket): Peer {
    const known = (socket as Socket & { [PEER]?: Peer })[PEER]
    if (known !== undefined) return known
    const raw = socket.remoteAddress ?? ''
    const address = raw.startsWith(IPV4_MAPPED) ? raw.slice(IPV4_MAPPED.length) : raw
    const tls = (socket as Partial<TLSSocket>).encrypted === true
    const peer: Peer = {
      address,
      trusted: this.#parts.isTrusted(address),
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

  /** The nearest address in X-Forwarded-For that is not one of our own proxies'. */
  #client(forwardedFor: string | null, peerAddress: string): string {
    if (forwardedFor === null) return peerAddress
    const hops = forwardedFor.split(',')
    for (let i = hops.length - 1; i >= 0; i--) {
      const hop = (hops[i] as string).trim()
      if (hop !== '' && !this.#parts.isTrusted(hop)) return hop
    }
    return (hops[0] as string).trim() || peerAddress
  }
}
