/**
 * Failed writes to a server that doesn't want the rest of a request: it may have answered before it closed (RFC 9112 section 9.5), and
 * the write can fail before that answer has been read.
 */
import type { Socket } from 'node:net'

/** Whether an error means that the peer accepts no more data, although there may still be something to read from it. */
export function isWriteFailure(error: NodeJS.ErrnoException | undefined): error is NodeJS.ErrnoException {
  return error?.syscall === 'write' && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/**
 * Calls `done` once everything that has arrived is read. After a reset nothing new can arrive, so an event loop turn without new bytes
 * means that there are none. It takes two such turns: the first poll may have begun before the reset.
 * @param done not called if the socket is paused meanwhile
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
