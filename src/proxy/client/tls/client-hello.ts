/**
 * Parses the ClientHello (RFC 8446 section 4.1.2) for what determines the certificate: SNI and ALPN.
 */

/** The parts of a ClientHello that are used. */
export interface ClientHello {
  /** The name that the client asks for (SNI, RFC 6066 section 3); '' for none. */
  readonly serverName: string
  /** The protocols that it offers (ALPN, RFC 7301). */
  readonly protocols: readonly string[]
}

/** Content type of a record, and type of a message. */
const HANDSHAKE = 22
const CLIENT_HELLO = 1

/** Extensions. */
const SERVER_NAME = 0
const ALPN = 16

const RECORD_HEAD = 5
const MESSAGE_HEAD = 4
/** The maximum size of a record (section 5.1). No client's first message is larger. */
const MAX_BYTES = 2 ** 14
/** No client splits its first message into more records. */
const MAX_RECORDS = 16

/** Whether the first byte of a connection is that of a TLS record. */
export function isTls(first: number): boolean {
  return first === HANDSHAKE
}

/** For messages that can't be parsed here: OpenSSL decides what to do with them. */
const NOTHING: ClientHello = { serverName: '', protocols: [] }

/**
 * Parses the first bytes of a connection.
 * @returns null until the message is complete
 */
export function readClientHello(bytes: Buffer): ClientHello | null {
  try {
    const message = messageIn(bytes)
    return message === null ? null : helloIn(message)
  } catch (error) {
    if (error instanceof RangeError) return NOTHING
    throw error
  }
}

/**
 * Joins the records of the first message.
 * @throws {RangeError} the bytes are not a valid message
 */
function messageIn(bytes: Buffer): Buffer | null {
  const pieces: Buffer[] = []
  let length = 0
  for (let at = 0; at + RECORD_HEAD <= bytes.length; ) {
    const size = bytes.readUInt16BE(at + 3)
    if (bytes[at] !== HANDSHAKE || size === 0) throw new RangeError('no record of a handshake')
    const piece = bytes.subarray(at + RECORD_HEAD, at + RECORD_HEAD + size)
    if (pieces.push(piece) > MAX_RECORDS) throw new RangeError('too many records')
    length += piece.length
    at += RECORD_HEAD + size
    if (length < MESSAGE_HEAD) continue
    const message = pieces.length === 1 ? piece : Buffer.concat(pieces)
    const whole = MESSAGE_HEAD + message.readUIntBE(1, 3)
    if (whole > MAX_BYTES) throw new RangeError('too long')
    if (length >= whole) return message.subarray(0, whole)
  }
  return null
}

/** @throws {RangeError} the message is truncated */
function helloIn(message: Buffer): ClientHello {
  if (message[0] !== CLIENT_HELLO) return NOTHING
  // Version, random; then session id, cipher suites, compression methods, each with a length prefix.
  let at = MESSAGE_HEAD + 2 + 32
  at += 1 + message.readUInt8(at)
  at += 2 + message.readUInt16BE(at)
  at += 1 + message.readUInt8(at)
  if (at === message.length) return NOTHING
  const end = at + 2 + message.readUInt16BE(at)
  at += 2
  let serverName = ''
  let protocols: readonly string[] = []
  while (at < end) {
    const type = message.readUInt16BE(at)
    const size = message.readUInt16BE(at + 2)
    const content = message.subarray(at + 4, at + 4 + size)
    if (type === SERVER_NAME && size > 5 && content[2] === 0) {
      serverName = content.toString('latin1', 5, 5 + content.readUInt16BE(3))
    } else if (type === ALPN) protocols = namesIn(content.subarray(2))
    at += 4 + size
  }
  return { serverName, protocols }
}

/** @throws {RangeError} the list is truncated */
function namesIn(list: Buffer): string[] {
  const names: string[] = []
  for (let at = 0; at < list.length; ) {
    const length = list.readUInt8(at)
    names.push(list.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return names
}
