/**
 * What one client connection of HTTP/2 may ask for and hold. node:http2 (nghttp2) keeps most of these bounds; `docs/reference/limits.md`
 * lists them all.
 */
import type { ServerSessionOptions } from 'node:http2'

/** Streams at the same time; more are refused with REFUSED_STREAM, which is safe to ask again. */
export const MAX_STREAMS = 100

/** Of a request's body that is not read on, for each stream: the initial window. */
export const WINDOW_BYTES = 64 * 1024

/** Streams that a client may reset: this many at once, and this many more per second (CVE-2023-44487). */
export const RESET_BURST = 1000
export const RESETS_PER_SECOND = 33

/** Frames that break a rule, and streams that are refused, until the connection is closed. */
const MAX_INVALID_FRAMES = 100
const MAX_REJECTED_STREAMS = 100

/** Of header tables, frames on their way and streams, in MB. */
const MAX_SESSION_MB = 8

/** What HPACK counts for each field beside its bytes (RFC 7541 section 4.1). */
const FIELD_OVERHEAD = 32

/** What all streams of one process may hold that nobody reads, in bytes. */
export const MAX_HELD_BYTES = 256 * 1024 * 1024

/** What a connection may send per second that is neither a request nor its body, in bytes. */
export const CONTROL_BYTES_PER_SECOND = 64 * 1024

/** Options of node:http2 that its types lack. */
interface MoreOptions {
  readonly strictSingleValueFields: boolean
  readonly strictFieldWhitespaceValidation: boolean
}

/**
 * The options of a client's session.
 * @param maxHeaderBytes of a request; up to twice that is read and answered with 431, what is larger is reset
 */
export function sessionOptions(maxHeaderBytes: number, maxHeaderFields: number): ServerSessionOptions {
  const options: ServerSessionOptions & MoreOptions = {
    settings: {
      enableConnectProtocol: true,
      initialWindowSize: WINDOW_BYTES,
      maxConcurrentStreams: MAX_STREAMS,
      maxHeaderListSize: 2 * maxHeaderBytes + 2 * FIELD_OVERHEAD * maxHeaderFields,
    },
    maxHeaderListPairs: 2 * maxHeaderFields,
    maxSessionInvalidFrames: MAX_INVALID_FRAMES,
    maxSessionRejectedStreams: MAX_REJECTED_STREAMS,
    maxSessionMemory: MAX_SESSION_MB,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_SECOND,
    // A second Content-Type is the sender's business; without this it throws.
    strictSingleValueFields: false,
    // nghttp2 would drop a field with blanks around its value without a word: such a request gets 400.
    strictFieldWhitespaceValidation: false,
  }
  return options
}
