/**
 * Streams of HTTP/2 that are broken off (RFC 9113 section 5.4.2).
 */
import type { Http2Stream } from 'node:http2'

/**
 * Resets a stream, so that the peer notices that what was sent is not all. Stream.close() of node:http2 alone ends the stream first:
 * the peer would take what has come for the whole message.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  if (stream.destroyed || stream.closed) return
  // What would send END_STREAM.
  stream._final = () => {}
  stream.close(code)
}
