/**
 * The listening socket, as the primary holds it: bound, and passed to workers, but not accepted from.
 *
 * node:net has no public way to hold a socket without accepting from it in all supported versions, nor to send one that is
 * held (`net.BoundSocket` does both from 26.10 on). This is what node:cluster does for `SCHED_NONE`.
 */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { getSystemErrorMap } from 'node:util'
import { type Bound, HANDED_UNIX, type ListenPlace } from '../proxy/client/listen-at.ts'
import { bindAt } from '../proxy/client/unix-socket.ts'
import type { ListeningHandle } from './acceptor.ts'

interface BoundHandle extends ListeningHandle {
  /** Fills in the address. @returns 0, or the number of an error */
  getsockname?(address: object): number
}

type Bind = (
  /** Or the path of a Unix socket, with -1 for port and family. */
  host: string | null,
  port: number | null,
  family: number | null,
  fd?: number | null,
  flags?: number,
) => BoundHandle | number

const { _createServerHandle: bind } = net as unknown as { readonly _createServerHandle: Bind }

/** A socket that workers accept from. */
export class ListeningSocket {
  /** For `ChildProcess.send`. */
  readonly handle: BoundHandle
  readonly address: Bound

  private constructor(handle: BoundHandle, address: Bound) {
    this.handle = handle
    this.address = address
  }

  /** @throws errors with a `code`, such as EADDRINUSE */
  static async open(place: ListenPlace): Promise<ListeningSocket> {
    const { host, port, fd, path, mode } = place
    if (path !== undefined) return new ListeningSocket(await boundAt(path, mode), { path })
    const handle = fd === undefined ? await boundTo(host, port) : bind(null, null, null, fd, 0)
    if (typeof handle === 'number') throw errorOf(handle)
    if (handle.getsockname === undefined) return new ListeningSocket(handle, HANDED_UNIX)
    const bound: { address?: string; port?: number } = {}
    // bind(2) does not tell of an address in use, this does.
    const refusal = handle.getsockname(bound)
    if (refusal === 0 && bound.address !== undefined && bound.port !== undefined) {
      return new ListeningSocket(handle, { host: bound.address, port: bound.port })
    }
    handle.close()
    throw refusal === 0 ? new Error('not a TCP socket') : errorOf(refusal)
  }

  /** Workers that have it keep it. */
  close(): void {
    this.handle.close()
  }
}

async function boundTo(host: string, port: number): Promise<BoundHandle | number> {
  const { address, family } = await lookup(host)
  return bind(address, port, family, null, 0)
}

async function boundAt(path: string, mode: number | undefined): Promise<BoundHandle> {
  const handle = await bindAt(path, mode, () => bind(path, -1, -1))
  if (typeof handle === 'number') throw errorOf(handle)
  return handle
}

function errorOf(number: number): NodeJS.ErrnoException {
  const [code, message] = getSystemErrorMap().get(number) ?? [`error ${number}`, 'unknown']
  return Object.assign(new Error(`listen ${code}: ${message}`), { code })
}
