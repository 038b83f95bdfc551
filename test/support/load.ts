/**
 * Load with exact accounting: clients that ask one request after the other on kept-alive connections, each outcome known.
 */
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout } from 'node:timers/promises'

/** What is asked. */
export interface Ask {
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The client leaves when nothing has come for so long, milliseconds. */
  readonly patienceMs?: number
}

/** What came of it: `status` is 0 where the answer did not come, or not whole. */
export interface Outcome {
  readonly status: number
  readonly text: string
  readonly headers: IncomingMessage['headers']
  /** Why it did not come. */
  readonly error: string | null
}

/** Asks once. Never rejects. */
export function askOnce(
  agent: Agent,
  port: number,
  { path, method = 'GET', headers, body, patienceMs = 0 }: Ask,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const broken = (error: Error): void => resolve({ status: 0, text: '', headers: {}, error: error.message })
    const req = request({ agent, host: '127.0.0.1', port, path, method, headers: { ...headers } }, (res) => {
      let text = ''
      res.setEncoding('latin1')
      res.on('data', (piece: string) => {
        text += piece
      })
      res.on('error', broken)
      res.on('close', () => broken(new Error('broken off')))
      res.on('end', () => {
        if (res.complete) resolve({ status: res.statusCode as number, text, headers: res.headers, error: null })
      })
    })
    req.on('error', broken)
    req.setTimeout(patienceMs, () => req.destroy(new Error('left')))
    req.end(body)
  })
}

/** An outcome of a load: of its nth request. */
export interface NthOutcome extends Outcome {
  readonly n: number
}

/** A load that runs. */
export interface Load {
  /** Every outcome so far, in the order of their ends. */
  readonly outcomes: readonly NthOutcome[]
  /** Resolves when so many more requests have ended. */
  more(count: number): Promise<void>
  /** Resolves with the first outcome from now on that `is` so. */
  next(is: (outcome: Outcome) => boolean): Promise<Outcome>
  /** No new requests. Resolves when those under way have ended. */
  stop(): Promise<void>
}

/** Of a client, behind each answer. Without one a load would take all of a core, and what it is there to see would wait for that. */
export const PAUSE_MS = 5

/** Starts clients that ask, each again and again. @param ask makes the nth request */
export function startLoad(port: number, clients: number, ask: (n: number) => Ask, pauseMs = PAUSE_MS): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const outcomes: NthOutcome[] = []
  const watchers = new Set<(outcome: Outcome) => void>()
  let [running, next] = [true, 0]
  const client = async (): Promise<void> => {
    while (running) {
      const n = next++
      const outcome = { n, ...(await askOnce(agent, port, ask(n))) }
      outcomes.push(outcome)
      for (const watcher of [...watchers]) watcher(outcome)
      if (pauseMs > 0) await setTimeout(pauseMs)
    }
  }
  const over = Promise.all(Array.from({ length: clients }, client))
  const until = (done: (outcome: Outcome) => boolean): Promise<Outcome> =>
    new Promise((resolve) => {
      const watcher = (outcome: Outcome): void => {
        if (!done(outcome)) return
        watchers.delete(watcher)
        resolve(outcome)
      }
      watchers.add(watcher)
    })
  return {
    outcomes,
    more: async (count) => {
      const goal = outcomes.length + count
      await until(() => outcomes.length >= goal)
    },
    next: until,
    stop: async () => {
      running = false
      await over
      agent.destroy()
    },
  }
}
