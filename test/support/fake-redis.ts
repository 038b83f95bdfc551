/**
 * A Redis that greets as one should, and says to everything else what a test wants.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What it says to a command: raw RESP, or null for nothing at all. @param words of the command, its name in capitals */
export type Say = (words: readonly string[]) => string | null

/** The replies of a Redis that has nothing and takes everything. */
export const sayNothingStored: Say = ([name = '', ...words]) => {
  if (name === 'SET') return '+OK\r\n'
  if (name === 'GET') return '$-1\r\n'
  if (name === 'HGETALL') return '%0\r\n'
  if (name === 'MGET') return `*${words.length}\r\n${'$-1\r\n'.repeat(words.length)}`
  if (name === 'XADD') return '$3\r\n1-1\r\n'
  if (name === 'EVAL' && words[0]?.includes('PTTL')) return `*2\r\n:0\r\n$36\r\n${words[3]}\r\n`
  if (name === 'EVAL' && words[0]?.includes('XADD')) return '*3\r\n$3\r\n1-1\r\n:0\r\n:0\r\n'
  // Without purges, a log has its first record.
  if (/^XR/.test(name) && words[0]?.endsWith('{log}')) return '*1\r\n*2\r\n$3\r\n0-1\r\n*2\r\n$3\r\nlog\r\n$0\r\n\r\n'
  if (name === 'XRANGE' || name === 'XREVRANGE') return '*0\r\n'
  return ':0\r\n'
}

/** A fake Redis on a free port of loopback. */
export class FakeRedis {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #subscribers = new Set<Socket>()
  say: Say
  /** Commands so far, those of the greeting apart. */
  asked = 0

  private constructor(say: Say) {
    this.say = say
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        this.#sockets.delete(socket)
        this.#subscribers.delete(socket)
      })
      let unread = ''
      socket.on('data', (bytes) => {
        unread += bytes.toString('latin1')
        for (let command = readCommand(unread); command !== null; command = readCommand(unread)) {
          unread = unread.slice(command.length)
          const reply = this.#reply(socket, command.words)
          if (reply !== null && !socket.destroyed) socket.write(reply, 'latin1')
        }
      })
    })
  }

  static async start(say: Say = sayNothingStored): Promise<FakeRedis> {
    const fake = new FakeRedis(say)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    return fake
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Sends raw bytes to all who have subscribed. @returns to how many */
  tell(raw: string): number {
    for (const socket of this.#subscribers) socket.write(raw, 'latin1')
    return this.#subscribers.size
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #reply(socket: Socket, [first = '', ...words]: readonly string[]): string | null {
    const name = first.toUpperCase()
    switch (name) {
      case 'HELLO':
        return '%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n'
      case 'CLIENT':
      case 'SELECT':
      case 'AUTH':
        return '+OK\r\n'
      case 'INFO': {
        const info = 'redis_version:7.2.0\r\nloading:0\r\n'
        return `$${info.length}\r\n${info}\r\n`
      }
      case 'SUBSCRIBE': {
        this.#subscribers.add(socket)
        const [channel = ''] = words
        return `>3\r\n$9\r\nsubscribe\r\n$${channel.length}\r\n${channel}\r\n:1\r\n`
      }
      default:
        this.asked++
        return this.say([name, ...words])
    }
  }
}

/** The first command of some bytes, an array of bulk strings, and how long it is; null where it is not whole. */
function readCommand(text: string): { words: string[]; length: number } | null {
  const head = /^\*([0-9]+)\r\n/.exec(text)
  if (head === null) return null
  const words: string[] = []
  let at = head[0].length
  for (let left = Number(head[1]); left > 0; left--) {
    const size = /^\$([0-9]+)\r\n/.exec(text.slice(at, at + 20))
    if (size === null) return null
    at += size[0].length
    const end = at + Number(size[1])
    if (text.length < end + 2) return null
    words.push(text.slice(at, end))
    at = end + 2
  }
  return { words, length: at }
}
