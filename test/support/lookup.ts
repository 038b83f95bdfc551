/**
 * Lookups through a proxy over kept-alive connections, and which side answered each.
 */
import { Agent, request } from 'node:http'

/** One answered lookup. */
export interface Lookup {
  readonly status: number
  /** `gtin` or `legacy`, told from what only one of them sends; null for neither. */
  readonly side: 'gtin' | 'legacy' | null
  readonly body: string
}

/** A client with a bounded number of kept-alive connections. */
export class LookupClient {
  readonly #agent: Agent
  readonly #port: number

  constructor(port: number, connections = 16) {
    this.#port = port
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * One GET of the seed product.
   * @throws whatever breaks the exchange
   */
  get(headers: Record<string, string> = {}): Promise<Lookup> {
    const path = '/stores/3/gtins/123456789012'
    return new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: this.#port, path, headers, agent: this.#agent }, (res) => {
        let body = ''
        res.setEncoding('latin1')
        res.on('data', (text: string) => {
          body += text
        })
        res.on('error', reject)
        res.on('end', () => {
          const legacy = String(res.headers.server).startsWith('CatalogEnterprise')
          const gtin = !legacy && body.startsWith('{"host":')
          resolve({ status: res.statusCode as number, side: legacy ? 'legacy' : gtin ? 'gtin' : null, body })
        })
      })
      req.on('error', reject)
      req.end()
    })
  }

  /** The side that each client id gets, all asked concurrently within the client's connections. */
  async sides(ids: readonly string[]): Promise<Map<string, Lookup['side']>> {
    const answers = await Promise.all(ids.map((id) => this.get({ 'x-client-id': id })))
    return new Map(ids.map((id, i) => [id, answers[i]!.side]))
  }
}

/** The table of these tests: one lookup route between two sides. */
export function lookupTable(legacy: number, gtin: readonly number[], percent: number, more = ''): string {
  return `# A comment that must stay.
version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  gtin:
    servers:   # two of them
${gtin.map((port) => `      - http://127.0.0.1:${port}`).join('\n')}
default: legacy
routes:
  - id: gtin-lookup
    match: { path: "/stores/:storeId/gtins/:gtin", methods: [GET, HEAD] }
    to: gtin
    percent: ${percent}   # the share
    sticky: [cookie:sid, header:x-client-id]
${more}`
}
