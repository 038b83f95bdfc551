/**
 * What clients send is read into memory that their connections share: plain ones and those of TLS.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request as sendInClear } from 'node:http'
import { Agent, request as send } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { readInto } from '../../../src/proxy/client/reading.ts'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'

const made = selfSigned('localhost', 'DNS:localhost')

for (const kind of ['plain', 'secure']) {
  test(`a ${kind} socket that stands reads into the memory that it is given, and tells its end`, async () => {
    const memory = Buffer.alloc(8)
    const read: string[] = []
    const accepted = (socket: Socket): void => {
      const callback = (count: number): boolean => {
        read.push(memory.toString('latin1', 0, count))
        return true
      }
      expect(readInto(socket, { buffer: () => memory, callback })).toBe(true)
      socket.on('data', () => expect.unreachable('nothing goes through the stream'))
      socket.on('end', () => socket.end('bye')).resume()
    }
    const server: Server =
      kind === 'plain'
        ? createServer({ pauseOnConnect: true, allowHalfOpen: true }, accepted)
        : createTlsServer({ ...made, pauseOnConnect: true, allowHalfOpen: true }, accepted)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void server.close())
    const to = { port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true }
    const client = kind === 'plain' ? connect(to) : connectTls({ ...to, ca: made.cert, servername: 'localhost' })
    client.end('one two three four five')
    expect((await client.toArray()).join('')).toBe('bye')
    expect(read.join('')).toBe('one two three four five')
  })
}

/** A server that reads slowly, so that the proxy has to hold some of each body, and answers with its digest. */
function slowUpstream() {
  return createHttpServer(async (req, res) => {
    const hash = createHash('sha256')
    for await (const piece of req) {
      hash.update(piece as Buffer)
      await new Promise((resolve) => setImmediate(resolve))
    }
    res.end(hash.digest('hex'))
  })
}

test('each of many bodies that come at once, with TLS and without, arrives as it was sent', async () => {
  const upstream = slowUpstream().listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const folder = mkdtempSync(join(tmpdir(), 'banyan-reading-'))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  writeFileSync(cert, made.cert)
  writeFileSync(key, made.key)
  const table = tableFor((upstream.address() as AddressInfo).port)
  const tls = ['--tls', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key]
  const banyan = await startBanyan({ table, args: tls })
  const agent = new Agent({ keepAlive: true })
  onTestFinished(async () => {
    agent.destroy()
    await banyan.stop()
    upstream.close()
    rmSync(folder, { recursive: true })
  })
  const upload = async (n: number): Promise<void> => {
    const body = Buffer.alloc(((n * 7919) % 40) * 12_345 + n, createHash('sha256').update(`body ${n}`).digest())
    const headers = n % 3 === 0 ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': body.length }
    const to = { host: '127.0.0.1', path: `/${n}`, method: 'POST', headers }
    const req =
      n % 4 === 0
        ? sendInClear({ ...to, port: banyan.port })
        : send({ ...to, port: banyan.tlsPort, agent, ca: made.cert, servername: 'localhost' })
    for (let at = 0; at < body.length; at += 10_000) {
      if (!req.write(body.subarray(at, at + 10_000))) await once(req, 'drain')
    }
    const answered = once(req, 'response')
    req.end()
    const [res] = await answered
    const text = Buffer.concat(await res.toArray()).toString()
    expect(text, `body ${n} of ${body.length} bytes`).toBe(createHash('sha256').update(body).digest('hex'))
  }
  for (let round = 0; round < 3; round++)
    await Promise.all(Array.from({ length: 24 }, (_, i) => upload(round * 24 + i)))
})
