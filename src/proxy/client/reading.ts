/**
 * Reading a client's connection into memory that is given for it, where node:net would allocate some for each read.
 */
import { type OnReadOpts, Socket } from 'node:net'

/** The properties of a socket in which node:net keeps its option `onread`. */
const [BUFFER, NEXT_BUFFER, CALLBACK] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map(propertyOf)

/** What node:net keeps below the stream. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void
}

/** How a socket reads: into which memory next, and who gets how much was read into it. */
export type Reading = OnReadOpts & { buffer(): Uint8Array }

/**
 * Has a socket that stands read by options of node:net, which takes them (`onread`) only for those that it connects itself. What was
 * read before remains in the stream. Internals of node are used for it, of 2019: where one of them is gone, nothing changes.
 * @param socket plain or secure, and paused
 * @returns whether it does; if not, the stream has all that is read
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
