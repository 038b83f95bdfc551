/**
 * http-proxy 1.18.1, what most Node projects reach for.
 */
import { Agent, createServer } from 'node:http'
import { type Contestant, MAX_SOCKETS, portsOfProgram, startNode } from './contestant.ts'

export const httpProxy: Contestant = {
  name: 'http-proxy',
  about: 'http-proxy 1.18.1 with a keep-alive agent',
  upgrades: true,
  fromPeers: false,
  start: (setup) => startNode('http-proxy', import.meta.url, setup),
}

if (import.meta.main) await serve()

async function serve(): Promise<void> {
  const { default: httpProxyPackage } = await import('http-proxy')
  const { port, upstream } = portsOfProgram()
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
  const proxy = httpProxyPackage.createProxyServer({ target: upstream, agent, ws: true })
  proxy.on('error', (error, _req, res) => {
    console.error(error.message)
    if ('writeHead' in res && !res.headersSent) res.writeHead(502).end()
    else res.destroy()
  })
  createServer((req, res) => proxy.web(req, res))
    .on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
    .listen(port, '127.0.0.1')
}
