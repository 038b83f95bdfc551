/**
 * Pins after writes: the side that a key's reads stay on for a while, since it has taken the key's last write.
 */

import { createHash } from 'node:crypto'
import { isSafeMethod } from '../rules/caching/invalidation.ts'
import type { RequestView, Side } from '../rules/http/exchange.ts'
import type { Match } from '../rules/routing/match.ts'
import { firstKey } from '../rules/routing/targets.ts'
import type { Table } from '../rules/table/table.ts'
import { replaced } from '../rules/values/replaced.ts'

/** Further ones take the place of the oldest. */
const MAX_PINS = 50_000

/** No pin lasts longer: what ended before is forgotten. */
export const MAX_PIN_MS = 3_600_000

/** A pin, as processes tell each other. */
export interface Pin {
  /** Of salt and key; the key itself is told to nobody. */
  readonly id: string
  readonly salt: string
  readonly side: Side
  /** When the write began; epoch milliseconds. */
  readonly atMs: number
  readonly untilMs: number
}

/** The pins of one process. */
export class Pins {
  readonly #pins = new Map<string, Pin>()
  /** By salt: when pins to `to` have ended, epoch milliseconds; the longest ago first. */
  readonly #ended = new Map<string, number>()
  readonly #now: () => number
  /** Told of the pins of this process. */
  onPinned: ((pin: Pin) => void) | null = null

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** The side that a request stays on: a read whose key has written there; or null. */
  sideFor(match: Match, view: RequestView): Side | null {
    const { route } = match
    if (route === null || route.pinAfterWriteMs === null || this.#pins.size === 0 || !isSafeMethod(view.method))
      return null
    const key = firstKey(route, match.params, view)
    const pin = key === null ? undefined : this.#pins.get(idOf(route.salt, key))
    return pin === undefined || pin.untilMs <= this.#now() || this.#hasEnded(pin) ? null : pin.side
  }

  /**
   * Pins a key in this process, and tells the others.
   * @param agoMs how long ago the write began
   * @param forMs how long the pin lasts from now on
   */
  pin(salt: string, key: string, side: Side, ...[agoMs, forMs]: [number, number]): void {
    const nowMs = this.#now()
    const pin = { id: idOf(salt, key), salt, side, atMs: nowMs - agoMs, untilMs: nowMs + forMs }
    this.take(pin)
    this.onPinned?.(pin)
  }

  /** Takes a pin of another process. */
  take(pin: Pin): void {
    const known = this.#pins.get(pin.id)
    if (known !== undefined && known.atMs > pin.atMs) return
    this.#pins.delete(pin.id)
    this.#pins.set(pin.id, pin)
    for (const [id, { untilMs }] of this.#pins) {
      if (this.#pins.size <= MAX_PINS && untilMs > pin.atMs) break
      this.#pins.delete(id)
    }
  }

  /** A new revision: where it takes a share back, the pins to `to` end of writes that began before. */
  edited(before: Table, after: Table): void {
    const nowMs = this.#now()
    for (const [salt, atMs] of this.#ended) {
      if (nowMs - atMs <= MAX_PIN_MS) break
      this.#ended.delete(salt)
    }
    const { gone, come } = replaced(before.routes, after.routes)
    for (const [at, { id, percent, salt }] of gone.entries()) {
      const now = come[at]?.id === id ? come[at] : after.routes[after.places.get(id) ?? -1]
      if (percent <= (now?.percent ?? 0)) continue
      this.#ended.delete(salt)
      this.#ended.set(salt, nowMs)
    }
  }

  #hasEnded({ salt, side, atMs }: Pin): boolean {
    return side === 'to' && atMs <= (this.#ended.get(salt) ?? Number.NEGATIVE_INFINITY)
  }
}

function idOf(salt: string, key: string): string {
  return createHash('sha256').update(`${salt}\x1f${key}`).digest('base64url')
}
