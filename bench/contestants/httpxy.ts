/**
 * httpxy, the http-proxy of the UnJS projects.
 */
import { Agent, createServer } from 'node:http'
import { type Contestant, MAX_SOCKETS, portsOfProgram, startNode } from './contestant.ts'

export const httpxy: Contestant = {
  name: 'httpxy',
  about: 'httpxy with a keep-alive agent',
  upgrades: false,
  fromPeers: true,
  start: (setup) => startNode('httpxy', import.meta.url, setup),
}

if (import.meta.main) await serve()

async function serve(): Promise<void> {
  const { createProxyServer } = await import('httpxy')
  const { port, upstream } = portsOfProgram()
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
  const proxy = createProxyServer({ target: upstream, agent })
  proxy.on('error', (error, _req, res) => {
    console.error(error.message)
    if (res.headersSent) res.destroy()
    else res.writeHead(502).end()
  })
  createServer((req, res) => {
    // The error listener above has answered.
    proxy.web(req, res).catch(() => {})
  }).listen(port, '127.0.0.1')
}
