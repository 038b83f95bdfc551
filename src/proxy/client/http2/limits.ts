/**
 * Limits for one HTTP/2 client connection, listed in `docs/reference/limits.md`.
 */
import { FIRST_WINDOW, SETTING } from '../../../wire/http2/protocol.ts'

/** Concurrent streams; more are refused with REFUSED_STREAM, after which a retry is safe. */
export const MAX_STREAMS = 100

/** The initial window of each stream: how much of a request's body is buffered while it isn't read. */
export const WINDOW_BYTES = 64 * 1024

/** The window of a connection. Received bytes are credited whether read or not, because the stream windows bound what is buffered. */
export const CONNECTION_WINDOW_BYTES = 1024 * 1024

/** Streams that a client may reset or waste: this many at once, and this many more per second (CVE-2023-44487). */
export const RESET_BURST = 1000
export const RESETS_PER_SECOND = 33

/** Overhead that HPACK counts for each field besides its bytes (RFC 7541 section 4.1). */
const FIELD_OVERHEAD = 32

/** Limit on buffered bytes of all streams in one process. */
export const MAX_HELD_BYTES = 256 * 1024 * 1024

/** Bytes per second that a connection may send besides requests and their bodies. */
export const CONTROL_BYTES_PER_SECOND = 64 * 1024

/** Limit on queued answers to PING and SETTINGS, for a client that doesn't read. */
export const MAX_WAITING_CONTROLS = 1000

/** How long a client may take to acknowledge our settings. */
export const SETTINGS_MS = 60_000

/** The size of HPACK's table for requests (RFC 7541 section 4.2): the default. */
export const TABLE_BYTES = 4096

/** Limits for a field section; requests over them get a stream reset. Their smaller counterparts, for 431, are checked elsewhere. */
export interface SectionLimits {
  /** As SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly maxListBytes: number
  readonly maxFields: number
}

/** Limits for a field section, from those beyond which a request gets 431. */
export function sectionLimits(maxHeaderBytes: number, maxHeaderFields: number): SectionLimits {
  return { maxListBytes: 2 * maxHeaderBytes + 2 * FIELD_OVERHEAD * maxHeaderFields, maxFields: 2 * maxHeaderFields }
}

/** Our settings: id, value, id, value. */
export function ownSettings({ maxListBytes }: SectionLimits): readonly number[] {
  return [
    ...[SETTING.maxStreams, MAX_STREAMS],
    ...[SETTING.initialWindow, WINDOW_BYTES],
    ...[SETTING.maxFields, maxListBytes],
    ...[SETTING.connectProtocol, 1],
  ]
}

/** The first WINDOW_UPDATE of a connection. */
export const CONNECTION_WINDOW_GROWTH = CONNECTION_WINDOW_BYTES - FIRST_WINDOW
