/**
 * The load of `npm run twenty-minutes`: clients that look up one product after the other, and count what goes wrong.
 */
import { Agent, request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'

const LOOKUP = '/stores/3/gtins/123456789012'

/** Clients of the load, and how long each rests between two lookups: some hundred lookups a second. */
export const CLIENTS = 8
const REST_MS = 10

/** One answered lookup. */
export interface Answer {
  readonly status: number
  readonly host: string
  readonly freshness: string
}

/** Clients that go on asking until they are told to stop. */
export class Load {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  readonly #url: string
  readonly #clients: Promise<void>[]
  #stopped = false
  total = 0
  /** What went wrong, and how often. */
  readonly failures = new Map<string, number>()

  constructor(url: string) {
    this.#url = url
    this.#clients = Array.from({ length: CLIENTS }, () => this.#run())
  }

  get failed(): number {
    return [...this.failures.values()].reduce((sum, count) => sum + count, 0)
  }

  ask(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request(`${this.#url}${LOOKUP}`, { agent: this.#agent, timeout: 10_000 }, (answer) => {
        let body = ''
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        answer.on('error', reject)
        answer.on('end', () => {
          const host = /^\{"host":"([^"]*)"/.exec(body)?.[1] ?? ''
          resolve({ status: answer.statusCode ?? 0, host, freshness: answer.headers['cache-control'] ?? '' })
        })
      })
      asked.on('timeout', () => asked.destroy(new Error('no answer in 10 s')))
      asked.on('error', reject)
      asked.end()
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
    this.#agent.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.total++
      const wrong = await this.ask().then(
        ({ status, host }) => (status !== 200 ? `status ${status}` : host === '' ? 'no lookup' : null),
        (error: Error) => error.message,
      )
      if (wrong !== null) this.failures.set(wrong, (this.failures.get(wrong) ?? 0) + 1)
      await wait(REST_MS)
    }
  }
}
