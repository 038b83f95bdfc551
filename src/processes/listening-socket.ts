/**
 * The listening socket, as the primary holds it: bound, and passed to workers, but not accepted from.
 *
 * node:net has no public way to hold a socket without accepting from it in all supported versions, nor to send one that is
 * held (`net.BoundSocket` does both from 26.10 on). This is what node:cluster does for `SCHED_NONE`.
 */
import { lookup } from 'node:dns/promises'
import net, { type AddressInfo } from 'node:net'
import { getSystemErrorMap } from 'node:util'
import type { ListenPlace } from '../proxy/client/listen-at.ts'
import type { ListeningHandle } from './acceptor.ts'

interface BoundHandle extends ListeningHandle {
  /** Fills in the address. @returns 0, or the number of an error */
  getsockname?(address: object): number
}

type Bind = (
  host: string | null,
  port: number | null,
  family: number | null,
  fd: number | null,
  flags: number,
) => BoundHandle | number

const { _createServerHandle: bind } = net as unknown as { readonly _createServerHandle: Bind }

/** A socket that workers accept from. */
export class ListeningSocket {
  /** For `ChildProcess.send`. */
  readonly handle: BoundHandle
  readonly address: AddressInfo

  private constructor(handle: BoundHandle, address: AddressInfo) {
    this.handle = handle
    this.address = address
  }

  /** @throws errors with a `code`, such as EADDRINUSE */
  static async open({ host, port, fd }: ListenPlace): Promise<ListeningSocket> {
    const handle = fd === undefined ? await boundTo(host, port) : bind(null, null, null, fd, 0)
    if (typeof handle === 'number') throw errorOf(handle)
    const address: Partial<AddressInfo> = {}
    // bind(2) does not tell of an address in use, this does.
    const refusal = handle.getsockname?.(address) ?? 0
    if (refusal === 0 && address.port !== undefined) return new ListeningSocket(handle, address as AddressInfo)
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

function errorOf(number: number): NodeJS.ErrnoException {
  const [code, message] = getSystemErrorMap().get(number) ?? [`error ${number}`, 'unknown']
  return Object.assign(new Error(`listen ${code}: ${message}`), { code })
}
