/**
 * Reads a client's connection into given buffers, while node:net would allocate one for each read.
 */
import { type OnReadOpts, Socket } from 'node:net'

/** The internal properties of a socket for node:net's option `onread`. */
const [BUFFER, NEXT_BUFFER, CALLBACK] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map(propertyOf)

/** The socket's internal handle. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void
}

/** Options for reading: the next buffer, and what is called with the bytes read into it. */
export type Reading = OnReadOpts & { buffer(): Uint8Array }

/**
 * Applies node:net's option `onread` to an accepted socket; node offers it only for sockets that it connects itself. What was read
 * before stays in the stream. This uses node internals that exist since 2019; if one is missing, nothing changes.
 * @param socket plain or TLS, and paused
 * @returns whether it worked; if not, everything is read into the stream as usual
 */
export function readInto(socket: Socket, { buffer, callback }: Reading): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: Handle | null }
  if (BUFFER === undefined || NEXT_BUFFER === undefined || CALLBACK === undefined) return false
  if (handle?.useUserBuffer === undefined) return false
  const first = buffer()
  Object.assign(socket, { [BUFFER]: first, [NEXT_BUFFER]: buffer, [CALLBACK]: callback })
  handle.useUserBuffer(first)
  return true
}

function propertyOf(name: string): symbol | undefined {
  return Object.getOwnPropertySymbols(new Socket()).find(({ description }) => description === name)
}
