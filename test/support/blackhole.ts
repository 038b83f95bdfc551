/**
 * A port on loopback where connections are never made: its listener accepts nothing and its backlog is full.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { startProgram } from './process.ts'

/** A listener that never answers a SYN. */
export interface Blackhole {
  readonly port: number
  stop(): Promise<void>
}

/** Listens with a backlog of one, says so, and then blocks its only thread: nothing is accepted any more. */
const PROGRAM = `
const server = require('node:net').createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('node:fs').writeSync(1, 'blackhole ready ' + server.address().port + '\\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
`

/** Starts one. */
export async function startBlackhole(): Promise<Blackhole> {
  const program = startProgram(['-e', PROGRAM])
  const line = await program.line((one) => one.startsWith('blackhole ready '))
  const port = Number(line.split(' ')[2])
  const fillers: Socket[] = []
  // The kernel completes two handshakes for a backlog of one.
  for (let n = 0; n < 2; n++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => socket.destroy())
    fillers.push(socket)
    await once(socket, 'connect')
  }
  return {
    port,
    stop: async () => {
      for (const socket of fillers) socket.destroy()
      await program.kill()
    },
  }
}
