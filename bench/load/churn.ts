/**
 * The clients of the soak: steady ones, three kinds that behave badly, and some of HTTP/2 that do all of it. Each runs until the churn ends; none of them
 * throws: what a client saw is counted.
 */
import { randomBytes } from 'node:crypto'
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { AnswerReader } from './answers.ts'
import { clientFrame } from './frames.ts'
import { UpgradeReader, upgradeRequest } from './websocket.ts'

/** How often what happened. */
export interface Counts {
  /** Whole answers, by status. */
  readonly answers: Record<string, number>
  /** Requests that the client left in some phase. */
  aborts: number
  /** Upgraded connections that echoed all messages. */
  upgrades: number
  /** Upgrades that were refused or broken off; the upstream's restarts cause them. */
  brokenUpgrades: number
  /** Slowly read answers that were read to the end. */
  slowReads: number
  /** Whole answers over HTTP/2, which are among `answers`. */
  streams: number
  /** Connections that were secured. */
  handshakes: number
  /** Connections that broke off in the middle of an answer; the upstream's restarts cause them. */
  broken: number
  /** Answers that no upstream restart explains: an unreadable head, a wrong length, a wrong echo, an error while it was up. */
  readonly wrong: string[]
}

export function newCounts(): Counts {
  return {
    ...{ answers: {}, aborts: 0, upgrades: 0, brokenUpgrades: 0, slowReads: 0, broken: 0, streams: 0, handshakes: 0 },
    wrong: [],
  }
}

/** RFC 6455 section 5.5.1: the opcode, and status 1000. */
const CLOSE = 8
const NORMAL_CLOSURE = Buffer.from([0x03, 0xe8])
/** Messages that each WebSocket echoes. */
const MESSAGES = 10
const STEADY = 8
const EACH_BAD_KIND = 4
const MAX_WRONG = 20
const PATIENCE_MS = 15_000
/** Of a connection of HTTP/2: how often requests are sent together, and how many. */
const ROUNDS = 10
const STREAMS = 10

/** Where the proxy listens. */
export interface Ports {
  readonly port: number
  readonly tlsPort: number
}

/** Clients against one proxy, from `start` to `stop`. Half of their connections use TLS. */
export class Churn {
  readonly counts: Counts
  readonly #ports: Ports
  readonly #era: () => number | null
  readonly #sockets = new Set<Socket>()
  readonly #clients: Promise<void>[] = []
  readonly #sessions = new Set<ClientHttp2Session>()
  #session: Buffer | undefined
  #over = false

  /** @param era between two restarts of the upstream; null where it is not there: a request that is asked and answered in one need not fail */
  constructor(ports: Ports, counts: Counts, era: () => number | null) {
    this.#ports = ports
    this.#era = era
    this.counts = counts
  }

  start(): void {
    for (let i = 0; i < STEADY; i++) this.#repeat(() => this.#steady())
    for (let i = 0; i < EACH_BAD_KIND; i++) {
      this.#repeat(() => this.#abort())
      this.#repeat(() => this.#upgrade())
      this.#repeat(() => this.#readSlowly())
      this.#repeat(() => this.#http2())
    }
  }

  /** Ends all clients and closes their connections. */
  async stop(): Promise<void> {
    this.#over = true
    for (const socket of this.#sockets) socket.destroy()
    for (const session of this.#sessions) session.destroy()
    await Promise.all(this.#clients)
  }

  #repeat(client: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      while (!this.#over) {
        await client()
        await delay(between(0, 5))
      }
    }
    this.#clients.push(run())
  }

