/**
 * Headers of the PROXY protocol, version 2, as a balancer sends them, or as none should.
 */

/** What a header says. */
export interface ProxyHeader {
  /** Version and command: 0x21 is PROXY, 0x20 LOCAL. */
  readonly command?: number
  /** Family and transport: 0x11 is TCP over IPv4. */
  readonly family?: number
  /** The bytes of the client's address. */
  readonly from?: readonly number[]
  readonly port?: number
  /** Bytes of a field behind the addresses. */
  readonly extra?: number
  /** What it says of its length, if not the truth. */
  readonly length?: number
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FROM: Record<number, readonly number[]> = {
  1: [192, 0, 2, 1],
  2: [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
}

/** The bytes of a header. */
export function proxyHeaderV2(header: ProxyHeader = {}): Buffer {
  const { command = 0x21, family = 0x11, port = 4711, extra = 0 } = header
  const from = header.from ?? FROM[family >> 4] ?? []
  const isUnix = family >> 4 === 3
  const addresses = isUnix ? Buffer.alloc(216, '/run/x') : Buffer.alloc(from.length === 0 ? 0 : from.length * 2 + 4)
  if (from.length > 0) {
    addresses.set(from, 0)
    addresses.writeUInt16BE(port, from.length * 2)
  }
  const fixed = Buffer.concat([SIGNATURE, Buffer.from([command, family, 0, 0])])
  fixed.writeUInt16BE(header.length ?? addresses.length + extra, 14)
  return Buffer.concat([fixed, addresses, Buffer.alloc(extra, '\r\n')])
}
