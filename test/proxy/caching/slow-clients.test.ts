/**
 * Clients that read slowly or not at all: they slow nobody, are not cut off for others, and hold no more than is bounded.
 */
import { describe, expect, test } from 'vitest'
import { type Sending, SLICE_BYTES, sendSoon } from '../../../src/proxy/caching/send-queue.ts'
import { reply, startRig, statusOf, until } from './rig.ts'

const MIB = 1024 * 1024
const FRESH = 'Cache-Control: max-age=60'

test('one that shares a body that outgrows maxBody slows nobody, and gets all of it', async () => {
  const rig = await startRig({ headers: '30s' })
  const slow = await rig.begin('/a')
  slow.socket.pause()
  const request = await rig.legacy.request()
  const quick = [rig.get('/a'), rig.get('/a')]
  await until(() => rig.plane.measurements.active === 3)
  await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
  for (let i = 0; i < 160; i++) await request.send(chunk)
  await request.send('0\r\n\r\n')
  for (const { body } of await Promise.all(quick)) expect(body.text).toHaveLength(10 * MIB)
  expect(rig.plane.measurements.active).toBe(1)
  slow.socket.resume()
  expect((await slow.nextResponse()).body.text).toHaveLength(10 * MIB)
  expect(rig.legacy.requests).toBe(1)
})

describe('--send-timeout', () => {
  test.each([
    ['a stored body', ''],
    ['a range of one', 'Range: bytes=1-'],
  ])('closes the connection of one that reads nothing of %s', async (_, line) => {
    const rig = await startRig({
      cache: '{ maxBody: 32MiB }',
      headers: '30s',
      memoryBytes: 64 * MIB,
      sendTimeoutMs: 300,
    })
    rig.legacy.handler = (request) => request.send(reply(200, [FRESH], 'x'.repeat(20 * MIB)))
    await rig.get('/a')
    const unread = await rig.begin('/a', ...(line === '' ? [] : [line]))
    unread.socket.pause()
    await until(() => rig.plane.measurements.active === 1)
    await until(() => rig.plane.measurements.active === 0)
    unread.socket.resume()
    await unread.ended()
    // Others are served as before.
    expect(statusOf(await rig.get('/a'))).toContain('hit')
  })

  test('closes the connection of one that reads nothing of a collapsed response', async () => {
    const rig = await startRig({
      cache: '{ maxBody: 32MiB }',
      headers: '30s',
      memoryBytes: 64 * MIB,
      sendTimeoutMs: 300,
    })
    const unread = await rig.begin('/a')
    unread.socket.pause()
    const request = await rig.legacy.request()
    const reading = rig.get('/a')
    await until(() => rig.plane.measurements.active === 2)
    void request.send(reply(200, [FRESH], 'x'.repeat(20 * MIB)))
    expect((await reading).body.text).toHaveLength(20 * MIB)
    await until(() => rig.plane.measurements.active === 0)
    unread.socket.resume()
    await unread.ended()
  })
})

test('those that read nothing hold no more than is bounded: the first are cut off', async () => {
  const rig = await startRig({ cache: '{ maxBody: 32MiB }', headers: '30s', memoryBytes: 100 * MIB - 1 })
  rig.legacy.handler = (request) => request.send(reply(200, [FRESH], 'x'.repeat(20 * MIB)))
  const unread = []
  for (let i = 0; i < 4; i++) {
    await rig.get(`/${i}`)
    expect(statusOf(await rig.get(`/${i}`))).toContain('hit')
    const client = await rig.begin(`/${i}`)
    client.socket.pause()
    unread.push(client)
    await until(() => rig.plane.measurements.active === i + 1)
  }
  // What may be held is held: the next body passes, until one of them has stalled for long enough to be cut off for it.
  expect(rig.plane.cache.figures().counters.skipped.memory).toBeUndefined()
  while (rig.plane.measurements.active > 3) expect((await rig.get('/next')).body.text).toHaveLength(20 * MIB)
  while (!statusOf(await rig.get('/next'))?.includes('hit')) {}
  for (const { socket } of unread) socket.destroy()
})

test('a turn of the event loop takes a bounded part of all bodies, shared evenly', async () => {
  const sent: number[] = []
  const senders = Array.from({ length: 50 }, (_, id) => {
    let left = 40
    const sending: Sending = {
      queued: false,
      sendSlice: () => {
        if (left === 0) return 0
        left--
        sent.push(id)
        return SLICE_BYTES
      },
    }
    return sending
  })
  for (const sending of senders) sendSoon(sending)
  const perTurn: number[] = []
  for (let before = -1; before !== sent.length; ) {
    before = sent.length
    await new Promise((resolve) => setImmediate(resolve))
    perTurn.push(sent.length - before)
  }
  expect(Math.max(...perTurn) * SLICE_BYTES).toBeLessThanOrEqual(MIB)
  expect(sent).toHaveLength(50 * 40)
  // When half of all has been sent, nobody is far ahead of the others but who came when there was no queue.
  const counts = new Map<number, number>()
  for (const id of sent.slice(0, 1000)) counts.set(id, (counts.get(id) ?? 0) + 1)
  const most = [...counts.values()].sort((a, b) => b - a)[1] as number
  expect(most - Math.min(...counts.values())).toBeLessThanOrEqual(2)
})
