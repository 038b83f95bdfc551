/**
 * A drain and upgraded connections: each side hears that it ends, one after the other, and a WebSocket by a close frame.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'
import type { Wire } from '../../support/wire.ts'

const upstream = await scriptedUpstream()
const folder = mkdtempSync(join(tmpdir(), 'banyan-drain-'))
const middleware = join(folder, 'middleware.mjs')
writeFileSync(middleware, 'export default (ctx, next) => next()\n')
afterAll(async () => {
  await upstream.stop()
  rmSync(folder, { recursive: true })
})

const GOING_AWAY = '\x88\x02\x03\xe9'
/** What a client answers: the same, masked with zeros. */
const ANSWER = '\x88\x82\0\0\0\0\x03\xe9'

describe.each([
  ['own HTTP/1.1', [] as string[]],
  ['node:http', ['--middleware', middleware]],
])('%s', (_, args) => {
  const start = async (timeout: string): Promise<Banyan> => {
    const banyan = await startBanyan({ table: tableFor(upstream.port), args: [...args, '--drain-timeout', timeout] })
    onTestFinished(async () => void (await banyan.stop()))
    return banyan
  }

  test('clients in the accept queue are served', async () => {
    const banyan = await start('1m')
    // It looks at nothing until they are all there.
    process.kill(banyan.pid, 'SIGSTOP')
    const clients = await Promise.all(Array.from({ length: 50 }, () => rawClient(banyan.port)))
    await Promise.all(clients.map((client) => client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')))
    upstream.handler = (request) => request.ok()
    onTestFinished(() => {
      upstream.handler = null
    })
    process.kill(banyan.pid, 'SIGTERM')
    process.kill(banyan.pid, 'SIGCONT')
    const answers = await Promise.all(clients.map(async (client) => (await client.nextResponse()).status))
    expect(answers).toEqual(Array(50).fill(200))
    expect(await banyan.program.ended()).toBe(0)
  })

  async function upgraded(banyan: Banyan, protocol: string): Promise<{ client: RawClient; server: Wire }> {
    const client = await rawClient(banyan.port)
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
    const request = await upstream.request()
    await request.send(`HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
    await client.readUntil('\r\n\r\n')
    return { client, server: request.connection }
  }

  test('a WebSocket gets a close frame; its answer goes to the server, which closes', async () => {
    const banyan = await start('1m')
    const { client, server } = await upgraded(banyan, 'websocket')
    await server.send('\x82\x7e\0\x80')
    await server.send('x'.repeat(128))
    expect((await client.readBytes(132)).subarray(0, 2).toString('latin1')).toBe('\x82\x7e')
    const ended = banyan.program.stop()
    expect(await client.readUntil(GOING_AWAY)).toBe(GOING_AWAY)
    // Nothing follows a close frame.
    await server.send('\x81\x02hi')
    await client.send(ANSWER)
    expect(await server.readUntil(ANSWER)).toBe(ANSWER)
    server.finish()
    expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
    client.finish()
    expect(await ended).toBe(0)
  })

  test('the frame that is under way comes to its end first', async () => {
    const banyan = await start('1m')
    const { client, server } = await upgraded(banyan, 'WebSocket')
    await server.send('\x81\x05hel')
    await client.readUntil('hel')
    const ended = banyan.program.stop()
    await banyan.program.line((line) => line.includes('"draining"'))
    // A ping of the client shows that what the drain does first is done.
    await client.send('\x89\x80\0\0\0\0')
    await server.readUntil('\x89\x80\0\0\0\0')
    await server.send('lo\x81\x01!')
    expect(await client.readUntil(GOING_AWAY)).toMatch(/^lo(?:\x81\x01!)?\x88\x02\x03\xe9$/)
    client.reset()
    expect(await ended).toBe(0)
  })

  test('another protocol is closed on both sides, within the time', async () => {
    const banyan = await start('1s')
    const { client, server } = await upgraded(banyan, 'foo')
    const ended = banyan.program.stop()
    await client.ended()
    await server.ended()
    expect(await ended).toBe(0)
  })

  test('many are not closed all at once', async () => {
    const banyan = await start('2s')
    const pairs = [await upgraded(banyan, 'foo')]
    while (pairs.length < 10) pairs.push(await upgraded(banyan, 'foo'))
    let open = pairs.length
    const left: number[] = []
    for (const { client } of pairs) {
      void client.ended().then(() => {
        open--
        setImmediate(() => left.push(open))
      })
    }
    expect(await banyan.program.stop()).toBe(0)
    await Promise.all(pairs.map(({ client }) => client.ended()))
    // Where all ended in one turn, none would have seen another one open.
    expect(new Set(left).size).toBeGreaterThan(2)
  })
})
