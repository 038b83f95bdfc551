/**
 * TLS handshakes with clients: limited in time and number, and begun one after the other with other work in between, since each costs
 * this thread up to a millisecond.
 */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { ACME_TLS, type HandshakeOutcome } from '../../../state/tls/server-tls.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../../wire/deadlines.ts'
import { isTls, readClientHello } from './client-hello.ts'
import type { ServerContexts } from './contexts.ts'
import { subjectOf } from './subject.ts'

/** For all handshakes of a server. */
export interface HandshakeTerms {
  readonly contexts: ServerContexts
  /** From the connection to its end. */
  readonly timeoutMs: number
  /** So many at once; with more, the one that has waited longest is closed. Default 4096. */
  readonly maxOpen?: number
  /** @param why for the operator; null for nothing that is worth a line */
  onEnd(outcome: HandshakeOutcome, client: string | undefined, why: string | null): void
}

/** A connection is secure. @param subject of the client's certificate, null without one */
export type Secured = (socket: TLSSocket, subject: string | null) => void

const MAX_OPEN = 4096

/** So many are begun in one turn of the event loop. */
const PER_TURN = 4

/** Of node:tls: the connection that a secure one is made from. */
type Inner = TLSSocket & { readonly _parent?: Socket | null }

/** The handshakes of one server that are not over. */
export class Handshakes {
  readonly #terms: HandshakeTerms
  readonly #server: Server
  /** The oldest one first. */
  readonly #open = new Map<Socket, Handshake>()
  readonly #queue: Handshake[] = []
  #turnIsDue = false

