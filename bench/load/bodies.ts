/**
 * Bodies of any size over raw sockets: taken, sent, and sent until nobody takes them.
 */
import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answers.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'banyan ')
/** A sender is stalled when its socket has taken nothing for so long. */
const STALLED_AFTER_MS = 1000

/** A kept-alive connection that asks one thing at a time. */
export interface RawConnection {
  readonly socket: Socket
  /** Resolves when the whole answer is in; rejects where it is not a 2xx, or breaks off. */
  get(path: string): Promise<void>
}

/** Opens a connection to a port of 127.0.0.1. */
export async function rawConnection(port: number): Promise<RawConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return {
    socket,
    get(path) {
      const answered = answerOn(socket)
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
      return answered
    },
  }
}

/** Takes a whole answer on a connection of its own. Rejects where it is not a 2xx, breaks off or is too slow. */
export async function download(port: number, path: string, timeoutMs: number): Promise<void> {
  const { socket, get } = await rawConnection(port)
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no byte of ${path} for ${timeoutMs} ms`)))
  try {
    await get(path)
  } finally {
    socket.destroy()
  }
}

/** Sends a body of some bytes and takes the answer. Rejects as `download` does. */
export async function upload(port: number, path: string, bytes: number, timeoutMs: number): Promise<void> {
  const { socket } = await rawConnection(port)
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no byte to ${path} for ${timeoutMs} ms`)))
  try {
    const answered = answerOn(socket)
    socket.write(postHead(path, bytes))
    sendBody(socket, bytes)
    await answered
  } finally {
    socket.destroy()
  }
}

/** Starts to send a body that nobody reads; resolves with the open socket once it has been stuck for a second. */
export async function sendUntilStalled(port: number, path: string, bytes: number): Promise<Socket> {
  const { socket } = await rawConnection(port)
  socket.write(postHead(path, bytes))
  return await new Promise((resolve, reject) => {
    const stuck = setTimeout(() => resolve(socket), STALLED_AFTER_MS)
    socket.once('error', reject).once('close', () => {
      clearTimeout(stuck)
      reject(new Error(`the connection to ${path} was closed`))
    })
    socket.on('drain', () => stuck.refresh())
    sendBody(socket, bytes)
  })
}

function postHead(path: string, bytes: number): string {
  return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n\r\n`
}

function sendBody(socket: Socket, total: number): void {
  let left = total
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= chunk.length
      if (!socket.write(chunk)) {
        if (left > 0) socket.once('drain', more)
        return
      }
    }
  }
  more()
}

/** The next answer on a connection that has none under way. */
function answerOn(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new AnswerReader((status) => {
      settle()
      if (status >= 200 && status <= 299) resolve()
      else reject(new Error(`answered ${status}`))
    })
    const onData = (chunk: Buffer): void => {
      try {
        reader.take(chunk)
      } catch (error) {
        onError(error as Error)
      }
    }
    const onError = (error: Error): void => {
      settle()
      reject(error)
    }
    const onClose = (): void => onError(new Error('the connection was closed before the answer was complete'))
    const settle = (): void => void socket.off('data', onData).off('error', onError).off('close', onClose)
    socket.on('data', onData).once('error', onError).once('close', onClose)
  })
}
