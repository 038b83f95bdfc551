/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt): a header at the start of a connection in
 * which a load balancer tells its client's address. Parsed byte by byte: it doesn't matter how the bytes are split into reads.
 */
import { isIPv4, isIPv6 } from 'node:net'

/**
 * The client on whose behalf the sender has connected.
 * - client: a client with this address
 * - unix: a process on the sender's own machine, over a Unix socket
 * - sender: the sender itself (LOCAL, such as its health checks), or a client unknown to it (UNKNOWN, UNSPEC)
 */
export type ProxiedClient =
  | { readonly kind: 'client'; readonly address: string; readonly port: number }
  | { readonly kind: 'unix' }
  | { readonly kind: 'sender' }

/** The bytes are not a valid PROXY header. The message says why. */
export class MalformedProxyHeader extends Error {}

const SIGNATURE_V1 = Buffer.from('PROXY ', 'latin1')
const SIGNATURE_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** Section 2.1: the longest line of version 1, with its CRLF. */
const MAX_LINE = 107

/** Section 2.2: signature, version and command, family and transport, length. */
const FIXED_V2 = 16

/** Section 2.2: the size of the addresses, by the upper four bits of the family byte. */
const ADDRESS_BYTES = [0, 12, 36, 216] as const

/** Section 2.2: valid values of that byte. */
const FAMILIES: ReadonlySet<number> = new Set([0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32])

const SENDER = { kind: 'sender' } as const
const CR = 0x0d
const LF = 0x0a
const FIRST_OF_V1 = 0x50

/**
 * Reads one header. At most 232 bytes of it are held: what follows the addresses (type-length-value fields, up to 64 KiB) is
 * dropped as it arrives.
 */
export class ProxyHeaderReader {
  readonly #held = Buffer.alloc(FIXED_V2 + ADDRESS_BYTES[3])
  #length = 0
  /** In version 2: remaining bytes of the header, which are dropped. */
  #toSkip = 0
  #client: ProxiedClient | null = null
  #complete = false

  /** The client; null until the header is complete. */
  get client(): ProxiedClient | null {
    return this.#complete ? this.#client : null
  }

  /**
   * Takes the next bytes.
   * @returns how many of them belong to the header; what follows them is the client's
   * @throws {MalformedProxyHeader} as soon as the bytes can't become a valid header; the reader can't be used after that
   */
  push(bytes: Buffer): number {
    let at = 0
    while (at < bytes.length && !this.#complete) {
      if (this.#client === null) {
        this.#held[this.#length++] = bytes[at++] as number
        this.#look()
      } else {
        const skipped = Math.min(this.#toSkip, bytes.length - at)
        at += skipped
        this.#toSkip -= skipped
        this.#complete = this.#toSkip === 0
      }
    }
    return at
  }

  /** Examines the bytes so far, of which the last one is new. */
  #look(): void {
    if (this.#held[0] === FIRST_OF_V1) this.#lookAtLine()
    else this.#lookAtBlock()
  }

  #lookAtLine(): void {
    const held = this.#held.subarray(0, this.#length)
    expectSignature(held, SIGNATURE_V1)
    const last = held[held.length - 1]
    const before = held[held.length - 2]
    if (last === LF && before === CR) {
      this.#client = clientOfLine(held.toString('latin1', 0, held.length - 2))
      this.#complete = true
    } else if (last === LF || before === CR) {
      throw new MalformedProxyHeader('version 1: CR and LF are allowed only as CRLF at the end of the line')
    } else if (held.length === MAX_LINE)
      throw new MalformedProxyHeader(`version 1: a line has at most ${MAX_LINE} bytes`)
  }

  #lookAtBlock(): void {
    const held = this.#held.subarray(0, this.#length)
    expectSignature(held, SIGNATURE_V2)
    if (held.length < FIXED_V2) return
    const [command, family, length] = [held[12] as number, held[13] as number, held.readUInt16BE(14)]
    const isLocal = command === 0x20
    if (!isLocal && command !== 0x21)
      throw new MalformedProxyHeader(`version 2: unknown version or command ${hex(command)}`)
    if (!isLocal && !FAMILIES.has(family)) throw new MalformedProxyHeader(`version 2: unknown family ${hex(family)}`)
    // Section 2.2: the addresses of LOCAL are ignored and skipped.
    const size = isLocal ? 0 : (ADDRESS_BYTES[family >> 4] as number)
    if (length < size)
      throw new MalformedProxyHeader(`version 2: ${length} bytes are too few for addresses of family ${hex(family)}`)
    if (held.length < FIXED_V2 + size) return
    this.#client = isLocal ? SENDER : clientOfBlock(family >> 4, held)
    this.#toSkip = length - size
    this.#complete = this.#toSkip === 0
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`
}

function expectSignature(held: Buffer, signature: Buffer): void {
  const at = held.length - 1
  if (at < signature.length && held[at] !== signature[at])
    throw new MalformedProxyHeader('it does not begin with the signature of version 1 or 2')
}

/** Section 2.1: a port has no leading zeros. */
const PORT = /^(?:0|[1-9][0-9]{0,4})$/

/** @param line without its CRLF */
function clientOfLine(line: string): ProxiedClient {
  const parts = line.split(' ')
  const [, family, from = '', to = '', fromPort = '', toPort = ''] = parts
  // What follows is ignored, whatever it is.
  if (family === 'UNKNOWN') return SENDER
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null
  if (isAddress === null) throw new MalformedProxyHeader('version 1: the protocol must be TCP4, TCP6 or UNKNOWN')
  const port = Number(fromPort)
  const isWhole =
    parts.length === 6 && PORT.test(fromPort) && PORT.test(toPort) && Math.max(port, Number(toPort)) <= 65_535
  if (!isWhole || !isAddress(from) || !isAddress(to)) {
    throw new MalformedProxyHeader(
      `version 1: ${family} must be followed by two addresses of that family and two ports`,
    )
  }
  return { kind: 'client', address: from, port }
}

/** An IPv6 address without a zone, which would only mean something on the sender's machine. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

function clientOfBlock(family: number, held: Buffer): ProxiedClient {
  const from = held.subarray(FIXED_V2)
  switch (family) {
    case 1:
      return { kind: 'client', address: from.subarray(0, 4).join('.'), port: from.readUInt16BE(8) }
    case 2: {
      const groups = Array.from({ length: 8 }, (_, n) => from.readUInt16BE(n * 2).toString(16))
      return { kind: 'client', address: groups.join(':'), port: from.readUInt16BE(32) }
    }
    case 3:
      return { kind: 'unix' }
    default:
      return SENDER
  }
}
