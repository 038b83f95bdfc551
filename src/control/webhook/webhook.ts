/**
 * The webhook: tells another program what happens to ramps and deploys. Messages wait in a bounded queue, are tried again for a
 * day, and are never in the way of what they tell of.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { StateStore } from '../../state/store/store.ts'
import type { ControlLog } from '../control-log.ts'
import { sendWebhook, type WebhookMessage, type WebhookTarget } from './send.ts'

const SPACE = 'webhook'
const GROUP = 'queue'

/** Messages that wait. When there are more, the oldest is dropped. */
export const MAX_WAITING = 500

/** So long a message is tried again. */
const GIVE_UP_MS = 86_400_000

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 600_000

/** What the webhook works with. */
export interface WebhookParts {
  readonly target: WebhookTarget
  /** Keeps what waits over a restart; null for memory only. */
  readonly store: Pick<StateStore, 'list' | 'write'> | null
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
  /** In [0, 1). */
  chance(): number
  /** One try; default: by HTTP. */
  readonly send?: typeof sendWebhook
}

/** Since the process began, and what waits now. */
export interface WebhookFigures {
  readonly waiting: number
  readonly delivered: number
  /** Tries that failed. */
  readonly failed: number
  /** Messages that were given up, or for which there was no room. */
  readonly dropped: number
}

interface Waiting extends WebhookMessage {
  readonly atMs: number
  tries: number
  dueMs: number
}

const stored = z.object({ body: z.string(), atMs: z.number() })

/** One receiver. */
export class Webhook {
  readonly #parts: WebhookParts
  readonly #waiting = new Map<string, Waiting>()
  readonly #counts = { delivered: 0, failed: 0, dropped: 0 }
  #timer: NodeJS.Timeout | undefined
  #isSending = false
  #isClosed = false
  /** Why nothing is delivered, or null. */
  problem: string | null = null

  constructor(parts: WebhookParts) {
    this.#parts = parts
  }

  get figures(): WebhookFigures {
    return { waiting: this.#waiting.size, ...this.#counts }
  }

  /** Goes on with what an earlier process has left. Never rejects. */
  async start(): Promise<void> {
    try {
      for (const { key, value } of (await this.#parts.store?.list(SPACE)) ?? []) {
        const known = stored.safeParse(readJson(value)).data
        if (known !== undefined && !this.#waiting.has(key)) this.#add({ id: key, ...known, tries: 0, dueMs: 0 })
      }
    } catch {
      // The store says by itself that it can't be read.
    }
    this.#plan()
  }

  /** Tells it to the receiver, sooner or later. @param event what is told of, such as `ramp` */
  tell(event: string, told: object): void {
    const atMs = this.#parts.now()
    const id = randomUUID()
    const body = JSON.stringify({ id, event, at: new Date(atMs).toISOString(), ...told })
    this.#add({ id, body, atMs, tries: 0, dueMs: 0 })
    this.#store(id, JSON.stringify({ body, atMs }))
    this.#plan()
  }

  /** Sends nothing more. What waits is sent by the next process, if it is stored. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #add(message: Waiting): void {
    this.#waiting.set(message.id, message)
    if (this.#waiting.size <= MAX_WAITING) return
    const oldest = this.#waiting.keys().next().value as string
    this.#drop(oldest, `${MAX_WAITING} messages wait already`)
  }

  #drop(id: string, why: string): void {
    this.#remove(id)
    this.#counts.dropped++
    this.#parts.log.warn({ event: 'webhook', id }, `webhook: a message was dropped: ${why}`)
  }

  #remove(id: string): void {
    this.#waiting.delete(id)
    this.#store(id, null)
  }

  /** Best effort: a message that is not stored is lost with the process. */
  #store(id: string, value: string | null): void {
    void this.#parts.store?.write(SPACE, GROUP, id, value).catch(() => {})
  }

  #plan(): void {
    if (this.#isSending || this.#isClosed || this.#waiting.size === 0) return
    const due = Math.min(...this.#waiting.values().map(({ dueMs }) => dueMs))
    clearTimeout(this.#timer)
    // The clock may be set back meanwhile.
    const restMs = Math.min(Math.max(0, due - this.#parts.now()), LONGEST_PAUSE_MS)
    this.#timer = setTimeout(() => void this.#sendDue(), restMs)
    this.#timer.unref()
  }

  /** One at a time: a receiver that is slow gets no more of them. */
  async #sendDue(): Promise<void> {
    const nowMs = this.#parts.now()
    const message = this.#waiting.values().find(({ dueMs }) => dueMs <= nowMs)
    if (message !== undefined) {
      this.#isSending = true
      const send = this.#parts.send ?? sendWebhook
      const problem = await send(this.#parts.target, message, nowMs)
      this.#isSending = false
      if (problem === null) this.#delivered(message)
      else this.#failed(message, problem)
    }
    this.#plan()
  }

  #delivered({ id }: Waiting): void {
    this.#remove(id)
    this.#counts.delivered++
    if (this.problem !== null) this.#parts.log.info({ event: 'webhook' }, 'webhook: delivered again')
    this.problem = null
  }

  #failed(message: Waiting, why: string): void {
    const { log, now, chance } = this.#parts
    this.#counts.failed++
    if (this.problem === null) log.warn({ event: 'webhook' }, `webhook: not delivered, tried again: ${why}`)
    this.problem = why
    if (now() - message.atMs >= GIVE_UP_MS) {
      this.#drop(message.id, `not delivered for a day: ${why}`)
      return
    }
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** message.tries, LONGEST_PAUSE_MS)
    message.tries++
    // Half of it is chance, so that several instances do not come at once.
    message.dueMs = now() + pauseMs * (0.5 + chance() / 2)
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
