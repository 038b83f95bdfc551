/**
 * Reads requests with node's own HTTP server (llhttp), over connections of a Unix socket, and tells what it found, for tests.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'

export interface NodeRequest {
  readonly method: string
  readonly target: string
  readonly minor: number
  readonly rawHeaders: string[]
  /** Latin-1 text. */
  body: string
  trailers: string[]
  complete: boolean
}

/** What node's server made of the bytes of one connection. */
export interface NodeSeen {
  readonly requests: NodeRequest[]
  /** The code and message of its error, or null. */
  problem: string | null
  /** The bytes behind a request that offers an upgrade, or is a CONNECT; null where there was none. */
  rest: string | null
}

export interface NodeServer {
  /** Sends bytes on a connection of their own, ends it, and waits until the server has closed it. */
  read(text: string): Promise<NodeSeen>
  close(): Promise<void>
}

/** Starts a server that takes all that node's parser takes. */
export async function startNodeServer(): Promise<NodeServer> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-'))
  const path = join(folder, 'http.sock')
  /** Connections are accepted in the order in which they were made. */
  const expected: NodeSeen[] = []
  const seenOf = new WeakMap<Duplex, NodeSeen>()
  const of = (socket: Duplex): NodeSeen => seenOf.get(socket) as NodeSeen

  // On a busy machine any time-out could come between two requests of a connection.
  const never = {
    keepAliveTimeout: 0,
    headersTimeout: 0,
    requestTimeout: 0,
    connectionsCheckingInterval: 1_000_000_000,
  }
  const server = createServer({ ...never, requireHostHeader: false })
  server.maxHeadersCount = 0
  server.on('connection', (socket) => seenOf.set(socket, expected.shift() as NodeSeen))
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    take(of(req.socket), req)
    req.on('end', () => res.end())
  }
  for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, onRequest)
  const onTunnel = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const seen = of(req.socket)
    take(seen, req)
    seen.rest = head.toString('latin1')
    socket.on('data', (piece: Buffer) => {
      seen.rest += piece.toString('latin1')
    })
    socket.on('end', () => socket.end())
    socket.on('error', () => socket.destroy())
  }
  server.on('upgrade', onTunnel)
  server.on('connect', onTunnel)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    of(socket).problem ??= `${error.code}: ${error.message}`
    socket.destroy()
  })
  server.listen(path)
  await once(server, 'listening')

  return {
    async read(text) {
      const seen: NodeSeen = { requests: [], problem: null, rest: null }
      expected.push(seen)
      await converse(path, text)
      return seen
    },
    async close() {
      server.close()
      await once(server, 'close')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function converse(path: string, text: string): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect(path)
    // The answers are of no interest, and a server that has closed may not read all.
    socket.resume()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => resolve())
    socket.end(text, 'latin1')
  })
}

function take(seen: NodeSeen, req: IncomingMessage): void {
  const { method = '', url: target = '', httpVersionMinor: minor, rawHeaders } = req
  const request: NodeRequest = { method, target, minor, rawHeaders, body: '', trailers: [], complete: false }
  seen.requests.push(request)
  req.on('data', (piece: Buffer) => {
    request.body += piece.toString('latin1')
  })
  req.on('end', () => {
    request.trailers = req.rawTrailers
    request.complete = req.complete
  })
  req.on('error', () => {
    // Told by 'clientError', or by a body that is not complete.
  })
}
