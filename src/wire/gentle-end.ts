/**
 * The end of a connection whose client may still be sending.
 */

/** How long a client may continue sending after it was told the last before its connection is cut. */
export const LINGER_MS = 2000

/** What is used of a socket. */
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

/** As `endGently`; the moment begins once all that was written is on its way. */
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
