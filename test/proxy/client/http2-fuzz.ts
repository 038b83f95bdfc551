/**
 * Random clients of HTTP/2 against a server: each conversation ends as RFC 9113 says, what is valid in it is answered rightly, and what the
 * server sends is valid. One that does not is an error with the number of its seed.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { FieldDecoder } from '../../../src/wire/http2/hpack-decoder.ts'
import { CODE, FLAG, frame, TYPE, word } from '../../support/frames.ts'

import { GIVE_UP_MS } from '../../support/wire.ts'

import { Dice } from '../../wire/request-samples.ts'
import { type Expected, type Script, scriptOf } from './http2-scripts.ts'

/** Conversations at the same time. */
const BATCH = 25
const FIRST_WINDOW = 65_535
/** What windows are raised by, once all of a script is sent. */
const RAISE = 1_000_000

/** The text that the upstream answers: what it has got, and as much behind it as is asked for. */
export function answerTo(method: string, path: string, body: Buffer): string {
  const hash = createHash('sha1').update(body).digest('hex')
  const size = Number(/[?&]size=(\d+)/.exec(path)?.[1] ?? 0)
  return `${method} ${path} ${body.length} ${hash}\n${'x'.repeat(Math.min(size, 1_000_000))}`
}

/** An upstream that answers so. */
export async function echoUpstream(): Promise<Server> {
  const server = createServer(async (req: IncomingMessage, res) => {
    const pieces: Buffer[] = []
    req.on('error', () => {})
    req.on('data', (piece: Buffer) => pieces.push(piece))
    await once(req, 'end').catch(() => {})
    if (!req.complete) return
    const { method = '', url = '' } = req
    const text = answerTo(method, url, Buffer.concat(pieces))
    if (!url.includes('chunked')) res.setHeader('Content-Length', text.length)
    res.end(text)
  })
  // Heads that only this upstream takes for too long are no matter here.
  server.maxRequestsPerSocket = 0
  server.keepAliveTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

/** What has come on a stream. */
interface Got {
  status: string
  text: string
  /** END_STREAM came, or the code of RST_STREAM. */
  ended: boolean
  reset: number | null
}

/** How a conversation went. */
export interface Verdict {
  /** The code of GOAWAY; null where there was none. */
  readonly goaway: number | null
  /** All was read, and the connection goes on. */
  readonly goesOn: boolean
  readonly streams: ReadonlyMap<number, Got>
}

/** A client that sends a script, and looks at all that comes. */
class Conversation {
  readonly #socket: Socket
  readonly #script: Script
  readonly #dice: Dice
  readonly #patienceMs: number
  readonly #decoder = new FieldDecoder({ maxTableBytes: 65_536 })
  readonly streams = new Map<number, Got>()
  goaway: number | null = null
  closed = false
  barrier = false
  #hasSettings = false
  /** What is not HTTP/2 is not looked at: the preface was wrong. */
  #isOther = false
  #bytes: Buffer = Buffer.alloc(0)
  #block: Buffer[] = []
  #blockFlags = 0
  /** Frames of ours that wait until all of the script is sent. */
  #own: Buffer[] | null = []
  /** How much may come: for each stream, beside its first window, and on the connection. */
  #firstWindow = FIRST_WINDOW
  readonly #granted = new Map<number, number>()
  readonly #taken = new Map<number, number>()
  #wake: (() => void) | null = null
  problem: string | null = null

  constructor(socket: Socket, script: Script, patienceMs: number) {
    this.#patienceMs = patienceMs
    this.#socket = socket
    this.#script = script
    this.#dice = new Dice(script.seed ^ 0x5bd1e995)
    this.#readGrants()
    socket.on('data', (piece: Buffer) => {
      try {
        this.#read(piece)
      } catch (error) {
        this.problem ??= String(error)
      }
      this.#wake?.()
    })
    socket.on('error', () => {})
    const onEnd = (): void => {
      this.closed = true
      this.#wake?.()
    }
    socket.on('end', onEnd)
    socket.on('close', onEnd)
  }

  /** Windows that the script grants at any time, all at once: the server may know of them before we know that it does. */
  #readGrants(): void {
    const { bytes } = this.#script
    for (let at = 24; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      const end = at + 9 + bytes.readUIntBE(at, 3)
      if (end > bytes.length) return
      const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff
      if (bytes[at + 3] === TYPE.window && end === at + 13) this.#grant(stream, bytes.readUInt32BE(at + 9) & 0x7fffffff)
      if (bytes[at + 3] !== TYPE.settings) continue
      for (let entry = at + 9; entry + 6 <= end; entry += 6) {
        if (bytes.readUInt16BE(entry) === 4)
          this.#firstWindow = Math.max(this.#firstWindow, bytes.readUInt32BE(entry + 2))
      }
    }
  }

  #grant(stream: number, bytes: number): void {
    this.#granted.set(stream, (this.#granted.get(stream) ?? 0) + bytes)
  }

  /** @throws where it does not come about in a long time */
  async until(what: string, check: () => boolean): Promise<void> {
    const endsAt = performance.now() + this.#patienceMs
    while (!check() && this.problem === null) {
      if (performance.now() > endsAt) throw new Error(`waited in vain for ${what}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#patienceMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    if (this.problem !== null) throw new Error(this.problem)
  }

  /** Sends all of the script. */
  async send(): Promise<void> {
    const { bytes, splits } = this.#script
    let from = 0
    for (const to of [...splits, bytes.length]) {
      if (this.closed) return
      if (to > from) this.#socket.write(bytes.subarray(from, to))
      from = to
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (this.#script.kind === 'cut' || this.closed) return
    const own = this.#own as Buffer[]
    this.#own = null
    for (const one of own) this.#socket.write(one)
  }

  /** A PING: what was sent before it was read when it comes back. */
  ping(): void {
    this.#socket.write(frame(TYPE.ping, 0, 0, 'are you?'))
  }

  /** Raises the windows of the streams whose answers are waited for. */
  raise(streams: Iterable<number>): void {
    if (this.#firstWindow > 2 ** 30) return
    for (const stream of [0, ...streams]) {
      if ((this.#granted.get(stream) ?? 0) > 2 ** 30) continue
      this.#grant(stream, RAISE)
      this.#socket.write(frame(TYPE.window, 0, stream, word(RAISE)))
    }
  }

  end(): void {
    const isTls = 'encrypted' in this.#socket
    if (this.#script.ending === 'fin') this.#socket.end()
    else if (isTls) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  #reply(bytes: Buffer): void {
    if (this.#own !== null) this.#own.push(bytes)
    else if (!this.#socket.destroyed && this.#socket.writable) this.#socket.write(bytes)
  }

  #read(piece: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? piece : Buffer.concat([this.#bytes, piece])
    if (!this.#hasSettings && this.#bytes.toString('latin1', 0, 5) === 'HTTP/') this.#isOther = true
    let at = 0
    const bytes = this.#bytes
    while (!this.#isOther && bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3)
      if (length > 16_384) throw new Error(`a frame of ${length} bytes from the server`)
      if (bytes.length - at < 9 + length) break
      const stream = bytes.readUInt32BE(at + 5)
      this.#onFrame(bytes[at + 3] as number, bytes[at + 4] as number, stream, bytes.subarray(at + 9, at + 9 + length))
      at += 9 + length
    }
    this.#bytes = bytes.subarray(at)
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (!this.#hasSettings && (type !== TYPE.settings || flags !== 0)) throw new Error(`${type} before SETTINGS`)
    if (this.#block.length > 0 && type !== TYPE.continuation) throw new Error(`${type} within a field section`)
    switch (type) {
      case TYPE.settings:
        this.#hasSettings = true
        if ((flags & FLAG.ack) === 0) this.#reply(frame(TYPE.settings, FLAG.ack, 0))
        break
      case TYPE.ping:
        if ((flags & FLAG.ack) === 0) this.#reply(frame(TYPE.ping, FLAG.ack, 0, payload))
        else if (payload.toString() === 'are you?') this.barrier = true
        break
      case TYPE.goaway:
        this.goaway = Math.max(this.goaway ?? 0, payload.readUInt32BE(4))
        break
      case TYPE.reset:
        this.#stream(stream).reset = payload.readUInt32BE(0)
        break
      case TYPE.headers:
      case TYPE.continuation:
        this.#block.push(payload)
        if (type === TYPE.headers) this.#blockFlags = flags
        if ((flags & FLAG.endHeaders) !== 0) this.#onFields(stream)
        break
      case TYPE.data:
        this.#onData(stream, payload, flags)
        break
      case TYPE.window:
        if (payload.readUInt32BE(0) === 0) throw new Error('WINDOW_UPDATE of 0')
        break
      default:
        throw new Error(`a frame of type ${type} from the server`)
    }
  }

  #stream(id: number): Got {
    if (id === 0 || id % 2 === 0) throw new Error(`something on stream ${id}`)
    const got = this.streams.get(id) ?? { status: '', text: '', ended: false, reset: null }
    this.streams.set(id, got)
    return got
  }

  #open(id: number): Got {
    const got = this.#stream(id)
    if (got.ended || got.reset !== null) throw new Error(`more of an answer behind its end on stream ${id}`)
    return got
  }

  #onFields(stream: number): void {
    const fields = this.#decoder.decode(Buffer.concat(this.#block), 1_000_000, 1000) as string[]
    this.#block = []
    const got = this.#open(stream)
    for (let i = 0; i < fields.length; i += 2) {
      if (/[A-Z]/.test(fields[i] as string)) throw new Error(`the field ${fields[i]}`)
    }
    if (got.status === '' || got.status.startsWith('1')) {
      if (fields[0] !== ':status') throw new Error(`a response that begins with ${fields[0]}`)
      got.status = fields[1] as string
    } else if ((this.#blockFlags & FLAG.endStream) === 0) throw new Error('trailers without an end')
    if ((this.#blockFlags & FLAG.endStream) !== 0) got.ended = true
  }

  #onData(stream: number, payload: Buffer, flags: number): void {
    const got = this.#open(stream)
    if (got.status === '') throw new Error('DATA before its HEADERS')
    for (const id of [stream, 0]) {
      const taken = (this.#taken.get(id) ?? 0) + payload.length
      this.#taken.set(id, taken)
      const most = (id === 0 ? FIRST_WINDOW : this.#firstWindow) + (this.#granted.get(id) ?? 0)
      if (taken > most) throw new Error(`${taken} bytes of DATA on stream ${id}, whose window allowed ${most}`)
    }
    got.text += payload.toString('latin1')
    got.ended = (flags & FLAG.endStream) !== 0
    if (payload.length === 0 || this.#script.kind === 'cut') return
    const more = payload.length + this.#dice.below(20_000)
    for (const id of got.ended ? [0] : [stream, 0]) {
      this.#grant(id, more)
      this.#reply(frame(TYPE.window, 0, id, word(more)))
    }
  }
}

/** Where a server is asked: a port that speaks HTTP/2 at once, or by ALPN. */
export interface Target {
  readonly port: number
  readonly tls: boolean
}

async function connected({ port, tls }: Target): Promise<Socket> {
  const at = { port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }
  const socket = tls ? connectTls({ ...at, ALPNProtocols: ['h2'], rejectUnauthorized: false }) : connect(at)
  await once(socket, tls ? 'secureConnect' : 'connect')
  return socket
}

/**
 * Has a conversation.
 * @param patienceMs how long a wait may take
 * @throws {Error} it did not go as it must
 */
export async function converse(target: Target, script: Script, patienceMs = GIVE_UP_MS): Promise<Verdict> {
  const { kind, expected } = script
  const socket = await connected(target)
  const talk = new Conversation(socket, script, patienceMs)
  const isOver = (): boolean => talk.goaway !== null && talk.goaway !== CODE.none
  let goesOn = false
  try {
    await talk.send()
    if (kind !== 'cut') {
      talk.ping()
      await talk.until('PING to come back', () => talk.barrier || isOver() || talk.closed)
      goesOn = talk.barrier && !isOver() && !talk.closed
      if (goesOn) {
        talk.raise([...expected.keys()].filter((id) => talk.streams.get(id)?.ended !== true))
        const isDone = (id: number): boolean =>
          talk.streams.get(id)?.ended === true || talk.streams.get(id)?.reset != null
        await talk.until('all answers', () => isOver() || talk.closed || [...expected.keys()].every(isDone))
      }
    }
    talk.end()
    await talk.until('the end of the connection', () => talk.closed)
    check(talk, script)
  } finally {
    socket.destroy()
  }
  return { goaway: talk.goaway, goesOn, streams: talk.streams }
}

/** Whether what was valid was answered rightly. */
function check(talk: Conversation, { kind, expected }: Script): void {
  const { goaway, streams } = talk
  if (kind === 'valid' && goaway !== null && goaway !== CODE.none) throw new Error(`GOAWAY ${goaway} for what is valid`)
  const lives = talk.barrier && (goaway === null || goaway === CODE.none)
  if (kind === 'valid' && !lives) throw new Error('closed, though all was valid')
  for (const [id, request] of expected) {
    const got = streams.get(id)
    if (got === undefined || got.reset !== null || !got.ended) {
      if (lives) throw new Error(`no answer to ${request.method} on stream ${id}: ${JSON.stringify(got)}`)
    } else checkAnswer(got, request)
  }
}

function checkAnswer({ status, text }: Got, { method, path, body }: Expected): void {
  const right = method === 'HEAD' ? '' : answerTo(method, path, body)
  if (status !== '200' || text !== right) {
    throw new Error(
      `${status} ${JSON.stringify(text.slice(0, 200))} to ${method} ${path}, with ${text.length} characters`,
    )
  }
}

/** What conversations came to. */
export interface Tally {
  conversations: number
  /** That ended with an error, or went on to the end. */
  refused: number
  wentOn: number
  answers: number
}

/**
 * Has the conversations `seed` to `seed + runs - 1`, with somebody else who is served meanwhile.
 * @param targets in turn
 * @throws {Error} the first of those that did not go as they must, with their seeds
 */
export async function converseAll(targets: readonly Target[], seed: number, runs: number): Promise<Tally> {
  const tally: Tally = { conversations: 0, refused: 0, wentOn: 0, answers: 0 }
  const problems: string[] = []
  for (let at = 0; at < runs && problems.length < 5; at += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, runs - at) }, (_, n) => seed + at + n)
    await Promise.all(
      batch.map(async (one) => {
        const target = targets[one % targets.length] as Target
        const script = scriptOf(one, target.tls ? 'https' : 'http')
        try {
          const { goesOn, streams } = await converse(target, script)
          tally.conversations++
          if (goesOn) tally.wentOn++
          else tally.refused++
          for (const { ended } of streams.values()) if (ended) tally.answers++
        } catch (error) {
          problems.push(`script ${one} (${script.kind}): ${error instanceof Error ? error.message : error}`)
        }
      }),
    )
  }
  if (problems.length > 0) throw new Error(`after ${tally.conversations} conversations:\n${problems.join('\n')}`)
  return tally
}
