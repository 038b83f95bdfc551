/**
 * A name server on loopback (RFC 1035) that knows the addresses that the test says.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** A name server that runs. */
export interface NameServer {
  /** `127.0.0.1:PORT`. */
  readonly address: string
  /** Addresses by name; a name that is not there does not exist. Null: it answers nothing at all. */
  zone: Map<string, readonly string[]> | null
  /** Types of records that it fails for (`A`, `AAAA`): with SERVFAIL, or by no answer. */
  failing: Map<'A' | 'AAAA', 'SERVFAIL' | 'silence'>
  /** How often it was asked for IPv4 addresses. */
  asked: number
  stop(): void
}

const [A, AAAA, IN, SERVFAIL, NXDOMAIN] = [1, 28, 1, 2, 3]

/** Starts it. @param ttl of every record, seconds */
export async function nameServer(ttl: number): Promise<NameServer> {
  const socket = createSocket('udp4')
  const server: NameServer = {
    address: '',
    zone: new Map(),
    failing: new Map(),
    asked: 0,
    stop: () => socket.close(),
  }
  socket.on('message', (query, peer) => {
    const { name, type, end } = question(query)
    if (server.zone === null) return
    if (type === A) server.asked++
    const known = server.zone.get(name)
    const failure = server.failing.get(type === A ? 'A' : 'AAAA')
    if (failure === 'silence') return
    const all = failure === undefined && (type === A || type === AAAA) ? (known ?? []) : []
    const addresses = all.filter((one) => one.includes(':') === (type === AAAA))
    const rcode = failure === 'SERVFAIL' ? SERVFAIL : known === undefined ? NXDOMAIN : 0
    const head = Buffer.alloc(12)
    head.writeUInt16BE(query.readUInt16BE(0), 0)
    // An answer, recursion desired and available.
    head.writeUInt16BE(0x8180 | rcode, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(addresses.length, 6)
    socket.send(
      Buffer.concat([head, query.subarray(12, end), ...addresses.map((one) => record(one, ttl))]),
      peer.port,
      peer.address,
    )
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return Object.assign(server, { address: `127.0.0.1:${socket.address().port}` })
}

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length).toLowerCase())
    at += 1 + length
  }
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** The name is that of the question. */
function record(address: string, ttl: number): Buffer {
  const data = bytesOf(address)
  const bytes = Buffer.alloc(12)
  bytes.writeUInt16BE(0xc00c, 0)
  bytes.writeUInt16BE(data.length === 4 ? A : AAAA, 2)
  bytes.writeUInt16BE(IN, 4)
  bytes.writeUInt32BE(ttl, 6)
  bytes.writeUInt16BE(data.length, 10)
  return Buffer.concat([bytes, data])
}

function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex')
}
