/**
 * fast-proxy over undici.
 */
import { createServer } from 'node:http'
import { type Contestant, MAX_SOCKETS, portsOfProgram, startNode } from './contestant.ts'

export const fastProxy: Contestant = {
  name: 'fast-proxy',
  about: 'fast-proxy over an undici pool, no pipelining',
  upgrades: false,
  fromPeers: true,
  start: (setup) => startNode('fast-proxy', import.meta.url, setup),
}

if (import.meta.main) await serve()

async function serve(): Promise<void> {
  const { default: createFastProxy } = await import('fast-proxy')
  const { port, upstream } = portsOfProgram()
  const { proxy } = createFastProxy({ base: upstream, undici: { connections: MAX_SOCKETS, pipelining: 1 } })
  createServer((req, res) => proxy(req, res, req.url, {})).listen(port, '127.0.0.1')
}
