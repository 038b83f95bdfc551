/**
 * A fair turn for all beside those that send much. libuv reads from a connection up to 32 times before it looks at the next one: a
 * hundred uploads would keep everybody else waiting for a second.
 */

/** So much of large bodies is read in one turn of the event loop. Beyond it each connection is read from once, and left to the next turns. */
const TURN_BYTES = 4 * 1024 * 1024

/** So many connections begin to read again in one turn: with 64 KiB of each, it is over. */
const RESUMED = 64

/** A connection that is read from. */
interface Source {
  isPaused(): boolean
  resume(): unknown
}

let leftBytes = TURN_BYTES
let isDue = false

/** Those that are left to the next turns, the first one first. */
const waiting = new Set<Source>()

/**
 * Counts a read that may be one of many.
 * @returns whether there may be more in this turn; if not, the caller stops reading, and the source is resumed in one of the next turns
 *   unless it is paused by then for a reason of its own
 */
export function mayReadOn(source: Source, bytes: number): boolean {
  leftBytes -= bytes
  if (!isDue) {
    isDue = true
    setImmediate(nextTurn)
  }
  if (leftBytes > 0) return true
  waiting.add(source)
  return false
}

function nextTurn(): void {
  leftBytes = TURN_BYTES
  let resumed = 0
  for (const source of waiting) {
    if (resumed++ === RESUMED) break
    waiting.delete(source)
    if (!source.isPaused()) source.resume()
  }
  isDue = waiting.size > 0
  if (isDue) setImmediate(nextTurn)
}