  /** @param protocols that are offered by ALPN, by preference */
  constructor(terms: HandshakeTerms, protocols: readonly string[]) {
    this.#terms = terms
    const { contexts } = terms
    const { clientCertificates } = contexts.policy
    const handshakeOf = (socket: unknown): Handshake | undefined => this.#open.get((socket as Inner)._parent as Socket)
    this.#server = createServer({
      ...contexts.defaults,
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'required',
      pauseOnConnect: true,
      SNICallback(this: unknown, name: string, done: (error: Error | null, context?: undefined) => void) {
        try {
          const offered = handshakeOf(this)?.protocols ?? []
          done(null, (contexts.contextFor(name, offered) ?? undefined) as undefined)
        } catch (error) {
          done(error as Error)
        }
      },
      ALPNCallback: ({ protocols: offered }) =>
        offered.includes(ACME_TLS) && contexts.hasChallenges
          ? ACME_TLS
          : protocols.find((one) => offered.includes(one)),
    })
    this.#server.on('secureConnection', (socket: TLSSocket) => handshakeOf(socket)?.onSecure(socket))
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => handshakeOf(socket)?.onError(error, socket))
    contexts.onChange = () => this.#refresh()
    this.#refresh()
  }

  /** Connections whose handshake is not over. */
  get count(): number {
    return this.#open.size
  }

  /**
   * Does the handshake on a connection of which nothing was read, or put back.
   * @param onSecure gets the secure connection, which is paused
   * @param onLost called where it is closed before
   */
  begin(raw: Socket, client: string | undefined, onSecure: Secured, onLost: () => void): void {
    const handshake = new Handshake(raw, client, {
      terms: this.#terms,
      onReady: () => this.#enqueue(handshake),
      onOver: () => this.#open.delete(raw),
      onSecure,
      onLost,
    })
    this.#open.set(raw, handshake)
    if (this.#open.size > (this.#terms.maxOpen ?? MAX_OPEN)) {
      const [oldest] = this.#open.values()
      oldest?.giveWay()
    }
  }

  /** Closes connections on which nothing has come. */
  closeIdle(): void {
    for (const handshake of [...this.#open.values()]) handshake.closeIdle()
  }

  /** Closes all connections. */
  cut(): void {
    for (const handshake of [...this.#open.values()]) handshake.cut()
  }

  #refresh(): void {
    const { contexts } = this.#terms
    this.#server.setSecureContext(contexts.defaults)
    const { _sharedCreds: shared } = this.#server as unknown as {
      _sharedCreds?: Parameters<typeof contexts.prepare>[0]
    }
    if (shared !== undefined) contexts.prepare(shared)
  }

  #enqueue(handshake: Handshake): void {
    this.#queue.push(handshake)
    if (this.#turnIsDue) return
    this.#turnIsDue = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    for (const handshake of this.#queue.splice(0, PER_TURN)) handshake.shake(this.#server)
    this.#turnIsDue = this.#queue.length > 0
    if (this.#turnIsDue) setImmediate(this.#turn)
  }
}

/** What one handshake needs of all others. */
interface HandshakeParts {
  readonly terms: HandshakeTerms
  /** The first message of the client is there. */
  onReady(): void
  onOver(): void
  readonly onSecure: Secured
  onLost(): void
}

/** One handshake. */
class Handshake implements Watched {
  readonly #raw: Socket
  readonly #client: string | undefined
  readonly #parts: HandshakeParts
  /** Those that the client offers, where that was read. */
  protocols: readonly string[] = []
  #secured: TLSSocket | null = null
  #begun = false
  #over = false
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(raw: Socket, client: string | undefined, parts: HandshakeParts) {
    this.#raw = raw
    this.#client = client
    this.#parts = parts
    raw.on('readable', this.#onReadable)
    raw.on('end', this.#onEnd)
    raw.on('error', ignore)
    raw.on('close', this.#onClose)
    watch(this)
    this.deadlineMs = coarseNowMs() + parts.terms.timeoutMs
  }

  expire(): void {
    // Who has sent nothing at all wanted nothing: browsers open connections in advance.
    this.#fail('timeout', this.#begun ? `not complete after ${this.#parts.terms.timeoutMs / 1000} s` : null)
  }

  giveWay(): void {
    this.#fail('crowded', 'too many handshakes at once')
  }

  closeIdle(): void {
    if (!this.#begun && this.#raw.readableLength === 0) this.cut()
  }

  cut(): void {
    this.#fail('left', null)
  }

  /** Begins with what the client has sent. */
  shake(server: Server): void {
    if (this.#over) return
    if (this.#raw.destroyed) this.#onClose()
    else server.emit('connection', this.#raw)
  }

  onSecure(socket: TLSSocket): void {
    if (this.#over) return
    this.#secured = socket
    const { clientCertificates } = this.#parts.terms.contexts.policy
    const certificate = clientCertificates === 'none' ? undefined : socket.getPeerX509Certificate()
    if (certificate !== undefined) {
      // A session that is resumed was verified when it began.
      const isOver = certificate.validToDate.getTime() < Date.now()
      if (!socket.authorized || isOver) {
        this.#fail('client-certificate', isOver ? 'it has expired' : String(socket.authorizationError))
        return
      }
    }
    if (socket.alpnProtocol === ACME_TLS) {
      // The certificate is the answer (RFC 8737 section 3).
      this.#leave()
      this.#parts.terms.onEnd('challenge', this.#client, null)
      socket.on('error', ignore)
      socket.on('close', () => this.#parts.onLost())
      socket.end()
      socket.resume()
      return
    }
    this.#leave()
    this.#parts.terms.onEnd(socket.isSessionReused() ? 'resumed' : 'full', this.#client, null)
    this.#parts.onSecure(socket, certificate === undefined ? null : subjectOf(certificate))
  }

  onError({ message, code, reason }: NodeJS.ErrnoException & { reason?: string }, socket: TLSSocket): void {
    socket.on('error', ignore)
    const refused = socket.authorizationError as Error | string | null | undefined
    if (refused != null) this.#fail('client-certificate', String(refused))
    else if (reason !== undefined && /peer did not return a certificate/.test(reason)) {
      this.#fail('client-certificate', 'the client has sent none')
    } else if (reason !== undefined) this.#fail(/alert/.test(reason) ? 'left' : 'failed', reason)
    else if (code === 'ECONNRESET' || code === 'EPIPE') this.#fail('left', null)
    else this.#fail('failed', message)
  }

  readonly #onReadable = (): void => {
    const bytes = this.#raw.read() as Buffer | null
    if (bytes === null) return
    this.#begun = true
    this.#raw.unshift(bytes)
    if (!isTls(bytes[0] as number)) {
      this.#answerInClear(bytes)
      return
    }
    if (this.#parts.terms.contexts.hasChallenges) {
      const hello = readClientHello(bytes)
      if (hello === null) return
      this.protocols = hello.protocols
    }
    this.#raw.off('readable', this.#onReadable)
    this.#raw.off('end', this.#onEnd)
    this.#parts.onReady()
  }

  /** Says to an HTTP client that has come to the wrong port what is wrong. */
  #answerInClear(bytes: Buffer): void {
    if (/^[A-Z]{3,8} /.test(bytes.toString('latin1', 0, 9))) {
      this.#raw.end(PLAIN_ANSWER)
      this.#raw.resume()
    }
    this.#fail('no-tls', 'the client speaks HTTP without TLS')
  }

  readonly #onEnd = (): void => this.#fail('left', null)
  readonly #onClose = (): void => this.#fail('left', null)

  #leave(): void {
    this.#over = true
    unwatch(this)
    const raw = this.#raw
    raw.off('readable', this.#onReadable)
    raw.off('end', this.#onEnd)
    raw.off('close', this.#onClose)
    this.#parts.onOver()
  }

  #fail(outcome: HandshakeOutcome, why: string | null): void {
    if (this.#over) return
    this.#leave()
    this.#parts.terms.onEnd(outcome, this.#client, why)
    this.#secured?.destroy()
    if (this.#raw.writableEnded) setTimeout(() => this.#raw.destroy(), LINGER_MS)
    else this.#raw.destroy()
    this.#parts.onLost()
  }
}

/** How long a client may take for what it was told in clear. */
const LINGER_MS = 1000

const PLAIN_TEXT = 'This port speaks HTTPS.\n'
const PLAIN_ANSWER = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${PLAIN_TEXT.length}\r\nConnection: close\r\n\r\n${PLAIN_TEXT}`

function ignore(): void {
  // 'close' follows and handles it.
}
