/**
 * Deadlines of the wire: what has come in time is seen in time, however late this process is.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { coarseNowMs, unwatch, watch } from '../../src/wire/deadlines.ts'

/** Does nothing else for so long. */
function standStill(ms: number): void {
  const untilMs = performance.now() + ms
  while (performance.now() < untilMs) {}
}

test('a connection that stood before its deadline is no late one, where this process stood still meanwhile', async () => {
  const server = createServer()
  onTestFinished(() => void server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  const outcome = new Promise<string>((resolve) => {
    const thing = { deadlineMs: 0, expire: () => resolve('expired') }
    watch(thing)
    thing.deadlineMs = coarseNowMs() + 100
    socket.on('connect', () => {
      // The clock has gone on: what follows gets its whole time.
      resolve(coarseNowMs() >= thing.deadlineMs ? 'connected' : 'connected by an old clock')
      unwatch(thing)
    })
  })
  standStill(300)
  expect(await outcome).toBe('connected')
})

test('one that is missed expires once a tick, until it is not watched', async () => {
  let count = 0
  await new Promise<void>((resolve) => {
    const thing = {
      deadlineMs: 0,
      expire: () => {
        count++
        if (count < 3) return
        unwatch(thing)
        resolve()
      },
    }
    watch(thing)
  })
  expect(count).toBe(3)
})
