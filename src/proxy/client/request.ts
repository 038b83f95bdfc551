/**
 * What the engine knows of a client: one request with its answer at a time, and who sent it. Implemented for each way in which clients
 * come; none of their sockets and streams reaches the engine.
 */
import type { Duplex } from 'node:stream'
import type { FailureCode } from '../../rules/failures/failure.ts'
import type { ClientConnection } from '../../state/upstreams/private-connections.ts'
import type { Answer } from './answer.ts'

/** The peer of a client connection. */
export interface Peer extends ClientConnection {
  /** Canonical IP address, or `unix`; empty if the connection has none. */
  readonly address: string
  /** Its X-Forwarded-* headers are trusted. */
  readonly trusted: boolean
  /** The client uses https: on this connection, or according to `--client-scheme`. */
  readonly tls: boolean
  /** The subject of its certificate; null without one. */
  readonly subject: string | null
  /** A request on this connection was refused, so the start of the next one is unreliable. */
  refused: boolean
}

/** One request of a client. It is complete in its head; its body is read with `read`. */
export interface ClientRequest {
  readonly peer: Peer
  readonly method: string
  /** As received: a Latin-1 string. */
  readonly target: string
  /** The client's HTTP version: 0 for HTTP/1.0, 1 for HTTP/1.1 or later. */
  readonly minor: 0 | 1
  /** Name, value, name, value, as received; Latin-1 strings. */
  readonly rawHeaders: readonly string[]
  readonly answer: Answer
  /** The value of Upgrade where the connection can be handed over to another protocol, else null. */
  readonly upgrade: string | null
  /** Nobody but the engine sees its bytes and those of the answer: their memory can be used again early. */
  readonly exclusive: boolean
  /** Other code has read of the body. */
  readonly bodyTaken: boolean
  /** All of it has arrived. */
  readonly complete: boolean
  /** Trailers of the body: name, value, name, value. Known when the body has been read. */
  readonly rawTrailers: readonly string[]
  /** The client has left, or the connection is broken. */
  readonly gone: boolean
  /** Who is told how the request ends; null for nobody. */
  owner: RequestOwner | null
  /** Reading has been paused. */
  readonly paused: boolean
  /** Reads the body from its beginning. Called once. */
  read(reader: BodyReader): void
  /** Reads no more for now; a piece that has arrived may still be reported. */
  pause(): void
  resume(): void
  /** Reads and drops what still arrives of the body, for at most `limitMs` milliseconds. */
  discard(limitMs: number): void
  /** Breaks the connection off. */
  destroy(): void
  /** Hands the connection over to another protocol (RFC 9110 section 7.8). The answer is over then. */
  handOver(head: SwitchingHead): HandedOver
  /**
   * Has the client ask again with HTTP/1.1 once the answer is broken off. Null where its connection can be bound to one of an
   * upstream, as NTLM asks for: it has one request at a time.
   */
  readonly askForHttp1: (() => void) | null
}

/** The head of a 101 response. */
export interface SwitchingHead {
  readonly status: number
  readonly reason: string
  /** Name, value, name, value, with Connection and Upgrade. */
  readonly fields: readonly string[]
}

/** A 101 response in HTTP/1.1, with its empty line; a Latin-1 string. */
export function switchingText({ status, reason, fields }: SwitchingHead): string {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}

/** A connection that speaks another protocol now. */
export interface HandedOver {
  readonly stream: Duplex
  /** What the client has sent behind its request. */
  readonly early: readonly Buffer[]
  /** The memory of what is read and written there can be used again early. */
  readonly exclusive: boolean
  /** Has a listener called when the connection is to end because the process does. */
  whenEnding(listener: () => void): void
}

/** Reads the body of a request. */
export interface BodyReader {
  /** @param piece its memory may be used again after the call: see `keep` */
  onBody(piece: Buffer): void
  /** The body is complete; so are the trailers. */
  onBodyEnd(): void
}

/** Hears how a request ends that is not answered yet. */
export interface RequestOwner {
  /** Its own time-outs apply to what is sent to the client. */
  readonly limitsTime: boolean
  /**
   * The client has left before it had all of the answer, or nothing more can be sent to it.
   * @param stalled it has accepted no byte for too long
   */
  onGone(stalled: boolean): void
  /** The body is malformed; the client can still be answered. */
  onMalformed(): void
}

/** Who has connected, as far as that is known before the first request. */
export interface Client {
  /** As the socket tells it, or the balancer in front; `unix` for a Unix socket; undefined where it tells none. */
  readonly remoteAddress: string | undefined
  /** The subject of the client's certificate, which was verified, in the form of RFC 4514; null without one. */
  readonly subject: string | null
  /** A balancer in front has told of it by the PROXY protocol. */
  readonly proxied: boolean
}

/** A connection on which a client has arrived. */
export interface Arrival extends Client {
  readonly encrypted: boolean
  /** Calls the listener when the connection is closed; at once if it is already. */
  whenClosed(listener: () => void): void
}

/** What is done with requests: the engine. */
export interface RequestHandler {
  /** The process is about to exit. */
  readonly draining: boolean
  /** Called once for each connection. */
  peerOf(arrival: Arrival): Peer
  /** Answers a request. Never throws, and answers once. */
  handle(request: ClientRequest): void
  /** Refuses a request whose head was read; its connection closes. */
  refuse(request: ClientRequest, failure: FailureCode): void
  /**
   * Counts and logs a refusal that is answered elsewhere.
   * @param request null where it could not be read
   * @param answered false where another response stands in its way
   * @returns the id of the request
   */
  refused(
    peer: Peer,
    request: { readonly method: string | null; readonly target: string | null } | null,
    failure: FailureCode,
    answered?: boolean,
  ): string
  /** Counts and logs an error of other code that takes part in a request. */
  fault(error: unknown): void
}
