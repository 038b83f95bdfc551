/**
 * @fastify/http-proxy: reply-from over undici inside Fastify.
 */
import { type Contestant, MAX_SOCKETS, portsOfProgram, startNode } from './contestant.ts'

export const fastifyHttpProxy: Contestant = {
  name: '@fastify/http-proxy',
  about: '@fastify/http-proxy over an undici pool, no pipelining',
  upgrades: false,
  fromPeers: true,
  start: (setup) => startNode('@fastify/http-proxy', import.meta.url, setup),
}

if (import.meta.main) await serve()

async function serve(): Promise<void> {
  const { default: fastify } = await import('fastify')
  const { default: httpProxyPlugin } = await import('@fastify/http-proxy')
  const { port, upstream } = portsOfProgram()
  const app = fastify({ logger: false, bodyLimit: 2 ** 31 })
  app.register(httpProxyPlugin, { upstream, undici: { connections: MAX_SOCKETS, pipelining: 1 } })
  await app.listen({ port, host: '127.0.0.1' })
}
