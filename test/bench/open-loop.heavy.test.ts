/**
 * The open-loop load charges a server for every pause that is the server's.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Timed } from '../../bench/load/timed.ts'
import { startProgram } from '../support/process.ts'

const LOAD = new URL('../../bench/load/open-loop.ts', import.meta.url).pathname

/** Answers at once, but for 300 ms of each second, in which it does nothing. */
const PAUSING = `
const server = require('node:http').createServer((_, res) => res.end('ok'))
server.listen(0, '127.0.0.1', () => console.log('listens at ' + server.address().port))
setInterval(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300), 1000)
process.on('SIGTERM', () => process.exit(0))
`

/** What a run may leave out and still be one: nearly a third of the requests fall due in a pause of the server. */
const LEFT_OUT = 0.1
const RUNS = 5

test('all who had to wait for a server that pauses are counted with their whole wait', async () => {
  const server = startProgram(['-e', PAUSING])
  try {
    const port = /\d+$/.exec(await server.line((line) => line.startsWith('listens at ')))?.[0] as string
    for (let run = 1; run <= RUNS; run++) {
      const { stdout } = await promisify(execFile)(process.execPath, [LOAD, port, '/', '200', '4', '2'])
      const timed = JSON.parse(stdout) as Timed
      expect(timed.errors).toEqual({})
      // On a busy machine the load is held up itself, and says so: such a run measures nothing.
      if (timed.leftOut > LEFT_OUT) continue
      // More connections than there are would have been needed.
      expect(timed.p99Micros).toBeGreaterThan(200_000)
      expect(timed.units).toBeGreaterThan((1 - LEFT_OUT) * 400 - 1)
      return
    }
  } finally {
    await server.stop()
  }
})
