/**
 * Clients that take their time: for a head, between two requests, for what closes the connection.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-timeouts-'))
const middleware = join(folder, 'middleware.mjs')
writeFileSync(middleware, 'export default (ctx, next) => next()\n')
const upstream = await scriptedUpstream()
const args = ['--header-timeout', '1s', '--keep-alive', '2s']
const own = await startBanyan({ table: tableFor(upstream.port), args })
const node = await startBanyan({ table: tableFor(upstream.port), args: [...args, '--middleware', middleware] })
afterAll(async () => {
  await Promise.all([own.stop(), node.stop(), upstream.stop()])
  rmSync(folder, { recursive: true })
})
beforeEach(() => upstream.cut())

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

describe.each([
  ['own HTTP/1.1', own.port],
  ['node:http', node.port],
])('%s', (_, port) => {
  test('a head that does not come to its end is a 408, though bytes of it come', async () => {
    const client = await rawClient(port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n')
    const drip = setInterval(() => void client.send('X: y\r\n'), 100)
    try {
      const response = await client.nextResponse()
      expect(response.status).toBe(408)
      expect(field(response.fields, 'connection')).toBe('close')
      expect(await client.ended()).toBe('end')
    } finally {
      clearInterval(drip)
    }
  })

  test('a second head, too', async () => {
    const client = await rawClient(port)
    await client.send(GET)
    await (await upstream.request()).ok()
    expect((await client.nextResponse()).status).toBe(200)
    await client.send('GET /late')
    expect((await client.nextResponse()).status).toBe(408)
    expect(await client.ended()).toBe('end')
  })

  test('a connection on which nothing comes is closed without a word', async () => {
    const client = await rawClient(port)
    const { text } = await client.readToEnd()
    expect(text).toBe('')
  })

  test('an idle connection is closed, and says before for how long it stands', async () => {
    const client = await rawClient(port)
    await client.send(GET)
    await (await upstream.request()).ok()
    const response = await client.nextResponse()
    expect(field(response.fields, 'keep-alive')).toBe('timeout=2')
    expect((await client.readToEnd()).text).toBe('')
  })

  test('an exchange takes as long as it takes, and the idle time begins behind it', async () => {
    const client = await rawClient(port)
    await client.send(GET)
    const request = await upstream.request()
    // Longer than both times.
    await new Promise((resolve) => setTimeout(resolve, 3500))
    await request.ok('late')
    expect((await client.nextResponse()).body.text).toBe('late')
    await client.send(GET)
    await (await upstream.request()).ok('again')
    expect((await client.nextResponse()).body.text).toBe('again')
  })

  test('a client that goes on sending behind a refusal is cut', async () => {
    const client = await rawClient(port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n')
    const drip = setInterval(() => void client.send('more'), 50)
    try {
      expect((await client.nextResponse()).status).toBe(400)
      expect(await client.ended()).toBe('end')
      await new Promise<void>((resolve) => {
        if (client.socket.destroyed) resolve()
        else client.socket.once('close', () => resolve())
      })
    } finally {
      clearInterval(drip)
    }
  })
})
