/**
 * One coarse clock and one periodic sweep for all network deadlines, so that a request needs no timer of its own.
 */
import { tellException } from './exceptions.ts'

/** How often deadlines are checked, in milliseconds; a missed one is noticed at most this late. */
export const TICK_MS = 50

/** Something with a deadline. */
export interface Watched {
  /** On the clock of `coarseNowMs`; Infinity for none. */
  deadlineMs: number
  /** Called once the deadline has passed, at most once a tick. */
  expire(): void
}

const watched = new Set<Watched>()
let timer: ReturnType<typeof setInterval> | null = null
let nowMs = 0

/** Milliseconds on a monotonic clock, at most one tick behind while anything is watched. */
export function coarseNowMs(): number {
  return nowMs
}

/** Checks a thing's deadline until `unwatch`. */
export function watch(thing: Watched): void {
  watched.add(thing)
  if (timer !== null) return
  nowMs = performance.now()
  timer = setInterval(tick, TICK_MS)
  timer.unref()
}

export function unwatch(thing: Watched): void {
  watched.delete(thing)
  if (watched.size > 0 || timer === null) return
  clearInterval(timer)
  timer = null
}

/**
 * If this process was stalled, what it waited for may have arrived meanwhile. `setImmediate` lets the sockets be read before any
 * deadline counts as missed, so that no peer is blamed for our own delay.
 */
function tick(): void {
  nowMs = performance.now()
  setImmediate(sweep)
}

function sweep(): void {
  for (const thing of watched) {
    if (thing.deadlineMs > nowMs) continue
    try {
      thing.expire()
    } catch (error) {
      tellException(error)
    }
  }
}
