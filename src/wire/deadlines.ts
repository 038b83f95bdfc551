/**
 * One coarse clock and one sweep for all deadlines of the wire, so that a request costs no timer of its own.
 */
import { tellException } from './exceptions.ts'

/** How often deadlines are looked at, in milliseconds; also how late one may be noticed. */
export const TICK_MS = 50

/** Something with a deadline. */
export interface Watched {
  /** In milliseconds of `coarseNowMs`; Infinity where nothing is awaited. */
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

/** Looks after a thing's deadline until `unwatch`. */
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
 * Where this process stood still for a while, what it waited for may lie in the sockets by now: those are looked at before any
 * deadline is taken for missed, and nobody is blamed for what was our delay.
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
