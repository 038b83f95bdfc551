/**
 * HTTP/2 in raw frames (RFC 9113): a client that sends what a test says, valid or not, and reads frames.
 * Its numbers are its own: with those of src/wire/http2/protocol.ts a wrong one would be wrong on both sides, and go unnoticed.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { BrokenOff, Wire } from './wire.ts'

export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** Frame types (section 6). */
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

/** Flags (section 6). */
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const

/** Error codes (section 7). */
export const CODE = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  connect: 10,
  calm: 11,
  security: 12,
  http11: 13,
} as const

/** A frame as it came. */
export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** @param payload bytes, or Latin-1 text */
export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, bytes])
}

/** A header block: literals that are not indexed (RFC 7541 section 6.2.2), without Huffman. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

/** RFC 7541 section 5.1. */
function integer(value: number, prefix: number): Buffer {
  const most = 2 ** prefix - 1
  if (value < most) return Buffer.from([value])
  const bytes = [most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}

export const GET: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a'],
]

export const POST: readonly (readonly [string, string])[] = [[':method', 'POST'], ...GET.slice(1)]

/** HEADERS of a whole section. */
export function headers(stream: number, fields: readonly (readonly [string, string])[], flags: number): Buffer {
  return frame(TYPE.headers, flags | FLAG.endHeaders, stream, block(fields))
}

/** @param settings id, value, id, value */
export function settings(...values: number[]): Buffer {
  const payload = Buffer.alloc((values.length / 2) * 6)
  for (let i = 0; i < values.length; i += 2) {
    payload.writeUInt16BE(values[i] as number, i * 3)
    payload.writeUInt32BE(values[i + 1] as number, i * 3 + 2)
  }
  return frame(TYPE.settings, 0, 0, payload)
}

/** A number of 4 bytes: an error code, an increment. */
export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** How a connection or a stream was ended. */
export interface Refusal {
  readonly by: 'goaway' | 'reset' | 'end'
  readonly code: number
}

/** A client of raw frames. */
export class FrameClient extends Wire {
  /** SETTINGS and PINGs that are read are acknowledged. */
  acks = true

  async next(): Promise<Frame> {
    const head = await this.readBytes(9)
    const payload = await this.readBytes(head.readUIntBE(0, 3))
    const got = { type: head[3] as number, flags: head[4] as number, stream: head.readUInt32BE(5), payload }
    if (!this.acks || (got.flags & FLAG.ack) !== 0) return got
    if (got.type === TYPE.settings) await this.send(frame(TYPE.settings, FLAG.ack, 0))
    if (got.type === TYPE.ping) await this.send(frame(TYPE.ping, FLAG.ack, 0, payload))
    return got
  }

  /** The next frame of a type, on a stream; those before it are skipped. */
  async until(type: number, stream?: number): Promise<Frame> {
    for (;;) {
      const got = await this.next()
      if (got.type === type && (stream === undefined || got.stream === stream)) return got
    }
  }

  /** Reads until the connection has ended. @returns the last frame */
  async last(): Promise<Frame | null> {
    let last: Frame | null = null
    try {
      for (;;) last = await this.next()
    } catch (error) {
      if (error instanceof BrokenOff && error.partial === '') return last
      throw error
    }
  }

  /** The next GOAWAY, RST_STREAM, or the end of the connection. */
  async refusal(): Promise<Refusal> {
    try {
      for (;;) {
        const got = await this.next()
        if (got.type === TYPE.goaway) return { by: 'goaway', code: got.payload.readUInt32BE(4) }
        if (got.type === TYPE.reset) return { by: 'reset', code: got.payload.readUInt32BE(0) }
      }
    } catch (error) {
      if (error instanceof BrokenOff) return { by: 'end', code: -1 }
      throw error
    }
  }

  /** Whether it is still served: a PING comes back. */
  async answers(): Promise<boolean> {
    await this.send(frame(TYPE.ping, 0, 0, 'are you?'))
    try {
      for (;;) {
        const { type, flags, payload } = await this.next()
        if (type === TYPE.ping && flags === FLAG.ack && payload.toString() === 'are you?') return true
        if (type === TYPE.goaway) return false
      }
    } catch (error) {
      if (error instanceof BrokenOff) return false
      throw error
    }
  }
}

/**
 * Connects by prior knowledge.
 * @param first what is sent at first; default: the preface and empty settings
 */
export async function frameClient(port: number, first: Buffer | string | null = null): Promise<FrameClient> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const client = new FrameClient(socket)
  onTestFinished(() => {
    socket.resetAndDestroy()
  })
  await once(socket, 'connect')
  await client.send(first ?? Buffer.concat([Buffer.from(PREFACE), settings()]))
  return client
}
