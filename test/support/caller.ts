/**
 * A client that speaks HTTP/1.1 or HTTP/2 alike, for what a server does in both.
 */
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { type RawClient, rawClient } from './client.ts'
import { http2Client, type SessionClient, type StreamClient } from './http2-client.ts'
import { type Fields, parseFields, type RawResponse } from './message.ts'

/** A response; names of fields are in lower case. */
export interface Response {
  readonly status: number
  readonly fields: Fields
  readonly text: string
  readonly trailers: Fields
}

/** A request on its way. Texts are Latin-1. */
export interface Call {
  /** Sends a part of its body. */
  write(piece: string): Promise<void>
  /** Ends its body. Trailers are possible where it has no length. */
  end(trailers?: Fields): Promise<void>
  /** The next interim response. */
  interim(): Promise<{ status: number; fields: Fields }>
  /** Reads the response. @throws where it is broken off */
  response(): Promise<Response>
  /** Gives it up. */
  leave(): void
}

/** A WebSocket's connection: bytes both ways. */
export interface Tunnel {
  readonly status: number
  write(bytes: string): Promise<void>
  finish(): Promise<void>
  /** Everything until the server ends its side. */
  rest(): Promise<string>
}

/** One connection to a server. */
export interface Caller {
  /** @param hasBody it is sent by `write` and `end`; without a Content-Length among the fields its length is not told */
  ask(method: string, path: string, fields?: Fields, hasBody?: boolean): Promise<Call>
  webSocket(path: string): Promise<Tunnel>
}

const lower = (fields: Fields): Fields => fields.map(([name, value]) => [name.toLowerCase(), value])

const responseOf = ({ status, fields, body }: RawResponse): Response => ({
  ...{ status, fields: lower(fields), text: body.text, trailers: lower(body.trailers) },
})

export async function http1Caller(port: number): Promise<Caller> {
  const client = await rawClient(port)
  return {
    async ask(method, path, fields = [], hasBody = false) {
      const isSized = fields.some(([name]) => /^content-length$/i.test(name))
      const framing = hasBody && !isSized ? 'Transfer-Encoding: chunked\r\n' : ''
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
      await client.send(`${method} ${path} HTTP/1.1\r\nHost: a\r\n${lines}${framing}\r\n`)
      return http1Call(client, method, framing !== '')
    },
    async webSocket(path) {
      const key = 'dGhlIHNhbXBsZSBub25jZQ=='
      const lines = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`
      const { status } = await client.ask(`GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`)
      return {
        status,
        write: (bytes) => client.send(bytes),
        finish: async () => client.finish(),
        rest: async () => (await client.readToEnd()).text,
      }
    },
  }
}

function http1Call(client: RawClient, method: string, isChunked: boolean): Call {
  return {
    write: (piece) => client.send(isChunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece),
    async end(trailers = []) {
      const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
      if (isChunked) await client.send(`0\r\n${lines}\r\n`)
    },
    async interim() {
      const head = await client.readUntil('\r\n\r\n')
      return { status: Number(head.split(' ')[1]), fields: lower(parseFields(head)) }
    },
    response: async () => responseOf(await client.nextResponse(method)),
    leave: () => client.reset(),
  }
}

const pairs = (raw: readonly string[]): Fields =>
  raw.flatMap((name, n) => (n % 2 === 1 || name.startsWith(':') ? [] : [[name, raw[n + 1] as string] as const]))

/** By prior knowledge. */
export async function http2Caller(port: number): Promise<Caller> {
  const client = await http2Client(port)
  return {
    ask: async (method, path, fields = [], hasBody = false) => http2Call(client, method, path, fields, hasBody),
    async webSocket(path) {
      const asks = [':method', 'CONNECT', ':protocol', 'websocket', 'sec-websocket-version', '13']
      const asked = client.ask(path, asks, { ends: false })
      const { stream } = asked
      const status = await asked.status()
      const rest = asked.rest()
      return {
        status,
        write: async (bytes) => void stream.write(bytes, 'latin1'),
        finish: async () => void stream.end(),
        rest: async () => (await rest).text,
      }
    },
  }
}

function http2Call(client: SessionClient, method: string, path: string, fields: Fields, hasBody: boolean): Call {
  const raw = lower(fields).flat()
  const asked: StreamClient = client.ask(path, raw, { method, ends: !hasBody, trailers: hasBody })
  const { stream } = asked
  onTestFinished(() => void stream.destroy())
  let trailers: Fields = []
  stream.on('wantTrailers', () => stream.sendTrailers(Object.fromEntries(lower(trailers))))
  let seen = 0
  return {
    async write(piece) {
      if (!stream.write(piece, 'latin1')) await Promise.race([once(stream, 'drain'), once(stream, 'close')])
    },
    async end(last = []) {
      trailers = last
      stream.end()
    },
    async interim() {
      while (asked.interim.length <= seen) await once(stream, 'headers')
      const head = asked.interim[seen++] as readonly string[]
      return { status: Number(head[1]), fields: pairs(head) }
    },
    async response() {
      const head = await asked.head()
      const { text, trailers: last, code } = await asked.rest()
      if (code !== 0) throw new Error(`reset with ${code}`)
      return { status: Number(head[1]), fields: pairs(head), text, trailers: pairs(last) }
    },
    leave: () => client.session.destroy(),
  }
}
