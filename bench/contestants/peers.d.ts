/**
 * The few calls that the benchmark makes into the peers: their packages are in bench/package.json, and a checkout whose
 * benchmark never ran has none of them.
 */
declare module 'http-proxy-3' {
  import type { Agent, IncomingMessage, ServerResponse } from 'node:http'
  import type { Socket } from 'node:net'

  interface ProxyServer {
    web(req: IncomingMessage, res: ServerResponse): void
    ws(req: IncomingMessage, socket: Socket, head: Buffer): void
    on(event: 'error', listener: (error: Error, req: IncomingMessage, res: ServerResponse | Socket) => void): this
  }
  export function createProxyServer(options: { target: string; agent: Agent; ws?: boolean }): ProxyServer
}

declare module 'httpxy' {
  import type { Agent, IncomingMessage, ServerResponse } from 'node:http'

  interface ProxyServer {
    web(req: IncomingMessage, res: ServerResponse): Promise<void>
    on(event: 'error', listener: (error: Error, req: IncomingMessage, res: ServerResponse) => void): this
  }
  export function createProxyServer(options: { target: string; agent: Agent }): ProxyServer
}

declare module 'fast-proxy' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  interface FastProxy {
    proxy(req: IncomingMessage, res: ServerResponse, source: string | undefined, options: object): void
  }
  export default function fastProxy(options: {
    base: string
    undici: { connections: number; pipelining: number }
  }): FastProxy
}

declare module 'fastify' {
  interface App {
    register(plugin: object, options: object): App
    listen(options: { port: number; host: string }): Promise<string>
  }
  export default function fastify(options: { logger: boolean; bodyLimit: number }): App
}

declare module '@fastify/http-proxy' {
  const plugin: object
  export default plugin
}
