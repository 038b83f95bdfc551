/**
 * Requests that arrive as node:http's `(req, res)`: behind middleware, and in an application's own server.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { tellException } from '../../wire/exceptions.ts'
import { endGently } from '../../wire/gentle-end.ts'
import { NodeRequest } from './node-request.ts'
import type { Peer, RequestHandler } from './request.ts'
import { addressOf } from './sockets.ts'
import { UpgradeClient } from './upgrade-client.ts'

/** A request listener of node:http. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => void

const PEER = Symbol('peer')

/** Property of a response with its request as the engine sees it. */
const REQUEST = Symbol('request')

/** Property of a response to an upgrade request: the client side of the upgrade. */
const UPGRADE = Symbol('upgrade')

type Asking = ServerResponse & { [UPGRADE]?: UpgradeClient; [REQUEST]?: NodeRequest }

/** The stream of an HTTP/2 request: an application's server may support both versions. */
interface Stream {
  readonly stream: { readonly destroyed: boolean; close(code: number): void }
}

/** The error code of RFC 9113 section 7. */
const HTTP_1_1_REQUIRED = 0xd

function isStream(res: object): res is Stream {
  return 'stream' in res
}

/** An engine behind node:http servers. */
export class NodeHttp {
  readonly #engine: RequestHandler
  readonly #subjects = new WeakMap<Socket, string>()

  constructor(engine: RequestHandler) {
    this.#engine = engine
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
  readonly refuseUpgrade: Handler = (req, res) => this.#engine.refuse(this.#requestOf(req, res), 'upgrade-refused')

  /** Responds for middleware that failed before anything was sent. */
  readonly fail: Handler = (req, res) => this.#engine.refuse(this.#requestOf(req, res), 'internal')

  /** Refuses CONNECT ('connect' of http.Server): a reverse proxy opens no tunnels to hosts that clients name. */
  readonly connect = (req: IncomingMessage, socket: Duplex): void => {
    const res = new ServerResponse(req)
    res.assignSocket(socket as Socket)
    socket.on('error', () => socket.destroy())
    res.once('finish', () => endGently(socket))
    this.#engine.refuse(this.#requestOf(req, res), 'method-connect')
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
    const owner = (res as Asking)[REQUEST]?.owner ?? null
    if (owner === null) res.destroy()
    else if (left) owner.onGone(false)
    else owner.onMalformed()
  }

  /** Whether the timeouts of the response's owner apply to it. */
  limitsTime(res: ServerResponse): boolean {
    return (res as Asking)[REQUEST]?.owner?.limitsTime === true
  }

  /** Sets the subject of a client's verified certificate. */
  setSubject(socket: Socket, subject: string): void {
    this.#subjects.set(socket, subject)
  }

  peerOf(socket: Socket): Peer {
    const known = (socket as Socket & { [PEER]?: Peer })[PEER]
    if (known !== undefined) return known
    const peer = this.#engine.peerOf({
      remoteAddress: addressOf(socket),
      subject: this.#subjects.get(socket) ?? null,
      proxied: false,
      encrypted: (socket as Partial<TLSSocket>).encrypted === true,
      whenClosed(listener) {
        if (socket.destroyed) listener()
        else socket.once('close', listener)
      },
    })
    ;(socket as Socket & { [PEER]?: Peer })[PEER] = peer
    return peer
  }

  #receive(req: IncomingMessage, res: ServerResponse): void {
    try {
      const request = this.#requestOf(req, res)
      // After an upgrade that was offered and not accepted, node:http does not read further from the connection.
      if (request.upgrade === null && offersUpgrade(req.rawHeaders)) res.shouldKeepAlive = false
      const { httpVersionMajor, httpVersionMinor } = req
      if (httpVersionMajor !== 1 || httpVersionMinor > 1) this.#engine.refuse(request, 'http-version')
      else this.#engine.handle(request)
    } catch (error) {
      res.destroy()
      tellException(error)
    }
  }

  #requestOf(req: IncomingMessage, res: ServerResponse): NodeRequest {
    const client = (res as Asking)[UPGRADE]
    const upgrade = client !== undefined && this.shouldUpgrade(req) ? client : null
    const onFault = (error: unknown): void => this.#engine.fault(error)
    const request = new NodeRequest(req, res, { peer: this.peerOf(req.socket), upgrade, onFault })
    ;(res as Asking)[REQUEST] = request
    res.on('close', onClose)
    return request
  }

  /**
   * Refuses an HTTP/2 request and keeps the session: clients that support HTTP/1.1 repeat the request with it (RFC 9113
   * section 7).
   */
  #refuseStream({ method, url, socket }: IncomingMessage, { stream }: Stream): void {
    if (stream.destroyed) return
    const { remoteAddress } = socket
    const arrival = { remoteAddress, subject: null, proxied: false, encrypted: true, whenClosed: () => {} }
    const peer = this.#engine.peerOf(arrival)
    this.#engine.refused(peer, { method: method ?? null, target: url ?? null }, 'http-version')
    stream.close(HTTP_1_1_REQUIRED)
  }
}

function offersUpgrade(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 7 && name.toLowerCase() === 'upgrade') return true
  }
  return false
}

/** One function for all responses: a listener per exchange would cost more. */
function onClose(this: Asking): void {
  this[REQUEST]?.closed()
}
