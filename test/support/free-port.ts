/**
 * Ports for servers that must know theirs before they listen, or listen again on the same one.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the range that Linux assigns by itself, with the 10,000 higher ports of the cluster bus of Redis: an outgoing connection
 * of another test never takes one meanwhile.
 */
const [FIRST, END] = [10_000, 22_000]

/** A port of 127.0.0.1 on which nobody listens now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (END - FIRST))
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch {
      // It is taken.
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
