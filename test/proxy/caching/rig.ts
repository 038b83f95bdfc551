/**
 * A caching proxy in the test's own process, with a scripted upstream behind each side, asked over real sockets.
 */
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { SocketServer } from '../../../src/proxy/client/server/socket-server.ts'
import { createPlane, type Plane } from '../../../src/proxy/plane.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { RemoteStore } from '../../../src/state/caching/remote.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { RawClient } from '../../support/client.ts'
import { field, type RawResponse } from '../../support/message.ts'
import { type ScriptedUpstream, scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

/** What a rig is made of. */
export interface RigOptions {
  /** The route's `cache`, as YAML. */
  readonly cache?: string
  /** More keys of the route, as YAML lines without indentation. */
  readonly route?: readonly string[]
  /** Whole routes instead, as YAML lines below `routes:`. */
  readonly routes?: readonly string[]
  /** More keys of the upstream `legacy`, as YAML. */
  readonly legacy?: string
  /** More keys of both upstreams, as YAML. */
  readonly both?: string
  /** How long the upstreams may take for a head; 60s by default. */
  readonly headers?: string
  readonly remote?: RemoteStore
  /** In front of the upstreams of another one. */
  readonly upstreams?: Pick<Rig, 'legacy' | 'modern'>
  readonly exposeKey?: boolean
  readonly memoryBytes?: number
  /** What a client may take to accept a byte; a minute by default. */
  readonly sendTimeoutMs?: number
  /** What clients say in X-Forwarded-* is believed. */
  readonly trusted?: boolean
}

/** A proxy that caches `/*`, and its two upstreams: `legacy` (default) and `modern`. */
export interface Rig {
  readonly port: number
  readonly legacy: ScriptedUpstream
  readonly modern: ScriptedUpstream
  readonly plane: Plane
  readonly live: LiveTable
  /** Puts another table in force. */
  apply(options: RigOptions): void
  /** GET on a connection of its own; `fields` are lines such as `Range: bytes=0-1`. */
  get(target: string, ...fields: string[]): Promise<RawResponse>
  ask(method: string, target: string, ...fields: string[]): Promise<RawResponse>
  /** Sends a request and gives the connection, for answers that are awaited piece by piece. */
  begin(target: string, ...fields: string[]): Promise<RawClient>
  /** Ends it before the test does, for tests that start many. */
  stop(): Promise<void>
}

function tableOf(options: RigOptions, legacy: number, modern: number): string {
  const { cache = '{}', route = [], routes, legacy: more = 'host: preserve', headers = '60s' } = options
  const both = `timeouts: { headers: ${headers} }${options.both === undefined ? '' : `, ${options.both}`}`
  const one = ['  - id: all', '    match: { path: /* }', '    to: modern', `    cache: ${cache}`]
  return [
    'version: 1',
    'upstreams:',
    `  legacy: { servers: ["http://127.0.0.1:${legacy}"], ${both}, ${more} }`,
    `  modern: { servers: ["http://127.0.0.1:${modern}"], ${both} }`,
    'default: legacy',
    'routes:',
    ...(routes === undefined ? [...one, ...route.map((line) => `    ${line}`)] : routes.map((line) => `  ${line}`)),
    '',
  ].join('\n')
}

/** Starts one; it ends with the test. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const { legacy, modern } = options.upstreams ?? {
    legacy: await scriptedUpstream(),
    modern: await scriptedUpstream(),
  }
  const read = (given: RigOptions) => {
    const text = tableOf(given, legacy.port, modern.port)
    const table = readTable(text, 'routes.yaml')
    if (!table.ok) throw new Error(JSON.stringify(table.problems))
    return { table: table.table, text }
  }
  const first = read(options)
  const live = new LiveTable(first.table, first.text, Date.now())
  const plane = createPlane({
    instance: 'banyan',
    live,
    limits: { maxFields: 256, maxTargetLength: 16_384 },
    trustedProxies: options.trusted ? ['127.0.0.1'] : [],
    memoryCacheBytes: options.memoryBytes ?? 16 * 1024 * 1024,
    remoteCache: options.remote ?? null,
    exposeCacheStatus: true,
    exposeCacheKey: options.exposeKey ?? false,
    accessLog: null,
    sampleKey: 'a key of the test',
    forceSecret: 'a secret of the test',
  })
  const settings = {
    places: [{ host: '127.0.0.1', port: 0 }],
    tls: null,
    maxHeaderBytes: 32_768,
    headersTimeoutMs: 30_000,
    keepAliveMs: 75_000,
    sendTimeoutMs: options.sendTimeoutMs ?? 60_000,
  }
  const listener = new SocketServer(settings, plane.engine)
  const [{ port }] = (await listener.listen()) as unknown as [{ port: number }]
  let stopped: Promise<void> | null = null
  const end = async (): Promise<void> => {
    if (options.upstreams === undefined) await Promise.all([legacy.stop(), modern.stop()])
    await listener.drain({ timeoutMs: 0 })
    plane.upstreams.close()
  }
  const stop = (): Promise<void> => {
    stopped ??= end()
    return stopped
  }
  onTestFinished(stop)
  const begin = async (method: string, target: string, fields: readonly string[]): Promise<RawClient> => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const client = new RawClient(socket)
    onTestFinished(() => void socket.destroy())
    const lines = fields.map((line) => `${line}\r\n`).join('')
    const host = fields.some((line) => /^host:/i.test(line)) ? '' : 'Host: shop.test\r\n'
    await client.send(`${method} ${target} HTTP/1.1\r\n${host}${lines}\r\n`)
    return client
  }
  const ask = async (method: string, target: string, ...fields: string[]): Promise<RawResponse> => {
    const client = await begin(method, target, fields)
    const response = await client.nextResponse(method)
    client.socket.destroy()
    return response
  }
  return {
    port,
    legacy,
    modern,
    plane,
    live,
    apply: (next) => {
      const { table, text } = read(next)
      live.apply(table, text, Date.now())
    },
    get: (target, ...fields) => ask('GET', target, ...fields),
    ask,
    begin: (target, ...fields) => begin('GET', target, fields),
    stop,
  }
}

/** The bytes of an answer with a Content-Length: `lines` are its fields. */
export function reply(status: number, lines: readonly string[] = [], body = ''): string {
  const length = status === 304 || status === 204 ? '' : `Content-Length: ${body.length}\r\n`
  return `HTTP/1.1 ${status} Reason ${status}\r\n${lines.map((line) => `${line}\r\n`).join('')}${length}\r\n${body}`
}

/** Answers every request of an upstream with the same, and its number in the place of `#`. */
export function always(upstream: ScriptedUpstream, status: number, lines: readonly string[], body = 'body #'): void {
  let count = 0
  upstream.handler = (request) => {
    count++
    const text = body.replaceAll('#', String(count))
    void request.send(
      reply(
        status,
        lines.map((line) => line.replaceAll('#', String(count))),
        request.method === 'HEAD' ? '' : text,
      ),
    )
  }
}

/** Answers the requests of an upstream one after the other; the last answer goes on. */
export function inTurn(upstream: ScriptedUpstream, ...answers: readonly (string | null)[]): UpstreamRequest[] {
  const seen: UpstreamRequest[] = []
  upstream.handler = (request) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)] as string | null
    seen.push(request)
    if (answer === null) request.connection.socket.destroy()
    else void request.send(answer)
  }
  return seen
}

/** The value of a field of an answer. */
export const fieldIn = (response: RawResponse, name: string): string | undefined => field(response.fields, name)

/** What Cache-Status says. */
export const statusOf = (response: RawResponse): string | undefined => fieldIn(response, 'cache-status')

/** An HTTP-date so many seconds from now. */
export const dateIn = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString()

/** Resolves when `holds` does; for what nothing tells of. */
export async function until(holds: () => boolean): Promise<void> {
  for (let looks = 0; !holds(); looks++) {
    if (looks === 24_000) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
