/**
 * A scripted upstream: a raw server that keeps requests byte for byte and answers what the test says.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { type Body, type Fields, field, parseFields, readBody } from './message.ts'
import { BrokenOff, GIVE_UP_MS, Wire } from './wire.ts'

/** A request whose head has arrived. Its body is read by `body`, and the next one on the connection only after that. */
export class UpstreamRequest {
  /** Request line and fields up to and with the empty line, Latin-1. */
  readonly head: string
  readonly method: string
  readonly target: string
  readonly fields: Fields
  readonly connection: Wire
  /** 0 for the first request on its connection. */
  readonly nth: number
  #body: Promise<Body> | null = null

  constructor(head: string, connection: Wire, nth: number) {
    const [method = '', target = ''] = head.slice(0, head.indexOf('\r\n')).split(' ')
    this.head = head
    this.method = method
    this.target = target
    this.fields = parseFields(head)
    this.connection = connection
    this.nth = nth
  }

  /** The head, with `ID` for the id of banyan's instance, which is another one in each run. */
  get headWithoutId(): string {
    return this.head.replace(/^(CDN-Loop: )banyan_[0-9a-f]{16}\r$/m, '$1ID\r')
  }

  /** The value of a field, or undefined. */
  field(name: string): string | undefined {
    return field(this.fields, name)
  }

  /**
   * Reads the body.
   * @throws {BrokenOff} where it is not complete
   */
  body(): Promise<Body> {
    this.#body ??= readBody(this.connection, this.fields, false)
    return this.#body
  }

  /** Sends bytes of the answer as they are. */
  send(bytes: string | Buffer): Promise<void> {
    return this.connection.send(bytes)
  }

  /** A small complete answer: 200 with a text. */
  ok(text = 'ok'): Promise<void> {
    return this.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
  }
}

/** A scripted upstream that runs. */
export class ScriptedUpstream {
  readonly port: number
  readonly #server: Server
  /** Every connection, those included on which TLS never came about. */
  readonly #sockets = new Set<Socket>()
  readonly #wires = new Set<Wire>()
  readonly #arrived: UpstreamRequest[] = []
  readonly #awaited: ((request: UpstreamRequest) => void)[] = []
  /** Answers each request as it comes; without it they wait for `request`. */
  handler: ((request: UpstreamRequest) => void | Promise<void>) | null
  /** Without it a connection is the test's own behind the first head: for bodies that are too large to keep. */
  readsBodies = true
  /** Connections accepted so far. */
  connections = 0
  /** Request heads seen so far. */
  requests = 0

  constructor(server: Server, handler: ScriptedUpstream['handler']) {
    this.#server = server
    this.handler = handler
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.port = (server.address() as AddressInfo).port
  }

  /** The next request that has come or will come, in the order of their heads, over all connections. */
  request(): Promise<UpstreamRequest> {
    const arrived = this.#arrived.shift()
    if (arrived !== undefined) return Promise.resolve(arrived)
    return new Promise((resolve, reject) => {
      const take = (request: UpstreamRequest): void => {
        clearTimeout(timer)
        resolve(request)
      }
      const timer = setTimeout(() => {
        this.#awaited.splice(this.#awaited.indexOf(take), 1)
        reject(new Error('waited in vain for a request at the upstream'))
      }, GIVE_UP_MS)
      this.#awaited.push(take)
    })
  }

  /** Connections that stand. */
  get open(): number {
    return this.#wires.size
  }

  /** Cuts what stands, so that the next exchange begins on a fresh connection. Resolves when all is closed. */
  async cut(): Promise<void> {
    const closed = [...this.#wires].map((wire) => once(wire.socket, 'close'))
    for (const wire of this.#wires) wire.socket.destroy()
    await Promise.all(closed)
    this.#arrived.length = 0
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    await this.cut()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** @internal */
  async serve(socket: Socket): Promise<void> {
    const wire = new Wire(socket)
    this.#wires.add(wire)
    this.connections++
    socket.once('close', () => this.#wires.delete(wire))
    try {
      for (let nth = 0; ; nth++) {
        const request = new UpstreamRequest(await wire.readUntil('\r\n\r\n', Number.POSITIVE_INFINITY), wire, nth)
        this.requests++
        this.#arrive(request)
        // What follows an upgrade is not HTTP: it is left to the test.
        if (request.field('upgrade') !== undefined || !this.readsBodies) return
        await bodyIsRead(request)
      }
    } catch (error) {
      if (!(error instanceof BrokenOff)) throw error
    }
  }

  #arrive(request: UpstreamRequest): void {
    if (this.handler !== null) {
      void this.handler(request)
      return
    }
    const awaited = this.#awaited.shift()
    if (awaited !== undefined) awaited(request)
    else this.#arrived.push(request)
  }
}

function bodyIsRead(request: UpstreamRequest): Promise<unknown> {
  const bodiless = request.field('content-length') === undefined && request.field('transfer-encoding') === undefined
  return bodiless ? Promise.resolve() : request.body()
}

/** Starts a scripted upstream on a free port. */
export async function scriptedUpstream(
  handler: ScriptedUpstream['handler'] = null,
  tls: TlsOptions | null = null,
): Promise<ScriptedUpstream> {
  const serve = (socket: Socket): void => void upstream.serve(socket)
  const server =
    tls === null
      ? createServer({ allowHalfOpen: true, noDelay: true }, serve)
      : createTlsServer({ ...tls, allowHalfOpen: true }, serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upstream = new ScriptedUpstream(server, handler)
  return upstream
}
