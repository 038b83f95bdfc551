/**
 * Writes that failed to a server that wants no more of a request: it may have answered before it closed (RFC 9112 section 9.5), and the
 * failure can be known before that answer has been read.
 */
import type { Socket } from 'node:net'

/** Whether an error says that the peer takes no more, while there may be something of it to read. */
export function isWriteFailure(error: NodeJS.ErrnoException | undefined): error is NodeJS.ErrnoException {
  return error?.syscall === 'write' && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/**
 * Calls `done` once all that has come has been read. Behind a reset nothing new can arrive: the event loop has looked for it and found
 * nothing. The first look may have been decided on before the reset came.
 * @param done not called where the socket is paused meanwhile
 */
export function whenRead(socket: Socket, done: () => void, looks = 2): void {
  const { bytesRead } = socket
  setImmediate(() => {
    if (socket.isPaused()) return
    if (socket.bytesRead !== bytesRead) whenRead(socket, done)
    else if (looks > 1) whenRead(socket, done, looks - 1)
    else done()
  })
}
