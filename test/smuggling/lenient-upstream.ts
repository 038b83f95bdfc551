/**
 * An upstream that records every byte, and reads requests as leniently as the worst of servers: a second message that
 * hides in the first one is found, read and answered.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** A request as the lenient upstream understood it. */
export interface Understood {
  readonly method: string
  readonly target: string
  readonly body: string
}

/** What came on one connection. */
export interface Recorded {
  /** All bytes, as Latin-1 text. */
  bytes: string
  closed: boolean
}

export interface LenientUpstream {
  readonly port: number
  readonly connections: readonly Recorded[]
  readonly understood: readonly Understood[]
  close(): Promise<void>
}

/** Starts it on a free port. It answers each message with 200 and the target that it has read. */
export async function startLenientUpstream(): Promise<LenientUpstream> {
  const connections: Recorded[] = []
  const understood: Understood[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const recorded: Recorded = { bytes: '', closed: false }
    connections.push(recorded)
    sockets.add(socket)
    let rest = ''
    let invited = false
    socket.on('data', (piece: Buffer) => {
      const text = piece.toString('latin1')
      recorded.bytes += text
      rest += text
      if (!invited && /\r?\n\r?\n/.test(rest) && /expect:.*100-continue/i.test(rest)) {
        invited = true
        socket.write('HTTP/1.1 100 Continue\r\n\r\n')
      }
      for (let read = readLeniently(rest); read !== null; read = readLeniently(rest)) {
        rest = rest.slice(read.length)
        invited = false
        understood.push(read.message)
        socket.write(answerTo(read.message))
      }
    })
    // A request that banyan breaks off may end in a reset.
    socket.on('error', () => {})
    socket.on('close', () => {
      recorded.closed = true
      sockets.delete(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    understood,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function answerTo({ method, target }: Understood): string {
  const body = `you asked for ${target}`
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${method === 'HEAD' ? '' : body}`
}

/** Any line end is a line end, names are trimmed and `_` is `-`, any mention of chunked is chunked, any number a number. */
function readLeniently(text: string): { message: Understood; length: number } | null {
  const start = /^[\r\n]*/.exec(text)![0].length
  const end = /\r?\n\r?\n/.exec(text.slice(start))
  if (end === null) return null
  const head = text.slice(start, start + end.index)
  const bodyAt = start + end.index + end[0].length
  const [line = '', ...lines] = head.replaceAll(/(\r\n|\n|\r)[ \t]+/g, ' ').split(/\r\n|\n|\r/)
  const [method = '', target = ''] = line.trim().split(/[ \t\x0b\x0c]+/)
  let bytes = 0
  let chunked = false
  for (const field of lines) {
    const [name = '', ...value] = field.split(':')
    // A visible character in a name makes it another name (RFC 9110 section 5.6.2) for the worst of servers, too.
    const key = name
      .replaceAll(/[^!-~]/g, '')
      .replaceAll('_', '-')
      .toLowerCase()
    if (key === 'transfer-encoding' && /chunked/i.test(value.join(':'))) chunked = true
    if (key === 'content-length') bytes = Number.parseInt(value.join(':').replaceAll(/[^0-9]/g, ''), 10) || 0
  }
  if (!chunked) {
    if (text.length < bodyAt + bytes) return null
    return { message: { method, target, body: text.slice(bodyAt, bodyAt + bytes) }, length: bodyAt + bytes }
  }
  const body = readChunksLeniently(text, bodyAt)
  return body === null ? null : { message: { method, target, body: body.text }, length: body.next }
}

function readChunksLeniently(text: string, from: number): { text: string; next: number } | null {
  let body = ''
  let at = from
  for (;;) {
    const line = /^[^\n]*\n/.exec(text.slice(at))
    if (line === null) return null
    at += line[0].length
    const bytes = Number.parseInt(line[0].replace(/^[^0-9a-f]*(0x)?/i, ''), 16) || 0
    if (bytes === 0) break
    if (text.length < at + bytes) return null
    body += text.slice(at, at + bytes)
    at += bytes
    at += /^\r?\n?/.exec(text.slice(at))![0].length
  }
  const trailers = /^(?:[^\n]+\n)*?\r?\n/.exec(text.slice(at))
  return trailers === null ? null : { text: body, next: at + trailers[0].length }
}
