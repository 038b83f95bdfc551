/**
 * A stand-in of the proxy for the tests of deploys: its admin API, a clock that waiting moves, and an operator who interrupts.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

export type Answers = (method: string, path: string, body: unknown) => object

/** An admin API that answers as told, with a number as status of what it refuses; undefined breaks the connection. */
export async function standIn(answers: (...given: Parameters<Answers>) => object | undefined): Promise<string> {
  const server = createServer(async (req, res) => {
    const body = Number(req.headers['content-length'] ?? 0) > 0 ? await json(req) : null
    const answer = req.url === '/livez' ? {} : answers(req.method as string, req.url as string, body)
    if (answer === undefined) return void req.socket.destroy()
    if ('status' in answer && typeof answer.status === 'number') res.statusCode = answer.status
    res.setHeader('Content-Type', 'application/json')
    res.setHeader('Banyan-Request-Id', 'of the stand-in')
    res.end(JSON.stringify(answer))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close().closeAllConnections())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A clock that waiting moves, and an operator who interrupts. */
export function surroundings(run: (command: string, interrupt: (signal: string) => void) => void = () => {}) {
  let nowMs = 0
  let interrupt: (signal: string) => void = () => {}
  return {
    now: () => nowMs,
    sleep: async (ms: number) => void (nowMs += ms),
    onInterrupt: (listener: (signal: string) => void) => void (interrupt = listener),
    run: async (command: string) => {
      run(command, interrupt)
      return 0
    },
    interrupt: (signal: string) => interrupt(signal),
  }
}

export const AWAY = { status: 503, title: 'The cluster is unavailable', detail: 'Redis is away; nothing was changed.' }

/** Three servers, each healthy at each look. @param stuck the one that can't be undrained @param active requests in flight there */
export function fleet(
  onDrain: (id: string) => void = () => {},
  stuck = '',
  active = 0,
): { drained: Set<string>; answers: Answers } {
  const drained = new Set<string>()
  let probes = 0
  const server = (id: string): object => {
    const health = { healthy: true, probes: { good: ++probes * 10, failed: 0 }, last: { good: true, detail: '' } }
    const live = [{ id, state: 'up', exchanges: 0, failures: 0, clientErrors: 0, redirects: 0, ejections: 0, health }]
    return { id, url: `http://${id}`, weight: 1, drained: drained.has(id), lease: null, active: 0, live }
  }
  const answers: Answers = (method, path) => {
    if (path === '/upstreams/gtin') return { health: { up: 2 } }
    const [, id, action] = /^\/upstreams\/gtin\/servers\/(\w+)\/(drain|undrain)/.exec(path) ?? []
    if (method === 'POST' && id !== undefined) {
      if (action === 'undrain') {
        if (id === stuck) return AWAY
        drained.delete(id)
      } else {
        drained.add(id)
        onDrain(id)
      }
      return { active: id === stuck ? active : 0 }
    }
    return { servers: ['one', 'two', 'three'].map(server) }
  }
  return { drained, answers }
}
