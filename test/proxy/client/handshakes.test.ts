/**
 * TLS handshakes of clients while what they depend on changes: how many there are at once, the keys of tickets, the authorities of clients.
 */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { TicketKeys } from '../../../src/control/tls/ticket-keys.ts'
import { ServerContexts } from '../../../src/proxy/client/tls/contexts.ts'
import { Handshakes, type HandshakeTerms } from '../../../src/proxy/client/tls/handshakes.ts'
import { serverPairOf } from '../../../src/state/tls/server-pair.ts'
import type { ServerPair, ServerTls } from '../../../src/state/tls/server-tls.ts'
import { type Authority, authority, expired, type Made, selfSigned } from '../../support/certificates.ts'

const made = selfSigned('one', 'DNS:one.test')
const pair = serverPairOf(made.cert, made.key, 'one') as ServerPair
const keys = new TicketKeys()
afterAll(() => keys.close())

const material = (more: Partial<ServerTls> = {}): ServerTls => ({
  ...{ pairs: [pair], challenges: [], answers: {}, clientCa: null, ticketKeys: keys.current },
  ...more,
})

/** Does the handshakes of all who come to a port, and ends the connection behind each with `x`. */
async function shaking(more: Partial<HandshakeTerms> = {}, clientCertificates: 'none' | 'required' = 'none') {
  const contexts = new ServerContexts({ minVersion: 'TLSv1.2', ciphers: 'HIGH', clientCertificates })
  contexts.set(material())
  const outcomes: string[] = []
  const terms = { contexts, timeoutMs: 60_000, onEnd: (outcome: string) => void outcomes.push(outcome), ...more }
  const handshakes = new Handshakes(terms, ['http/1.1'])
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    handshakes.begin(
      socket,
      '127.0.0.1',
      (secured) => secured.on('error', () => {}).end('x'),
      () => {},
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    handshakes.cut()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  /** Connects, and reads until the end. @returns the last ticket; null for who is not let in */
  const visit = async (options: ConnectionOptions = {}): Promise<{ reused: boolean; session: Buffer } | null> => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'one.test', ca: made.cert, ...options })
    let session: Buffer | undefined
    let reused = false
    socket.on('secureConnect', () => {
      reused = socket.isSessionReused()
      // With TLS 1.3 tickets come later.
      session ??= socket.getSession()
    })
    socket.on('session', (ticket: Buffer) => {
      session = ticket
    })
    let text = ''
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece
    })
    await new Promise((resolve) => socket.on('error', resolve).on('close', resolve))
    return text === 'x' ? { reused, session: session as Buffer } : null
  }
  return { contexts, handshakes, outcomes, port, visit }
}

test('beyond the bound the handshake that began first gives way', async () => {
  const { handshakes, outcomes, port, visit } = await shaking({ maxOpen: 3 })
  const closed: number[] = []
  for (let n = 0; n < 5; n++) {
    const socket = connectTcp(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {}).on('close', () => closed.push(n))
    // Some say nothing, some begin.
    if (n % 2 === 1) socket.write('\x16\x03\x01')
    await expect.poll(() => handshakes.count + closed.length).toBe(n + 1)
  }
  expect(closed).toEqual([0, 1])
  // Those who are quick get through.
  expect(await visit()).not.toBeNull()
  expect(outcomes).toEqual(['crowded', 'crowded', 'crowded', 'full'])
  expect(handshakes.count).toBe(2)
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  '%s: the key before opens tickets, the one before that does not',
  async (v) => {
    const { contexts, outcomes, visit } = await shaking()
    const version = { minVersion: v, maxVersion: v }
    const first = await visit(version)
    keys.rotate()
    contexts.set(material())
    const second = await visit({ ...version, session: first!.session })
    expect(second?.reused).toBe(true)
    keys.rotate()
    contexts.set(material())
    expect((await visit({ ...version, session: first!.session }))?.reused).toBe(false)
    // It was made with the newer key when the older one was opened.
    expect((await visit({ ...version, session: second!.session }))?.reused).toBe(true)
    expect(outcomes).toEqual(['full', 'resumed', 'full', 'resumed'])
  },
)

test('of certificates for one name the first one that is valid is served', async () => {
  const served = async (...all: Made[]): Promise<string> => {
    const pairs = all.map(({ cert, key }) => serverPairOf(cert, key, 'one') as ServerPair)
    const { contexts, port } = await shaking()
    contexts.set(material({ pairs }))
    const socket = connect({ port, host: '127.0.0.1', servername: 'one.test', rejectUnauthorized: false })
    await once(socket.on('error', () => {}).resume(), 'secureConnect')
    return new X509Certificate(socket.getPeerCertificate().raw).toString()
  }
  const [a, b, old] = [selfSigned('a', 'DNS:one.test'), selfSigned('b', 'DNS:one.test'), expired('c', 'DNS:one.test')]
  expect(await served(a, b)).toBe(a.cert)
  expect(await served(old, b, a)).toBe(b.cert)
  expect(await served(old)).toBe(old.cert)
})

test('why a handshake fails is told in words', async () => {
  const whys: (string | null)[] = []
  const onEnd: HandshakeTerms['onEnd'] = (_, __, why) => void whys.push(why)
  const ca = authority('before')
  const { contexts, visit } = await shaking({ onEnd }, 'required')
  contexts.set(material({ clientCa: ca.cert }))
  await visit({ maxVersion: 'TLSv1.2' })
  await visit(authority('another').sign('/CN=bob'))
  contexts.set(material({ pairs: [] }))
  await visit()
  await expect
    .poll(() => whys)
    .toEqual([
      'it has sent no certificate',
      expect.stringMatching(/^its certificate was refused: [A-Z_]+$/),
      'no certificate to serve it is available yet',
    ])
})

test('other authorities of clients: those of before are not let in, whatever ticket they have', async () => {
  const [before, after] = [authority('before'), authority('after')]
  const { contexts, outcomes, visit } = await shaking({}, 'required')
  const use = (one: Authority): void => contexts.set(material({ clientCa: one.cert }))
  const [alice, bob]: Made[] = [before.sign('/CN=alice'), after.sign('/CN=bob')]
  use(before)
  const known = await visit(alice)
  expect((await visit({ ...alice, session: known!.session }))?.reused).toBe(true)
  expect(await visit(bob)).toBeNull()
  use(after)
  expect(await visit({ ...alice, session: known!.session })).toBeNull()
  expect(await visit(alice)).toBeNull()
  expect((await visit(bob))?.reused).toBe(false)
  await expect
    .poll(() => outcomes)
    .toEqual(['full', 'resumed', 'client-certificate', 'client-certificate', 'client-certificate', 'full'])
})
