/**
 * Closing a connection whose client may still be sending.
 */

/** How long a client may continue sending after our last byte before its connection is closed, or its stream reset. */
export const LINGER_MS = 2000

/** The part of a socket that is used here. */
interface Ending {
  readonly writableFinished: boolean
  end(): unknown
  resume(): unknown
  destroy(): unknown
  once(name: 'close' | 'finish', listener: () => void): unknown
}

/**
 * Closes a connection whose client may still be sending. Incoming data is read and dropped for a moment first: otherwise the
 * kernel would send an RST, and the client could lose the response (RFC 9112 section 9.6).
 */
export function endGently(socket: Ending): void {
  socket.end()
  linger(socket)
}

/** As `endGently`, but the wait begins only once everything written has been flushed. */
export function endOnceWritten(socket: Ending): void {
  socket.end()
  socket.resume()
  if (socket.writableFinished) linger(socket)
  else socket.once('finish', () => linger(socket))
}

function linger(socket: Ending): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
}
