/**
 * How connections of clients are closed.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { UNIX_PEER } from '../../rules/http/exchange.ts'

/** Cuts a connection so that the peer notices that data is missing: an RST, if the socket supports it. Those of TCP do. */
export function reset(socket: Duplex): void {
  // With TLS it is the connection below that can be reset: of a secure one, the peer could take the mere end for that of the data.
  const { _parent: below } = socket as Duplex & { readonly _parent?: Socket | null }
  if (below != null) below.resetAndDestroy()
  try {
    if ('resetAndDestroy' in socket) (socket as Socket).resetAndDestroy()
    else socket.destroy()
  } catch {
    // A Unix socket.
    socket.destroy()
  }
}

type Handled = Socket & { readonly _handle?: { readonly getpeername?: unknown } | null }

/** The address of a socket's peer: `unix` for that of a Unix socket, undefined where the socket is closed. */
export function addressOf(socket: Socket): string | undefined {
  const { remoteAddress } = socket
  if (remoteAddress !== undefined) return remoteAddress
  const { _handle: handle } = socket as Handled
  // Only the handles of TCP know of addresses.
  return handle != null && handle.getpeername === undefined ? UNIX_PEER : undefined
}

const ENDING = Symbol('ending')

type Ending = Duplex & { [ENDING]?: () => void }

/** Has a listener called by `endOther`, for a connection that speaks another protocol. */
export function whenEnding(stream: Duplex, listener: () => void): void {
  ;(stream as Ending)[ENDING] = listener
}

/** Ends a connection that speaks another protocol, as the process ends. */
export function endOther(stream: Duplex): void {
  ;(stream as Ending)[ENDING]?.()
}
