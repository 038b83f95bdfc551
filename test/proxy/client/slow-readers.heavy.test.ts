/**
 * Clients that read slowly what they were answered, when their connection is idle, when the process ends, and when they have ended their side:
 * they get all of it. Its last part is with the kernel then, or still in the process.
 */
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import {
  CODE,
  FLAG,
  type FrameClient,
  frame,
  frameClient,
  GET,
  headers,
  PREFACE,
  settings,
  TYPE,
  word,
} from '../../support/frames.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
afterAll(() => upstream.stop())

/** Fits into the buffers of the two sockets, and is more than a client that does not read has in its own. */
const TEXT = 'x'.repeat(1024 * 1024)

async function start(...args: string[]): Promise<Banyan> {
  const banyan = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c', ...args] })
  onTestFinished(async () => void (await banyan.stop()))
  return banyan
}

/** A client whose windows are never used up. */
function wideClient({ port }: Banyan): Promise<FrameClient> {
  const windows = [settings(4, 2 ** 30), frame(TYPE.window, 0, 0, word(2 ** 30))]
  return frameClient(port, Buffer.concat([Buffer.from(PREFACE), ...windows]))
}

/** Asks on a stream, and reads nothing of the answer. */
async function ask(client: FrameClient, stream: number): Promise<() => Promise<void>> {
  await client.send(headers(stream, GET, FLAG.endStream))
  const request = await upstream.request()
  await client.until(TYPE.settings)
  client.socket.pause()
  return () => request.ok(TEXT)
}

/** Reads the rest of an answer. */
async function readAll(client: FrameClient, stream: number): Promise<void> {
  client.socket.resume()
  for (let came = 0; came < TEXT.length; ) came += (await client.until(TYPE.data, stream)).payload.length
}

/** What a client says that reads, every now and then. */
const READ_SOME = frame(TYPE.window, 0, 0, word(1))

/**
 * Resolves when nothing is left of a connection that was given up: the moment is over for which it was still read.
 * @param meanwhile done all the time
 */
async function isGone(client: RawClient | FrameClient, meanwhile: () => void = () => {}): Promise<void> {
  await expect
    .poll(() => {
      meanwhile()
      if (!client.socket.destroyed) client.socket.write('\0')
      return client.socket.destroyed
    })
    .toBe(true)
}

test('HTTP/2: idle for as long as it reads', async () => {
  const own = await start('--keep-alive', '200ms')
  const hasty = await start('--keep-alive', '200ms', '--send-timeout', '5s')
  const slow = await wideClient(own)
  await (await ask(slow, 1))()
  // One that says nothing is given up behind its time for that, which is as long as was once given to any.
  const mute = await frameClient(hasty.port)
  await mute.ended()
  await isGone(mute)
  await slow.send(READ_SOME)
  await slow.send(headers(3, GET, FLAG.endStream))
  await (await upstream.request()).ok('more')
  await readAll(slow, 1)
  expect((await slow.until(TYPE.data, 3)).payload.toString()).toBe('more')
  expect((await slow.last())?.type).toBe(TYPE.goaway)
})

test('HTTP/2: a drain waits for those that read, and not for those of which nothing is heard', async () => {
  const own = await start()
  const [answered, late, mute] = [await wideClient(own), await wideClient(own), await wideClient(own)]
  await (await ask(answered, 1))()
  const answer = await ask(late, 1)
  const ended = own.program.stop()
  late.socket.resume()
  await late.until(TYPE.ping)
  await late.until(TYPE.goaway)
  late.socket.pause()
  await answer()
  const goOn = (): void => {
    for (const { socket } of [answered, late]) if (socket.writableLength === 0) socket.write(READ_SOME)
  }
  const ticks = setInterval(goOn, 50)
  await mute.ended().finally(() => clearInterval(ticks))
  await isGone(mute, goOn)
  for (const client of [answered, late]) {
    await readAll(client, 1)
    expect((await client.last())?.type).not.toBe(TYPE.data)
  }
  expect(await ended).toBe(0)
})

test('HTTP/2: what is still in the process when the client ends its side', async () => {
  const own = await start()
  const text = 'x'.repeat(60_000)
  upstream.handler = (request) => request.ok(text)
  onTestFinished(() => {
    upstream.handler = null
  })
  const client = await wideClient(own)
  const asked = upstream.requests + 100
  client.socket.pause()
  const streams = Array.from({ length: 100 }, (_, n) => 2 * n + 1)
  for (const stream of streams) await client.send(headers(stream, GET, FLAG.endStream))
  await expect.poll(() => upstream.requests).toBe(asked)
  // What is not in the socket yet never will be: no request is under way any more.
  for (const stream of streams) await client.send(frame(TYPE.reset, 0, stream, word(CODE.cancel)))
  client.acks = false
  client.finish()
  // Long enough for what is given up to be gone.
  const other = await rawClient(own.port)
  await other.send('no request\r\n\r\n')
  await isGone(other)
  client.socket.resume()
  // Whole frames to the end.
  expect(await client.last()).not.toBeNull()
  expect(await client.ended()).toBe('end')
})

test.each(['idle', 'drain'])('HTTP/1.1: %s', async (why) => {
  const own = await start(...(why === 'idle' ? ['--keep-alive', '200ms'] : []))
  const [slow, mute] = [await rawClient(own.port), await rawClient(own.port)]
  await slow.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  slow.socket.pause()
  await request.ok(TEXT)
  await mute.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await upstream.request()).ok()
  await mute.nextResponse()
  const ended = why === 'drain' ? own.program.stop() : null
  await mute.ended()
  await isGone(mute)
  slow.socket.resume()
  expect((await slow.nextResponse()).body.text).toBe(TEXT)
  if (ended !== null) expect(await ended).toBe(0)
})
