/**
 * A client of HTTP/2 for tests: node:http2's, with fields as raw arrays.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { onTestFinished } from 'vitest'

/** Name, value, name, value. */
type Raw = readonly string[]

/** One stream with what has come on it. */
export class StreamClient {
  readonly stream: ClientHttp2Stream
  /** Interim heads. */
  readonly interim: Raw[] = []
  #head: Raw | null = null
  #trailers: Raw = []
  #pieces: Buffer[] = []
  readonly #headCame: Promise<void>
  readonly #closed: Promise<void>

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream
    stream.on('headers', (_, _flags, raw) => this.interim.push(raw as unknown as Raw))
    stream.on('trailers', (_, _flags, raw) => {
      this.#trailers = raw as unknown as Raw
    })
    stream.on('error', () => {})
    this.#headCame = new Promise((resolve) => {
      stream.on('response', (_, _flags, raw) => {
        this.#head = raw as unknown as Raw
        resolve()
      })
      stream.on('close', () => resolve())
    })
    this.#closed = new Promise((resolve) => stream.on('close', () => resolve()))
  }

  /** The head of the response. @throws where the stream was reset before */
  async head(): Promise<Raw> {
    await this.#headCame
    if (this.#head === null) throw new Error(`reset with ${this.stream.rstCode}`)
    return this.#head
  }

  async status(): Promise<number> {
    return Number((await this.head())[1])
  }

  /** All values of a field of the response. */
  async values(name: string): Promise<string[]> {
    return valuesOf(await this.head(), name)
  }

  /** Reads all of the body. @returns it with the trailers, and the code that the stream has closed with */
  async rest(): Promise<{ text: string; trailers: Raw; code: number }> {
    this.stream.on('data', (piece: Buffer) => this.#pieces.push(piece))
    await this.#closed
    return {
      text: Buffer.concat(this.#pieces).toString('latin1'),
      trailers: this.#trailers,
      code: this.stream.rstCode ?? 0,
    }
  }
}

export function valuesOf(fields: Raw, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1] as string)
  return values
}

/** A connection. */
export class SessionClient {
  readonly session: ClientHttp2Session
  /** The code of GOAWAY; null before. */
  goaway: number | null = null

  constructor(session: ClientHttp2Session) {
    this.session = session
    session.on('error', () => {})
    session.on('goaway', (code) => {
      this.goaway = code
    })
  }

  /** @param fields beside the pseudo-header fields; those given here win */
  ask(
    path: string,
    fields: Raw = [],
    { method = 'GET', ends = true, trailers = false }: { method?: string; ends?: boolean; trailers?: boolean } = {},
  ): StreamClient {
    const pseudo: string[] = []
    const given = (name: string): boolean => fields.includes(name)
    if (!given(':method')) pseudo.push(':method', method)
    if (!given(':path')) pseudo.push(':path', path)
    if (!given(':scheme')) pseudo.push(':scheme', 'http')
    if (!given(':authority')) pseudo.push(':authority', 'a')
    const raw = [...pseudo, ...fields]
    return new StreamClient(this.session.request(raw as never, { endStream: ends, waitForTrailers: trailers }))
  }

  /** Resolves when the connection is closed. */
  async closed(): Promise<void> {
    if (!this.session.destroyed) await new Promise((resolve) => this.session.once('close', resolve))
  }
}

/** Connects by prior knowledge. @param options of node:http2 */
export async function http2Client(port: number, options: object = {}): Promise<SessionClient> {
  const more = { strictSingleValueFields: false, ...options }
  const session = connect(`http://127.0.0.1:${port}`, more as object)
  onTestFinished(() => session.destroy())
  const client = new SessionClient(session)
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  return client
}
