/**
 * The first message of a TLS client (RFC 8446 section 4.1.2), read for what has to be known before the handshake is done.
 */

/** What it says. */
export interface ClientHello {
  /** The protocols that the client offers (ALPN, RFC 7301). */
  readonly protocols: readonly string[]
}

/** Content type of a record. */
const HANDSHAKE = 22
const CLIENT_HELLO = 1
const ALPN = 16

/** A record has at most so many bytes (section 5.1), behind a head of 5. */
const MAX_RECORD = 2 ** 14
const HEAD = 5

/** Whether the first byte of a connection is that of a TLS record. */
export function isTls(first: number): boolean {
  return first === HANDSHAKE
}

/** Says nothing: it is none, or it is split in a way that no client has. OpenSSL has the last word on it. */
const NOTHING: ClientHello = { protocols: [] }

/**
 * Reads it from the first bytes of a connection.
 * @returns null while its record is not complete
 */
export function readClientHello(bytes: Buffer): ClientHello | null {
  if (bytes.length < HEAD) return null
  const length = bytes.readUInt16BE(3)
  if (bytes[0] !== HANDSHAKE || length > MAX_RECORD) return NOTHING
  if (bytes.length < HEAD + length) return null
  try {
    return { protocols: protocolsOf(bytes.subarray(HEAD, HEAD + length)) }
  } catch (error) {
    if (error instanceof RangeError) return NOTHING
    throw error
  }
}

/** @throws {RangeError} where something is cut off */
function protocolsOf(message: Buffer): string[] {
  if (message.readUInt8(0) !== CLIENT_HELLO) return []
  // Type and length, version, random.
  let at = 4 + 2 + 32
  at += 1 + message.readUInt8(at)
  at += 2 + message.readUInt16BE(at)
  at += 1 + message.readUInt8(at)
  const end = at + 2 + message.readUInt16BE(at)
  at += 2
  while (at < end) {
    const type = message.readUInt16BE(at)
    const length = message.readUInt16BE(at + 2)
    at += 4
    if (type === ALPN) return namesIn(message.subarray(at + 2, at + length))
    at += length
  }
  return []
}

function namesIn(list: Buffer): string[] {
  const names: string[] = []
  for (let at = 0; at < list.length; ) {
    const length = list.readUInt8(at)
    names.push(list.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return names
}
