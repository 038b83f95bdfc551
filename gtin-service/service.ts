/**
 * One running GTIN service: node:http in front of a source of products. `answer` is the contract, row by row.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { statusFor } from './conditions.ts'
import type { ProductSource } from './data.ts'
import { readGtins } from './gtin.ts'
import { metricsText } from './metrics.ts'
import { type Product, represent } from './product.ts'
import { placeOf } from './target.ts'

/** How to run a service; everything but the source has a default. */
export interface ServiceOptions {
  /** Where products come from. */
  readonly source: ProductSource
  /** Address to listen on; 127.0.0.1 by default. */
  readonly host?: string
  /** 0, the default, takes any free port. */
  readonly port?: number
  /** The instance's name in answers; the machine's host name by default. */
  readonly name?: string
  /** How long `close` goes on listening, with health at 503, so that those in front notice; 0 by default. */
  readonly drainDelayMs?: number
  /** How long running exchanges may then go on before they are cut; 10,000 by default. */
  readonly drainTimeoutMs?: number
  /** Told of failed lookups, of the same message once a minute. */
  readonly report?: (error: unknown) => void
}

/** A service that listens. */
export interface GtinService {
  /** Its origin without a slash at the end: `http://127.0.0.1:4002`. */
  readonly url: string
  readonly port: number
  readonly name: string
  /** Drains and ends, once; resolves when the last connection is gone. */
  close(): Promise<void>
}

const TEXT = 'text/plain; charset=utf-8'
const ALLOW = { Allow: 'GET, HEAD, OPTIONS' }
const FRESHNESS = { 'Cache-Control': 'public, max-age=60' }
const NO_STORE = { 'Cache-Control': 'no-store' }
/** Above the idle limit of any proxy in front, so that the proxy and not this side closes an idle connection. */
const KEEP_ALIVE_MS = 65_000
const TELL_AGAIN_MS = 60_000

/** Starts a service and resolves once it listens. Rejects with node's system error where it can't (`EADDRINUSE`, ...). */
export async function startGtinService(options: ServiceOptions): Promise<GtinService> {
  const { source, host = '127.0.0.1', name = hostname(), drainDelayMs = 0, drainTimeoutMs = 10_000 } = options
  const lookups = new Lookups(name, source, options.report ?? (() => {}))
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 60_000 }, (request, response) => {
    lookups.answer(request, response)
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, host, () => resolve((server.address() as AddressInfo).port))
  })
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    name,
    async close() {
      lookups.isDraining = true
      if (drainDelayMs > 0) await sleep(drainDelayMs)
      const deadline = setTimeout(() => server.closeAllConnections(), drainTimeoutMs)
      // This also ends the idle connections. They had the delay to ask once more; whoever did was told that it closes.
      await new Promise((resolve) => server.close(resolve))
      clearTimeout(deadline)
      source.close()
    },
  }
}

/** Answers requests, and counts lookups by their outcome. */
class Lookups {
  readonly #name: string
  readonly #source: ProductSource
  readonly #report: (error: unknown) => void
  readonly #counts = { found: 0, unknown: 0, failed: 0 }
  readonly #told = new Map<string, number>()
  /** Health then answers 503, and each answer ends its connection. Lookups go on. */
  isDraining = false

  constructor(name: string, source: ProductSource, report: (error: unknown) => void) {
    this.#name = name
    this.#source = source
    this.#report = report
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const place = placeOf(request.url as string)
    const { method } = request
    if (this.isDraining) response.setHeader('Connection', 'close')
    if (place.kind === 'bad-escape' || hasTwoHosts(request)) send(response, 400, '400 Bad Request')
    else if (place.kind === 'none') send(response, 404, '404 page not found')
    else if (method === 'OPTIONS') response.writeHead(204, ALLOW).end()
    else if ((method !== 'GET' && method !== 'HEAD') || place.kind === 'server') {
      send(response, 405, '405 Method Not Allowed', ALLOW)
    } else if (place.kind === 'moved') {
      response.writeHead(301, { Location: place.location, 'Content-Length': 0 }).end()
    } else if (place.kind === 'health') this.#health(response)
    else if (place.kind === 'metrics') this.#metrics(response)
    else if (place.kind === 'lookup') this.#lookup(request, response, place)
  }

  #lookup({ headers }: IncomingMessage, response: ServerResponse, asked: { store: string; gtin: string }): void {
    try {
      const product = this.#find(asked.gtin)
      if (product === null) {
        this.#counts.unknown++
        send(response, 404, `[${this.#name}] GTIN not found.`)
        return
      }
      const { body, tag } = represent(this.#name, product, asked.store)
      this.#counts.found++
      const status = statusFor(headers['if-match'], headers['if-none-match'], tag)
      if (status === 412) send(response, 412, '412 Precondition Failed')
      else if (status === 304) response.writeHead(304, { ETag: tag, ...FRESHNESS }).end()
      else send(response, 200, body, { 'Content-Type': 'application/json; charset=utf-8', ETag: tag, ...FRESHNESS })
    } catch (error) {
      this.#tell(error)
      this.#counts.failed++
      // 503 and not 500: the proxy in front may then ask the other side of its route.
      send(response, 503, `[${this.#name}] Lookup failed.`)
    }
  }

  /** The product that a client's text names, in the first reading that has one. */
  #find(text: string): Product | null {
    for (const key of readGtins(text)) {
      const product = this.#source.find(key)
      if (product !== null) return product
    }
    return null
  }

  #tell(error: unknown): void {
    const message = String(error)
    if (Date.now() - (this.#told.get(message) ?? 0) < TELL_AGAIN_MS) return
    if (this.#told.size > 1_000) this.#told.clear()
    this.#told.set(message, Date.now())
    this.#report(error)
  }

  /** Not to be stored: the proxy's cache may claim the very path of the lookups. The body is the contract's; facts stand beside. */
  #health(response: ServerResponse): void {
    const facts = this.#source.facts()
    const trouble = this.isDraining ? 'draining' : this.#source.trouble()
    send(response, trouble === null ? 200 : 503, trouble ?? 'Healthy', {
      ...NO_STORE,
      ...(facts !== null && { 'Data-As-Of': facts.asOf, 'Data-Age': String(Math.floor(facts.ageMs / 1_000)) }),
      ...(facts !== null && facts.damaged > 0 && { 'Data-Damaged': String(facts.damaged) }),
    })
  }

  #metrics(response: ServerResponse): void {
    const isReady = !this.isDraining && this.#source.trouble() === null
    const type = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }
    send(response, 200, metricsText(this.#counts, isReady, this.#source.facts()), { ...type, ...NO_STORE })
  }
}

function send(response: ServerResponse, status: number, body: string, head: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': TEXT, 'Content-Length': Buffer.byteLength(body), ...head }).end(body)
}

/** Node refuses a request without Host, and not one with several (RFC 9112 section 3.2). */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length > 1
}
