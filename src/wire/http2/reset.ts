/**
 * Resets HTTP/2 streams (RFC 9113 section 5.4.2).
 */
import type { Http2Stream } from 'node:http2'

/**
 * Resets a stream so that the peer sees an incomplete message. Stream.close() of node:http2 alone would end the stream first, and the
 * peer would take what has arrived for the whole message.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  if (stream.destroyed || stream.closed) return
  // _final would send END_STREAM.
  stream._final = () => {}
  stream.close(code)
}
