/**
 * The engine's view of clients: requests with their answers, and who sent them. Implemented for each protocol and server; the engine
 * sees none of their sockets or streams.
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

/** One request of a client. Its head is complete; its body is read with `read`. */
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
  /** The value of Upgrade if the connection can be handed over to another protocol, else null. */
  readonly upgrade: string | null
  /** Only the engine sees its bytes and those of the answer, so their memory can be reused early. */
  readonly exclusive: boolean
  /** Other code has read part of the body. */
  readonly bodyTaken: boolean
  /** All of it has arrived. */
  readonly complete: boolean
  /** Trailers of the body: name, value, name, value. Known when the body has been read. */
  readonly rawTrailers: readonly string[]
  /** The client has left, or the connection is broken. */
  readonly gone: boolean
  /** Is told how the request ends; null for nobody. */
  owner: RequestOwner | null
  /** Reading has been paused. */
  readonly paused: boolean
  /** Reads the body from its beginning. Called once. */
  read(reader: BodyReader): void
  /** Pauses reading; a piece that has already arrived may still be reported. */
  pause(): void
  resume(): void
  /** Reads and drops what still arrives of the body, for at most `limitMs` milliseconds. */
  discard(limitMs: number): void
  /** Aborts the connection. */
  destroy(): void
  /** Hands the connection over to another protocol (RFC 9110 section 7.8). The answer is over then. */
  handOver(head: SwitchingHead): HandedOver
  /**
   * Makes the client retry with HTTP/1.1 once the answer is aborted. Null if the client's connection has one request at a time, and can
   * therefore be bound to an upstream connection, as NTLM needs.
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

/** A connection that has switched to another protocol. */
export interface HandedOver {
  readonly stream: Duplex
  /** What the client has sent after its request. */
  readonly early: readonly Buffer[]
  /** The memory of what is read and written there can be reused early. */
  readonly exclusive: boolean
  /** Calls a listener when the connection has to end because the process does. */
  whenEnding(listener: () => void): void
}

/** Reads the body of a request. */
export interface BodyReader {
  /** @param piece its memory may be reused after the call: see `keep` */
  onBody(piece: Buffer): void
  /** The body is complete; so are the trailers. */
  onBodyEnd(): void
}

/** Is told how a request ends that has not been answered yet. */
export interface RequestOwner {
  /** Its own timeouts apply to what is sent to the client. */
  readonly limitsTime: boolean
  /**
   * The client has left before it had the whole answer, or nothing more can be sent to it.
   * @param stalled it has accepted no byte for too long
   */
  onGone(stalled: boolean): void
  /** The body is malformed; the client can still be answered. */
  onMalformed(): void
}

/** What is known about a client before its first request. */
export interface Client {
  /** From the socket, or from the load balancer in front; `unix` for a Unix socket; undefined if unknown. */
  readonly remoteAddress: string | undefined
  /** The subject of the client's verified certificate, in the form of RFC 4514; null without one. */
  readonly subject: string | null
  /** The address comes from a load balancer in front, by the PROXY protocol. */
  readonly proxied: boolean
}

/** A connection accepted from a client. */
export interface Arrival extends Client {
  readonly encrypted: boolean
  /** Calls the listener when the connection is closed; at once if it is already. */
  whenClosed(listener: () => void): void
}

/** Handles requests: the engine. */
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
   * @param request null if it could not be read
   * @param answered false if another response was already under way
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
