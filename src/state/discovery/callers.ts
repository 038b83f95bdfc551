/**
 * Who calls something, and how often. In memory, within a bound.
 */
import type { Caller } from '../../rules/discovery/caller.ts'
import { ownText } from '../own-texts.ts'

/** Callers that are told apart. */
const MAX_CALLERS = 8

/** One caller. Plain data. */
export interface CallerCount extends Caller {
  requests: number
  /** Epoch milliseconds. */
  lastMs: number
}

/** Counts by caller. */
export interface CallersDelta {
  readonly callers: readonly CallerCount[]
  /** Requests of callers beyond those. */
  readonly more: number
}

/** The callers of one thing. */
export class Callers {
  #callers: CallerCount[] = []
  #more = 0

  count({ agent, network }: Caller, nowMs: number): void {
    this.#add(agent, network, 1, nowMs)
  }

  add({ callers, more }: CallersDelta): void {
    for (const { agent, network, requests, lastMs } of callers) this.#add(agent, network, requests, lastMs)
    this.#more += more
  }

  /** The most frequent first. */
  all(): CallersDelta {
    return { callers: this.#callers.toSorted((a, b) => b.requests - a.requests), more: this.#more }
  }

  /** Begins anew. @returns what there was */
  take(): CallersDelta {
    const taken = { callers: this.#callers, more: this.#more }
    this.#callers = []
    this.#more = 0
    return taken
  }

  #add(agent: string, network: string, requests: number, lastMs: number): void {
    const known = this.#callers.find((one) => one.agent === agent && one.network === network)
    if (known !== undefined) {
      known.requests += requests
      known.lastMs = Math.max(known.lastMs, lastMs)
    } else if (this.#callers.length < MAX_CALLERS) {
      this.#callers.push({ agent: ownText(agent), network: ownText(network), requests, lastMs })
    } else this.#more += requests
  }
}