  #wrong(what: string): void {
    if (this.counts.wrong.length < MAX_WRONG) this.counts.wrong.push(what)
  }

  /** A connection whose data goes to `onData`; `closed` resolves when it is closed, by whomever. @param client names the kind */
  #open(
    client: string,
    onData: (chunk: Buffer, socket: Socket) => void,
  ): { socket: Socket; tcp: Socket; closed: Promise<void> } {
    const isSecure = Math.random() < 0.5
    const port = isSecure ? this.#ports.tlsPort : this.#ports.port
    const tcp = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }).on('error', () => {})
    const socket = isSecure ? this.#secure(tcp) : tcp
    this.#sockets.add(socket)
    socket.setTimeout(PATIENCE_MS, () => {
      const at = `${tcp.bytesRead} bytes read, ${tcp.bytesWritten} written${tcp.readableEnded ? ', the end read' : ''}`
      this.#wrong(`${client}${isSecure ? ' over TLS' : ''}: no byte for ${PATIENCE_MS} ms, after ${at}`)
      socket.destroy()
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        onData(chunk, socket)
      } catch (error) {
        this.#wrong((error as Error).message)
        socket.destroy()
      }
    })
    // The upstream dies on purpose: errors show in the counts of what did not arrive.
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        this.#sockets.delete(socket)
        resolve()
      })
    })
    return { socket, tcp, closed }
  }

  /** Every other time with the session of an earlier connection. */
  #secure(tcp: Socket): TLSSocket {
    const session = Math.random() < 0.5 ? this.#session : undefined
    const socket = connectTls({ socket: tcp, rejectUnauthorized: false, session })
    socket.on('secureConnect', () => this.counts.handshakes++)
    socket.on('session', (ticket: Buffer) => {
      this.#session = ticket
    })
    return socket
  }

  #readAnswers(
    bytes: number,
    whole: (status: number, socket: Socket) => void,
  ): (chunk: Buffer, socket: Socket) => void {
    let from: Socket | null = null
    let askedIn = this.#era()
    const reader = new AnswerReader((status, length) => {
      this.counts.answers[status] = (this.counts.answers[status] ?? 0) + 1
      if (status >= 500 && askedIn !== null && askedIn === this.#era())
        this.#wrong(`${status} while the upstream was up`)
      if (status === 200 && length !== bytes) this.#wrong(`${length} bytes instead of ${bytes}`)
      askedIn = this.#era()
      whole(status, from as Socket)
    })
    return (chunk, socket) => {
      from = socket
      reader.take(chunk)
    }
  }

  /** A hundred requests on one connection. */
  async #steady(): Promise<void> {
    let left = 100
    const ask = (socket: Socket): void => void socket.write(get('/bytes/1000'))
    const read = this.#readAnswers(1000, (_status, socket) => {
      if (--left > 0 && !this.#over) ask(socket)
      else socket.destroy()
    })
    const { socket, closed } = this.#open('steady', read)
    ask(socket)
    await closed
    if (left > 0 && !this.#over) this.counts.broken++
  }

  /** Leaves in one of four phases: half a head sent, waiting, in the answer's body, in the request's body. */
  async #abort(): Promise<void> {
    const { socket, tcp, closed } = this.#open('leaving', () => {})
    const phases = [
      () => socket.write('GET /bytes/1000 HTTP/1.1\r\nHost: 127'),
      () => socket.write(get('/slow/300')),
      () => socket.write(get('/bytes/50000000')),
      () => socket.write(`${post('/sink', 50_000_000)}${'x'.repeat(100_000)}`),
    ]
    phases[Math.floor(between(0, phases.length))]?.()
    await delay(between(0, 40))
    if (Math.random() < 0.5) tcp.resetAndDestroy()
    else socket.destroy()
    await closed
    this.counts.aborts++
  }

  /** Some messages through a WebSocket, then one of three ways to end it. */
  async #upgrade(): Promise<void> {
    const message = randomBytes(200)
    const frame = clientFrame(message, 2, randomBytes(4))
    let echoes = 0
    const reader = new UpgradeReader({
      opened: () => socket.write(frame),
      refused: () => socket.destroy(),
      frame: (echoed, opcode) => {
        if (opcode === CLOSE) socket.end()
        else if (!echoed.equals(message)) this.#wrong('a wrong echo')
        else if (++echoes < MESSAGES) socket.write(frame)
        else this.#leave(socket)
      },
    })
    const { socket, closed } = this.#open('WebSocket', (chunk) => reader.take(chunk))
    socket.write(upgradeRequest(this.#ports.port))
    await closed
    if (echoes === MESSAGES) this.counts.upgrades++
    else if (!this.#over) this.counts.brokenUpgrades++
  }

  /**
   * A connection of HTTP/2 over TLS: rounds of requests at the same time, of which some are left in one of three phases, some read
   * slowly. It ends in one of three ways.
   */
  async #http2(): Promise<void> {
    const session = connectHttp2(`https://127.0.0.1:${this.#ports.tlsPort}`, { rejectUnauthorized: false })
    this.#sessions.add(session)
    session.on('error', () => {})
    session.on('connect', () => this.counts.handshakes++)
    const closed = new Promise<void>((resolve) => session.once('close', resolve))
    for (let round = 0; round < ROUNDS && !session.closed && !session.destroyed && !this.#over; round++) {
      const asked = Array.from({ length: STREAMS - 3 }, () => this.#stream(session, '/bytes/1000', 1000))
      await Promise.all([...asked, this.#stream(session, '/bytes/1000000', 1_000_000), this.#leaveStream(session)])
    }
    const ways = [
      () => session.close(),
      () => session.destroy(),
      () => {
        void this.#stream(session, '/slow/300', 2)
        setImmediate(() => session.destroy())
      },
    ]
    if (!session.destroyed) ways[Math.floor(between(0, ways.length))]?.()
    await closed
    this.#sessions.delete(session)
  }

  /** A request of HTTP/2 that is answered. */
  async #stream(session: ClientHttp2Session, path: string, bytes: number): Promise<void> {
    if (session.closed || session.destroyed) return
    const askedIn = this.#era()
    const stream = session.request({ ':path': path })
    let status = 0
    let length = 0
    stream.on('error', () => {})
    stream.on('response', (head) => {
      status = Number(head[':status'])
    })
    stream.on('data', (piece: Buffer) => {
      length += piece.length
      if (bytes < 100_000 || Math.random() < 0.8) return
      stream.pause()
      setTimeout(() => stream.resume(), between(1, 10))
    })
    await new Promise((resolve) => stream.once('close', resolve))
    const isWhole = stream.rstCode === 0 && status !== 0 && !session.destroyed
    if (!isWhole) {
      if (!this.#over) this.counts.broken++
      return
    }
    this.counts.streams++
    this.counts.answers[status] = (this.counts.answers[status] ?? 0) + 1
    if (status >= 500 && askedIn !== null && askedIn === this.#era())
      this.#wrong(`${status} over HTTP/2 while the upstream was up`)
    if (status === 200 && length !== bytes) this.#wrong(`${length} bytes over HTTP/2 instead of ${bytes}`)
  }

  /** Leaves a request of HTTP/2: waiting, in the answer's body, or in its own. */
  async #leaveStream(session: ClientHttp2Session): Promise<void> {
    if (session.closed || session.destroyed) return
    const phases = ['/slow/300', '/bytes/50000000', '/sink']
    const path = phases[Math.floor(between(0, phases.length))] as string
    const stream = session.request({ ':path': path, ':method': path === '/sink' ? 'POST' : 'GET' })
    stream.on('error', () => {})
    if (path === '/sink') stream.write(Buffer.alloc(100_000))
    const closed = new Promise((resolve) => stream.once('close', resolve))
    await delay(between(0, 40))
    stream.close(constants.NGHTTP2_CANCEL)
    await closed
    this.counts.aborts++
  }

  #leave(socket: Socket): void {
    const ways = [
      () => socket.destroy(),
      () => socket.end(),
      () => socket.write(clientFrame(NORMAL_CLOSURE, CLOSE, randomBytes(4))),
    ]
    ways[Math.floor(between(0, ways.length))]?.()
  }

  /** Reads 12 MB, more than sockets buffer, with pauses; every third time leaves in the middle of a pause. */
  async #readSlowly(): Promise<void> {
    let answered = false
    let whole = false
    const read = this.#readAnswers(12_000_000, (status, socket) => {
      answered = true
      whole = status === 200
      socket.destroy()
    })
    const { socket, closed } = this.#open('slow reader', (chunk, from) => {
      read(chunk, from)
      if (socket.destroyed) return
      socket.pause()
      setTimeout(() => socket.resume(), between(1, 30))
    })
    socket.write(get('/bytes/12000000'))
    let left = false
    if (Math.random() < 1 / 3) {
      setTimeout(
        () => {
          left = true
          socket.destroy()
        },
        between(20, 200),
      ).unref()
    }
    await closed
    if (whole) this.counts.slowReads++
    else if (!left && !answered && !this.#over) this.counts.broken++
  }
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
}

function post(path: string, bytes: number): string {
  return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${bytes}\r\n\r\n`
}

function between(low: number, high: number): number {
  return low + Math.random() * (high - low)
}
