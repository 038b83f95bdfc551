/**
 * A process that stands still for a while, with clients whose answers have come meanwhile.
 */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { SocketServer } from '../../../src/proxy/client/server/socket-server.ts'
import { FLAG, frame, frameClient, GET, headers, TYPE } from '../../support/frames.ts'
import { startRig } from '../caching/rig.ts'

test('what it waited for is found in its sockets before it is given up', async () => {
  const rig = await startRig({ headers: '30s' })
  const times = { headersTimeoutMs: 30_000, keepAliveMs: 75_000 }
  const served = new SocketServer(
    { places: [], tls: null, h2c: true, maxHeaderBytes: 32_768, ...times },
    rig.plane.engine,
  )
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => served.take(socket, {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = await frameClient((server.address() as AddressInfo).port)
  await client.send(headers(1, GET, FLAG.endStream))
  const first = await rig.legacy.request()
  const drained = served.drain({ timeoutMs: 60_000 })
  client.acks = false
  const { payload } = await client.until(TYPE.ping)
  client.acks = true
  client.socket.write(Buffer.concat([headers(3, GET, FLAG.endStream), frame(TYPE.ping, FLAG.ack, 0, payload)]))
  // Longer than a drain waits for the answer to its PING.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 7000)
  expect((await client.until(TYPE.goaway)).payload.readUInt32BE(0)).toBe(3)
  for (const request of [first, await rig.legacy.request()]) await request.ok()
  await client.last()
  await drained
  server.close()
})
