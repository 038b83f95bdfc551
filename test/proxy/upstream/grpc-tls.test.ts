/**
 * gRPC with TLS on both sides: what a client gives up is given up at the server, and messages of megabytes pass.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { selfSigned } from '../../support/certificates.ts'
import { BYTES, listening, methodsOf } from '../../support/grpc.ts'

const same = BYTES.to
const method = methodsOf('demo.Bytes', BYTES)
const METHODS = {
  echo: method('echo', false, false),
  silent: method('silent', false, false),
  endless: method('endless', false, true),
  chat: method('chat', true, true),
}
const ANY_LENGTH = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }

interface Call {
  on(event: string, act: (value: Buffer) => void): void
}
interface Writing extends Call {
  write(value: Buffer): boolean
}

/** How many calls of `silent` have come. */
let begun = 0
/** Calls that the server was told to give up. */
const givenUp: string[] = []
const server = new Server(ANY_LENGTH)
server.addService(METHODS, {
  echo: ({ request }: { request: Buffer }, done: (error: null, value: Buffer) => void) => done(null, request),
  silent: (call: Call) => {
    begun++
    call.on('cancelled', () => givenUp.push('silent'))
  },
  endless: (call: Writing) => {
    const more = (): void => void (call.write(Buffer.alloc(10_000)) && setImmediate(more))
    call.on('drain', more)
    call.on('cancelled', () => givenUp.push('endless'))
    more()
  },
  chat: (call: Writing) => {
    call.on('data', (value) => call.write(value))
    call.on('cancelled', () => givenUp.push('chat'))
  },
})
const folder = mkdtempSync(join(tmpdir(), 'banyan-grpc-'))
const { cert, key } = selfSigned('one', 'DNS:one.test')
const file = join(folder, 'one.pem')
writeFileSync(file, cert + key)
const secure = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }])
const port = await listening(server, secure)
const table = `version: 1
upstreams:
  main: { servers: ["https://127.0.0.1:${port}"], protocol: h2, tls: { ca: ${file}, serverName: one.test } }
default: main
routes: []
`
const banyan = await startBanyan({ table, args: ['--tls', '127.0.0.1:0', '--tls-cert', file] })
const client = new GrpcClient(`127.0.0.1:${banyan.tlsPort}`, credentials.createSsl(Buffer.from(cert)), {
  ...ANY_LENGTH,
  ...{ 'grpc.ssl_target_name_override': 'one.test', 'grpc.default_authority': 'one.test' },
})
afterAll(async () => {
  client.close()
  server.forceShutdown()
  await banyan.stop()
  rmSync(folder, { recursive: true })
})

/** @returns the message, or the error's code */
function unary({ path }: MethodDefinition<Buffer, Buffer>, value: Buffer, deadlineMs = Infinity) {
  return new Promise<Buffer | number>((resolve) => {
    const done = (error: ServiceError | null, answer?: Buffer): void => resolve(error?.code ?? (answer as Buffer))
    client.makeUnaryRequest(path, same, same, value, new Metadata(), { deadline: Date.now() + deadlineMs }, done)
  })
}

test('a message of 12 MiB there and back, and an empty one', async () => {
  const large = Buffer.alloc(12 * 2 ** 20, 'abc')
  expect(large.equals((await unary(METHODS.echo, large)) as Buffer)).toBe(true)
  expect(await unary(METHODS.echo, Buffer.alloc(0))).toEqual(Buffer.alloc(0))
})

test('deadlines end calls at the server, and nothing else', async () => {
  givenUp.length = 0
  const calls = Array.from({ length: 20 }, () => unary(METHODS.silent, Buffer.from('x'), 1000))
  expect(new Set(await Promise.all(calls))).toEqual(new Set([status.DEADLINE_EXCEEDED]))
  expect(begun).toBeGreaterThan(0)
  await expect.poll(() => givenUp).toEqual(Array(begun).fill('silent'))
  expect(await unary(METHODS.echo, Buffer.from('still there'))).toEqual(Buffer.from('still there'))
})

test('a stream that its client cancels is given up, whichever side streams', async () => {
  givenUp.length = 0
  const endless: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
    METHODS.endless.path,
    same,
    same,
    Buffer.from('x'),
  )
  const chat: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(METHODS.chat.path, same, same)
  for (const call of [endless, chat]) {
    const ended = new Promise<ServiceError>((resolve) => void call.on('error', resolve))
    call.once('data', () => call.cancel())
    if (call === chat) chat.write(Buffer.from('x'))
    expect((await ended).code).toBe(status.CANCELLED)
  }
  await expect.poll(() => givenUp.toSorted()).toEqual(['chat', 'endless'])
})
