/**
 * The proxies that are compared: banyan as a process of its own, and http-proxy 1.18.1 in one with a keep-alive agent.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { startBanyan } from '../smuggling/banyan.ts'

/** A proxy that runs. */
export interface RunningProxy {
  readonly port: number
  stop(): Promise<unknown>
}

export interface ProxyKind {
  readonly name: 'banyan' | 'http-proxy'
  start(upstreamPort: number): Promise<RunningProxy>
}

export const PROXIES: readonly ProxyKind[] = [
  {
    name: 'banyan',
    start: (upstreamPort) =>
      startBanyan(
        `version: 1\nupstreams:\n  legacy: { servers: ['http://127.0.0.1:${upstreamPort}'] }\ndefault: legacy\n`,
      ),
  },
  { name: 'http-proxy', start: startHttpProxy },
]

async function startHttpProxy(upstreamPort: number): Promise<RunningProxy> {
  const process_ = spawn(process.execPath, ['--no-deprecation', import.meta.filename, String(upstreamPort)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: process_.stdout }), 'line')) as [string]
  return {
    port: Number(line),
    async stop() {
      const ended = once(process_, 'exit')
      process_.kill('SIGTERM')
      await ended
    },
  }
}

if (import.meta.main) await serveHttpProxy(`http://127.0.0.1:${process.argv[2]}`)

/** As its manual says, with an agent that keeps connections and an answer of 502 for errors. */
async function serveHttpProxy(target: string): Promise<void> {
  const { default: httpProxy } = await import('http-proxy')
  const proxy = httpProxy.createProxyServer({ target, agent: new Agent({ keepAlive: true }), ws: true })
  proxy.on('error', (_error, _req, res) => {
    if ('writeHead' in res && !res.headersSent) res.writeHead(502).end()
    else res.destroy()
  })
  const server = createServer((req, res) => proxy.web(req, res))
  server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
}
