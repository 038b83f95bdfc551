/**
 * An upstream that logs in connections by NTLM, as IIS does: TYPE1 is answered with a challenge, TYPE3 on the same connection
 * logs its user in, and every later request there is that user's. Any password is right.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** An upstream that runs. It answers with who asks on which connection, as JSON. */
export interface NtlmUpstream {
  readonly port: number
  /** Connections that stand. */
  readonly open: number
  /** Connections so far. */
  readonly connections: number
  /** Called before each answer; an answer that it gives is the one. */
  before: (req: IncomingMessage, res: ServerResponse) => void | Promise<void>
  /** The challenges of the first 401. */
  offers: string[]
  /** Resolves when so many connections stand. */
  untilOpen(count: number): Promise<void>
  /** Cuts all connections. */
  cut(): Promise<void>
  stop(): Promise<void>
}

/** What an answer tells. */
export interface Told {
  readonly user: string
  readonly connection: number
  readonly server: string
  readonly target: string
  readonly body: string
}

/** A challenge that real clients answer (MS-NLMP section 2.2.1.2). */
const CHALLENGE = ((): string => {
  const target = Buffer.from('TEST', 'utf16le')
  const info = Buffer.concat([Buffer.from([2, 0, target.length, 0]), target, Buffer.from([0, 0, 0, 0])])
  const fixed = Buffer.alloc(48)
  fixed.write('NTLMSSP\0', 'latin1')
  fixed.writeUInt32LE(2, 8)
  fixed.writeUInt16LE(target.length, 12)
  fixed.writeUInt16LE(target.length, 14)
  fixed.writeUInt32LE(48, 16)
  // Unicode, target, NTLM, always sign, target type domain, extended security, target info.
  fixed.writeUInt32LE(0x0089_8205, 20)
  fixed.write('8 bytes!', 24, 'latin1')
  fixed.writeUInt16LE(info.length, 40)
  fixed.writeUInt16LE(info.length, 42)
  fixed.writeUInt32LE(48 + target.length, 44)
  return Buffer.concat([fixed, target, info]).toString('base64')
})()

/** A message of the first or third kind for a user, as tests send it without a real client. */
export function ntlmMessage(type: 1 | 3, user = ''): string {
  const name = Buffer.from(user, 'utf16le')
  const message = Buffer.concat([Buffer.alloc(64), name])
  message.write('NTLMSSP\0', 'latin1')
  message.writeUInt32LE(type, 8)
  message.writeUInt16LE(name.length, 36)
  message.writeUInt32LE(64, 40)
  // Unicode.
  message.writeUInt32LE(1, 60)
  return message.toString('base64')
}

function userOf(message: Buffer): string {
  const length = message.readUInt16LE(36)
  const at = message.readUInt32LE(40)
  const unicode = (message.readUInt32LE(60) & 1) === 1
  return message.toString(unicode ? 'utf16le' : 'latin1', at, at + length)
}

/**
 * Starts one on a free port.
 * @param name told in each answer
 */
export async function ntlmUpstream(name = 'iis'): Promise<NtlmUpstream> {
  const numbers = new Map<Socket, number>()
  const challenged = new WeakSet<Socket>()
  const users = new WeakMap<Socket, string>()
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const look of waiting) look()
  }

  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { socket } = req
    let body = ''
    for await (const piece of req) body += String(piece)
    await upstream.before(req, res)
    if (res.headersSent) return
    const [scheme = '', token = ''] = (req.headers.authorization ?? '').split(' ')
    const message = /^(ntlm|negotiate)$/i.test(scheme) ? Buffer.from(token, 'base64') : Buffer.alloc(0)
    const type = message.length > 8 ? message.readUInt32LE(8) : 0
    if (type === 1) {
      challenged.add(socket)
      users.delete(socket)
      res.writeHead(401, { 'WWW-Authenticate': `${scheme} ${CHALLENGE}` }).end()
      return
    }
    if (type === 3 && challenged.has(socket)) users.set(socket, userOf(message))
    const user = users.get(socket)
    if (user === undefined) {
      res.writeHead(401, { 'WWW-Authenticate': upstream.offers }).end('who are you?')
      return
    }
    const told: Told = { user, connection: numbers.get(socket)!, server: name, target: req.url!, body }
    // What a careless application says: the login is in no field of the request.
    res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'max-age=60' }).end(JSON.stringify(told))
  }

  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => void answer(req, res).catch(() => {}))
  server.on('upgrade', (_, socket) => {
    const user = users.get(socket as Socket)
    if (user === undefined) socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    else socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello ${user}\n`)
  })
  let connections = 0
  server.on('connection', (socket) => {
    numbers.set(socket, connections++)
    wake()
    socket.on('error', () => {})
    socket.on('close', () => {
      numbers.delete(socket)
      wake()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upstream: NtlmUpstream = {
    port: (server.address() as AddressInfo).port,
    get open() {
      return numbers.size
    },
    get connections() {
      return connections
    },
    before: () => {},
    offers: ['Negotiate', 'NTLM'],
    async untilOpen(count) {
      await new Promise<void>((resolve) => {
        const look = (): void => {
          if (numbers.size !== count) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
    },
    async cut() {
      for (const socket of numbers.keys()) socket.destroy()
      await upstream.untilOpen(0)
    },
    async stop() {
      const closed = once(server, 'close')
      server.close()
      await upstream.cut()
      await closed
    },
  }
  return upstream
}
