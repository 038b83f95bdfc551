/**
 * No proxy, but the least that one in Node can cost: bytes are passed on as they come, unread, over node:net.
 */
import { connect, createServer } from 'node:net'
import { type Contestant, portsOfProgram, startNode } from './contestant.ts'

export const relay: Contestant = {
  name: 'node:net',
  about: 'no proxy: passes bytes on over node:net, unread, a connection to the upstream for each client',
  upgrades: true,
  fromPeers: false,
  start: (setup) => startNode('node:net', import.meta.url, setup),
}

if (import.meta.main) serve()

function serve(): void {
  const { port, upstream } = portsOfProgram()
  const to = { host: '127.0.0.1', port: Number(new URL(upstream).port), noDelay: true }
  createServer({ noDelay: true }, (client) => {
    const server = connect(to)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('data', (bytes) => {
        if (!other.write(bytes)) one.pause()
      })
      one.on('drain', () => other.resume())
      one.on('end', () => other.end())
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  }).listen(port, '127.0.0.1')
}
