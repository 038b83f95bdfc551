/**
 * Resetting and ending client connections.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { UNIX_PEER } from '../../rules/http/exchange.ts'

/** Closes a connection so that the peer notices that data is missing: with an RST if the socket supports it, as TCP sockets do. */
export function reset(socket: Duplex): void {
  // With TLS, reset the underlying TCP connection: the peer could take a plain end of a TLS connection for the end of the data.
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

/** The address of a socket's peer: `unix` for a Unix socket, undefined if the socket is closed. */
export function addressOf(socket: Socket): string | undefined {
  const { remoteAddress } = socket
  if (remoteAddress !== undefined) return remoteAddress
  const { _handle: handle } = socket as Handled
  // Only TCP handles have addresses.
  return handle != null && handle.getpeername === undefined ? UNIX_PEER : undefined
}

const ENDING = Symbol('ending')

type Ending = Duplex & { [ENDING]?: () => void }

/** Sets the listener that `endOther` calls, for a connection that has switched protocols. */
export function whenEnding(stream: Duplex, listener: () => void): void {
  ;(stream as Ending)[ENDING] = listener
}

/** Ends a connection that has switched protocols, because the process ends. */
export function endOther(stream: Duplex): void {
  ;(stream as Ending)[ENDING]?.()
}
