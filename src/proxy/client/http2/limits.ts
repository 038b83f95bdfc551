/**
 * What one client connection of HTTP/2 may ask for and hold. `docs/reference/limits.md` lists these bounds.
 */
import { FIRST_WINDOW, SETTING } from '../../../wire/http2/protocol.ts'

/** Streams at the same time; more are refused with REFUSED_STREAM, which is safe to ask again. */
export const MAX_STREAMS = 100

/** Of a request's body that is not read on, for each stream: the initial window. */
export const WINDOW_BYTES = 64 * 1024

/** What may be on its way on a connection: what has come counts no longer, read or not, since it is bounded for each stream. */
export const CONNECTION_WINDOW_BYTES = 1024 * 1024

/** Streams that may come to nothing by their client's doing: this many at once, and this many more per second (CVE-2023-44487). */
export const RESET_BURST = 1000
export const RESETS_PER_SECOND = 33

/** What HPACK counts for each field beside its bytes (RFC 7541 section 4.1). */
const FIELD_OVERHEAD = 32

/** What all streams of one process may hold that nobody reads, in bytes. */
export const MAX_HELD_BYTES = 256 * 1024 * 1024

/** What a connection may send per second that is neither a request nor its body, in bytes. */
export const CONTROL_BYTES_PER_SECOND = 64 * 1024

/** Answers to PING and SETTINGS that wait for a client that does not read. */
export const MAX_WAITING_CONTROLS = 1000

/** How long a client may take to acknowledge our settings. */
export const SETTINGS_MS = 60_000

/** HPACK's table of requests (RFC 7541 section 4.2): the default. */
export const TABLE_BYTES = 4096

/** What a field section may have; up to that a request is answered with 431, and beyond its stream is reset. */
export interface SectionLimits {
  /** As SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly maxListBytes: number
  readonly maxFields: number
}

/** The bounds of a field section. @param maxHeaderBytes, maxHeaderFields beyond which a request gets 431 */
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

/** By how much the window of a connection grows at first. */
export const CONNECTION_WINDOW_GROWTH = CONNECTION_WINDOW_BYTES - FIRST_WINDOW
