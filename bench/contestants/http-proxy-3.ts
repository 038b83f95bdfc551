/**
 * http-proxy-3, a maintained rewrite of http-proxy.
 */
import { Agent, createServer } from 'node:http'
import { type Contestant, MAX_SOCKETS, portsOfProgram, startNode } from './contestant.ts'

export const httpProxy3: Contestant = {
  name: 'http-proxy-3',
  about: 'http-proxy-3 with a keep-alive agent',
  upgrades: false,
  fromPeers: true,
  start: (setup) => startNode('http-proxy-3', import.meta.url, setup),
}

if (import.meta.main) await serve()

async function serve(): Promise<void> {
  const { createProxyServer } = await import('http-proxy-3')
  const { port, upstream } = portsOfProgram()
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
  const proxy = createProxyServer({ target: upstream, agent })
  proxy.on('error', (error, _req, res) => {
    console.error(error.message)
    if ('writeHead' in res && !res.headersSent) res.writeHead(502).end()
    else res.destroy()
  })
  createServer((req, res) => proxy.web(req, res)).listen(port, '127.0.0.1')
}
