/**
 * WebSocket frames as bytes (RFC 6455 section 5): reads a client's frames into messages, writes a server's frames. No socket.
 */
import { isUtf8 } from 'node:buffer'

/** What the client said: a whole message (its fragments joined), or a control frame. */
export type Message =
  | { readonly kind: 'text' | 'binary' | 'ping' | 'pong'; readonly data: Buffer }
  | { readonly kind: 'close'; readonly code: number; readonly data: Buffer }

/** The client broke the protocol; `code` is what the connection is to be closed with (RFC 6455 section 7.4.1). */
export class FrameError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const KINDS: Readonly<Record<number, 'text' | 'binary' | 'ping' | 'pong' | 'close'>> = {
  1: 'text',
  2: 'binary',
  8: 'close',
  9: 'ping',
  10: 'pong',
}

/** Longest message taken. */
export const MAX_MESSAGE_BYTES = 1_048_576

const MAX_CONTROL_BYTES = 125
/** The code of a close frame that carries none (RFC 6455 section 7.1.5). */
const NO_CODE = 1005

interface Head {
  readonly final: boolean
  readonly opcode: number
  /** Bytes of the frame in front of its payload. */
  readonly headBytes: number
  readonly bytes: number
}

/** Collects bytes as they come, however they are cut, and gives the messages that they complete. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  #fragments: Buffer[] = []
  #fragmentBytes = 0
  #fragmentKind: 'text' | 'binary' | null = null;

  /**
   * Takes bytes and gives the messages that are complete now.
   * @throws {FrameError} where the bytes break RFC 6455; the reader is of no use afterwards
   */
  *read(chunk: Buffer): Generator<Message> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (let head = headOf(this.#rest); head !== null; head = headOf(this.#rest)) {
      const end = head.headBytes + head.bytes
      if (this.#rest.length < end) return
      const payload = unmask(
        this.#rest.subarray(head.headBytes - 4, head.headBytes),
        this.#rest.subarray(head.headBytes, end),
      )
      this.#rest = this.#rest.subarray(end)
      const message = this.#take(head, payload)
      if (message !== null) yield message
    }
  }

  #take({ final, opcode }: Head, payload: Buffer): Message | null {
    const kind = KINDS[opcode]
    if (kind === 'close') return closeOf(payload)
    if (kind === 'ping' || kind === 'pong') return { kind, data: payload }
    if ((kind === undefined) !== (this.#fragmentKind !== null)) throw new FrameError(1002, 'fragments out of order')
    this.#fragmentKind ??= kind ?? null
    this.#fragments.push(payload)
    this.#fragmentBytes += payload.length
    if (this.#fragmentBytes > MAX_MESSAGE_BYTES) throw new FrameError(1009, 'message too long')
    if (!final || this.#fragmentKind === null) return null
    const message = { kind: this.#fragmentKind, data: Buffer.concat(this.#fragments) }
    this.#fragments = []
    this.#fragmentBytes = 0
    this.#fragmentKind = null
    if (message.kind === 'text' && !isUtf8(message.data)) throw new FrameError(1007, 'text is not UTF-8')
    return message
  }
}

/** The head of the frame that `bytes` begins with; null until all of the head is there. */
function headOf(bytes: Buffer): Head | null {
  if (bytes.length < 2) return null
  const [first = 0, second = 0] = bytes
  const opcode = first & 0x0f
  const control = opcode >= 8
  const short = second & 0x7f
  if ((first & 0x70) !== 0 || !Object.values<number>(OPCODES).includes(opcode))
    throw new FrameError(1002, 'unknown frame')
  if ((second & 0x80) === 0) throw new FrameError(1002, 'a client must mask its frames')
  if (control && (short > MAX_CONTROL_BYTES || (first & 0x80) === 0)) throw new FrameError(1002, 'bad control frame')
  const headBytes = (short === 127 ? 10 : short === 126 ? 4 : 2) + 4
  if (bytes.length < headBytes) return null
  const length = short === 127 ? bytes.readBigUInt64BE(2) : BigInt(short === 126 ? bytes.readUInt16BE(2) : short)
  if (length > MAX_MESSAGE_BYTES) throw new FrameError(1009, 'frame too long')
  return { final: (first & 0x80) !== 0, opcode, headBytes, bytes: Number(length) }
}

function unmask(key: Buffer, payload: Buffer): Buffer {
  const clear = Buffer.allocUnsafe(payload.length)
  for (let i = 0; i < payload.length; i++) clear[i] = (payload[i] as number) ^ (key[i & 3] as number)
  return clear
}

function closeOf(payload: Buffer): Message {
  if (payload.length === 0) return { kind: 'close', code: NO_CODE, data: payload }
  if (payload.length === 1) throw new FrameError(1002, 'half a close code')
  const code = payload.readUInt16BE(0)
  const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999)
  if (!known) throw new FrameError(1002, 'bad close code')
  if (!isUtf8(payload.subarray(2))) throw new FrameError(1007, 'close reason is not UTF-8')
  return { kind: 'close', code, data: payload.subarray(2) }
}

/** A server's frame: final, unmasked (RFC 6455 section 5.1). Text goes out as UTF-8. */
export function frameOf(kind: 'text' | 'binary' | 'ping' | 'pong' | 'close', data: string | Buffer): Buffer {
  const payload = typeof data === 'string' ? Buffer.from(data) : data
  const first = 0x80 | OPCODES[kind]
  if (payload.length < 126) return Buffer.concat([Buffer.from([first, payload.length]), payload])
  const head = Buffer.alloc(payload.length < 65_536 ? 4 : 10)
  head[0] = first
  head[1] = payload.length < 65_536 ? 126 : 127
  if (payload.length < 65_536) head.writeUInt16BE(payload.length, 2)
  else head.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([head, payload])
}

/** A close frame; a code that must not be sent (1005) makes an empty one. */
export function closeFrameOf(code: number, reason = ''): Buffer {
  if (code === NO_CODE) return frameOf('close', '')
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
  payload.writeUInt16BE(code, 0)
  payload.write(reason, 2)
  return frameOf('close', payload)
}
