/**
 * Back-pressure: a side that stalls holds the other one back, and nothing piles up in between.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
upstream.readsBodies = false
// No connection is used again: one that the upstream has just cut could be taken for the next upload.
const banyan = await startBanyan({ table: tableFor(upstream.port, ['maxIdleConnections: 0']) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const BODY_BYTES = 200 * 1024 * 1024
/** A part of the body only: on a busy machine the garbage of some more pieces is collected late. */
const MAY_GROW_BYTES = BODY_BYTES / 4
const PIECE = Buffer.alloc(1024 * 1024, 'x')

interface Sender {
  send(bytes: Buffer): Promise<void>
  readonly socket: { readonly writableNeedDrain: boolean; readonly writableLength: number }
}

/** Sends the whole body as fast as it is taken. */
async function sendBody(sender: Sender): Promise<void> {
  for (let sent = 0; sent < BODY_BYTES; sent += PIECE.length) await sender.send(PIECE)
}

/** How much the proxy’s memory grows at most while `pass` runs. */
async function growth(pass: () => Promise<void>): Promise<number> {
  const before = banyan.program.residentBytes()
  let most = before
  const look = setInterval(() => {
    most = Math.max(most, banyan.program.residentBytes())
  }, 5)
  try {
    await pass()
  } finally {
    clearInterval(look)
  }
  return most - before
}

async function download(stall: boolean): Promise<void> {
  await upstream.cut()
  const client = await rawClient(banyan.port)
  if (stall) client.socket.pause()
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
  const sent = sendBody(request.connection)
  if (stall) {
    await heldBack(request.connection)
    client.socket.resume()
  }
  await client.count(BODY_BYTES)
  await sent
}

async function upload(stall: boolean): Promise<void> {
  await upstream.cut()
  const client = await rawClient(banyan.port)
  await client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
  const request = await upstream.request()
  if (stall) request.connection.socket.pause()
  const sent = sendBody(client)
  if (stall) {
    await heldBack(client)
    request.connection.socket.resume()
  }
  await request.connection.count(BODY_BYTES)
  await sent
  await request.ok()
}

/** Resolves when the sender has not got rid of a byte for a while. */
async function heldBack(sender: Sender & { readonly socket: { readonly bytesWritten: number } }): Promise<void> {
  await new Promise<void>((resolve) => {
    let last = -1
    const look = setInterval(() => {
      const { bytesWritten, writableLength } = sender.socket
      const gone = bytesWritten - writableLength
      if (gone === last) {
        clearInterval(look)
        resolve()
      }
      last = gone
    }, 100)
  })
}

test.each([
  ['a download', download],
  ['an upload', upload],
] as const)('%s, read steadily or with a stall, costs no memory to speak of', async (_, pass) => {
  await pass(false)
  expect(await growth(() => pass(false))).toBeLessThan(MAY_GROW_BYTES)
  expect(await growth(() => pass(true))).toBeLessThan(MAY_GROW_BYTES)
})

test('a stalled download holds the upstream back: most of it is never taken', async () => {
  const client = await rawClient(banyan.port)
  client.socket.pause()
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
  void sendBody(request.connection)
  await heldBack(request.connection)
  const { bytesWritten, writableLength } = request.connection.socket
  // What the two kernels' buffers hold, and not much beside it.
  expect(bytesWritten - writableLength).toBeLessThan(BODY_BYTES / 4)
  client.reset()
  await request.connection.ended()
})
