/**
 * Reads responses with node's own HTTP client, over a stream without a socket, and tells what it found, for tests.
 */
import { type IncomingMessage, request } from 'node:http'
import { Duplex } from 'node:stream'

/** What node's client made of the first answer in some bytes. */
export interface NodeSeen {
  readonly interim: number[]
  status: number
  reason: string
  rawHeaders: string[]
  body: Buffer
  trailers: string[]
  complete: boolean
  /** The code and message of its error, or null. */
  problem: string | null
}

/** Feeds the pieces one after the other and ends the connection behind the last one. */
export async function readWithNode(
  pieces: readonly Buffer[],
  method: string,
  upgradeAsked: boolean,
): Promise<NodeSeen> {
  const seen: NodeSeen = {
    interim: [],
    status: 0,
    reason: '',
    rawHeaders: [],
    body: Buffer.alloc(0),
    trailers: [],
    complete: false,
    problem: null,
  }
  const body: Buffer[] = []
  const wire = new Duplex({ read() {}, write: (_bytes, _encoding, done) => done() })
  await new Promise<void>((resolve) => {
    const headers = upgradeAsked ? { Connection: 'Upgrade', Upgrade: 'x' } : {}
    const asked = request({ method, headers, createConnection: () => wire, host: 'x.test', path: '/' })
    const failed = (error: NodeJS.ErrnoException): void => {
      seen.problem ??= `${error.code}: ${error.message}`
    }
    asked.on('information', (head: { statusCode: number }) => seen.interim.push(head.statusCode))
    asked.on('response', (answer) => {
      take(seen, answer)
      answer.on('data', (piece: Buffer) => body.push(piece))
      answer.on('end', () => {
        seen.trailers = answer.rawTrailers
        seen.complete = answer.complete
      })
      answer.on('error', failed)
      answer.on('close', resolve)
    })
    asked.on('upgrade', (answer) => {
      take(seen, answer)
      seen.complete = true
      resolve()
    })
    asked.on('error', (error) => {
      failed(error)
      if (seen.status === 0) resolve()
    })
    asked.end()
    for (const piece of pieces) wire.push(piece)
    wire.push(null)
  })
  wire.destroy()
  seen.body = Buffer.concat(body)
  return seen
}

function take(seen: NodeSeen, answer: IncomingMessage): void {
  seen.status = answer.statusCode ?? 0
  seen.reason = answer.statusMessage ?? ''
  seen.rawHeaders = answer.rawHeaders
}
